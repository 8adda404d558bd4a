/* SPDX-License-Identifier: Apache-2.0
 *
 * template.h - saved machines that boxes go on from, instead of booting
 *
 * nb_box_start() makes and uses them by itself (docs/templates.md). These calls are for whoever wants one before the first box, wants to know what they
 * take, or mistrusts one. They concern the home's folder of templates, or $NESTBOX_TEMPLATES; NESTBOX_TEMPLATES=off means that there are none.
 */
#ifndef NESTBOX_TEMPLATE_H
#define NESTBOX_TEMPLATE_H

#include <nestbox/nestbox.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nb_template_info {
    const char *key;         /* 64 hexadecimal digits: a digest of all that shapes the machine */
    const char *image_id;    /* whose disk and container it has; "": a machine for every image */
    const char *image;       /* the image's name; "" without one, or when the image is gone */
    const char *accelerator; /* "kvm", "tcg" */
    uint64_t memory_bytes;   /* of the machine: more than its boxes may use */
    uint32_t cpus;
    uint64_t disk_bytes;    /* of its boxes; 0: any */
    bool init;              /* its boxes have one; false too where there is no image */
    uint64_t size_bytes;    /* what it takes on the host's file system */
    uint64_t created_at_ms; /* wall clock, as the next */
    uint64_t used_at_ms;    /* when a box last went on from it, or might have */
} nb_template_info;

typedef struct nb_template_list {
    const nb_template_info *items; /* what was used last comes first */
    size_t count;
} nb_template_list;

/* All of the home's. Without any, an empty list. Errors: -NB_E_STORAGE and its kin, -NB_E_NO_MEMORY. Free the result with nb_template_list_free(). */
NB_API int nb_template_list_get(nb_runtime *runtime, nb_template_list **ret_list, nb_error *err);
NB_API void nb_template_list_free(nb_template_list *list);

typedef struct nb_template_options {
    size_t size;
    uint64_t memory_bytes; /* what its boxes may use, as of nb_box_options; 0: NB_MEMORY_DEFAULT_BYTES */
    uint32_t cpus;         /* 0: NB_CPUS_DEFAULT */
    const char *image;     /* one of the home's, by name or id, for its boxes; NULL: for every image */
    uint64_t disk_bytes;   /* of an image's boxes, as of nb_box_options; 0: as theirs */
    bool init;             /* of an image's boxes: with one */
} nb_template_options;
#define NB_TEMPLATE_OPTIONS_INIT \
    { .size = sizeof(nb_template_options) }

/* Makes the template that a box with these options goes on from, unless it is there, and for an image's the machine's as well. Takes some seconds. One that
 * could not be made lately is tried again.
 *
 * @options  borrowed; NULL: none
 * Errors: -NB_E_INVALID (an option), -NB_E_NOT_FOUND (the image), -NB_E_UNSUPPORTED (templates are off, or their folder is not to be
 * relied on), -NB_E_INVALID_STATE (no room among those of images, or another program makes it), those of nb_box_start().
 * Free the result with nb_template_free(). */
NB_API int nb_template_build(nb_runtime *runtime, const nb_template_options *options, nb_template_info **ret_template, nb_error *err);
NB_API void nb_template_free(nb_template_info *info);

/* Removes one. Machines that go on from it have it open, and do not notice; the next start makes it anew.
 *
 * @key  a key, or the beginning of one that begins no other, at least 4 digits
 * Errors: -NB_E_NOT_FOUND, -NB_E_INVALID (it is no key, or begins several), -NB_E_STORAGE and its kin. */
NB_API int nb_template_remove(nb_runtime *runtime, const char *key, nb_error *err);

/* Reads all of a template: whether it is as it was made, and nobody else's to write. One that is not, no start should use: remove it.
 *
 * @key  as of nb_template_remove()
 * Errors: -NB_E_NOT_FOUND, -NB_E_INVALID, -NB_E_STORAGE (damaged), -NB_E_PERMISSION (somebody else's to write). */
NB_API int nb_template_verify(nb_runtime *runtime, const char *key, nb_error *err);

#ifdef __cplusplus
}
#endif

#endif
