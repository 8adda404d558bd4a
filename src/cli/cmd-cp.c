/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd-cp.c - nestbox cp: copy files into and out of a box
 *
 * Between us and the box goes a tar archive, which a copier inside the box writes or reads (nb_copy_out(), nb_copy_in()); we do the same for
 * the files on this side. What comes out of a box is not trusted: it goes to the one place that was named, and nowhere else.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"
#include "cli/cli.h"
#include "tar/pack.h"
#include "tar/place.h"
#include "tar/unpack.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t) 64 << 10)
#define STDIO_NAME "-"

struct cp_args {
    bool archive, follow, quiet;
};

static const opt cp_opts[] = {
    OPT_FLAG('a', "archive", struct cp_args, archive, "keep owners; otherwise files are root's in a box, and yours outside"),
    OPT_FLAG('q', "quiet", struct cp_args, quiet, "show no progress"),
    OPT_FLAG('L', "follow-link", struct cp_args, follow, "a symbolic link at SRC itself is what it points to"),
    OPT_END,
};

/* One copier in a box, and what it has said. */
typedef struct transfer {
    nb_exec *exec;
    progress *shown;
    uint64_t done_bytes;
    const char *destination, *name; /* out: where to, and under which name */
    const uint8_t *piece;           /* of the archive, not used yet */
    size_t piece_bytes;
    bool ended;
    nb_exit_status status;
    char line[NB_ERROR_MESSAGE_SIZE]; /* the last that the copier said; those before are notices */
    size_t line_bytes;
    bool line_whole;
} transfer;

/* ---------------------------------------------------------------------------------------------------------- the copier */

static void count(transfer *t, size_t bytes) {
    t->done_bytes += bytes;
    progress_show(t->shown, &(nb_progress){"copied", "", t->done_bytes, 0});
}

/* @user  the transfer */
static void print_notice(void *user, const char *sentence) {
    const transfer *t = user;
    progress_end(t->shown);
    (void) fprintf(stderr, "nestbox: cp: %s\n", sentence);
}

static void take_words(transfer *t, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (t->line_whole) {
            print_notice(t, t->line);
            t->line_whole = false;
            t->line_bytes = 0;
        }
        if (bytes[i] == '\n')
            t->line_whole = true;
        else if (t->line_bytes < sizeof(t->line) - 1)
            t->line[t->line_bytes++] = (unsigned char) bytes[i] < ' ' ? '?' : bytes[i];
        t->line[t->line_bytes] = '\0';
    }
}

/* What has happened since, or happens within @timeout_ms. 1: something; 0: nothing. */
static int take_event(transfer *t, int64_t timeout_ms, nb_error *err) {
    nb_event event;
    int result = nb_exec_next(t->exec, timeout_ms, &event, err);
    if (result < 0)
        return result;
    switch (event.kind) {
    case NB_EVENT_STDOUT:
        t->piece = event.bytes;
        t->piece_bytes = event.length;
        break;
    case NB_EVENT_STDERR:
        take_words(t, event.bytes, event.length);
        break;
    case NB_EVENT_EXITED:
        t->ended = true;
        t->status = event.status;
        break;
    case NB_EVENT_NONE:
        return 0;
    default:
        break;
    }
    return 1;
}

/* The copier's own words come first: what went wrong on this side has mostly followed from it. */
static int finish(transfer *t, int result, nb_error *err) {
    nb_error why;
    if (result < 0)
        (void) nb_exec_kill(t->exec, &why);
    while (!t->ended) {
        int r = take_event(t, -1, &why);
        if (r < 0) {
            if (result == 0)
                *err = why;
            return result < 0 ? result : r;
        }
    }
    bool said = t->line_bytes > 0;
    if (t->status.code == 0 || t->status.signal != 0) {
        if (said)
            print_notice(t, t->line);
        if (result == 0 && t->status.signal != 0)
            return nb_fail(err, NB_E_BOX_GONE, 0, "the copier in the box was ended by signal %d", t->status.signal);
        return result;
    }
    return nb_fail(err, NB_E_STORAGE, 0, "in the box: %s", said ? t->line : "the copier failed");
}

/* ------------------------------------------------------------------------------------------------------------ out of it */

static int read_box(void *user, void *into, size_t size, size_t *ret_length, nb_error *err) {
    transfer *t = user;
    while (t->piece_bytes == 0 && !t->ended) {
        int result = take_event(t, -1, err);
        if (result < 0)
            return result;
    }
    *ret_length = t->piece_bytes < size ? t->piece_bytes : size;
    if (*ret_length == 0)
        return 0;
    count(t, *ret_length);
    memcpy(into, t->piece, *ret_length);
    t->piece += *ret_length;
    t->piece_bytes -= *ret_length;
    return 0;
}

static int place_here(void *user, const tar_entry *first, tar_place *ret_place, nb_error *err) {
    const transfer *t = user;
    return tar_place_find(t->destination, t->name, first->kind == TAR_FOLDER, ret_place, err);
}

static int unpack_here(transfer *t, const struct cp_args *args, nb_error *err) {
    CLEANUP(tar_reader_freep) tar_reader *reader = tar_reader_new((tar_input){.read = read_box, .user = t});
    const tar_unpack_options options = {
        .place = place_here,
        .on_notice = print_notice,
        .user = t,
        .confined = true,
        .owners = args->archive,
    };
    return reader ? tar_unpack(reader, &options, err) : nb_fail_oom(err);
}

static int pass_to_stdout(transfer *t, nb_error *err) {
    uint8_t *bytes = malloc(PIECE_BYTES);
    size_t length = 1;
    int result = bytes ? 0 : nb_fail_oom(err);
    while (result == 0 && length > 0) {
        result = read_box(t, bytes, PIECE_BYTES, &length, err);
        if (result == 0 && fd_write_all(STDOUT_FILENO, bytes, length) < 0)
            result = nb_fail(err, NB_E_STORAGE, errno, "write to stdout");
    }
    free(bytes);
    return result;
}

static int copy_out(transfer *t, const char *path, const struct cp_args *args, nb_error *err) {
    char name[NAME_MAX + 1];
    tar_place_base_name(path, name, sizeof(name));
    t->name = name;
    return strcmp(t->destination, STDIO_NAME) == 0 ? pass_to_stdout(t, err) : unpack_here(t, args, err);
}

/* -------------------------------------------------------------------------------------------------------------- into it */

static int write_box(void *user, const void *bytes, size_t length, nb_error *err) {
    transfer *t = user;
    size_t written = 0;
    int result = nb_exec_write(t->exec, bytes, length, -1, &written, err);
    count(t, length);
    while (result >= 0 && !t->ended) {
        result = take_event(t, 0, err);
        if (result == 0)
            return 0;
    }
    if (result < 0)
        return result;
    /* It does not wait for what may follow the archive's end. */
    return t->status.code == 0 ? 0 : nb_fail(err, NB_E_STORAGE, 0, "the copier in the box has ended");
}

static int pack_from_here(transfer *t, const char *source, const struct cp_args *args, nb_error *err) {
    const tar_pack_options options = {.follow = args->follow, .on_notice = print_notice, .user = t};
    return tar_pack((tar_output){.write = write_box, .user = t}, source, &options, err);
}

static int pass_from_stdin(transfer *t, nb_error *err) {
    uint8_t *bytes = malloc(PIECE_BYTES);
    int result = bytes ? 0 : nb_fail_oom(err);
    while (result == 0) {
        ssize_t n = read(STDIN_FILENO, bytes, PIECE_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            result = n < 0 ? nb_fail(err, NB_E_STORAGE, errno, "read from stdin") : 0;
            break;
        }
        result = write_box(t, bytes, (size_t) n, err);
    }
    free(bytes);
    return result;
}

static int copy_in(transfer *t, const char *source, const struct cp_args *args, nb_error *err) {
    int result = strcmp(source, STDIO_NAME) == 0 ? pass_from_stdin(t, err) : pack_from_here(t, source, args, err);
    return result == 0 ? nb_exec_close_stdin(t->exec, err) : result;
}

/* ------------------------------------------------------------------------------------------------------------ the command */

/* What is to be copied: between BOX:PATH, and a file here or "-". */
typedef struct order {
    const char *box_path, *here;
    bool out;
} order;

static int begin(nb_box *box, const order *o, const struct cp_args *args, nb_exec **ret_exec, nb_error *err) {
    bool archive = strcmp(o->here, STDIO_NAME) == 0;
    nb_copy_options options = NB_COPY_OPTIONS_INIT;
    options.follow = o->out && args->follow;
    options.keep_names = !o->out && archive;
    options.keep_owners = !o->out && (args->archive || archive);
    return o->out ? nb_copy_out(box, o->box_path, &options, ret_exec, err) : nb_copy_in(box, o->box_path, &options, ret_exec, err);
}

/* A box that does not run is visited for it. Only here: one that stops while it is copied has lost part of the copy. */
static int begin_or_visit(nb_box *box, const order *o, const struct cp_args *args, nb_exec **ret_exec, bool *ret_visits, nb_error *err) {
    nb_start_options visit = NB_START_OPTIONS_INIT;
    int result = begin(box, o, args, ret_exec, err);
    *ret_visits = false;
    if (result != -NB_E_STOPPED)
        return result;
    visit.visit = true;
    result = nb_box_start(box, &visit, NULL, err);
    *ret_visits = result == 0;
    /* somebody else may have started it just now */
    return result == 0 || result == -NB_E_INVALID_STATE ? begin(box, o, args, ret_exec, err) : result;
}

static int copy(cli *c, nb_box *box, const order *o, const struct cp_args *args, nb_error *err) {
    CLEANUP(cleanup_exec) nb_exec *exec = NULL;
    bool visits;
    nb_error why;
    int result = begin_or_visit(box, o, args, &exec, &visits, err);
    if (result == 0) {
        transfer t = {.exec = exec, .shown = &c->progress, .destination = o->here};
        result = o->out ? copy_out(&t, o->box_path, args, err) : copy_in(&t, o->here, args, err);
        result = finish(&t, result, err);
        progress_end(&c->progress);
    }
    int stopped = visits ? nb_box_stop(box, 0, &why) : 0;
    if (result == 0 && stopped < 0) {
        *err = why;
        result = stopped;
    }
    return result;
}

/* BOX:PATH, with PATH made absolute; what begins with '/' or '.', or has a '/' before its colon, is a file here. False: it is one. */
static bool split(const char *word, char **ret_box, char **ret_path) {
    size_t length = strcspn(word, ":/");
    *ret_box = *ret_path = NULL;
    if (length == 0 || word[length] != ':' || word[0] == '.')
        return false;
    const char *path = word + length + 1;
    *ret_box = strndup(word, length);
    if (asprintf(ret_path, "%s%s", path[0] == '/' ? "" : "/", path) < 0)
        *ret_path = NULL;
    return true;
}

static int cp_run(cli *c, void *command_args, int argc, char **argv) {
    const struct cp_args *args = command_args;
    CLEANUP(cleanup_box) nb_box *box = NULL;
    CLEANUP(cleanup_free) char *from_box = NULL;
    CLEANUP(cleanup_free) char *from_path = NULL;
    CLEANUP(cleanup_free) char *to_box = NULL;
    CLEANUP(cleanup_free) char *to_path = NULL;
    nb_error err = {0};
    bool out = split(argv[0], &from_box, &from_path), in = split(argv[1], &to_box, &to_path);
    if (out == in)
        return cli_usage(c,
                         out ? "one box at a time: copy out of the first, then into the second" : "one of SRC and DST has to be BOX:PATH");
    if (out && strcmp(argv[1], STDIO_NAME) == 0 && isatty(STDOUT_FILENO))
        return cli_usage(c, "an archive is not written to a terminal: redirect stdout");
    const char *name = out ? from_box : to_box;
    c->progress.quiet = c->progress.quiet || args->quiet;
    int r = name && (out ? from_path : to_path) ? cli_open(c, &err) : nb_fail_oom(&err);
    if (r == 0)
        r = nb_box_open(c->runtime, name, &box, &err);
    if (r == 0)
        r = copy(c, box, &(order){out ? from_path : to_path, argv[out ? 1 : 0], out}, args, &err);
    return r < 0 ? cli_fail(c, &err) : STATUS_OK;
}

const command command_cp = {
    .name = "cp",
    .group = GROUP_RUN,
    .usage = "[OPTIONS] SRC DST",
    .summary = "Copy files into and out of a box",
    .details = "One of SRC and DST is BOX:PATH, the other a file or folder here, or - for a tar archive on stdin or stdout,\n"
               "which goes into the folder PATH. A folder is copied with all that is in it. Where DST is a folder, SRC goes\n"
               "into it, and SRC/. means what is in SRC; where nothing is there, the copy gets that name.\n"
               "A box that does not run is started for it without its command, and stopped again.",
    .example = "nestbox cp web:/var/log ./logs",
    .opts = cp_opts,
    .args_size = sizeof(struct cp_args),
    .min_args = 2,
    .max_args = 2,
    .order = OPT_ANYWHERE,
    .run = cp_run,
};
