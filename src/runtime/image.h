/* SPDX-License-Identifier: Apache-2.0
 *
 * image.h - images of a home, for the library's own parts
 */
#ifndef RUNTIME_IMAGE_H
#define RUNTIME_IMAGE_H

#include "runtime/runtime.h"

/* Which image somebody wants. */
typedef struct image_wish {
    const char *reference;
    nb_pull_policy pull;
    char architecture[32], variant[32]; /* in OCI's words; "": this host's */
} image_wish;

/* @platform: "linux/arm64/v8", "arm64", NULL. -NB_E_INVALID. */
int image_wish_make(const char *reference, const char *platform, nb_pull_policy pull, image_wish *ret_wish, nb_error *err);

/* nb_image_prepare(), as a record. */
int image_prepare(nb_runtime *rt, const image_wish *wish, const char *name, arena *a, image_record *ret_image, nb_error *err);

/* By name, as it was given or as a pull records it, or by id. As store_find_image(). */
int image_find(nb_runtime *rt, const char *name_or_id, arena *a, image_record *ret_image, nb_error *err);

/* A name that an image may be given, in its familiar form; the caller's. -NB_E_INVALID. */
int image_name_for_tag(const char *name, char **ret_familiar, nb_error *err);

/* A record as the caller of a public function gets it. */
int image_give(const image_record *image, nb_image_info **ret_image, nb_error *err);

/* The source of a name that was pulled: this and the digest of the manifest. */
#define IMAGE_SOURCE_REGISTRY "registry:"

#define BUILT_IN_IMAGE "busybox"

/* Takes a name, or all names of an image found by id; with the last one the image goes, and its disk.
 *
 * @ret_blobs  what may be swept then, in @a
 * @ret_gone   the image has gone, perhaps with its disk still there when that could not be removed */
int image_forget(nb_runtime *rt, const image_record *image, arena *a, strv *ret_blobs, bool *ret_gone, nb_error *err);

/* What an image's base disk is called in the home's folder of images. @id has been checked: "sha256:" and 64 digits. */
#define IMAGE_DISK_NAME_SIZE (64 + sizeof(".ext4"))
void image_disk_name(const char *id, char ret_name[IMAGE_DISK_NAME_SIZE]);

/* A box's disk is a multiple of it. */
#define IMAGE_DISK_ALIGNMENT UINT64_C(4096)

/* How large the disk of a box of the image is.
 *
 * @named  what the image was called, for the message
 * @bytes  in: what is wanted, 0 for the usual; out: what it is to be
 * -NB_E_INVALID: less than the image takes */
int image_take_disk_size(const image_record *image, const char *named, uint64_t *bytes, nb_error *err);

/* The path of an image's base disk; the caller's. NULL: out of memory. */
char *image_disk_path(const nb_runtime *rt, const char *id);

bool image_disk_exists(const nb_runtime *rt, const char *id);

/* Removes what an import that was killed left behind. */
void image_sweep(nb_runtime *rt);

#endif
