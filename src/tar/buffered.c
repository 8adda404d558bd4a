/* SPDX-License-Identifier: Apache-2.0
 *
 * buffered.c - an output that hands on much at a time
 */
#include "tar/buffered.h"

#include <string.h>

int tar_buffered_flush(tar_buffered *b, nb_error *err) {
    size_t used = b->used;
    b->used = 0;
    return used > 0 ? b->to.write(b->to.user, b->bytes, used, err) : 0;
}

int tar_buffered_write(void *buffered, const void *bytes, size_t length, nb_error *err) {
    tar_buffered *b = buffered;
    int result = length > sizeof(b->bytes) - b->used ? tar_buffered_flush(b, err) : 0;
    if (result < 0)
        return result;
    if (length >= sizeof(b->bytes)) /* nothing is gained by a copy */
        return b->to.write(b->to.user, bytes, length, err);
    memcpy(b->bytes + b->used, bytes, length);
    b->used += length;
    return 0;
}
