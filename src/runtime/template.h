/* SPDX-License-Identifier: Apache-2.0
 *
 * template.h - saved machines that boxes go on from, instead of booting: finding and making them
 */
#ifndef RUNTIME_TEMPLATE_H
#define RUNTIME_TEMPLATE_H

#include "runtime/machine-parts.h"
#include "runtime/template-folder.h"

/* What a machine is made of: all of it shapes a template. */
typedef struct template_shape {
    const machine_parts *parts;
    uint64_t memory_bytes; /* of the container */
    uint32_t cpus, boot_timeout_ms;
} template_shape;

/* What a box has beside its machine when its main command begins: it shapes the template of an image. */
typedef struct template_content {
    const char *image_id, *base_disk;
    uint64_t disk_bytes;
    bool init;
} template_content;

/* The file of a template's folder that says what it is of: the message TEMPLATE_ABOUT. */
#define TEMPLATE_ABOUT_FILE "about"
#define TEMPLATE_ABOUT_MAX_BYTES ((size_t) 4096)

/* The folder of a template for machines of that shape, which is made now where there is none: by this program, or by another one that is waited for.
 *
 * The caller's; NULL: there is none, and why is in the log: the machine boots then */
char *template_prepare(nb_runtime *rt, const template_shape *shape);

/* The folder of a template for boxes of that shape and content that have never run. It is made, from @template, the second time that one is asked
 * for, unless another program is at it: who does not get one goes on from @template.
 *
 * The caller's; NULL: there is none */
char *template_prepare_image(nb_runtime *rt, const template_shape *shape, const template_content *content, const char *template);

/* The same at somebody's wish: at once, also one that could not be made lately, and with what went wrong.
 *
 * @content   NULL: of a machine alone
 * @ret_path  its folder, the caller's */
int template_make(nb_runtime *rt, const template_shape *shape, const template_content *content, char **ret_path, nb_error *err);

/* Removes those of an image that is gone. */
void template_forget_image(nb_runtime *rt, const char *image_id);

/* How many there are, and why the last one could not be made, "" where all could. */
void template_look(const nb_runtime *rt, size_t *ret_count, char *ret_failure, size_t size);

#endif
