/* SPDX-License-Identifier: Apache-2.0
 *
 * template-build.c - making a template before the first box that goes on from it
 */
#include "base/cleanup.h"
#include "base/size.h"
#include "runtime/image.h"
#include "runtime/options.h"
#include "runtime/result.h"
#include "runtime/template-info.h"
#include "runtime/template.h"

#include <stdlib.h>

static int check_options(const nb_template_options *o, nb_error *err) {
    int result = options_check_range(o->memory_bytes, NB_MEMORY_MIN_BYTES, NB_MEMORY_MAX_BYTES, "memory", err);
    if (result == 0)
        result = options_check_range(o->cpus, 1, NB_CPUS_MAX, "cpus", err);
    if (result == 0)
        result = options_check_range(o->disk_bytes, NB_DISK_MIN_BYTES, NB_DISK_MAX_BYTES, "disk", err);
    if (result == 0 && !o->image && (o->disk_bytes || o->init))
        result = nb_fail(err, NB_E_INVALID, 0, "the size of the disk and an init are for a template of an image, and none was given");
    return result;
}

static int find_content(nb_runtime *rt, const nb_template_options *o, arena *a, template_content *ret_content, char **ret_base_disk,
                        nb_error *err) {
    image_record image;
    int result = image_find(rt, o->image, a, &image, err);
    if (result < 0)
        return result;
    uint64_t disk_bytes = o->disk_bytes;
    result = image_take_disk_size(&image, o->image, &disk_bytes, err);
    if (result < 0)
        return result;
    *ret_base_disk = image_disk_path(rt, image.id);
    if (!*ret_base_disk)
        return nb_fail_oom(err);
    *ret_content = (template_content){image.id, *ret_base_disk, align_up(disk_bytes, IMAGE_DISK_ALIGNMENT), o->init};
    return 0;
}

static int give(nb_runtime *rt, const char *key, nb_template_info **ret_template, nb_error *err) {
    arena *a;
    CLEANUP(template_folder_close) template_folder folder;
    int result = template_folder_open(rt, &folder, err);
    if (result < 0)
        return result;
    nb_template_info *info = result_new(sizeof(*info), &a);
    result = info ? template_info_fill(rt, &folder, key, a, info, err) : nb_fail_oom(err);
    if (result < 0)
        result_free(info);
    else
        *ret_template = info;
    return result;
}

int nb_template_build(nb_runtime *rt, const nb_template_options *options, nb_template_info **ret_template, nb_error *err) {
    nb_template_options o;
    if (!rt || !ret_template)
        return nb_fail(err, NB_E_INVALID, 0, "build a template: an argument is NULL");
    int result = options_take(&o, sizeof(o), options, "nb_template_options", err);
    if (result == 0)
        result = check_options(&o, err);
    if (result < 0)
        return nb_fail_within(err, result, "build a template");
    arena a = {0};
    machine_parts parts;
    template_content content;
    CLEANUP(cleanup_free) char *base_disk = NULL;
    char key[TEMPLATE_KEY_SIZE];
    const template_shape shape = {&parts, o.memory_bytes ? o.memory_bytes : NB_MEMORY_DEFAULT_BYTES, o.cpus ? o.cpus : NB_CPUS_DEFAULT,
                                  NB_BOOT_TIMEOUT_DEFAULT_MS};
    result = machine_parts_find(rt, &parts, err);
    if (result == 0 && o.image)
        result = find_content(rt, &o, &a, &content, &base_disk, err);
    if (result == 0)
        result = template_make(rt, &shape, o.image ? &content : NULL, key, err);
    if (result == 0)
        result = give(rt, key, ret_template, err);
    machine_parts_done(&parts);
    arena_done(&a);
    return nb_fail_within(err, result, "build a template");
}

void nb_template_free(nb_template_info *info) {
    result_free(info);
}
