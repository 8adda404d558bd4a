/* SPDX-License-Identifier: Apache-2.0
 *
 * template-make.h - makes a template
 */
#ifndef SHIM_TEMPLATE_MAKE_H
#define SHIM_TEMPLATE_MAKE_H

/* The program that makes one, in the folder WIRE_SHIM_FOLDER_FD, as the order on WIRE_SHIM_SOCKET_FD says; its exit status. */
int template_main(void);

#endif
