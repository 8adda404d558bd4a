/* SPDX-License-Identifier: Apache-2.0
 *
 * image-flatten.c - an image whose layers are not kept, as an image of one layer
 *
 * Theory of operation
 *   Of an image that came from an archive or a folder there is only the base disk. A box is made from it, without a command, and its guest packs
 *   the disk; the bytes go into a file and are hashed on the way. The same tree gives the same bytes, so that a committed image keeps
 *   its id through save and load.
 */
#include "runtime/image-flatten.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/size.h"
#include "runtime/box.h"
#include "runtime/disk-reader.h"
#include "runtime/image-config.h"
#include "runtime/image-settings.h"
#include "runtime/image-worker.h"
#include "runtime/progress.h"
#include "wire/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_EVERY_BYTES (UINT64_C(1) << 20)

void flat_image_done(flat_image *flat) {
    flat->layer_file = fd_close(flat->layer_file);
    free(flat->config_text);
    flat->config_text = NULL;
}

static void name_by(SHA2_CTX *hash, uint64_t size, flat_blob *ret_blob) {
    char hex[SHA256_DIGEST_STRING_LENGTH];
    (void) snprintf(ret_blob->digest, sizeof(ret_blob->digest), "sha256:%s", SHA256End(hash, hex));
    ret_blob->size = size;
}

void flat_blob_of(const void *bytes, size_t length, flat_blob *ret_blob) {
    SHA2_CTX hash;
    SHA256Init(&hash);
    SHA256Update(&hash, bytes, length);
    name_by(&hash, length, ret_blob);
}

static int read_disk(nb_runtime *rt, nb_box *box, const image_settings *settings, int file, flat_blob *ret_blob, nb_error *err) {
    disk_reader reader;
    SHA2_CTX hash;
    uint64_t size = 0;
    deadline until = deadline_in(image_settings_time_ms(settings));
    SHA256Init(&hash);
    int result = disk_reader_open(box, &reader, err);
    while (result == 0 && !reader.ended) {
        const uint8_t *bytes;
        size_t length;
        if (deadline_passed(until))
            result = image_settings_time_is_over(settings, err);
        else
            result = disk_reader_next(&reader, deadline_left_ms(until), &bytes, &length, err);
        if (result < 0 || length == 0)
            continue;
        SHA256Update(&hash, bytes, length);
        if (fd_write_all(file, bytes, length) < 0)
            result = nb_fail(err, nb_code_of_errno(errno), errno, "write the layer into '%s/" HOME_IMAGES "'", rt->home);
        if (result == 0 && size / PROGRESS_EVERY_BYTES != (size + length) / PROGRESS_EVERY_BYTES)
            result = progress_tell(rt, &(nb_progress){"reading the image's disk", "", size + length, 0}, err);
        size += length;
    }
    disk_reader_done(&reader);
    if (result == 0)
        name_by(&hash, size, ret_blob);
    return result;
}

/* A box that is there for its disk alone: it goes when it stops, and with this process at the latest. */
static int make_box(nb_runtime *rt, const image_record *image, nb_box **ret_box, nb_error *err) {
    static const char *const labels[] = {BOX_LABEL_PASSING "=save"};
    nb_box_options options = NB_BOX_OPTIONS_INIT;
    options.labels = (nb_strings){labels, ARRAY_LENGTH(labels)};
    options.image = image->id;
    options.pull = NB_PULL_NEVER;
    options.keep = true;
    options.auto_remove = true;
    int result = nb_box_create(rt, &options, ret_box, err);
    if (result == 0)
        result = nb_box_start(*ret_box, NULL, NULL, err);
    return result;
}

static int read_layer(nb_runtime *rt, const image_record *image, flat_image *flat, nb_error *err) {
    image_settings settings;
    nb_box *box = NULL;
    nb_error why;
    int result = image_settings_load(&settings, err);
    if (result < 0)
        return result;
    flat->layer_file = openat(rt->images, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (flat->layer_file < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "make a temporary file in '%s/" HOME_IMAGES "'", rt->home);
    result = make_box(rt, image, &box, err);
    if (result == 0)
        result = read_disk(rt, box, &settings, flat->layer_file, &flat->layer, err);
    if (box)
        (void) nb_box_remove(box, true, &why); /* it may never have run, or have gone by itself */
    nb_box_free(box);
    if (result == 0 && lseek(flat->layer_file, 0, SEEK_SET) < 0)
        result = nb_fail(err, NB_E_STORAGE, errno, "read the layer again");
    return result;
}

/* The worker writes it: the library has no JSON. */
static int describe(nb_runtime *rt, const image_record *image, flat_image *flat, nb_error *err) {
    CLEANUP(buf_done) buf bytes, config;
    msg_image_config wanted = image_config_of(image);
    msg_described described;
    const uint8_t *answer;
    size_t length;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    buf_init(&config, WIRE_IMAGE_CONFIG_MAX_BYTES);
    bool good = wire_encode_image_config(&config, &wanted);
    msg_describe request = {.config = {buf_bytes(&config), buf_length(&config)}, .layer = wire_str(flat->layer.digest)};
    if (!good || !wire_control(&bytes, wire_encode_describe, &request))
        return nb_fail_oom(err);
    int result = image_worker_ask(rt, &embedded_image, NULL, 0, &bytes, NULL, IMAGE_WORKER_FOR_EVER, &answer, &length, err);
    if (result < 0)
        return result;
    if (wire_decode_described(answer, length, &described) < 0)
        return nb_fail(err, NB_E_PROTOCOL, 0, "understand the answer of 'nestbox-image'");
    flat->config_text = strndup((const char *) described.text.at, described.text.length);
    if (!flat->config_text)
        return nb_fail_oom(err);
    flat_blob_of(flat->config_text, strlen(flat->config_text), &flat->config);
    return 0;
}

int image_flatten(nb_runtime *rt, const image_record *image, flat_image *ret_flat, nb_error *err) {
    CLEANUP(flat_image_done) flat_image flat = {.layer_file = -1};
    int result = read_layer(rt, image, &flat, err);
    if (result == 0)
        result = describe(rt, image, &flat, err);
    if (result < 0)
        return result;
    *ret_flat = flat;
    flat = (flat_image){.layer_file = -1};
    return 0;
}
