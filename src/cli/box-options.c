/* SPDX-License-Identifier: Apache-2.0
 *
 * box-options.c - the options that say what a box is to be, shared by run and create
 */
#include "cli/box-options.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "base/strv.h"
#include "cli/environment.h"
#include "cli/mounts.h"

#include <stdlib.h>
#include <string.h>

/* As long as the environment may be; labels share the record in the database. */
#define LABELS_MAX_BYTES (1u << 20)

/* Docker's spellings of the one option that there is; of several the last counts. */
static int read_security_options(const opt_list *given, bool *ret_no_new_privileges, nb_error *err) {
    static const struct {
        const char *text;
        bool value;
    } spellings[] = {
        {"no-new-privileges", true},        {"no-new-privileges=true", true},   {"no-new-privileges:true", true},
        {"no-new-privileges=false", false}, {"no-new-privileges:false", false},
    };
    *ret_no_new_privileges = false;
    for (size_t i = 0; i < given->count; i++) {
        size_t at = 0;
        while (at < ARRAY_LENGTH(spellings) && strcmp(given->items[i], spellings[at].text) != 0)
            at++;
        if (at == ARRAY_LENGTH(spellings))
            return nb_fail(err, NB_E_INVALID, 0, "--security-opt '%s': only no-new-privileges is supported", given->items[i]);
        *ret_no_new_privileges = spellings[at].value;
    }
    return 0;
}

int box_check(const box_arguments *box, nb_error *err) {
    bool no_new_privileges;
    if (strcmp(box->network, "none") != 0)
        return nb_fail(err, NB_E_UNSUPPORTED, 0, "--network %s: not supported yet", box->network);
    if (box->stop_signal && nb_signal_number(box->stop_signal) == 0)
        return nb_fail(err, NB_E_INVALID, 0, "--stop-signal '%s': want a signal's name or number, such as TERM or 15", box->stop_signal);
    if (box->remove && strcmp(box->care.restart, "no") != 0)
        return nb_fail(err, NB_E_INVALID, 0,
                       "--restart and --rm exclude each other: what is removed when it stops cannot be started again");
    int r = care_arguments_check(&box->care, err);
    return r < 0 ? r : read_security_options(&box->security_options, &no_new_privileges, err);
}

/* KEY alone is a label without a value. */
static int collect_labels(const opt_list *labels, buf *packed, nb_error *err) {
    for (size_t i = 0; i < labels->count; i++) {
        const char *label = labels->items[i];
        if (*label == '\0' || *label == '=')
            return nb_fail(err, NB_E_INVALID, 0, "--label '%s': want KEY or KEY=VALUE", label);
        const char *rest = strchr(label, '=') ? "" : "=";
        if (!buf_append(packed, label, strlen(label)) || !strv_add(packed, rest))
            return nb_fail(err, NB_E_EXHAUSTED, 0, "more than %zu bytes of labels", packed->max_bytes);
    }
    return 0;
}

static nb_pull_policy pull_policy(const char *word) {
    return strcmp(word, "always") == 0 ? NB_PULL_ALWAYS : strcmp(word, "never") == 0 ? NB_PULL_NEVER : NB_PULL_MISSING;
}

static int create(cli *c, const box_arguments *box, nb_box_options *options, int argc, char **argv, nb_box **ret_box, nb_error *err) {
    care_health health;
    care_arguments_apply(&box->care, &health, options);
    options->image = argv[0];
    options->pull = pull_policy(box->pull);
    options->platform = box->platform;
    options->command = (nb_strings){(const char *const *) argv + 1, (size_t) argc - 1};
    options->name = box->name;
    options->clear_entrypoint = box->entrypoint && *box->entrypoint == '\0';
    if (box->entrypoint && *box->entrypoint)
        options->entrypoint = (nb_strings){&box->entrypoint, 1};
    options->working_directory = box->working_directory;
    options->user = box->user;
    options->hostname = box->hostname;
    options->memory_bytes = box->memory_bytes;
    options->cpu_millis = box->cpu_millis;
    options->io_bytes_per_second = box->io_bytes_per_second;
    options->io_operations_per_second = box->io_operations_per_second;
    options->disk_bytes = box->disk_bytes;
    options->pids_max = box->pids_max;
    options->stop_signal = box->stop_signal;
    options->stop_timeout_ms = (uint32_t) box->stop_timeout_ms;
    options->boot_timeout_ms = (uint32_t) box->boot_timeout_ms;
    options->tty = box->tty;
    options->open_stdin = box->interactive;
    options->auto_remove = box->remove;
    options->init = box->init;
    options->timeout_ms = box->timeout_ms > 0 ? (uint64_t) box->timeout_ms : 0;
    options->cap_add = (nb_strings){box->cap_add.items, box->cap_add.count};
    options->cap_drop = (nb_strings){box->cap_drop.items, box->cap_drop.count};
    options->ulimits = (nb_strings){box->ulimits.items, box->ulimits.count};
    (void) read_security_options(&box->security_options, &options->no_new_privileges, NULL); /* box_check() has looked at them */
    return nb_box_create(c->runtime, options, ret_box, err);
}

int box_create(cli *c, const box_arguments *box, bool detach, int argc, char **argv, nb_box **ret_box, nb_error *err) {
    CLEANUP(buf_done) buf environment, labels;
    CLEANUP(mount_list_done) mount_list mounts = {0};
    CLEANUP(cleanup_free) char **variables = NULL, **label_strings = NULL;
    buf_init(&environment, ENVIRONMENT_MAX_BYTES);
    buf_init(&labels, LABELS_MAX_BYTES);
    c->progress.quiet = box->quiet;
    int r = environment_collect(box->environment_files.items, box->environment_files.count, box->environment.items, box->environment.count,
                                &environment, err);
    if (r == 0)
        r = collect_labels(&box->labels, &labels, err);
    if (r == 0)
        r = mounts_collect(&box->volumes, &box->tmpfs, &mounts, err);
    if (r < 0)
        return r;
    variables = strv_pointers(strv_of(&environment));
    label_strings = strv_pointers(strv_of(&labels));
    if (!variables || !label_strings)
        return nb_fail_oom(err);
    nb_box_options options = NB_BOX_OPTIONS_INIT;
    options.detach = detach;
    options.mounts = (nb_mounts){mounts.items, mounts.count};
    options.environment = (nb_strings){(const char *const *) variables, strv_count(strv_of(&environment))};
    options.labels = (nb_strings){(const char *const *) label_strings, strv_count(strv_of(&labels))};
    r = create(c, box, &options, argc, argv, ret_box, err);
    progress_end(&c->progress);
    return r;
}
