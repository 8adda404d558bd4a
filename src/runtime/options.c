/* SPDX-License-Identifier: Apache-2.0
 *
 * options.c - taking option structs of other sizes than ours, and checking what stands in them
 */
#include "runtime/options.h"

#include "base/strv.h"

#include <inttypes.h>
#include <string.h>

/* A struct larger than this was not initialised. */
#define OPTIONS_SIZE_MAX ((size_t) 64 << 10)

int options_take(void *ours, size_t size, const void *theirs, const char *name, nb_error *err) {
    size_t given;
    memset(ours, 0, size);
    if (!theirs)
        return 0;
    memcpy(&given, theirs, sizeof(given));
    if (given < sizeof(given) || given > OPTIONS_SIZE_MAX)
        return nb_fail(err, NB_E_INVALID, 0, "use the %s: its size is %zu; initialise it with its _INIT macro", name, given);
    const unsigned char *bytes = theirs;
    for (size_t i = size; i < given; i++) {
        if (bytes[i] != 0)
            return nb_fail(err, NB_E_UNSUPPORTED, 0, "use the %s: it sets a member that this version (%s) does not know", name, NB_VERSION);
    }
    memcpy(ours, theirs, given < size ? given : size);
    return 0;
}

static bool is_letter_or_digit(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

int options_check_range(uint64_t value, uint64_t low, uint64_t high, const char *what, nb_error *err) {
    if (value == 0 || (value >= low && value <= high))
        return 0;
    return nb_fail(err, NB_E_INVALID, 0, "%s: %" PRIu64 " is out of range: from %" PRIu64 " to %" PRIu64, what, value, low, high);
}

bool name_is_valid(const char *name) {
    size_t length = strlen(name);
    if (length == 0 || length > NAME_LENGTH_MAX || !is_letter_or_digit(name[0]))
        return false;
    for (size_t i = 1; i < length; i++) {
        if (!is_letter_or_digit(name[i]) && !strchr("_.-", name[i]))
            return false;
    }
    return true;
}

int options_check_name(const char *name, nb_error *err) {
    return name_is_valid(name)
               ? 0
               : nb_fail(err, NB_E_INVALID, 0,
                         "name a box '%s': a name has 1 to 128 letters, digits, '_', '.', '-' and begins with a letter or digit", name);
}

int options_add_strings(buf *packed, nb_strings strings, const char *what, nb_error *err) {
    for (size_t i = 0; i < strings.count; i++) {
        if (!strings.items || !strings.items[i])
            return nb_fail(err, NB_E_INVALID, 0, "use the %s: string %zu of it is NULL", what, i);
        if (!strv_add(packed, strings.items[i]))
            return nb_fail_full(err, packed, "use the %s: it is longer than %zu bytes", what, packed->max_bytes);
    }
    return 0;
}

int options_check_pairs(nb_strings strings, const char *what, nb_error *err) {
    for (size_t i = 0; i < strings.count; i++) {
        if (!strings.items || !strings.items[i])
            return nb_fail(err, NB_E_INVALID, 0, "use the %s: string %zu of it is NULL", what, i);
        const char *equals = strchr(strings.items[i], '=');
        if (!equals || equals == strings.items[i])
            return nb_fail(err, NB_E_INVALID, 0, "use the %s '%s': it must be NAME=value", what, strings.items[i]);
    }
    return 0;
}
