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
#include "runtime/template-order.h"

#include <stdlib.h>
#include <string.h>

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

static int find_content(nb_runtime *rt, const nb_template_options *o, template_order *order, nb_error *err) {
    image_record image;
    uint64_t disk_bytes = o->disk_bytes;
    int result = image_find(rt, o->image, &order->strings, &image, err);
    if (result == 0)
        result = image_take_disk_size(&image, o->image, &disk_bytes, err);
    if (result < 0)
        return result;
    order->base_disk = image_disk_path(rt, image.id);
    if (!order->base_disk)
        return nb_fail_oom(err);
    order->content = (template_content){image.id, order->base_disk, align_up(disk_bytes, IMAGE_DISK_ALIGNMENT), o->init};
    order->has_content = true;
    return 0;
}

int template_order_take(nb_runtime *rt, const nb_template_options *options, template_order *ret_order, nb_error *err) {
    nb_template_options o;
    *ret_order = (template_order){.parts = {.shim = -1}};
    int result = options_take(&o, sizeof(o), options, "nb_template_options", err);
    if (result == 0)
        result = check_options(&o, err);
    if (result == 0)
        result = machine_parts_find(rt, &ret_order->parts, err);
    if (result == 0 && o.image)
        result = find_content(rt, &o, ret_order, err);
    ret_order->shape = (template_shape){&ret_order->parts, o.memory_bytes ? o.memory_bytes : NB_MEMORY_DEFAULT_BYTES,
                                        o.cpus ? o.cpus : NB_CPUS_DEFAULT, NB_BOOT_TIMEOUT_DEFAULT_MS};
    return result;
}

void template_order_done(template_order *order) {
    machine_parts_done(&order->parts);
    free(order->base_disk);
    arena_done(&order->strings);
}

int template_order_make(nb_runtime *rt, const template_order *order, char **ret_path, nb_error *err) {
    return template_make(rt, &order->shape, order->has_content ? &order->content : NULL, ret_path, err);
}

static int give(nb_runtime *rt, const char *path, nb_template_info **ret_template, nb_error *err) {
    arena *a;
    CLEANUP(template_folder_close) template_folder folder;
    int result = template_folder_open(rt, &folder, err);
    if (result < 0)
        return result;
    nb_template_info *info = result_new(sizeof(*info), &a);
    result = info ? template_info_fill(rt, &folder, strrchr(path, '/') + 1, a, info, err) : nb_fail_oom(err);
    if (result < 0)
        result_free(info);
    else
        *ret_template = info;
    return result;
}

int nb_template_build(nb_runtime *rt, const nb_template_options *options, nb_template_info **ret_template, nb_error *err) {
    template_order order;
    CLEANUP(cleanup_free) char *path = NULL;
    if (!rt || !ret_template)
        return nb_fail(err, NB_E_INVALID, 0, "build a template: an argument is NULL");
    int result = template_order_take(rt, options, &order, err);
    if (result == 0)
        result = template_order_make(rt, &order, &path, err);
    if (result == 0)
        result = give(rt, path, ret_template, err);
    template_order_done(&order);
    return nb_fail_within(err, result, "build a template");
}

void nb_template_free(nb_template_info *info) {
    result_free(info);
}
