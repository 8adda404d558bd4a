/* SPDX-License-Identifier: Apache-2.0
 *
 * filter.c - the system calls that a machine's process has no business with
 *
 * Theory of operation
 *   QEMU is given all that it needs as descriptors, and what it still opens by itself (its libraries, firmware, a few facts about the
 *   host) is opened for it by the broker. So a guest that has taken QEMU over finds no call that names a file, makes a socket, or
 *   reaches another process. QEMU adds a filter of its own (-sandbox), which forbids it to start programs; of two filters the
 *   stricter answer counts.
 */
#include "jail/filter.h"

#include "base/size.h"

#include <errno.h>
#include <seccomp.h>
#include <unistd.h>

/* Sent to the broker. */
static const int asked[] = {SCMP_SYS(open), SCMP_SYS(openat)};

/* As on a kernel without them: there is a way that goes on without. io_uring would open files behind the filter's back. */
static const int unknown[] = {SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(openat2),
                              SCMP_SYS(clone3)};

static const int refused[] = {
    /* other ways to a file */
    SCMP_SYS(creat),
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(open_tree),
    SCMP_SYS(memfd_secret),
    SCMP_SYS(acct),
    /* what a path means */
    SCMP_SYS(chdir),
    SCMP_SYS(fchdir),
    SCMP_SYS(chroot),
    SCMP_SYS(pivot_root),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(move_mount),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(swapon),
    /* files by their names, and whose they are */
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(link),
    SCMP_SYS(linkat),
    SCMP_SYS(symlink),
    SCMP_SYS(symlinkat),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    SCMP_SYS(truncate),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chown),
    SCMP_SYS(fchown),
    SCMP_SYS(lchown),
    SCMP_SYS(fchownat),
    SCMP_SYS(utime),
    SCMP_SYS(utimes),
    SCMP_SYS(utimensat),
    SCMP_SYS(futimesat),
    SCMP_SYS(setxattr),
    SCMP_SYS(lsetxattr),
    SCMP_SYS(fsetxattr),
    SCMP_SYS(removexattr),
    SCMP_SYS(lremovexattr),
    SCMP_SYS(fremovexattr),
    SCMP_SYS(inotify_add_watch),
    SCMP_SYS(fanotify_init),
    SCMP_SYS(fanotify_mark),
    /* sockets: those that it needs, it has */
    SCMP_SYS(socket),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    /* other processes */
    SCMP_SYS(kill),
    SCMP_SYS(tkill),
    SCMP_SYS(rt_sigqueueinfo),
    SCMP_SYS(pidfd_open),
    SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(kcmp),
    SCMP_SYS(setpgid),
    SCMP_SYS(setsid),
    SCMP_SYS(shmget),
    SCMP_SYS(shmat),
    SCMP_SYS(msgget),
    SCMP_SYS(semget),
    SCMP_SYS(mq_open),
    /* the kernel's larger doors */
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(reboot),
    SCMP_SYS(quotactl),
    SCMP_SYS(personality),
};

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count) {
    for (size_t i = 0; i < count; i++) {
        /* Below 0: this processor's kernel has no such call. */
        int result = calls[i] < 0 ? 0 : seccomp_rule_add(filter, action, calls[i], 0);
        if (result < 0)
            return result;
    }
    return 0;
}

/* A thread may signal those of its own process alone: that is how QEMU's wake each other. */
static int add_signals(scmp_filter_ctx filter) {
    static const int calls[] = {SCMP_SYS(tgkill), SCMP_SYS(rt_tgsigqueueinfo)};
    int result = 0;
    for (size_t i = 0; i < ARRAY_LENGTH(calls) && result == 0; i++)
        result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), calls[i], 1, SCMP_A0(SCMP_CMP_NE, (scmp_datum_t) getpid()));
    return result;
}

int filter_install(void) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter) {
        errno = ENOMEM;
        return -1;
    }
    int result = add_all(filter, SCMP_ACT_NOTIFY, asked, ARRAY_LENGTH(asked));
    if (result == 0)
        result = add_all(filter, SCMP_ACT_ERRNO(ENOSYS), unknown, ARRAY_LENGTH(unknown));
    if (result == 0)
        result = add_all(filter, SCMP_ACT_ERRNO(EPERM), refused, ARRAY_LENGTH(refused));
    if (result == 0)
        result = add_signals(filter);
    if (result == 0)
        result = seccomp_load(filter); /* sets no_new_privs, and ends whoever speaks another machine's calls */
    int listener = result == 0 ? seccomp_notify_fd(filter) : -1;
    seccomp_release(filter);
    if (listener < 0)
        errno = result < 0 ? -result : ENOSYS;
    return listener;
}
