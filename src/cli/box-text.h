/* SPDX-License-Identifier: Apache-2.0
 *
 * box-text.h - a box's command and status as ps shows them
 */
#ifndef CLI_BOX_TEXT_H
#define CLI_BOX_TEXT_H

#include <nestbox/nestbox.h>

#define BOX_COMMAND_WIDTH 20 /* of a command in a table, without its quotes */
#define BOX_REASON_WIDTH 40  /* of the reason of a failure */

/* "sh -c 'sl…" in double quotes; @whole: not cut. Escaped for a terminal. Freed by the caller; NULL: out of memory. */
char *box_command_text(nb_strings command, bool whole);

/* "Up 3 minutes", "Exited (7) 2 hours ago", "Failed: ...". Escaped and freed like that. */
char *box_status_text(const nb_box_info *box, uint64_t now_ms, bool whole);

#endif
