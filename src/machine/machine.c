/* SPDX-License-Identifier: Apache-2.0
 *
 * machine.c - one micro-VM: start it, hear how it ends
 *
 * Theory of operation
 *   QEMU is a child of this process. It starts with its processors halted; the control connection is set up (greeting, then
 *   qmp_capabilities), then "cont" lets them run. Four descriptors are watched: the control connection, the console's pipe, the pipe of
 *   QEMU's own stdout and stderr, and the process itself (a pidfd), whose end is the only end of a machine: whatever goes wrong before, the process
 *   is killed, reaped, and on_ended tells why. What the pipes still hold is read before that.
 *
 *   QEMU may have been taken over by its guest. It can send only bounded lines on the control connection, text on two pipes that are kept
 *   within bounds, and bytes on the link, which the link's owner checks.
 */
#include "machine/machine.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "base/size.h"
#include "base/strv.h"
#include "machine/console.h"
#include "machine/initramfs.h"
#include "machine/launch.h"
#include "machine/memory.h"
#include "machine/qcow2.h"
#include "machine/qemu.h"
#include "machine/qmp.h"
#include "machine/tsc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* What QEMU wrote on stdout and stderr: the last part is kept for the message about its end. */
#define OUTPUT_TAIL_BYTES 4096

#define READ_BYTES 16384
/* What is still read from a pipe after QEMU's end; a pipe holds 64 KiB, a socket some more. */
#define DRAIN_READS_MAX 64

/* All commands that can wait at once are far smaller. */
#define OUTGOING_MAX_BYTES 4096

/* What QEMU calls the file that its state goes to. */
#define STATE_FD_NAME "state"

/* QEMU closes its control connection only when it ends; one that does not end then is broken. */
#define CLOSED_GRACE_MS 5000

/* GREETING     QEMU was executed, its first line has not come
 * NEGOTIATING  qmp_capabilities was sent
 * RESTORING    its saved state is loaded
 * CONTINUING   cont was sent
 * RUNNING      the processors run, on_running was called
 * SAVING       its processors are stopped, its state is written
 * QUITTING     quit was sent, quit_timer runs
 * KILLED       SIGKILL was sent, end_note says why
 * ENDED        reaped: pid and pidfd are no longer valid, nothing is watched */
#define MACHINE_STATES(X)                                                                       \
    X(GREETING, BIT(NEGOTIATING) | BIT(KILLED) | BIT(ENDED))                                    \
    X(NEGOTIATING, BIT(RESTORING) | BIT(CONTINUING) | BIT(QUITTING) | BIT(KILLED) | BIT(ENDED)) \
    X(RESTORING, BIT(CONTINUING) | BIT(QUITTING) | BIT(KILLED) | BIT(ENDED))                    \
    X(CONTINUING, BIT(RUNNING) | BIT(QUITTING) | BIT(KILLED) | BIT(ENDED))                      \
    X(RUNNING, BIT(SAVING) | BIT(QUITTING) | BIT(KILLED) | BIT(ENDED))                          \
    X(SAVING, BIT(QUITTING) | BIT(KILLED) | BIT(ENDED))                                         \
    X(QUITTING, BIT(KILLED) | BIT(ENDED))                                                       \
    X(KILLED, BIT(ENDED))                                                                       \
    X(ENDED, 0)

typedef enum machine_state {
#define MACHINE_STATE_ENUM(name, moves) name,
    MACHINE_STATES(MACHINE_STATE_ENUM)
#undef MACHINE_STATE_ENUM
} machine_state;

#define BIT(state) (1u << (state))
static const struct {
    const char *name;
    unsigned moves;
} machine_states[] = {
#define MACHINE_STATE_ROW(name, moves) {#name, moves},
    MACHINE_STATES(MACHINE_STATE_ROW)
#undef MACHINE_STATE_ROW
};
static_assert(ARRAY_LENGTH(machine_states) == ENDED + 1, "a row for each state");

struct machine {
    loop *loop;
    const log_sink *log;
    machine_events events;

    machine_state state;
    bool restores;                /* it goes on from a saved state */
    uint64_t io_bytes_per_second; /* for machine_bound_disk() */
    uint32_t io_operations_per_second;
    int state_fd;           /* of a machine to be saved; -1: of another */
    uint64_t disk_bytes;    /* of a restored machine: as large as its guest is to find the disk; 0: as it knows it */
    bool tell_running;      /* on_running is due, once the control connection's bytes have been worked off */
    bool tell_saved;        /* the same, on_saved */
    bool told_io_error;     /* one line for the log is enough, a guest can cause thousands */
    char end_note[256];     /* why we killed it; "" if we did not */
    char shutdown_note[64]; /* the reason that QEMU gave with its SHUTDOWN event, "" before */

    pid_t pid;
    int pidfd;
    loop_fd exit_watch;

    int control;
    loop_fd control_watch;
    qmp qmp;
    buf outgoing;
    loop_timer quit_timer;

    int output;
    loop_fd output_watch;
    size_t output_length;
    char output_tail[OUTPUT_TAIL_BYTES];

    int console_pipe;
    loop_fd console_watch;
    console console;
};

static void set_state(machine *m, machine_state to) {
    assert(to <= ENDED && (machine_states[m->state].moves & BIT(to)));
    log_debug(m->log, "machine: %s -> %s", machine_states[m->state].name, machine_states[to].name);
    m->state = to;
}

/* ---------------------------------------------------------------------------------------------- ending */

static void kill_because(machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void kill_because(machine *m, const char *format, ...) {
    if (m->state == KILLED || m->state == ENDED)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void) vsnprintf(m->end_note, sizeof(m->end_note), format, arguments);
    va_end(arguments);
    log_info(m->log, "machine: killing it: %s", m->end_note);
    loop_timer_stop(&m->quit_timer);
    set_state(m, KILLED);
    (void) process_signal(m->pidfd, SIGKILL); /* ESRCH: it has just ended by itself */
}

static void on_quit_timer(loop_timer *timer) {
    machine *m = timer->user;
    kill_because(m, m->state == QUITTING ? "it did not quit in time" : "it closed its control connection and did not end");
}

/* The last message that QEMU wrote, on one line; "" when there is none. QEMU's begin with its name and can go on over further lines. */
static void last_output(const machine *m, char *text, size_t size) {
    const char *end = m->output_tail + m->output_length;
    while (end > m->output_tail && (end[-1] == '\n' || end[-1] == '\r'))
        end--;
    const char *from = end, *last = NULL;
    while (from > m->output_tail) {
        while (from > m->output_tail && from[-1] != '\n')
            from--;
        if (!last)
            last = from;
        if (end - from >= 4 && memcmp(from, "qemu", 4) == 0) {
            last = from;
            break;
        }
        from -= from > m->output_tail;
    }
    (void) snprintf(text, size, "%.*s", last ? (int) (end - last) : 0, last ? last : "");
    for (char *c = text; *c; c++) {
        if (*c == '\n')
            *c = ' ';
        else if ((unsigned char) *c < ' ' || *c == 0x7f)
            *c = '?';
    }
}

static const char *exit_text(const machine *m) {
    if (m->state == QUITTING)
        return "QEMU quit as asked";
    if (strcmp(m->shutdown_note, "guest-shutdown") == 0)
        return "the guest powered the machine off";
    if (strcmp(m->shutdown_note, "guest-reset") == 0)
        return "the guest reset the machine, which a panic of its kernel does too";
    return "QEMU exited with status 0";
}

static void describe_end(const machine *m, machine_end *end) {
    char output[384];
    last_output(m, output, sizeof(output));
    const char *colon = output[0] ? ": " : "", *note = m->end_note[0] ? ": " : "";
    const char *name = signal_name(end->signal);
    if (end->signal == SIGSYS)
        (void) snprintf(end->reason, sizeof(end->reason), "QEMU was stopped by its seccomp sandbox (SIGSYS)");
    else if (end->signal != 0)
        (void) snprintf(end->reason, sizeof(end->reason), "QEMU was killed by signal %d (%s)%s%s", end->signal, name ? name : "?", note,
                        m->end_note);
    else if (end->exit_code == 0 && strcmp(m->shutdown_note, "host-signal") != 0)
        (void) snprintf(end->reason, sizeof(end->reason), "%s", exit_text(m));
    else
        (void) snprintf(end->reason, sizeof(end->reason), "QEMU exited with status %d%s%s", end->exit_code, colon, output);
}

/* The loop forgets the machine. */
static void stop_watching(machine *m) {
    loop_fd_done(&m->exit_watch);
    loop_fd_done(&m->control_watch);
    loop_fd_done(&m->output_watch);
    loop_fd_done(&m->console_watch);
    loop_timer_done(&m->quit_timer);
}

/* ---------------------------------------------------------------------------------------------- output and console */

/* One read of a nonblocking descriptor: bytes, 0 at the end or for an error, -1 when nothing is there now. */
static ssize_t read_some(int fd, void *bytes, size_t size) {
    for (;;) {
        ssize_t n = read(fd, bytes, size);
        if (n >= 0)
            return n;
        if (errno == EAGAIN)
            return -1;
        if (errno != EINTR)
            return 0;
    }
}

static ssize_t read_output(machine *m) {
    char bytes[OUTPUT_TAIL_BYTES];
    ssize_t n = read_some(m->output, bytes, sizeof(bytes));
    if (n <= 0)
        return n;
    size_t keep = sizeof(m->output_tail) - (size_t) n;
    if (m->output_length > keep) {
        memmove(m->output_tail, m->output_tail + m->output_length - keep, keep);
        m->output_length = keep;
    }
    memcpy(m->output_tail + m->output_length, bytes, (size_t) n);
    m->output_length += (size_t) n;
    return n;
}

static ssize_t read_console(machine *m) {
    char bytes[READ_BYTES];
    ssize_t n = read_some(m->console_pipe, bytes, sizeof(bytes));
    if (n > 0)
        console_append(&m->console, bytes, (size_t) n, m->log);
    return n;
}

static void on_output(loop_fd *watcher, uint32_t events) {
    if (read_output(watcher->user) == 0)
        loop_fd_done(watcher);
}

static void on_console(loop_fd *watcher, uint32_t events) {
    if (read_console(watcher->user) == 0)
        loop_fd_done(watcher);
}

/* ---------------------------------------------------------------------------------------------- control connection */

static void flush_outgoing(machine *m) {
    while (buf_length(&m->outgoing) > 0) {
        ssize_t n = send(m->control, buf_bytes(&m->outgoing), buf_length(&m->outgoing), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) { /* it is ending; the pidfd tells */
            buf_clear(&m->outgoing);
            break;
        }
        buf_consume(&m->outgoing, (size_t) n);
    }
    uint32_t events = EPOLLIN | (buf_length(&m->outgoing) > 0 ? EPOLLOUT : 0);
    if (m->control_watch.owner && loop_fd_set_events(&m->control_watch, events) < 0)
        kill_because(m, "its control connection cannot be watched: %s", strerror(errno));
}

static void send_command(machine *m, qmp_command command) {
    if (!qmp_write(&m->qmp, command, &m->outgoing))
        kill_because(m, "there is no memory for a command to it");
    else
        flush_outgoing(m);
}

static bool is_disk_bounded(const machine *m) {
    return m->io_bytes_per_second || m->io_operations_per_second;
}

static void load_state(machine *m) {
    if (!qmp_write_migrate_capabilities(&m->qmp, &m->outgoing) || !qmp_write_migrate_incoming(&m->qmp, QEMU_FD_STATE, &m->outgoing))
        kill_because(m, "there is no memory for a command to it");
    else
        flush_outgoing(m);
}

/* To save its state QEMU takes only a descriptor that was sent to it. Nothing waits to be sent before it: all was answered. */
static bool send_state_fd(machine *m) {
    CLEANUP(buf_done) buf command;
    buf_init(&command, OUTGOING_MAX_BYTES);
    return qmp_write_getfd(&m->qmp, STATE_FD_NAME, &command) && buf_length(&m->outgoing) == 0 &&
           fd_send_message(m->control, buf_bytes(&command), buf_length(&command), &m->state_fd, 1) == (ssize_t) buf_length(&command);
}

static void save_state(machine *m) {
    if (!send_state_fd(m) || !qmp_write(&m->qmp, QMP_STOP, &m->outgoing) || !qmp_write_migrate_capabilities(&m->qmp, &m->outgoing) ||
        !qmp_write_migrate(&m->qmp, STATE_FD_NAME, &m->outgoing))
        kill_because(m, "it could not be asked to save its state");
    else
        flush_outgoing(m);
}

/* A disk of another size stands where the saved machine had one: its driver is told so, and looks. */
static void continue_restored(machine *m) {
    set_state(m, CONTINUING);
    const char *node = is_disk_bounded(m) ? QEMU_BOUNDED_DISK_NODE : QEMU_DISK_NODE;
    if (m->disk_bytes && !qmp_write_block_resize(&m->qmp, node, m->disk_bytes, &m->outgoing))
        kill_because(m, "there is no memory for a command to it");
    else
        send_command(m, QMP_CONT);
}

static void handle_migration(machine *m, const qmp_message *message) {
    char status[32];
    if (!json_string(json_member(message->body, "status"), status, sizeof(status)))
        return;
    if (strcmp(status, "failed") == 0 && (m->state == RESTORING || m->state == SAVING))
        kill_because(m, "its state could not be %s", m->state == SAVING ? "saved" : "restored");
    else if (strcmp(status, "completed") == 0 && m->state == RESTORING)
        continue_restored(m);
    else if (strcmp(status, "completed") == 0 && m->state == SAVING)
        m->tell_saved = true;
}

static void handle_event(machine *m, const qmp_message *message) {
    if (strcmp(message->text, "MIGRATION") == 0) {
        handle_migration(m, message);
        return;
    }
    if (strcmp(message->text, "SHUTDOWN") == 0) {
        if (!json_string(json_member(message->body, "reason"), m->shutdown_note, sizeof(m->shutdown_note)))
            m->shutdown_note[0] = '\0';
    } else if (strcmp(message->text, "BLOCK_IO_ERROR") == 0 && !m->told_io_error) {
        m->told_io_error = true;
        log_warning(m->log, "machine: the host refused to read or write the disk; the guest sees an I/O error");
    }
    log_debug(m->log, "machine: QEMU's event %s", message->text);
}

static void handle_return(machine *m, qmp_command command) {
    if (m->state == NEGOTIATING && command == QMP_CAPABILITIES && m->restores) {
        set_state(m, RESTORING);
        load_state(m);
    } else if (m->state == NEGOTIATING && command == QMP_CAPABILITIES) {
        set_state(m, CONTINUING);
        send_command(m, QMP_CONT);
    } else if (m->state == CONTINUING && command == QMP_CONT) {
        set_state(m, RUNNING);
        m->tell_running = true;
    }
}

static void on_control_message(void *user, const qmp_message *message) {
    machine *m = user;
    switch (message->kind) {
    case QMP_GREETING:
        log_info(m->log, "machine: QEMU %s, pid %d, answers", message->text, (int) m->pid);
        if (m->state == GREETING) {
            set_state(m, NEGOTIATING);
            send_command(m, QMP_CAPABILITIES);
        }
        break;
    case QMP_RETURN:
        handle_return(m, message->command);
        break;
    case QMP_ERROR:
        kill_because(m, "QEMU refused a command: %s", message->text);
        break;
    case QMP_EVENT:
        handle_event(m, message);
        break;
    }
}

static ssize_t read_control(machine *m) {
    char bytes[READ_BYTES];
    ssize_t n = read_some(m->control, bytes, sizeof(bytes));
    nb_error error;
    if (n > 0 && qmp_feed(&m->qmp, bytes, (size_t) n, &error) < 0) {
        kill_because(m, "%s", error.message);
        return 0;
    }
    return n;
}

static void on_control(loop_fd *watcher, uint32_t events) {
    machine *m = watcher->user;
    if (events & EPOLLOUT)
        flush_outgoing(m);
    if ((events & ~(uint32_t) EPOLLOUT) && read_control(m) == 0) {
        loop_fd_done(&m->control_watch);
        if (!loop_timer_is_running(&m->quit_timer) && m->state != KILLED)
            loop_timer_start(&m->quit_timer, CLOSED_GRACE_MS);
    }
    if (m->tell_running && m->state == RUNNING) {
        m->tell_running = false;
        m->events.on_running(m->events.user); /* the last thing here: it may end the machine */
    } else if (m->tell_saved && m->state == SAVING) {
        m->tell_saved = false;
        m->events.on_saved(m->events.user); /* the same */
    }
}

/* ---------------------------------------------------------------------------------------------- the process's end */

/* Reaps without blocking; false while it still runs. */
static bool reap(machine *m, int flags, machine_end *end) {
    siginfo_t info;
    int r;
    do {
        info.si_pid = 0;
        r = waitid(P_PIDFD, (id_t) m->pidfd, &info, WEXITED | flags);
    } while (r < 0 && errno == EINTR);
    if (r == 0 && info.si_pid == 0)
        return false;
    *end = (machine_end){.exit_code = -1};
    if (r == 0 && info.si_code == CLD_EXITED)
        end->exit_code = info.si_status;
    else if (r == 0)
        end->signal = info.si_status;
    return true;
}

static void drain(machine *m, ssize_t (*read_once)(machine *)) {
    for (unsigned i = 0; i < DRAIN_READS_MAX && read_once(m) > 0; i++)
        ;
}

static void on_exit_event(loop_fd *watcher, uint32_t events) {
    machine *m = watcher->user;
    machine_end end;
    if (!reap(m, WNOHANG, &end))
        return;
    drain(m, read_control);
    drain(m, read_output);
    drain(m, read_console);
    stop_watching(m);
    describe_end(m, &end);
    log_info(m->log, "machine: ended: %s", end.reason);
    set_state(m, ENDED);
    m->events.on_ended(m->events.user, &end); /* the last thing here: it may free the machine */
}

/* ---------------------------------------------------------------------------------------------- starting */

/* The descriptors of a start: what QEMU gets, and our ends of what leads to it. */
typedef struct start_fds {
    int qemu[QEMU_FD_COUNT];
    int output, control, console, link;
} start_fds;

static void start_fds_close(start_fds *f) {
    for (size_t i = 0; i < ARRAY_LENGTH(f->qemu); i++)
        f->qemu[i] = fd_close(f->qemu[i]);
    f->output = fd_close(f->output);
    f->control = fd_close(f->control);
    f->console = fd_close(f->console);
    f->link = fd_close(f->link);
}

static int open_kernel(start_fds *f, const machine_spec *spec, nb_error *err) {
    f->qemu[QEMU_FD_KERNEL] = open(spec->kernel, O_RDONLY | O_CLOEXEC);
    if (f->qemu[QEMU_FD_KERNEL] < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "open the guest's kernel '%s'", spec->kernel);
    return initramfs_compose(spec->agent, spec->modules, &f->qemu[QEMU_FD_INITRAMFS], err);
}

static int open_disk(start_fds *f, const machine_spec *spec, nb_error *err) {
    f->qemu[QEMU_FD_BASE_DISK] = open(spec->base_disk, O_RDONLY | O_CLOEXEC);
    if (f->qemu[QEMU_FD_BASE_DISK] < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "open the base disk '%s'", spec->base_disk);
    /* A description of its own, not a duplicate: the locks on it are QEMU's, and go when QEMU goes. */
    char own[40];
    (void) snprintf(own, sizeof(own), "/proc/self/fd/%d", spec->disk_fd);
    f->qemu[QEMU_FD_DISK] = open(own, O_RDWR | O_CLOEXEC);
    return f->qemu[QEMU_FD_DISK] < 0 ? nb_fail(err, NB_E_MACHINE, errno, "open the box's disk") : 0;
}

/* Descriptors have fixed numbers; one that this machine has no use for is /dev/null. The pipes come later. */
static int fill_gaps(start_fds *f, nb_error *err) {
    static const qemu_fd optional[] = {QEMU_FD_KERNEL, QEMU_FD_INITRAMFS, QEMU_FD_BASE_DISK, QEMU_FD_DISK, QEMU_FD_MEMORY, QEMU_FD_STATE};
    for (size_t i = 0; i < ARRAY_LENGTH(optional); i++) {
        int *fd = &f->qemu[optional[i]];
        if (*fd < 0 && (*fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0)
            return nb_fail(err, NB_E_MACHINE, errno, "open '/dev/null'");
    }
    return 0;
}

static int open_files(start_fds *f, const machine_spec *spec, nb_error *err) {
    f->qemu[QEMU_FD_STDIN] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (f->qemu[QEMU_FD_STDIN] < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "open '/dev/null'");
    int result = spec->restore ? 0 : open_kernel(f, spec, err);
    if (result == 0 && spec->disk_fd >= 0)
        result = open_disk(f, spec, err);
    const machine_saved *memory = spec->save ? spec->save : spec->restore, *state = spec->restore ? spec->restore : spec->save;
    if (result == 0 && memory) {
        f->qemu[QEMU_FD_MEMORY] = fcntl(memory->memory_fd, F_DUPFD_CLOEXEC, 0);
        f->qemu[QEMU_FD_STATE] = fcntl(state->state_fd, F_DUPFD_CLOEXEC, 0);
        if (f->qemu[QEMU_FD_MEMORY] < 0 || f->qemu[QEMU_FD_STATE] < 0)
            return nb_fail(err, NB_E_MACHINE, errno, "hand over the saved machine");
    }
    return result == 0 ? fill_gaps(f, err) : result;
}

static int open_channels(start_fds *f, nb_error *err) {
    int output_pipe[2], console_pipe[2], control_pair[2], link_pair[2];
    if (pipe2(output_pipe, O_CLOEXEC) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "make a pipe");
    f->output = output_pipe[0];
    f->qemu[QEMU_FD_STDERR] = output_pipe[1];
    if (pipe2(console_pipe, O_CLOEXEC) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "make a pipe");
    f->console = console_pipe[0];
    f->qemu[QEMU_FD_CONSOLE] = console_pipe[1];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control_pair) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "make a socket pair");
    f->control = control_pair[0];
    f->qemu[QEMU_FD_CONTROL] = control_pair[1];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link_pair) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "make a socket pair");
    f->link = link_pair[0];
    f->qemu[QEMU_FD_LINK] = link_pair[1];
    f->qemu[QEMU_FD_STDOUT] = fcntl(output_pipe[1], F_DUPFD_CLOEXEC, 0);
    /* Our ends only: how QEMU reads its own is its affair. */
    if (f->qemu[QEMU_FD_STDOUT] < 0 || fd_set_nonblock(f->output, true) < 0 || fd_set_nonblock(f->console, true) < 0 ||
        fd_set_nonblock(f->control, true) < 0 || fd_set_nonblock(f->link, true) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "set up the pipes and sockets to QEMU");
    return 0;
}

static int build_command(buf *command, const machine_spec *spec, const log_sink *log, nb_error *err) {
    qemu_options o = {
        .mode = spec->restore ? QEMU_RESTORED
                : spec->save  ? QEMU_TO_SAVE
                              : QEMU_BOOTED,
        .is_saved_later = spec->save != NULL,
        .has_disk = spec->disk_fd >= 0,
        .target = qemu_target_find(qemu_host_architecture()),
        .program = spec->program,
        .accelerator = spec->accelerator,
        .memory_bytes = machine_memory_class(spec->memory_bytes),
        .cpus = spec->cpus,
        .is_disk_bounded = spec->io_bytes_per_second || spec->io_operations_per_second,
    };
    if (!o.target)
        return nb_fail(err, NB_E_MACHINE, 0, "make a machine: this processor's architecture is not supported");
    if (o.target->has_tsc && o.mode != QEMU_RESTORED) /* takes milliseconds, and is for a kernel that boots */
        o.tsc_khz = tsc_host_khz();
    log_info(log,
             "machine: starting '%s': accelerator %s, memory %" PRIu64 " MiB, processors %" PRIu32 ", time stamp counter %" PRIu64 " kHz",
             o.program, o.accelerator, o.memory_bytes >> 20, o.cpus, o.tsc_khz);
    return qemu_command(command, &o, err);
}

static int watch(machine *m, nb_error *err) {
    if (loop_fd_init(m->loop, &m->exit_watch, m->pidfd, EPOLLIN, on_exit_event, m) < 0 ||
        loop_fd_init(m->loop, &m->control_watch, m->control, EPOLLIN, on_control, m) < 0 ||
        loop_fd_init(m->loop, &m->output_watch, m->output, EPOLLIN, on_output, m) < 0 ||
        loop_fd_init(m->loop, &m->console_watch, m->console_pipe, EPOLLIN, on_console, m) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "watch QEMU");
    return 0;
}

CLEANUP_DEFINE(machine, machine_free)

int machine_start(loop *l, const log_sink *log, const machine_spec *spec, const machine_events *events, machine **ret_machine,
                  int *ret_link, int *ret_listener, nb_error *err) {
    CLEANUP(machine_freep) machine *m = calloc(1, sizeof(*m));
    if (!m)
        return nb_fail_oom(err);
    m->loop = l;
    m->log = log;
    m->events = *events;
    m->state = GREETING;
    m->restores = spec->restore != NULL;
    m->io_bytes_per_second = spec->io_bytes_per_second;
    m->io_operations_per_second = spec->io_operations_per_second;
    m->pidfd = m->control = m->output = m->console_pipe = m->state_fd = -1;
    qmp_init(&m->qmp, on_control_message, m);
    buf_init(&m->outgoing, OUTGOING_MAX_BYTES);
    loop_timer_init(l, &m->quit_timer, on_quit_timer, m);

    CLEANUP(start_fds_close) start_fds fds;
    memset(&fds, 0xff, sizeof(fds)); /* -1 everywhere */
    CLEANUP(buf_done) buf command;
    buf_init(&command, QEMU_COMMAND_MAX_BYTES);
    int r = open_files(&fds, spec, err);
    if (r == 0 && spec->restore && !spec->restore->knows_disk)
        r = qcow2_read_size(spec->disk_fd, &m->disk_bytes, err);
    if (r == 0)
        r = open_channels(&fds, err);
    if (r == 0)
        r = build_command(&command, spec, log, err);
    if (r < 0)
        return r;
    if (console_init(&m->console, spec->console_fd) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "empty the console's file");

    CLEANUP(cleanup_fd) int listener = -1;
    int refused_by = 0;
    bool saved = spec->save || spec->restore;
    r = launch_filtered_program(strv_of(&command), fds.qemu, saved ? QEMU_FD_COUNT : QEMU_FD_MEMORY, spec->filter, &m->pid, &m->pidfd,
                                &listener, &refused_by, err);
    if (r < 0)
        return r;
    if (spec->filter && listener < 0)
        log_warning(log, "machine: QEMU runs without a filter of its system calls: %s", strerror(refused_by));
    m->control = take_fd(&fds.control);
    if (spec->save && (m->state_fd = fcntl(spec->save->state_fd, F_DUPFD_CLOEXEC, 0)) < 0)
        return nb_fail(err, NB_E_MACHINE, errno, "keep the file for its state");
    m->output = take_fd(&fds.output);
    m->console_pipe = take_fd(&fds.console);
    r = watch(m, err);
    if (r < 0)
        return r;
    *ret_machine = take_ptr(&m);
    *ret_link = take_fd(&fds.link);
    *ret_listener = take_fd(&listener);
    return 0;
}

/* ---------------------------------------------------------------------------------------------- what the owner asks */

pid_t machine_pid(const machine *m) {
    return m->pid;
}

void machine_set_events(machine *m, const machine_events *events) {
    m->events = *events;
}

bool machine_is_running(const machine *m) {
    return m->state == RUNNING && !m->tell_running;
}

uint64_t machine_disk_bytes(const machine *m) {
    return m->disk_bytes;
}

void machine_wake(machine *m) {
    if (m->state == RUNNING)
        send_command(m, QMP_QUERY_STATUS); /* its answer says nothing that we do not know */
}

void machine_bound_disk(machine *m) {
    if (m->state != RUNNING || !is_disk_bounded(m))
        return;
    if (!qmp_write_limits(&m->qmp, QEMU_DISK_BOUNDS, m->io_bytes_per_second, m->io_operations_per_second, &m->outgoing))
        kill_because(m, "there is no memory for a command to it");
    else
        flush_outgoing(m);
}

void machine_save(machine *m) {
    if (m->state != RUNNING)
        return; /* it is on its way to its end, which is told */
    set_state(m, SAVING);
    save_state(m);
}

void machine_quit(machine *m, uint64_t grace_ms) {
    switch (m->state) {
    case GREETING: /* it cannot be asked yet, and no guest has run */
        kill_because(m, "it was stopped before its control connection was up");
        break;
    case NEGOTIATING:
    case RESTORING:
    case CONTINUING:
    case RUNNING:
    case SAVING:
        set_state(m, QUITTING);
        loop_timer_start(&m->quit_timer, grace_ms);
        send_command(m, QMP_QUIT);
        break;
    case QUITTING:
    case KILLED:
    case ENDED:
        break;
    }
}

void machine_kill(machine *m) {
    kill_because(m, "its owner asked for that");
}

void machine_console_tail(machine *m, char *text, size_t size) {
    console_tail(&m->console, text, size);
}

void machine_free(machine *m) {
    if (!m)
        return;
    stop_watching(m);
    if (m->pidfd >= 0 && m->state != ENDED) {
        machine_end end;
        (void) process_signal(m->pidfd, SIGKILL);
        (void) reap(m, 0, &end);
    }
    qmp_done(&m->qmp);
    buf_done(&m->outgoing);
    (void) fd_close(m->pidfd);
    (void) fd_close(m->control);
    (void) fd_close(m->output);
    (void) fd_close(m->console_pipe);
    (void) fd_close(m->state_fd);
    free(m);
}
