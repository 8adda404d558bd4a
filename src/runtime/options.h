/* SPDX-License-Identifier: Apache-2.0
 *
 * options.h - taking option structs of other sizes than ours, and checking what stands in them
 */
#ifndef RUNTIME_OPTIONS_H
#define RUNTIME_OPTIONS_H

#include "base/buf.h"
#include "base/error.h"

#include <nestbox/nestbox.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies the caller's struct, of whatever version, into ours of @size bytes, zero where his is shorter. Every option struct begins with its
 * size_t size. NULL gives zeroes. -NB_E_INVALID: no size was set. -NB_E_UNSUPPORTED: something is set that we do not know. */
int options_take(void *ours, size_t size, const void *theirs, const char *name, nb_error *err);

/* That a number is 0, which stands for what is usual, or within a range. @what names it in the message. */
int options_check_range(uint64_t value, uint64_t low, uint64_t high, const char *what, nb_error *err);

/* Of a list of short words: capabilities, limits. */
#define OPTIONS_LIST_MAX_BYTES 4096u

#define NAME_LENGTH_MAX 128u

/* [A-Za-z0-9][A-Za-z0-9_.-]{0,127} */
bool name_is_valid(const char *name);

/* The same as an error. */
int options_check_name(const char *name, nb_error *err);

/* Appends the strings, checking that none is NULL and that they fit. @what names them in the message. */
int options_add_strings(buf *packed, nb_strings strings, const char *what, nb_error *err);

/* The same for NAME=value pairs with a non-empty name. */
int options_check_pairs(nb_strings strings, const char *what, nb_error *err);

#endif
