/* SPDX-License-Identifier: Apache-2.0
 *
 * worker.c - nestbox-image: turns one image into one base disk, and ends
 *
 * Theory of operation
 *   This program stands between an image, which may be hostile, and the process of whoever wants it. It is born with three
 *   descriptors (wire/limits.h): the owner's socket, the source, the disk. It opens nothing else, except files below a source that is a
 *   folder. It cannot gain rights (no_new_privs), cannot be traced, and has bounds on its memory; it still has its user's rights, which
 *   SECURITY.md says too.
 *
 *   IMPORT in; PROGRESS, then IMPORTED or FAILED out (owner.h).
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "image/import.h"
#include "image/owner.h"

#include <locale.h>
#include <stdlib.h>

/* A tree of the largest image that is allowed takes some 3 GiB; a decompressor's window little beside it. */
#define MEMORY_MAX_BYTES GIB(4)
/* A folder on the way down to the deepest costs a descriptor. */
#define DESCRIPTORS_MAX 4096u

static void on_wait_readable(void *user, int fd) {
    owner_wait(-1, fd);
}

static void on_progress(void *user, const char *what, uint64_t done_bytes, uint64_t total_bytes) {
    owner_send_progress(user, what, done_bytes, total_bytes);
}

static void answer_imported(owner *o, const import_result *result) {
    const image_config *config = &result->config;
    msg_imported message = {
        .id = wire_str(result->id),
        .name = wire_str(result->name),
        .architecture = wire_str(config->architecture),
        .os = wire_str(config->os),
        .disk_bytes = result->disk_bytes,
        .content_bytes = result->content_bytes,
        .entrypoint = strv_of(&config->entrypoint),
        .command = strv_of(&config->command),
        .env = strv_of(&config->env),
        .labels = strv_of(&config->labels),
        .cwd = wire_str(config->cwd),
        .user = wire_str(config->user),
        .stop_signal = wire_str(config->stop_signal),
        .exposed_ports = strv_of(&config->exposed_ports),
        .volumes = strv_of(&config->volumes),
        .shell = strv_of(&config->shell),
        .health_test = strv_of(&config->health.test),
        .health_interval_ns = config->health.interval_ns,
        .health_timeout_ns = config->health.timeout_ns,
        .health_start_period_ns = config->health.start_period_ns,
        .health_retries = config->health.retries,
    };
    nb_error err;
    if (wire_control(&o->out, wire_encode_imported, &message)) {
        owner_send(o);
        return;
    }
    (void) nb_fail(&err, NB_E_IMAGE, 0, "report the image's configuration: its name, '%.100s', or another text is too long", result->name);
    owner_send_failed(o, &err);
}

static void serve(owner *o, const msg_import *message) {
    CLEANUP(cleanup_free) char *reference = wire_str_copy(message->reference);
    CLEANUP(cleanup_free) char *architecture = wire_str_copy(message->architecture);
    CLEANUP(import_result_done) import_result result = {0};
    image_watch watch = {.wait_readable = on_wait_readable, .progress = on_progress, .user = o};
    nb_error err = {0};
    int r = reference && architecture ? 0 : nb_fail_oom(&err);
    if (r == 0) {
        import_request request = {
            .kind = message->kind,
            .source_fd = WIRE_WORKER_SOURCE_FD,
            .disk_fd = WIRE_WORKER_DISK_FD,
            .reference = reference,
            .architecture = architecture,
            .limits = {.max_layers = message->max_layers,
                       .max_entries = message->max_entries,
                       .max_bytes = message->max_bytes,
                       .max_ratio = message->max_ratio,
                       .max_manifest_bytes = message->max_manifest_bytes},
            .command = message->command,
            .watch = &watch,
        };
        r = image_import(&request, &result, &err);
    }
    if (r < 0)
        owner_send_failed(o, &err);
    else
        answer_imported(o, &result);
}

int main(void) {
    owner o;
    const uint8_t *message;
    size_t length;
    msg_import import;
    /* libarchive converts names with the locale's help; in the C locale it gives none at all. */
    if (!owner_drop_rights(MEMORY_MAX_BYTES, DESCRIPTORS_MAX) || !setlocale(LC_CTYPE, "C.UTF-8"))
        return EXIT_FAILURE;
    owner_init(&o);
    bool good = owner_receive_request(&o, &message, &length) && wire_decode_import(message, length, &import) == 0;
    if (good)
        serve(&o, &import);
    owner_done(&o);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
