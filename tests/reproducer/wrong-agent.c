/* SPDX-License-Identifier: Apache-2.0
 *
 * wrong-agent.c - an agent with the faults that container runtimes are known for, on purpose
 *
 * Theory of operation
 *   It speaks the guest link well enough for the test program that drives our own agent, and does inside what looks natural: a thread for each
 *   exec, a lock around the table, whoever is there waits. $NESTBOX_WRONG says which fault it shows; the interleaving that usually takes
 *   luck is forced by semaphores, so that the fault is there every time:
 *
 *     allocator   a process is cloned while another thread is inside malloc; in the child the allocator stays locked for ever
 *     parent      a helper forks, and who is not the parent waits: ECHILD, and a status is made up
 *     lock        the table's lock is held while one exec is waited for; every other exec stands still
 *     pid         statuses and signals go by pid, after that pid has become another process's
 *
 * Not here: anything of the product. This is no example.
 */
#include "base/buf.h"
#include "base/fd.h"
#include "base/strv.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXECS_MAX 256u
#define PIDS_MAX 65536
#define REQUEST_MAX_BYTES 8192

typedef struct wrong_exec {
    uint32_t id;
    pid_t pid;
    int out;   /* read end of its stdout */
    int input; /* write end of its stdin */
    sem_t waiting;
    uint32_t credit; /* under link_lock */
} wrong_exec;

static enum { WRONG_ALLOCATOR, WRONG_PARENT, WRONG_LOCK, WRONG_PID } wrong;
static int link_fd, spawner;
static const char *rootfs;
static pthread_mutex_t link_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t credit_came = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t status_came = PTHREAD_COND_INITIALIZER;
static wrong_exec table[EXECS_MAX];
static unsigned table_used;
static struct {
    bool known;
    int status;
} statuses[PIDS_MAX]; /* by pid, under table_lock */

/* ------------------------------------------------------------------------------------------------------- the allocator */

/* One lock around everything, as allocators have. A libc's own fork() takes it first; a bare clone does not. */
static pthread_mutex_t allocator_lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t allocator_entered, process_cloned;
static __thread bool stays_inside;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size) {
    (void) pthread_mutex_lock(&allocator_lock);
    if (stays_inside) {
        (void) sem_post(&allocator_entered);
        while (sem_wait(&process_cloned) < 0)
            ;
    }
    void *memory = __real_malloc(size);
    (void) pthread_mutex_unlock(&allocator_lock);
    return memory;
}

/* Any thread that has something to do while another one clones. */
static void *allocate_meanwhile(void *unused) {
    stays_inside = true;
    void *volatile memory = malloc(100); /* volatile, or the compiler sees that nobody needs it */
    free(memory);
    return NULL;
}

/* --------------------------------------------------------------------------------------------------------- the link */

static void send_frames(buf *frames) {
    (void) pthread_mutex_lock(&link_lock);
    (void) fd_write_all(link_fd, buf_bytes(frames), buf_length(frames));
    (void) pthread_mutex_unlock(&link_lock);
    buf_done(frames);
}

#define TELL(encoder, message)                        \
    do {                                              \
        buf frames;                                   \
        buf_init(&frames, REQUEST_MAX_BYTES);         \
        if (!wire_control(&frames, encoder, message)) \
            _exit(3);                                 \
        send_frames(&frames);                         \
    } while (0)

static uint32_t wait_for_credit(wrong_exec *e) {
    (void) pthread_mutex_lock(&link_lock);
    while (e->credit == 0)
        (void) pthread_cond_wait(&credit_came, &link_lock);
    uint32_t credit = e->credit;
    (void) pthread_mutex_unlock(&link_lock);
    return credit;
}

static void pass_output_on(wrong_exec *e) {
    static __thread uint8_t bytes[WIRE_DATA_MAX_BYTES];
    for (;;) {
        uint32_t credit = wait_for_credit(e);
        ssize_t n = read(e->out, bytes, credit < sizeof(bytes) ? credit : sizeof(bytes));
        if (n <= 0)
            return;
        (void) pthread_mutex_lock(&link_lock);
        e->credit -= (uint32_t) n;
        (void) pthread_mutex_unlock(&link_lock);
        buf frames;
        buf_init(&frames, WIRE_HEADER_BYTES + sizeof(bytes));
        if (!wire_frame_data(&frames, wire_channel(e->id, WIRE_STREAM_STDOUT), bytes, (size_t) n))
            _exit(3);
        send_frames(&frames);
    }
}

/* ----------------------------------------------------------------------------------------------------------- the end */

/* Fault: asks by a pid for what became of a process. */
static int status_by_pid(pid_t pid) {
    (void) pthread_mutex_lock(&table_lock);
    while (!statuses[pid].known)
        (void) pthread_cond_wait(&status_came, &table_lock);
    int status = statuses[pid].status;
    (void) pthread_mutex_unlock(&table_lock);
    return status;
}

static void *reap_for_all(void *unused) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, 0)) > 0) { /* for ever: the helper stays */
        if (pid >= PIDS_MAX)
            _exit(3);
        (void) pthread_mutex_lock(&table_lock);
        statuses[pid].known = true;
        statuses[pid].status = status;
        (void) pthread_cond_broadcast(&status_came);
        (void) pthread_mutex_unlock(&table_lock);
    }
    return NULL;
}

static int wait_for_end(wrong_exec *e) {
    int status = 0;
    switch (wrong) {
    case WRONG_LOCK:
        /* Fault: a wait that lasts as long as somebody's program does, with the table locked. */
        (void) pthread_mutex_lock(&table_lock);
        (void) sem_post(&e->waiting);
        (void) waitpid(e->pid, &status, 0);
        (void) pthread_mutex_unlock(&table_lock);
        pass_output_on(e);
        return status;
    case WRONG_PID:
        pass_output_on(e);
        return status_by_pid(e->pid);
    case WRONG_ALLOCATOR:
    case WRONG_PARENT:
        pass_output_on(e);
        if (waitpid(e->pid, &status, 0) < 0)
            status = 0; /* Fault: ECHILD, for it is not our child; it has surely ended well */
        return status;
    }
    return status;
}

static void *attend(void *user) {
    wrong_exec *e = user;
    int status = wait_for_end(e);
    buf frames;
    buf_init(&frames, REQUEST_MAX_BYTES);
    msg_exited exited = {.exec_id = e->id,
                         .code = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
                         .signal = WIFSIGNALED(status) ? (uint8_t) WTERMSIG(status) : 0};
    if (!wire_frame_end(&frames, wire_channel(e->id, WIRE_STREAM_STDOUT)) ||
        !wire_frame_end(&frames, wire_channel(e->id, WIRE_STREAM_STDERR)) || !wire_control(&frames, wire_encode_exited, &exited))
        _exit(3);
    send_frames(&frames);
    return NULL;
}

/* ----------------------------------------------------------------------------------------------------- the beginning */

static _Noreturn void become_program(const uint8_t *bytes, size_t length, int input, int output) {
    msg_spawn spawn;
    if (wire_decode_spawn(bytes, length, &spawn) < 0 || dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        chroot(rootfs) < 0 || chdir("/") < 0)
        _exit(125);
    char **argv = strv_pointers(spawn.argv); /* the child's first malloc */
    char **environment = strv_pointers(spawn.env);
    if (argv && environment)
        (void) execvpe(argv[0], argv, environment);
    _exit(127);
}

static pid_t clone_among_threads(const uint8_t *bytes, size_t length, int input, int output, bool while_another_allocates) {
    pthread_t other;
    if (while_another_allocates) {
        if (pthread_create(&other, NULL, allocate_meanwhile, NULL) != 0)
            _exit(3);
        while (sem_wait(&allocator_entered) < 0)
            ;
    }
    pid_t pid = (pid_t) syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL); /* Fault: as for new namespaces, past libc's fork() */
    if (pid == 0)
        become_program(bytes, length, input, output);
    if (while_another_allocates) {
        (void) sem_post(&process_cloned);
        (void) pthread_join(other, NULL);
    }
    return pid;
}

/* The helper of the fault "parent": forks for the agent, and is the parent of what it forks. */
static _Noreturn void become_spawner(int socket) {
    for (;;) {
        uint8_t bytes[REQUEST_MAX_BYTES];
        int fds[FD_PASS_MAX];
        size_t count = 0;
        ssize_t n = fd_receive_message(socket, bytes, sizeof(bytes), fds, &count);
        if (n <= 0 || count != 2)
            _exit(0);
        pid_t pid = fork();
        if (pid == 0)
            become_program(bytes, (size_t) n, fds[0], fds[1]);
        (void) fd_close(fds[0]);
        (void) fd_close(fds[1]);
        (void) fd_send_message(socket, &pid, sizeof(pid), NULL, 0);
    }
}

static pid_t ask_spawner(const uint8_t *bytes, size_t length, int input, int output) {
    pid_t pid = -1;
    if (fd_send_message(spawner, bytes, length, (int[2]){input, output}, 2) < 0 || read(spawner, &pid, sizeof(pid)) != sizeof(pid))
        return -1;
    return pid;
}

/* Every second exec has no luck with the allocator. */
static void handle_spawn(const uint8_t *bytes, size_t length) {
    msg_spawn spawn;
    int in[2], out[2];
    pthread_t thread;
    if (wire_decode_spawn(bytes, length, &spawn) < 0 || pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
        _exit(3);
    (void) pthread_mutex_lock(&table_lock);
    wrong_exec *e = &table[table_used++ % EXECS_MAX];
    *e = (wrong_exec){.id = spawn.exec_id, .out = out[0], .input = in[1], .credit = WIRE_WINDOW_BYTES};
    (void) sem_init(&e->waiting, 0, 0);
    if (wrong == WRONG_PARENT)
        e->pid = ask_spawner(bytes, length, in[0], out[1]);
    else
        e->pid = clone_among_threads(bytes, length, in[0], out[1], wrong == WRONG_ALLOCATOR && table_used % 2 == 0);
    if (e->pid <= 0 || e->pid >= PIDS_MAX)
        _exit(3);
    statuses[e->pid].known = false;
    (void) pthread_mutex_unlock(&table_lock);
    (void) fd_close(in[0]);
    (void) fd_close(out[1]);
    TELL(wire_encode_spawned, (&(msg_spawned){.exec_id = e->id, .pid = (uint32_t) e->pid}));
    if (pthread_create(&thread, NULL, attend, e) != 0)
        _exit(3);
    if (wrong == WRONG_LOCK) {
        while (sem_wait(&e->waiting) < 0)
            ;
    }
}

/* ---------------------------------------------------------------------------------------------------------- the host */

static wrong_exec *find(uint32_t id) {
    for (unsigned i = 0; i < table_used && i < EXECS_MAX; i++) {
        if (table[i].id == id)
            return &table[i];
    }
    return NULL;
}

static void handle_message(const uint8_t *bytes, size_t length) {
    msg_signal request;
    switch (wire_message_id(bytes, length)) {
    case id_of_msg_setup:
        TELL(wire_encode_setup_done, (&(msg_setup_done){.container_pid = 1}));
        break;
    case id_of_msg_spawn:
        handle_spawn(bytes, length);
        break;
    case id_of_msg_signal:
        if (wire_decode_signal(bytes, length, &request) == 0 && find(request.exec_id))
            (void) kill(find(request.exec_id)->pid, request.signal); /* Fault: is it still the same process's? */
        break;
    default:
        break;
    }
}

static void handle_frame(const wire_frame *frame) {
    wrong_exec *e = frame->kind == WIRE_FRAME_CONTROL ? NULL : find(wire_channel_exec(frame->channel));
    if (frame->kind == WIRE_FRAME_CONTROL) {
        handle_message(frame->payload, frame->length);
    } else if (e && frame->kind == WIRE_FRAME_CREDIT) {
        (void) pthread_mutex_lock(&link_lock);
        e->credit += wire_channel_stream(frame->channel) == WIRE_STREAM_STDOUT ? frame->credit : 0;
        (void) pthread_cond_broadcast(&credit_came);
        (void) pthread_mutex_unlock(&link_lock);
    } else if (e && frame->length > 0) {
        (void) fd_write_all(e->input, frame->payload, frame->length);
    } else if (e) {
        e->input = fd_close(e->input);
    }
}

static void serve(void) {
    buf in;
    buf_init(&in, 2 * WIRE_READ_BUFFER_BYTES);
    for (;;) {
        uint8_t *to = buf_reserve(&in, WIRE_DATA_MAX_BYTES);
        ssize_t n = to ? read(link_fd, to, WIRE_DATA_MAX_BYTES) : 0;
        if (n <= 0)
            _exit(0);
        buf_added(&in, (size_t) n);
        wire_frame frame;
        size_t used;
        while (wire_frame_parse(buf_bytes(&in), buf_length(&in), &frame, &used) > 0) {
            handle_frame(&frame);
            buf_consume(&in, used);
        }
    }
}

int main(int argc, char **argv) {
    static const char *const names[] = {"allocator", "parent", "lock", "pid"};
    const char *name = getenv("NESTBOX_WRONG");
    int ends[2];
    pthread_t reaper;
    if (argc != 5 || !name)
        return 2;
    for (unsigned i = 0; i < 4; i++)
        wrong = strcmp(name, names[i]) == 0 ? i : wrong;
    link_fd = (int) strtol(argv[2], NULL, 10);
    rootfs = argv[3];
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void) sigaction(SIGPIPE, &ignore, NULL);
    if (sem_init(&allocator_entered, 0, 0) < 0 || sem_init(&process_cloned, 0, 0) < 0 || fd_set_cloexec(link_fd, true) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return 3;
    if (fork() == 0) {
        (void) fd_close(ends[0]);
        become_spawner(ends[1]);
    }
    spawner = ends[0];
    if (wrong == WRONG_PID && pthread_create(&reaper, NULL, reap_for_all, NULL) != 0)
        return 3;
    TELL(wire_encode_hello, (&(msg_hello){.version = WIRE_VERSION}));
    serve();
}
