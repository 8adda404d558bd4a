/* SPDX-License-Identifier: Apache-2.0
 *
 * native.c - the agent without a machine
 */
#include "native.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LINK_FD 3
#define LOOK_NS 2000000L
#define SETTLE_MS 100
/* More than any test lets one exec say. */
#define OUTPUT_MAX_BYTES ((size_t) 4 << 20)

static struct {
    char folder[64], rootfs[96];
    char cgroup[256]; /* "" where there is none */
} places;

const char *native_rootfs(void) {
    return places.rootfs;
}

bool native_has_cgroup(void) {
    return places.cgroup[0] != '\0';
}

/* ------------------------------------------------------------------------------------------------------------- places */

/* A group of ours below the host's, or none. A name with our pid would do until a test that was killed has left one, and its pid comes again. */
static void make_cgroup(void) {
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    struct mntent *entry;
    while (mounts && (entry = getmntent(mounts))) {
        if (strcmp(entry->mnt_type, "cgroup2") != 0)
            continue;
        (void) snprintf(places.cgroup, sizeof(places.cgroup), "%s/nestbox-test-XXXXXX", entry->mnt_dir);
        if (mkdtemp(places.cgroup))
            break;
        places.cgroup[0] = '\0';
    }
    if (mounts)
        (void) endmntent(mounts);
}

static bool unpack(const char *archive) {
    pid_t pid = fork();
    if (pid == 0) {
        (void) execlp("tar", "tar", "-xf", archive, "-C", places.rootfs, (char *) NULL);
        _exit(127);
    }
    int status;
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static const char *prepare_places(void) {
    const char *archive = getenv("NESTBOX_TEST_ROOTFS");
    if (geteuid() != 0)
        return "only root can make the namespaces";
    if (!archive || access(archive, R_OK) < 0)
        return "there is no built-in image to run it on ($NESTBOX_TEST_ROOTFS)";
    (void) snprintf(places.folder, sizeof(places.folder), "/tmp/nestbox-guest-XXXXXX");
    if (!mkdtemp(places.folder))
        return "no temporary folder could be made";
    (void) snprintf(places.rootfs, sizeof(places.rootfs), "%s/rootfs", places.folder);
    if (mkdir(places.rootfs, 0755) < 0 || !unpack(archive))
        return "the built-in image could not be unpacked";
    make_cgroup();
    return NULL;
}

/* Whether this host lets us have what a container needs. */
static bool can_have_namespaces(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP) == 0 &&
                      mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0
                  ? 0
                  : 1);
    int status;
    return waitpid(pid, &status, 0) == pid && status == 0;
}

const char *native_prepare(void) {
    const char *why = prepare_places();
    return why ? why : can_have_namespaces() ? NULL : "this host allows no new namespaces";
}

/* Control groups are removed from the innermost out; their files are not removed at all. */
static void remove_cgroup(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        char inner[512];
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        (void) snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        remove_cgroup(inner);
    }
    if (folder)
        (void) closedir(folder);
    /* A killed process may still be on its way out of its group. */
    for (unsigned i = 0; rmdir(path) < 0 && errno == EBUSY && i < 1000; i++)
        (void) nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
}

void native_clean_up(void) {
    if (native_has_cgroup())
        remove_cgroup(places.cgroup);
    if (places.folder[0])
        (void) file_remove_tree(AT_FDCWD, places.folder);
}

/* --------------------------------------------------------------------------------------------------------- processes */

/* Looks at every process of this host; calls back with its pid until that says it is enough. */
static void each_process(bool (*look)(void *user, pid_t pid), void *user) {
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    assert_non_null(processes);
    while ((entry = readdir(processes))) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (pid > 0 && *end == '\0' && look(user, (pid_t) pid))
            break;
    }
    (void) closedir(processes);
}

static char *read_process_file(pid_t pid, const char *name, size_t *ret_length) {
    char path[64], *text;
    (void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
    return file_read(AT_FDCWD, path, 1 << 20, &text, ret_length) == 0 ? text : NULL;
}

long native_status_number(pid_t pid, const char *key) {
    size_t length;
    CLEANUP(cleanup_free) char *text = read_process_file(pid, "status", &length);
    for (char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        size_t key_length = strlen(key);
        if (strncmp(line, key, key_length) == 0 && line[key_length] == ':')
            return strtol(line + key_length + 1, NULL, 10);
    }
    return -1;
}

unsigned native_count_fds(pid_t pid) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    unsigned count = 0;
    while (readdir(folder))
        count++;
    (void) closedir(folder);
    return count;
}

unsigned native_count_fds_outside(pid_t pid, const char *folder, unsigned *ret_below) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
    DIR *fds = opendir(path);
    assert_non_null(fds);
    unsigned below = 0, outside = 0;
    struct dirent *entry;
    while ((entry = readdir(fds))) {
        char target[512];
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target));
        if (*folder && length > (ssize_t) strlen(folder) && memcmp(target, folder, strlen(folder)) == 0)
            below++;
        else if (length > 0)
            outside++;
    }
    (void) closedir(fds);
    *ret_below = below;
    return outside;
}

/* The first line of a file of a process, for people. */
static void print_first_line(pid_t pid, const char *name) {
    size_t length;
    CLEANUP(cleanup_free) char *text = read_process_file(pid, name, &length);
    print_error("    %s: %.*s\n", name, text ? (int) strcspn(text, "\n") : 1, text ? text : "?");
}

static bool print_child(void *user, pid_t pid) {
    if (native_status_number(pid, "PPid") != *(pid_t *) user)
        return false;
    size_t length;
    CLEANUP(cleanup_free) char *status = read_process_file(pid, "status", &length);
    const char *state = status ? strstr(status, "State:") : NULL;
    print_error("    child %d %.*s\n", (int) pid, state ? (int) strcspn(state, "\n") : 0, state ? state : "");
    print_first_line(pid, "wchan");
    print_first_line(pid, "syscall");
    return false;
}

static void print_process(const char *what, pid_t pid) {
    size_t length;
    CLEANUP(cleanup_free) char *status = read_process_file(pid, "status", &length);
    if (!status) {
        print_error("  %s %d: is no more\n", what, (int) pid);
        return;
    }
    print_error("  %s %d, %u descriptors:\n", what, (int) pid, native_count_fds(pid));
    print_error("%s", status);
    print_first_line(pid, "wchan");
    print_first_line(pid, "syscall");
    each_process(print_child, &pid);
}

void native_print_state(native *n) {
    print_process("agent", n->agent);
    print_process("zygote", n->zygote);
}

typedef struct search {
    const char *text;
    pid_t parent;
    bool zombies;
    unsigned count;
    pid_t found;
} search;

static bool has_text(void *user, pid_t pid) {
    search *s = user;
    size_t length;
    CLEANUP(cleanup_free) char *line = read_process_file(pid, "cmdline", &length);
    if (line && pid != getpid() && memmem(line, length, s->text, strlen(s->text)))
        s->count++;
    return false;
}

unsigned native_count_processes(const char *text) {
    search s = {.text = text};
    each_process(has_text, &s);
    return s.count;
}

/* The name of a namespace; "" of a process that is no more. */
static void read_namespace(pid_t pid, const char *name, char *ret_link, size_t size) {
    char path[64];
    (void) snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int) pid, name);
    ssize_t length = readlink(path, ret_link, size - 1);
    ret_link[length < 0 ? 0 : length] = '\0';
}

static bool is_in_namespace(void *user, pid_t pid) {
    search *s = user;
    char namespace[64];
    read_namespace(pid, "pid", namespace, sizeof(namespace));
    if (strcmp(namespace, s->text) == 0)
        s->count++;
    return false;
}

unsigned native_count_box_processes(const native *n) {
    char namespace[64];
    read_namespace(n->zygote, "pid_for_children", namespace, sizeof(namespace));
    assert_true(namespace[0] != '\0');
    search s = {.text = namespace};
    each_process(is_in_namespace, &s);
    return s.count;
}

/* The last number of NSpid is the process's pid in its own namespace. */
static bool is_init_of_parent(void *user, pid_t pid) {
    search *s = user;
    if (native_status_number(pid, "PPid") != s->parent)
        return false;
    size_t length;
    CLEANUP(cleanup_free) char *status = read_process_file(pid, "status", &length);
    char *line = status ? strstr(status, "\nNSpid:") : NULL;
    if (!line)
        return false;
    line++;
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(strrchr(line, '\t'), "\t1") == 0)
        s->found = pid;
    return s->found > 0;
}

pid_t native_find_box_init(const native *n) {
    search s = {.parent = n->zygote};
    each_process(is_init_of_parent, &s);
    assert_true(s.found > 0);
    return s.found;
}

void native_wait_empty_box(native *n) {
    for (unsigned i = 0; native_count_box_processes(n) > 1; i++) {
        if (i > NATIVE_WAIT_MS * 1000000ull / LOOK_NS) {
            native_print_state(n);
            fail_msg("%u processes are left in the box", native_count_box_processes(n) - 1);
        }
        (void) nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
}

static bool is_child(void *user, pid_t pid) {
    search *s = user;
    if (native_status_number(pid, "PPid") != s->parent)
        return false;
    size_t length;
    CLEANUP(cleanup_free) char *status = read_process_file(pid, "status", &length);
    if (status && strstr(status, "State:\tZ"))
        s->count++;
    else
        s->found = pid;
    return false;
}

unsigned native_count_zombies(pid_t parent) {
    search s = {.parent = parent};
    each_process(is_child, &s);
    return s.count;
}

/* The agent forks it first of all. */
static pid_t find_zygote(pid_t agent) {
    for (unsigned i = 0; i < 1000; i++) {
        search s = {.parent = agent};
        each_process(is_child, &s);
        if (s.found > 0)
            return s.found;
        (void) nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    fail_msg("the agent has no zygote");
    return 0;
}

/* Becomes the agent, as PID 1 of its namespace. */
static _Noreturn void become_agent(const native *n, int link_fd) {
    const char *program = getenv("NESTBOX_TEST_GUEST");
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || dup2(link_fd, LINK_FD) < 0 || fd_set_cloexec(LINK_FD, false) < 0)
        _exit(120);
    (void) close_range(LINK_FD + 1, ~0u, 0);
    (void) execl(program, program, "--native", "3", places.rootfs, n->cgroup[0] ? n->cgroup : "-", (char *) NULL);
    _exit(121);
}

/* Between the test and the agent: in the old pid namespace, so that it knows the agent's pid as the test does. */
static _Noreturn void keep_agent(const native *n, int link_fd, int tell_fd) {
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) < 0)
        _exit(122);
    pid_t agent = fork();
    if (agent == 0)
        become_agent(n, link_fd);
    (void) close(link_fd);
    if (agent < 0 || write(tell_fd, &agent, sizeof(agent)) != sizeof(agent))
        _exit(123);
    int status;
    while (waitpid(agent, &status, 0) < 0 && errno == EINTR)
        ;
    /* What a shell would say: the test judges it. */
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

/* A group of its own for each agent: one that was ever killed is not as good as new. */
static void make_agents_cgroup(native *n) {
    static unsigned number;
    if (!native_has_cgroup())
        return;
    (void) snprintf(n->cgroup, sizeof(n->cgroup), "%s/%u", places.cgroup, number++);
    assert_int_equal(mkdir(n->cgroup, 0755), 0);
}

native *native_begin(void) {
    int link[2], tell[2];
    native *n = calloc(1, sizeof(*n));
    assert_non_null(n);
    buf_init(&n->in, 2 * WIRE_READ_BUFFER_BYTES);
    buf_init(&n->out, 2 * WIRE_READ_BUFFER_BYTES);
    n->next_id = WIRE_MAIN_EXEC_ID + 1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
    assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
    make_agents_cgroup(n);
    n->keeper = fork();
    if (n->keeper == 0) {
        (void) close(link[0]); /* or the agent would never see our end closed */
        keep_agent(n, link[1], tell[1]);
    }
    (void) fd_close(link[1]);
    (void) fd_close(tell[1]);
    n->fd = link[0];
    assert_int_equal(read(tell[0], &n->agent, sizeof(n->agent)), sizeof(n->agent));
    (void) fd_close(tell[0]);
    n->zygote = find_zygote(n->agent);
    native_tell(n, wire_encode_hello, (&(msg_hello){.version = WIRE_VERSION}));
    return n;
}

void native_set_up(native *n, const msg_setup *setup) {
    n->set_up = false;
    native_tell(n, wire_encode_setup, setup);
    while (!n->set_up)
        assert_true(native_pump(n));
}

native *native_start(unsigned setup_flags) {
    native *n = native_begin();
    native_set_up(n, &(msg_setup){.box_id = wire_str("test"), .hostname = wire_str("native"), .setup_flags = (uint8_t) setup_flags});
    return n;
}

int native_wait_end(native *n) {
    int status = 0;
    for (unsigned i = 0; waitpid(n->keeper, &status, WNOHANG) == 0; i++) {
        if (i > NATIVE_WAIT_MS * 1000000ull / LOOK_NS)
            fail_msg("the agent does not end");
        (void) nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    n->keeper = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

static void free_exec(native_exec *e) {
    buf_done(&e->out[0]);
    buf_done(&e->out[1]);
    free(e);
}

static void free_all(native *n) {
    for (size_t i = 0; i < NATIVE_EXECS_MAX; i++) {
        if (n->execs[i])
            free_exec(n->execs[i]);
    }
    buf_done(&n->in);
    buf_done(&n->out);
    (void) fd_close(n->fd);
    free(n);
}

void native_stop(native *n) {
    n->fd = fd_close(n->fd);
    int status = n->keeper ? native_wait_end(n) : 0;
    free_all(n);
    assert_int_equal(status, 0);
}

/* -------------------------------------------------------------------------------------------------------------- link */

void native_send(native *n, buf *frames) {
    assert_true(buf_append(&n->out, buf_bytes(frames), buf_length(frames)));
    buf_done(frames);
    if (n->sending) /* by a pump below us, in the middle of another frame: it goes out behind that */
        return;
    n->sending = true;
    while (buf_length(&n->out) > 0 && n->fd >= 0) {
        ssize_t sent = send(n->fd, buf_bytes(&n->out), buf_length(&n->out), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            buf_consume(&n->out, (size_t) sent);
        } else if (errno == EAGAIN) {
            struct pollfd both = {.fd = n->fd, .events = POLLIN | POLLOUT};
            assert_true(poll(&both, 1, NATIVE_WAIT_MS) > 0);
            if (both.revents & POLLIN && !native_pump(n))
                break;
        } else {
            break; /* it has closed the link: what it said before can still be read */
        }
    }
    n->sending = false;
}

native_exec *native_get(native *n, uint32_t id) {
    native_exec **place = &n->execs[id % NATIVE_EXECS_MAX];
    if (!*place) {
        *place = calloc(1, sizeof(native_exec));
        assert_non_null(*place);
        (*place)->id = id;
        buf_init(&(*place)->out[0], OUTPUT_MAX_BYTES);
        buf_init(&(*place)->out[1], OUTPUT_MAX_BYTES);
        (*place)->stdin_credit = WIRE_WINDOW_BYTES;
    }
    assert_int_equal((*place)->id, id);
    return *place;
}

void native_forget(native *n, uint32_t id) {
    native_exec *e = native_get(n, id);
    assert_true(e->exited || e->failed);
    n->execs[id % NATIVE_EXECS_MAX] = NULL;
    free_exec(e);
}

static void grant(native *n, native_exec *e, unsigned i) {
    buf credit;
    buf_init(&credit, 100);
    assert_true(wire_frame_credit(&credit, wire_channel(e->id, WIRE_STREAM_STDOUT + i), e->ungranted[i]));
    e->ungranted[i] = 0;
    native_send(n, &credit);
}

void native_release(native *n, uint32_t id) {
    native_exec *e = native_get(n, id);
    e->hold = false;
    for (unsigned i = 0; i < 2; i++) {
        if (e->ungranted[i] > 0)
            grant(n, e, i);
    }
}

static void file_data(native *n, const wire_frame *frame) {
    native_exec *e = native_get(n, wire_channel_exec(frame->channel));
    unsigned stream = wire_channel_stream(frame->channel);
    assert_true(stream == WIRE_STREAM_STDOUT || stream == WIRE_STREAM_STDERR);
    unsigned i = stream - WIRE_STREAM_STDOUT;
    if (e->exited || e->ended[i])
        fail_msg("output came after its end");
    assert_true(e->spawned);
    if (frame->length == 0) {
        e->ended[i] = true;
        return;
    }
    e->received[i] += frame->length;
    e->ungranted[i] += (uint32_t) frame->length;
    assert_true(e->ungranted[i] <= WIRE_WINDOW_BYTES);
    if (!e->count_only)
        assert_true(buf_append(&e->out[i], frame->payload, frame->length));
    if (!e->hold && e->ungranted[i] >= WIRE_WINDOW_BYTES / 2)
        grant(n, e, i);
}

static void file_message(native *n, const uint8_t *bytes, size_t length) {
    msg_spawned spawned;
    msg_spawn_failed failed;
    msg_exited exited;
    msg_setup_failed setup_failed;
    switch (wire_message_id(bytes, length)) {
    case id_of_msg_hello:
        break;
    case id_of_msg_setup_done:
        n->set_up = true;
        break;
    case id_of_msg_goodbye:
        n->goodbye = true;
        break;
    case id_of_msg_spawned:
        assert_int_equal(wire_decode_spawned(bytes, length, &spawned), 0);
        native_get(n, spawned.exec_id)->spawned = true;
        native_get(n, spawned.exec_id)->pid = spawned.pid;
        break;
    case id_of_msg_spawn_failed:
        assert_int_equal(wire_decode_spawn_failed(bytes, length, &failed), 0);
        native_get(n, failed.exec_id)->failed = true;
        native_get(n, failed.exec_id)->failure = failed;
        break;
    case id_of_msg_exited: {
        assert_int_equal(wire_decode_exited(bytes, length, &exited), 0);
        native_exec *e = native_get(n, exited.exec_id);
        assert_true(e->spawned && !e->exited && e->ended[0]);
        e->exited = true;
        e->exit = exited;
        break;
    }
    case id_of_msg_setup_failed:
        assert_int_equal(wire_decode_setup_failed(bytes, length, &setup_failed), 0);
        fail_msg("set-up failed: %.*s: %s", (int) setup_failed.message.length, setup_failed.message.at, strerror(setup_failed.error));
        break;
    default:
        fail_msg("the agent sent the message %u", wire_message_id(bytes, length));
    }
}

static void file_frame(native *n, const wire_frame *frame) {
    if (n->noisy)
        return;
    if (frame->kind == WIRE_FRAME_CONTROL)
        file_message(n, frame->payload, frame->length);
    else if (frame->kind == WIRE_FRAME_CREDIT)
        native_get(n, wire_channel_exec(frame->channel))->stdin_credit += frame->credit;
    else
        file_data(n, frame);
}

bool native_pump_for(native *n, int timeout_ms) {
    struct pollfd readable = {.fd = n->fd, .events = POLLIN};
    if (n->fd < 0 || poll(&readable, 1, timeout_ms) <= 0)
        return false;
    uint8_t *to = buf_reserve(&n->in, WIRE_DATA_MAX_BYTES);
    assert_non_null(to);
    ssize_t got = recv(n->fd, to, WIRE_DATA_MAX_BYTES, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return true;
    if (got <= 0) {
        n->fd = fd_close(n->fd);
        return false;
    }
    buf_added(&n->in, (size_t) got);
    for (;;) {
        wire_frame frame;
        size_t used;
        int found = wire_frame_parse(buf_bytes(&n->in), buf_length(&n->in), &frame, &used);
        assert_true(found >= 0);
        if (found == 0)
            return true;
        /* Out of the buffer first: filing may send, and sending may read. */
        CLEANUP(cleanup_free) uint8_t *payload = malloc(frame.length + 1);
        assert_non_null(payload);
        memcpy(payload, frame.payload, frame.length);
        frame.payload = payload;
        buf_consume(&n->in, used);
        file_frame(n, &frame);
    }
}

bool native_pump(native *n) {
    if (native_pump_for(n, NATIVE_WAIT_MS))
        return true;
    if (n->fd >= 0)
        fail_msg("nothing came from the agent for %d s", NATIVE_WAIT_MS / 1000);
    return false;
}

void native_settle(native *n) {
    while (native_pump_for(n, SETTLE_MS))
        ;
}

/* ------------------------------------------------------------------------------------------------------------- execs */

uint32_t native_spawn(native *n, msg_spawn request) {
    if (request.exec_id == 0)
        request.exec_id = n->next_id++;
    if (request.grace_ms == 0)
        request.grace_ms = WIRE_GRACE_DEFAULT_MS;
    if (request.console_timeout_ms == 0)
        request.console_timeout_ms = WIRE_CONSOLE_TIMEOUT_DEFAULT_MS;
    if (request.env.bytes == 0)
        request.env = LIST("PATH=/bin:/usr/bin\0");
    if (request.columns == 0)
        request.columns = 80;
    if (request.rows == 0)
        request.rows = 24;
    (void) native_get(n, request.exec_id);
    native_tell(n, wire_encode_spawn, &request);
    return request.exec_id;
}

uint32_t native_shell(native *n, const char *script) {
    CLEANUP(buf_done) buf argv;
    buf_init(&argv, WIRE_ARGV_MAX_BYTES);
    assert_true(strv_add(&argv, "sh") && strv_add(&argv, "-c") && strv_add(&argv, script));
    return native_spawn(n, (msg_spawn){.argv = strv_of(&argv)});
}

native_exec *native_wait_spawned(native *n, uint32_t id) {
    native_exec *e = native_get(n, id);
    while (!e->spawned && !e->failed)
        assert_true(native_pump(n));
    return e;
}

native_exec *native_wait(native *n, uint32_t id) {
    native_exec *e = native_get(n, id);
    deadline until = deadline_in(NATIVE_WAIT_MS);
    while (!e->exited && !e->failed) {
        if (deadline_passed(until))
            fail_msg("exec %u does not end; it has said '%.*s'", id, (int) buf_length(&e->out[0]), (char *) buf_bytes(&e->out[0]));
        assert_true(native_pump(n));
    }
    return e;
}

void native_wait_output(native *n, uint32_t id, size_t bytes) {
    native_exec *e = native_get(n, id);
    while (e->received[0] < bytes) {
        if (e->exited || e->failed)
            fail_msg("exec %u ended without saying what it should", id);
        assert_true(native_pump(n));
    }
}

size_t native_write_some(native *n, uint32_t id, const void *bytes, size_t length) {
    native_exec *e = native_get(n, id);
    const uint8_t *at = bytes;
    size_t left = length;
    while (left > 0 && e->stdin_credit > 0 && !e->exited) {
        size_t piece = left < e->stdin_credit ? left : e->stdin_credit;
        if (piece > WIRE_DATA_MAX_BYTES)
            piece = WIRE_DATA_MAX_BYTES;
        buf frame;
        buf_init(&frame, WIRE_READ_BUFFER_BYTES);
        assert_true(wire_frame_data(&frame, wire_channel(id, WIRE_STREAM_STDIN), at, piece));
        e->stdin_credit -= (uint32_t) piece;
        at += piece;
        left -= piece;
        native_send(n, &frame);
    }
    return length - left;
}

void native_write(native *n, uint32_t id, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    while (length > 0 && !native_get(n, id)->exited) {
        size_t written = native_write_some(n, id, at, length);
        at += written;
        length -= written;
        if (length > 0)
            assert_true(native_pump(n));
    }
}

void native_close_stdin(native *n, uint32_t id) {
    buf frame;
    buf_init(&frame, 100);
    assert_true(wire_frame_end(&frame, wire_channel(id, WIRE_STREAM_STDIN)));
    native_send(n, &frame);
}
