/* SPDX-License-Identifier: Apache-2.0
 *
 * template.h - what the library starts a shim's program as, that it makes a template
 */
#ifndef WIRE_TEMPLATE_H
#define WIRE_TEMPLATE_H

/* The name that a shim's program is started by to make one. */
#define WIRE_TEMPLATE_PROGRAM "nestbox-template"

#endif
