/* SPDX-License-Identifier: Apache-2.0
 *
 * environment.h - what -e and --env-file say, as one list of NAME=VALUE
 */
#ifndef CLI_ENVIRONMENT_H
#define CLI_ENVIRONMENT_H

#include "base/buf.h"

#include <nestbox/nestbox.h>

/* The kernel takes at most a quarter of the stack limit for arguments and environment, execve(2): this is beyond any of it. */
#define ENVIRONMENT_MAX_BYTES (8u << 20)

/* Appends the lines of the files and then the variables of @variables to @packed, a packed list (base/strv.h) with that maximum.
 *
 * NAME=VALUE is taken as it is; NAME alone takes the value from this program's own environment and is left out where it has none.
 * In a file, blank lines and lines that begin with # are skipped; blanks before a name are, blanks in a value are not.
 * Errors, naming option, file and line: -NB_E_INVALID (a name that is empty or has blanks), -NB_E_NOT_FOUND, -NB_E_STORAGE (the file
 * cannot be read), -NB_E_EXHAUSTED, -NB_E_NO_MEMORY. */
int environment_collect(const char *const *files, size_t file_count, const char *const *variables, size_t variable_count, buf *packed,
                        nb_error *err);

#endif
