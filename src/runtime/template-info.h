/* SPDX-License-Identifier: Apache-2.0
 *
 * template-info.h - what the public API tells of a template
 */
#ifndef RUNTIME_TEMPLATE_INFO_H
#define RUNTIME_TEMPLATE_INFO_H

#include "base/arena.h"
#include "runtime/template-folder.h"

#include <nestbox/template.h>

/* Strings go into @a. -NB_E_NOT_FOUND: it is gone. */
int template_info_fill(nb_runtime *rt, const template_folder *folder, const char *key, arena *a, nb_template_info *ret_info, nb_error *err);

#endif
