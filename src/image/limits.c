/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.c - the limits of images that their users set
 */
#include "image/limits.h"

#include "base/error.h"
#include "base/size.h"

#include <string.h>

static int take_limit(const char *name, uint64_t wanted, uint64_t value_by_default, uint64_t most, uint64_t *ret_limit, nb_error *err) {
    if (wanted > most)
        return nb_fail(err, NB_E_INVALID, 0, "limit images by '%s': it is %llu, more than %llu", name, (unsigned long long) wanted,
                       (unsigned long long) most);
    *ret_limit = wanted ? wanted : value_by_default;
    return 0;
}

int image_limits_take(const image_limits *wanted, image_limits *ret_limits, nb_error *err) {
    image_limits limits;
    int r;
#define TAKE_LIMIT(name, value_by_default, most)                                              \
    if ((r = take_limit(#name, wanted->name, value_by_default, most, &limits.name, err)) < 0) \
        return r;
    IMAGE_LIMITS(TAKE_LIMIT)
#undef TAKE_LIMIT
    *ret_limits = limits;
    return 0;
}

int image_limit_hint(nb_error *err, int result, const char *name) {
    static const struct {
        const char *name;
        uint64_t most;
    } table[] = {
#define TABLE_ROW(name, value_by_default, most) {#name, most},
        IMAGE_LIMITS(TABLE_ROW)
#undef TABLE_ROW
    };
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        if (strcmp(table[i].name, name) == 0)
            return nb_fail_hint(err, result, "if it is to be trusted, raise %s in images.json, to %llu at most (docs/images.md)", name,
                                (unsigned long long) table[i].most);
    }
    return result;
}

int image_check_layers(const image_limits *limits, size_t count, nb_error *err) {
    if (count <= limits->max_layers)
        return 0;
    return image_limit_hint(err,
                            nb_fail(err, NB_E_EXHAUSTED, 0, "take the image's layers: it has %zu, more than %llu", count,
                                    (unsigned long long) limits->max_layers),
                            "max_layers");
}
