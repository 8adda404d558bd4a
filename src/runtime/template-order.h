/* SPDX-License-Identifier: Apache-2.0
 *
 * template-order.h - a template as somebody outside asks for it
 */
#ifndef RUNTIME_TEMPLATE_ORDER_H
#define RUNTIME_TEMPLATE_ORDER_H

#include "base/arena.h"
#include "runtime/machine-parts.h"
#include "runtime/template.h"

#include <nestbox/template.h>

/* What it comes down to: all that nb_box_start() would find for such a box. */
typedef struct template_order {
    machine_parts parts;
    template_shape shape; /* points to the parts */
    template_content content;
    bool has_content;
    char *base_disk;
    arena strings;
} template_order;

/* Errors: those of nb_template_build() but for the making. To be freed in either case. The order must not move. */
int template_order_take(nb_runtime *rt, const nb_template_options *options, template_order *ret_order, nb_error *err);
void template_order_done(template_order *order);

/* Makes it where it is missing, and the machine's for an image's. @ret_path: where it is, the caller's. */
int template_order_make(nb_runtime *rt, const template_order *order, char **ret_path, nb_error *err);

#endif
