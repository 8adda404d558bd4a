/* SPDX-License-Identifier: Apache-2.0
 *
 * care.h - what a box's supervisor is to see to by itself: restarts, health, the box's time
 */
#ifndef RUNTIME_CARE_H
#define RUNTIME_CARE_H

#include "runtime/store.h"

#include <nestbox/nestbox.h>

/* -NB_E_INVALID, naming the option. */
int care_check(const nb_box_options *options, nb_error *err);

/* Fills @ret_care from the options and what the image says.
 *
 * @health_command  where the command goes that @ret_care points to; empty */
int care_merge(const nb_box_options *options, const image_record *image, buf *health_command, box_care *ret_care, nb_error *err);

#endif
