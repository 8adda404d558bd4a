/* SPDX-License-Identifier: Apache-2.0
 *
 * template-make.h - the header of a template: what its maker and its readers agree on
 */
#ifndef SHIM_TEMPLATE_MAKE_H
#define SHIM_TEMPLATE_MAKE_H

/* The last two are the form's version. Then little-endian: bytes of memory, bytes of state, 8 bytes of nothing yet. */
#define TEMPLATE_MAGIC "NBTEMP01"
#define TEMPLATE_HEADER_BYTES 32u

#endif
