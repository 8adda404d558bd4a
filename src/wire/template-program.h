/* SPDX-License-Identifier: Apache-2.0
 *
 * template-program.h - the name that a shim's program is started by to make a template instead
 */
#ifndef WIRE_TEMPLATE_PROGRAM_H
#define WIRE_TEMPLATE_PROGRAM_H

#define WIRE_TEMPLATE_PROGRAM "nestbox-template"

#endif
