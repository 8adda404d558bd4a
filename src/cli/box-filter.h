/* SPDX-License-Identifier: Apache-2.0
 *
 * box-filter.h - the conditions of ps --filter
 */
#ifndef CLI_BOX_FILTER_H
#define CLI_BOX_FILTER_H

#include "cli/option.h"

#include <nestbox/nestbox.h>

/* Checks each KEY=VALUE: -NB_E_INVALID for an unknown key or status, naming it. */
int box_filter_check(const opt_list *filters, nb_error *err);

/* Whether some filter is about the status: then boxes that do not run are meant too. */
bool box_filter_names_status(const opt_list *filters);

/* Whether @box fulfils them: one of those with name=, one of those with status=, and all of those with label=. A name is matched by any
 * part of it, a label by KEY or KEY=VALUE. @filters has been checked. */
bool box_filter_matches(const opt_list *filters, const nb_box_info *box);

#endif
