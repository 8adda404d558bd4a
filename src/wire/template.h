/* SPDX-License-Identifier: Apache-2.0
 *
 * template.h - what the library and a shim's program call the parts of a template
 */
#ifndef WIRE_TEMPLATE_H
#define WIRE_TEMPLATE_H

/* The name that a shim's program is started by to make one. */
#define WIRE_TEMPLATE_PROGRAM "nestbox-template"

/* Written last: a folder without it is no template. */
#define WIRE_TEMPLATE_HEADER_FILE "template"

/* The template of an image has it, the others have not. */
#define WIRE_TEMPLATE_DISK_FILE "disk"

#endif
