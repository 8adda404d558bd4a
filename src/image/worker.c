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
 *   IMPORT in; PROGRESS, then IMPORTED or FAILED out (owner.h). Or DESCRIBE in, DESCRIBED or FAILED out: the library writes no JSON.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/size.h"
#include "image/import.h"
#include "image/owner.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

/* A tree of the largest image that is allowed takes some 3 GiB; a decompressor's window little beside it. */
#define MEMORY_MAX_BYTES GIB(4)
/* A folder on the way down to the deepest costs a descriptor. */
#define DESCRIPTORS_MAX 4096u

static void on_wait_readable(void *user, int fd) {
    owner_wait_telling(user, fd, "waiting for the archive");
}

/* The end of something is always told. */
static void on_progress(void *user, const char *what, const char *item, uint64_t done_bytes, uint64_t total_bytes) {
    if (owner_progress_is_due(user) || (*item && done_bytes == total_bytes))
        owner_send_progress(user, what, item, done_bytes, total_bytes);
}

static void answer_imported(owner *o, const import_result *result) {
    CLEANUP(buf_done) buf config;
    nb_error err;
    buf_init(&config, WIRE_IMAGE_CONFIG_MAX_BYTES);
    bool good = image_config_encode(&result->config, &config);
    msg_imported message = {
        .id = wire_str(result->id),
        .name = wire_str(result->name),
        .disk_bytes = result->disk_bytes,
        .content_bytes = result->content_bytes,
        .config = {buf_bytes(&config), buf_length(&config)},
    };
    if (good && wire_control(&o->out, wire_encode_imported, &message)) {
        owner_send(o);
        return;
    }
    (void) nb_fail(&err, NB_E_IMAGE, 0, "report the image's configuration: its name, '%.100s', or another text is too long", result->name);
    owner_send_failed(o, &err);
}

static int import(owner *o, const msg_import *message, nb_error *err) {
    CLEANUP(cleanup_free) char *reference = wire_str_copy(message->reference);
    CLEANUP(cleanup_free) char *architecture = wire_str_copy(message->architecture);
    CLEANUP(import_result_done) import_result result = {0};
    image_watch watch = {.wait_readable = on_wait_readable, .progress = on_progress, .user = o};
    if (!reference || !architecture)
        return nb_fail_oom(err);
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
        .config = message->config,
        .changes = message->changes,
        .watch = &watch,
    };
    int r = image_import(&request, &result, err);
    if (r == 0)
        answer_imported(o, &result);
    return r;
}

static int describe(owner *o, const msg_describe *message, nb_error *err) {
    CLEANUP(image_config_done) image_config config = {0};
    CLEANUP(cleanup_free) char *layer = wire_str_copy(message->layer);
    CLEANUP(cleanup_free) char *text = NULL;
    digest d;
    int r = layer ? digest_parse(layer, &d, err) : nb_fail_oom(err);
    if (r == 0)
        r = image_config_decode(message->config.at, message->config.length, &config, err);
    if (r == 0)
        r = image_config_text(&config, &d, &text, err);
    if (r < 0)
        return r;
    const msg_described answer = {.text = {(const uint8_t *) text, strlen(text)}};
    if (!wire_control(&o->out, wire_encode_described, &answer))
        return nb_fail(err, NB_E_IMAGE, 0, "write the image's configuration: it is too long");
    owner_send(o);
    return 0;
}

/* False: the request is not what its id says. */
static bool serve(owner *o, const uint8_t *bytes, size_t length) {
    msg_import wanted;
    msg_describe described;
    nb_error err = {0};
    int r;
    if (wire_decode_import(bytes, length, &wanted) == 0)
        r = import(o, &wanted, &err);
    else if (wire_decode_describe(bytes, length, &described) == 0)
        r = describe(o, &described, &err);
    else
        return false;
    if (r < 0)
        owner_send_failed(o, &err);
    return true;
}

int main(void) {
    owner o;
    const uint8_t *message;
    size_t length;
    /* libarchive converts names with the locale's help; in the C locale it gives none at all. */
    if (!owner_drop_rights(MEMORY_MAX_BYTES, DESCRIPTORS_MAX) || !setlocale(LC_CTYPE, "C.UTF-8"))
        return EXIT_FAILURE;
    owner_init(&o);
    bool good = owner_receive_request(&o, &message, &length) && serve(&o, message, length);
    owner_done(&o);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
