/* SPDX-License-Identifier: Apache-2.0
 *
 * ulimit.c - resource limits as users write them
 */
#include "runtime/ulimit.h"

#include "base/size.h"
#include "wire/rlimits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const struct {
    const char *name;
    uint8_t resource;
} resources[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

/* A number, "-1" or "unlimited", up to @end. */
static bool parse_value(const char *text, const char **ret_end, uint64_t *ret_value) {
    static const char *const unlimited[] = {"-1", "unlimited"};
    for (size_t i = 0; i < ARRAY_LENGTH(unlimited); i++) {
        size_t length = strlen(unlimited[i]);
        if (strncmp(text, unlimited[i], length) == 0) {
            *ret_end = text + length;
            *ret_value = UINT64_MAX;
            return true;
        }
    }
    char *end;
    errno = 0;
    *ret_value = strtoull(text, &end, 10);
    *ret_end = end;
    return text[0] >= '0' && text[0] <= '9' && errno == 0;
}

static bool parse_limit(const char *text, wire_rlimit *ret_limit) {
    const char *value = strchr(text, '=');
    for (size_t i = 0; value && i < ARRAY_LENGTH(resources); i++) {
        size_t length = (size_t) (value - text);
        if (strlen(resources[i].name) != length || memcmp(resources[i].name, text, length) != 0)
            continue;
        ret_limit->resource = resources[i].resource;
        if (!parse_value(value + 1, &value, &ret_limit->soft))
            return false;
        ret_limit->hard = ret_limit->soft;
        if (*value == ':' && !parse_value(value + 1, &value, &ret_limit->hard))
            return false;
        return *value == '\0';
    }
    return false;
}

/* In the place of an earlier limit of the same resource, or behind all. False: there is no place. */
static bool put(buf *packed, const wire_rlimit *limit) {
    uint8_t bytes[WIRE_RLIMIT_BYTES];
    wire_rlimit_encode(bytes, limit);
    for (size_t at = 0; at < buf_length(packed); at += sizeof(bytes)) {
        if (buf_bytes(packed)[at] == limit->resource) {
            memcpy(buf_bytes(packed) + at, bytes, sizeof(bytes));
            return true;
        }
    }
    return buf_append(packed, bytes, sizeof(bytes));
}

int ulimit_pack(strv limits, buf *packed, nb_error *err) {
    for (const char *text = NULL; (text = strv_next(limits, text));) {
        wire_rlimit limit;
        if (!parse_limit(text, &limit))
            return nb_fail_hint(err, nb_fail(err, NB_E_INVALID, 0, "limit '%s': it is not NAME=SOFT[:HARD]", text),
                                "for example nofile=1024:4096, core=0 or nproc=unlimited");
        if (limit.soft > limit.hard)
            return nb_fail(err, NB_E_INVALID, 0, "limit '%s': the soft limit is above the hard one", text);
        if (!put(packed, &limit)) /* there is a place for each resource: only memory can be out */
            return nb_fail_oom(err);
    }
    return 0;
}
