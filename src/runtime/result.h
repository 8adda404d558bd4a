/* SPDX-License-Identifier: Apache-2.0
 *
 * result.h - results of the public API: one allocation each, as far as the caller can see
 */
#ifndef RUNTIME_RESULT_H
#define RUNTIME_RESULT_H

#include "base/arena.h"

#include <nestbox/nestbox.h>

/* Makes a result of @bytes whose strings can be put into @ret_arena; NULL when memory is out. */
void *result_new(size_t bytes, arena **ret_arena);
/* Takes NULL. */
void result_free(const void *result);

nb_strings result_strings(arena *a, strv list);

#endif
