/* SPDX-License-Identifier: Apache-2.0
 *
 * credential-helper.c - logins that another program keeps
 *
 * The helper is the user's own program: it gets the user's whole environment, because some need a session bus or a cloud's variables.
 */
#include "fetch/credential-helper.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "image/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define ANSWER_MAX_BYTES ((size_t) 64 << 10)
/* What a helper says instead of a login; the same words in all of them. */
#define NO_LOGIN "credentials not found"
/* The user's name stands for a token then. */
#define TOKEN_USER "<token>"

typedef struct helper {
    pid_t pid;
    int to, from;
} helper;

static void helper_done(helper *h) {
    (void) fd_close(h->to);
    (void) fd_close(h->from);
    if (h->pid > 0) {
        (void) kill(h->pid, SIGKILL);
        while (waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    *h = (helper){.to = -1, .from = -1};
}

/* The absolute path of "docker-credential-NAME"; false: it is in no folder of $PATH. */
static bool find_program(const settings *s, const char *name, char ret_path[PATH_MAX]) {
    const char *folders = settings_variable(s, "PATH");
    for (const char *at = folders ? folders : "/usr/local/bin:/usr/bin:/bin"; *at; at += strspn(at, ":")) {
        size_t length = strcspn(at, ":");
        if (*at == '/' && snprintf(ret_path, PATH_MAX, "%.*s/docker-credential-%s", (int) length, at, name) < PATH_MAX &&
            access(ret_path, X_OK) == 0)
            return true;
        at += length;
    }
    return false;
}

static int start(const settings *s, const char *path, helper *ret_helper, nb_error *err) {
    CLEANUP(helper_done) helper h = {.to = -1, .from = -1};
    CLEANUP(cleanup_free) char **env = strv_pointers(s->env);
    int in[2], out[2];
    if (!env)
        return nb_fail_oom(err);
    if (pipe2(in, O_CLOEXEC) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "make a pipe");
    h.to = in[1];
    CLEANUP(cleanup_fd) int child_in = in[0];
    if (pipe2(out, O_CLOEXEC) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "make a pipe");
    h.from = out[0];
    CLEANUP(cleanup_fd) int child_out = out[1];
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return nb_fail_oom(err);
    char *argv[] = {(char *) path, (char *) "get", NULL};
    int error = posix_spawn_file_actions_adddup2(&actions, child_in, STDIN_FILENO);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, child_out, STDOUT_FILENO);
    if (error == 0)
        error = posix_spawn(&h.pid, path, &actions, NULL, argv, env);
    (void) posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        h.pid = 0;
        return nb_fail(err, NB_E_PERMISSION, error, "run '%s'", path);
    }
    *ret_helper = h;
    h = (helper){.to = -1, .from = -1};
    return 0;
}

/* Reads all that it says. -NB_E_PERMISSION: it takes too long, or says too much. */
static int read_answer(const helper *h, deadline until, const char *path, char answer[ANSWER_MAX_BYTES + 1], nb_error *err) {
    size_t length = 0;
    for (;;) {
        struct pollfd one = {.fd = h->from, .events = POLLIN};
        int ready = poll(&one, 1, deadline_left_ms(until));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return nb_fail(err, NB_E_PERMISSION, 0, "wait for '%s': it does not answer", path);
        ssize_t n = read(h->from, answer + length, ANSWER_MAX_BYTES - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        length += (size_t) n;
        if (length == ANSWER_MAX_BYTES)
            return nb_fail(err, NB_E_PERMISSION, 0, "understand '%s': it says more than %zu bytes", path, ANSWER_MAX_BYTES);
    }
    answer[length] = '\0';
    return 0;
}

/* Its output has ended; so will it. */
static int wait_for_end(helper *h, deadline until, int *ret_status) {
    for (;;) {
        pid_t pid = waitpid(h->pid, ret_status, WNOHANG);
        if (pid == h->pid) {
            h->pid = 0;
            return 0;
        }
        if ((pid < 0 && errno != EINTR) || deadline_passed(until))
            return -1;
        (void) poll(NULL, 0, 10);
    }
}

static int read_login(const char *answer, const char *path, credentials *ret_found, nb_error *err) {
    CLEANUP(cleanup_json) json_t *root = NULL;
    const char *user, *secret;
    if (json_document(answer, strlen(answer), "its answer", &root, NULL) < 0 || json_text(root, "Username", &user, NULL) < 0 ||
        json_text(root, "Secret", &secret, NULL) < 0 || !user || !secret)
        return nb_fail(err, NB_E_INVALID, 0, "understand what '%s' says", path);
    credentials c = {0};
    if (strcmp(user, TOKEN_USER) == 0) {
        c.identity_token = strdup(secret);
    } else {
        c.user = strdup(user);
        c.password = strdup(secret);
    }
    if (!c.identity_token && (!c.user || !c.password)) {
        credentials_done(&c);
        return nb_fail_oom(err);
    }
    *ret_found = c;
    return 0;
}

int credential_helper_ask(const settings *s, const char *name, const char *host, credentials *ret_found, nb_error *err) {
    CLEANUP(helper_done) helper h = {.to = -1, .from = -1};
    static char answer[ANSWER_MAX_BYTES + 1];
    char path[PATH_MAX];
    int status = 0;
    if (strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != strlen(name) || !*name)
        return nb_fail(err, NB_E_INVALID, 0, "ask the credential helper '%.100s': that is no name of one", name);
    if (!find_program(s, name, path))
        return nb_fail(err, NB_E_PERMISSION, ENOENT, "find the login of '%s': 'docker-credential-%s' is in no folder of $PATH", host, name);
    int r = start(s, path, &h, err);
    if (r < 0)
        return r;
    deadline until = deadline_in(s->timeout_ms);
    (void) fd_write_all(h.to, host, strlen(host)); /* one that does not read says why it failed */
    h.to = fd_close(h.to);
    r = read_answer(&h, until, path, answer, err);
    if (r < 0)
        return r;
    if (wait_for_end(&h, until, &status) < 0)
        return nb_fail(err, NB_E_PERMISSION, 0, "wait for '%s': it does not end", path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        r = read_login(answer, path, ret_found, err);
    else if (!strstr(answer, NO_LOGIN))
        r = nb_fail(err, NB_E_PERMISSION, 0, "find the login of '%s': '%s' failed: %.200s", host, path, answer);
    explicit_bzero(answer, sizeof(answer));
    return r;
}
