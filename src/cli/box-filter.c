/* SPDX-License-Identifier: Apache-2.0
 *
 * box-filter.c - the conditions of ps --filter
 */
#include "cli/box-filter.h"

#include "base/error.h"

#include <string.h>

#define FILTER_FORM "name=PART, status=STATE, label=KEY, label=KEY=VALUE, volume=NAME-OR-PATH, health=STATUS or restart=POLICY"

/* What follows "KEY=" in @filter, or NULL when its key is another. */
static const char *value_of(const char *filter, const char *key) {
    size_t length = strlen(key);
    return strncmp(filter, key, length) == 0 && filter[length] == '=' ? filter + length + 1 : NULL;
}

/* False: no such state. "exited" is what other programs call a stopped box. */
static bool find_state(const char *name, nb_box_state *ret_state) {
    static const nb_box_state states[] = {
#define STATE_ITEM(state, number, text) state,
        NB_BOX_STATES(STATE_ITEM)
#undef STATE_ITEM
    };
    if (strcmp(name, "exited") == 0)
        name = nb_box_state_name(NB_BOX_STOPPED);
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(nb_box_state_name(states[i]), name) == 0) {
            *ret_state = states[i];
            return true;
        }
    }
    return false;
}

int box_filter_check(const opt_list *filters, nb_error *err) {
    for (size_t i = 0; i < filters->count; i++) {
        const char *filter = filters->items[i], *status = value_of(filter, "status");
        nb_box_state state;
        if (status && !find_state(status, &state))
            return nb_fail(err, NB_E_INVALID, 0, "--filter '%s': want created, starting, running, stopping, stopped or failed", filter);
        if (!status && !value_of(filter, "name") && !value_of(filter, "label") && !value_of(filter, "volume") &&
            !value_of(filter, "health") && !value_of(filter, "restart"))
            return nb_fail(err, NB_E_INVALID, 0, "--filter '%s': want " FILTER_FORM, filter);
    }
    return 0;
}

bool box_filter_names_status(const opt_list *filters) {
    for (size_t i = 0; i < filters->count; i++) {
        if (value_of(filters->items[i], "status"))
            return true;
    }
    return false;
}

static bool has_label(const nb_box_info *box, const char *wanted) {
    size_t length = strlen(wanted);
    bool with_value = strchr(wanted, '=') != NULL;
    for (size_t i = 0; i < box->labels.count; i++) {
        const char *label = box->labels.items[i];
        if (strcmp(label, wanted) == 0 || (!with_value && strncmp(label, wanted, length) == 0 && label[length] == '='))
            return true;
    }
    return false;
}

/* By what is mounted, or where. */
static bool has_mount(const nb_box_info *box, const char *wanted) {
    for (size_t i = 0; i < box->mounts.count; i++) {
        const nb_mount *mount = &box->mounts.items[i];
        if (strcmp(mount->target, wanted) == 0 || (mount->source && strcmp(mount->source, wanted) == 0))
            return true;
    }
    return false;
}

bool box_filter_matches(const opt_list *filters, const nb_box_info *box) {
    bool name_asked = false, name_fits = false, status_asked = false, status_fits = false;
    for (size_t i = 0; i < filters->count; i++) {
        const char *name = value_of(filters->items[i], "name");
        const char *status = value_of(filters->items[i], "status");
        const char *label = value_of(filters->items[i], "label");
        nb_box_state state = NB_BOX_CREATED;
        const char *volume = value_of(filters->items[i], "volume");
        const char *health = value_of(filters->items[i], "health"), *restart = value_of(filters->items[i], "restart");
        if ((label && !has_label(box, label)) || (volume && !has_mount(box, volume)) ||
            (health && strcmp(nb_health_name(box->health), health) != 0) ||
            (restart && strcmp(nb_restart_policy_name(box->restart), restart) != 0))
            return false;
        name_asked = name_asked || name;
        name_fits = name_fits || (name && strstr(box->name, name));
        status_asked = status_asked || status;
        status_fits = status_fits || (status && find_state(status, &state) && box->state == state);
    }
    return (!name_asked || name_fits) && (!status_asked || status_fits);
}
