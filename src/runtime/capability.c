/* SPDX-License-Identifier: Apache-2.0
 *
 * capability.c - Linux capabilities by name
 */
#include "runtime/capability.h"

#include "base/size.h"

#include <linux/capability.h>
#include <strings.h>

static const struct {
    const char *name;
    int number;
} capabilities[] = {
    {"AUDIT_CONTROL", CAP_AUDIT_CONTROL},
    {"AUDIT_READ", CAP_AUDIT_READ},
    {"AUDIT_WRITE", CAP_AUDIT_WRITE},
    {"BLOCK_SUSPEND", CAP_BLOCK_SUSPEND},
    {"BPF", CAP_BPF},
    {"CHECKPOINT_RESTORE", CAP_CHECKPOINT_RESTORE},
    {"CHOWN", CAP_CHOWN},
    {"DAC_OVERRIDE", CAP_DAC_OVERRIDE},
    {"DAC_READ_SEARCH", CAP_DAC_READ_SEARCH},
    {"FOWNER", CAP_FOWNER},
    {"FSETID", CAP_FSETID},
    {"IPC_LOCK", CAP_IPC_LOCK},
    {"IPC_OWNER", CAP_IPC_OWNER},
    {"KILL", CAP_KILL},
    {"LEASE", CAP_LEASE},
    {"LINUX_IMMUTABLE", CAP_LINUX_IMMUTABLE},
    {"MAC_ADMIN", CAP_MAC_ADMIN},
    {"MAC_OVERRIDE", CAP_MAC_OVERRIDE},
    {"MKNOD", CAP_MKNOD},
    {"NET_ADMIN", CAP_NET_ADMIN},
    {"NET_BIND_SERVICE", CAP_NET_BIND_SERVICE},
    {"NET_BROADCAST", CAP_NET_BROADCAST},
    {"NET_RAW", CAP_NET_RAW},
    {"PERFMON", CAP_PERFMON},
    {"SETFCAP", CAP_SETFCAP},
    {"SETGID", CAP_SETGID},
    {"SETPCAP", CAP_SETPCAP},
    {"SETUID", CAP_SETUID},
    {"SYSLOG", CAP_SYSLOG},
    {"SYS_ADMIN", CAP_SYS_ADMIN},
    {"SYS_BOOT", CAP_SYS_BOOT},
    {"SYS_CHROOT", CAP_SYS_CHROOT},
    {"SYS_MODULE", CAP_SYS_MODULE},
    {"SYS_NICE", CAP_SYS_NICE},
    {"SYS_PACCT", CAP_SYS_PACCT},
    {"SYS_PTRACE", CAP_SYS_PTRACE},
    {"SYS_RAWIO", CAP_SYS_RAWIO},
    {"SYS_RESOURCE", CAP_SYS_RESOURCE},
    {"SYS_TIME", CAP_SYS_TIME},
    {"SYS_TTY_CONFIG", CAP_SYS_TTY_CONFIG},
    {"WAKE_ALARM", CAP_WAKE_ALARM},
};

static uint64_t mask_of(const char *name) {
    uint64_t all = 0;
    const char *bare = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;
    for (size_t i = 0; i < ARRAY_LENGTH(capabilities); i++) {
        uint64_t bit = UINT64_C(1) << capabilities[i].number;
        all |= bit;
        if (strcasecmp(bare, capabilities[i].name) == 0)
            return bit;
    }
    return strcasecmp(name, "ALL") == 0 ? all : 0;
}

int capability_mask(strv names, uint64_t *ret_mask, nb_error *err) {
    uint64_t mask = 0;
    for (const char *name = NULL; (name = strv_next(names, name));) {
        uint64_t one = mask_of(name);
        if (!one)
            return nb_fail_hint(err, nb_fail(err, NB_E_INVALID, 0, "capability '%s': there is none of that name", name),
                                "names are those of capabilities(7), with or without CAP_, and ALL");
        mask |= one;
    }
    *ret_mask = mask;
    return 0;
}
