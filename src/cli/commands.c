/* SPDX-License-Identifier: Apache-2.0
 *
 * commands.c - the list of commands
 */
#include "cli/command.h"

#include <string.h>

const command *const commands[] = {
    &command_run,
    &command_create,
    &command_start,
    &command_exec,
    &command_attach,
    &command_stop,
    &command_restart,
    &command_kill,
    &command_rename,
    &command_update,
    &command_wait,
    &command_rm,
    &command_ps,
    &command_inspect,
    &command_logs,
    &command_stats,
    &command_top,
    &command_cp,
    &command_images,
    &command_image_inspect,
    &command_pull,
    &command_import,
    &command_load,
    &command_save,
    &command_commit,
    &command_tag,
    &command_rmi,
    &command_image_prune,
    &command_login,
    &command_logout,
    &command_volume_create,
    &command_volume_ls,
    &command_volume_inspect,
    &command_volume_rm,
    &command_template_ls,
    &command_template_build,
    &command_template_rm,
    &command_template_verify,
    &command_standby,
    &command_doctor,
    &command_info,
    &command_system_df,
    &command_system_prune,
    &command_events,
    &command_completion,
    &command_version,
    &command_help,
    NULL,
};

/* How many words @name has when the command line begins with them, else 0. */
static int words_matched(const char *name, int argc, char **argv) {
    size_t first = strcspn(name, " ");
    if (argc < 1 || strlen(argv[0]) != first || memcmp(argv[0], name, first) != 0)
        return 0;
    if (name[first] == '\0')
        return 1;
    return argc >= 2 && strcmp(argv[1], name + first + 1) == 0 ? 2 : 0;
}

const command *command_find(int argc, char **argv, int *ret_words) {
    for (const command *const *c = commands; *c; c++) {
        int words = words_matched((*c)->name, argc, argv);
        if (words == 0 && (*c)->alias)
            words = words_matched((*c)->alias, argc, argv);
        if (words > 0) {
            *ret_words = words;
            return *c;
        }
    }
    *ret_words = 0;
    return NULL;
}
