/* SPDX-License-Identifier: Apache-2.0
 *
 * error.h - filling the caller's nb_error
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <nestbox/error.h>

#include <stdarg.h>

/* Fills @err (may be NULL) and returns -@code, so that a failing function ends in `return nb_fail(...)`.
 *
 * @system_errno  errno of the call that failed, or 0; its text is appended to the message after ": "
 * @format        what was tried, on what (quoted)
 */
int nb_fail(nb_error *err, int code, int system_errno, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The same for a failed allocation: -NB_E_NO_MEMORY. */
int nb_fail_oom(nb_error *err);

/* The same for a bounded buffer, @b, that did not take what was to be said of it: of memory, or -NB_E_INVALID. */
#define nb_fail_full(err, b, ...) ((b)->no_memory ? nb_fail_oom(err) : nb_fail((err), NB_E_INVALID, 0, __VA_ARGS__))

/* Puts a name before the message of an error that came from below: "start box 'web': <message>". Returns @result
 * unchanged; one that is no error changes nothing. */
int nb_fail_within(nb_error *err, int result, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Sets the way out, shown on a line of its own. Returns @result unchanged. */
int nb_fail_hint(nb_error *err, int result, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The short text of a code, from the table: "not found". Never NULL. */
const char *nb_code_text(int code);

/* Whether @code is one of the table's. Codes that come from another process are checked with it. */
int nb_code_is_known(int code);

/* The code for a system error of the home's file system: NB_E_STORAGE, or NB_E_PERMISSION or NB_E_NO_MEMORY where it says so. */
int nb_code_of_errno(int system_errno);

#endif
