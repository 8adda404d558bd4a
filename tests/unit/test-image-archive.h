/* SPDX-License-Identifier: Apache-2.0
 *
 * test-image-archive.h - layers made of tar archives that are written by hand
 */
#ifndef TEST_IMAGE_ARCHIVE_H
#define TEST_IMAGE_ARCHIVE_H

#include "image/layer.h"
#include "test-tar-archive.h"

/* Applies the archive as the layer after the last one, and empties it. */
static inline int archive_apply(buf *archive, tree *t, size_t step, nb_error *err) {
    archive_feed feed = {buf_bytes(archive), buf_length(archive), step};
    tar_reader *reader = tar_reader_new((tar_input){.read = archive_feed_read, .user = &feed});
    int r = reader ? layer_apply(t, reader, true, err) : -NB_E_NO_MEMORY;
    tar_reader_free(reader);
    buf_clear(archive);
    t->layer++;
    return r;
}

#endif
