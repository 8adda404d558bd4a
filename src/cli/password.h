/* SPDX-License-Identifier: Apache-2.0
 *
 * password.h - a secret from a person or a pipe
 */
#ifndef CLI_PASSWORD_H
#define CLI_PASSWORD_H

#include <nestbox/error.h>

/* Tokens of cloud registries have up to 3 KiB; the library takes no more than 4,096. */
#define PASSWORD_SIZE 4097

/* All that @fd gives, without a line end behind it. -NB_E_INVALID: nothing, more than fits, or a NUL within. */
int password_read(int fd, char ret_password[PASSWORD_SIZE], nb_error *err);

/* Asks on a terminal, without showing what is typed. -NB_E_INVALID: nothing was typed; -NB_E_INTERNAL: the terminal refuses. */
int password_ask(int in, int out, char ret_password[PASSWORD_SIZE], nb_error *err);

#endif
