/* SPDX-License-Identifier: Apache-2.0
 *
 * image-config.h - how an image wants to be run: between its record and the worker that writes and reads images
 */
#ifndef RUNTIME_IMAGE_CONFIG_H
#define RUNTIME_IMAGE_CONFIG_H

#include "base/arena.h"
#include "runtime/store.h"
#include "wire/message.h"

/* Docker's, for images and boxes that name none. */
#define IMAGE_DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Of a root file system for this host. Points to @command. */
msg_image_config image_config_plain(strv command);

/* Points to what @image points to. */
msg_image_config image_config_of(const image_record *image);

/* Takes an encoded IMAGE_CONFIG into @image; its strings live in @a. False: it is none, or memory is out (a->failed). */
bool image_config_take(wire_bytes encoded, arena *a, image_record *image);

#endif
