/* SPDX-License-Identifier: Apache-2.0
 *
 * fail.h - allocations that fail when a test wants them to
 *
 *     for (unsigned n = 0;; n++) {
 *         fail_alloc_at(n);
 *         int result = the_call(...);
 *         if (!fail_alloc_fired())
 *             break;                       the call got through
 *         assert_int_equal(result, -NB_E_NO_MEMORY);
 *     }
 *
 * The linker sends this program's own malloc, calloc, realloc and strdup here (--wrap); what a shared library allocates for itself is not
 * touched, unless it is told to ask fail_alloc_now(), as SQLite is.
 */
#ifndef TEST_FAIL_H
#define TEST_FAIL_H

#include <stdbool.h>

/* The allocation with this number from now on, counted from 0, fails; all others succeed. */
void fail_alloc_at(unsigned number);

/* Whether it has come to that since fail_alloc_at(). Ends the failing either way. */
bool fail_alloc_fired(void);

/* How many allocations there have been since fail_alloc_at(). */
unsigned fail_alloc_seen(void);

/* Counts an allocation. True: this is the one that is to fail. */
bool fail_alloc_now(void);

#endif
