/* SPDX-License-Identifier: Apache-2.0
 *
 * large.h - the content of large files, past the page cache
 *
 * A page of a file costs a translated guest some 6 us on its way through the kernel's cache, a quarter of a millisecond for what one order to the disk
 * moves in a tenth of that (docs/benchmarks.md); and what a copy brings in there pushes out what the box was at work with.
 */
#ifndef TAR_LARGE_H
#define TAR_LARGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stat;

#define LARGE_BLOCK_BYTES ((size_t) 1 << 20)
/* Below that there is nothing to gain. */
#define LARGE_FILE_MIN_BYTES ((uint64_t) 4 << 20)

/* A block's memory, as orders to a disk want it; to be freed. NULL: out of memory. */
uint8_t *large_block_new(void);

/* From now on @fd is read and written past the cache, if it is a large file on a disk. Whether it is. */
bool large_begin(int fd, const struct stat *status, uint64_t size);

/* pread(2) of at most @length bytes, at most a block, at a multiple of a block, into one. */
ssize_t large_read(int fd, uint8_t *block, size_t length, uint64_t offset);

/* Bytes on their way into a large file, in order. */
typedef struct large_writer {
    int fd;
    uint8_t *block;
    size_t used;
    uint64_t offset; /* of the block */
} large_writer;

/* 0, or -1 with errno. */
int large_write(large_writer *w, const uint8_t *bytes, size_t length);
/* Once all have been; the last ones take the ordinary way. */
int large_finish(large_writer *w);

#endif
