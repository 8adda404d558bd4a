/* SPDX-License-Identifier: Apache-2.0
 *
 * disk.c - the blocks of a base disk: which are taken, and what files put into them
 *
 * Theory of operation
 *   New blocks come from a mark that only moves up and steps over the head of each group. Released runs are kept in one stack for each
 *   power of two of their length, so that a request finds a run that holds it all, or none, without searching; runs are not joined
 *   again, since layers replace few files. Everything depends on the order of the calls alone: the same image gives the same disk.
 *
 *   A file's data is gathered in one buffer whose pieces begin at multiples of its size in the file. So the blocks are the same
 *   however the source cut the bytes.
 *
 *   Small files lie side by side: blocks wait in a second buffer for those that come behind them, so that a hundred thousand files are not as many
 *   writes; and a thread writes what has waited, one buffer after the other, while the next files are read (background.h). Nothing reads the disk
 *   before disk_finish().
 */
#include "image/disk.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"
#include "image/background.h"
#include "image/limits.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* One write, and the most that is asked of the allocator at once. */
#define GATHER_BYTES ((size_t) 1 << 20)
/* Runs are of less than a group's 2^15 blocks. */
#define RUN_ORDERS 16

typedef struct run {
    uint32_t first, count;
} run;

typedef struct run_stack {
    run *runs;
    size_t count, capacity;
} run_stack;

struct disk {
    int fd;
    uint64_t max_bytes;
    uint64_t end;  /* the mark: first block never taken */
    uint64_t used; /* blocks taken now */
    run_stack released[RUN_ORDERS];

    /* The file that is being written. */
    disk_map *map;
    uint64_t gather_at; /* where the gathered bytes stand in the file; a multiple of the block size */
    size_t gathered;
    uint8_t gather[GATHER_BYTES];

    /* Blocks that lie side by side, and are to be written in one. */
    background *writer;
    uint64_t waiting_at; /* where, in bytes */
    size_t waiting_bytes;
    uint8_t *waiting; /* the writer's */
};

/* The kernel begins to write to the disk at once: waiting for all of it at the end would take as long again. */
static int write_at(void *user, const uint8_t *bytes, size_t length, uint64_t offset) {
    const disk *d = user;
    if (fd_pwrite_all(d->fd, bytes, length, offset) < 0)
        return errno;
    (void) sync_file_range(d->fd, (off_t) offset, (off_t) length, SYNC_FILE_RANGE_WRITE);
    return 0;
}

disk *disk_new(int fd, uint64_t max_bytes) {
    disk *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->fd = fd;
    d->writer = background_new(write_at, d, GATHER_BYTES);
    if (!d->writer) {
        free(d);
        return NULL;
    }
    d->waiting = background_buffer(d->writer);
    d->max_bytes = max_bytes;
    d->end = disk_group_overhead(0);
    return d;
}

void disk_free(disk *d) {
    if (!d)
        return;
    for (size_t i = 0; i < RUN_ORDERS; i++)
        free(d->released[i].runs);
    background_free(d->writer);
    free(d);
}

int disk_fd(const disk *d) {
    return d->fd;
}

uint64_t disk_end(const disk *d) {
    return d->end;
}

uint64_t disk_used(const disk *d) {
    return d->used;
}

void disk_map_done(disk_map *map) {
    free(map->extents);
    *map = (disk_map){0};
}

uint64_t disk_map_blocks(const disk_map *map) {
    uint64_t blocks = 0;
    for (uint32_t i = 0; i < map->count; i++)
        blocks += map->extents[i].length;
    return blocks;
}

static bool is_power_of(uint32_t number, uint32_t base) {
    while (number > 1 && number % base == 0)
        number /= base;
    return number == 1;
}

bool disk_group_has_superblock(uint32_t group) {
    /* sparse_super: groups 0 and 1 and the powers of 3, 5 and 7. */
    return group == 0 || is_power_of(group, 3) || is_power_of(group, 5) || is_power_of(group, 7);
}

uint32_t disk_group_overhead(uint32_t group) {
    uint32_t bitmaps = 2;
    return (disk_group_has_superblock(group) ? 1 + DISK_DESCRIPTOR_BLOCKS : 0) + bitmaps + DISK_INODE_TABLE_BLOCKS;
}

static unsigned floor_order(uint32_t count) {
    return 31u - (unsigned) __builtin_clz(count);
}

static bool push_run(run_stack *stack, run r) {
    if (stack->count == stack->capacity) {
        size_t capacity = stack->capacity ? stack->capacity * 2 : 64;
        run *runs = reallocarray(stack->runs, capacity, sizeof(*runs));
        if (!runs)
            return false;
        stack->runs = runs;
        stack->capacity = capacity;
    }
    stack->runs[stack->count++] = r;
    return true;
}

/* Any run of the order above floor(log2(wanted)) holds it; so does one of @wanted's own order when @wanted is a power of two. */
static bool take_released(disk *d, uint32_t wanted, uint32_t *ret_first) {
    unsigned order = floor_order(wanted) + ((wanted & (wanted - 1)) != 0);
    for (; order < RUN_ORDERS; order++) {
        run_stack *stack = &d->released[order];
        if (stack->count == 0)
            continue;
        run r = stack->runs[stack->count - 1];
        uint32_t left = r.count - wanted;
        /* The rest has at most the same order; its place in that stack is the one just given up, or there may be no memory for it. */
        if (left > 0 && floor_order(left) != order && !push_run(&d->released[floor_order(left)], (run){r.first + wanted, left}))
            return false;
        stack->count--;
        if (left > 0 && floor_order(left) == order)
            stack->runs[stack->count++] = (run){r.first + wanted, left};
        *ret_first = r.first;
        return true;
    }
    return false;
}

int disk_allocate(disk *d, uint32_t wanted, uint32_t *ret_first, uint32_t *ret_count, nb_error *err) {
    assert(wanted > 0 && wanted < DISK_GROUP_BLOCKS);
    if ((d->used + wanted) * DISK_BLOCK_BYTES > d->max_bytes)
        return image_limit_hint(
            err,
            nb_fail(err, NB_E_EXHAUSTED, 0, "write the image's files: they take more than %llu bytes", (unsigned long long) d->max_bytes),
            "max_bytes");
    uint32_t first, count = wanted;
    if (!take_released(d, wanted, &first)) {
        uint32_t left = DISK_GROUP_BLOCKS - (uint32_t) (d->end % DISK_GROUP_BLOCKS);
        count = wanted < left ? wanted : left;
        first = (uint32_t) d->end;
        d->end += count;
        if (d->end % DISK_GROUP_BLOCKS == 0)
            d->end += disk_group_overhead((uint32_t) (d->end / DISK_GROUP_BLOCKS));
        if (d->end * DISK_BLOCK_BYTES > IMAGE_DISK_GROW_MAX_BYTES)
            return nb_fail(err, NB_E_EXHAUSTED, 0, "write the image's files: the disk would be larger than 1 TiB");
    }
    d->used += count;
    *ret_first = first;
    *ret_count = count;
    return 0;
}

int disk_release(disk *d, uint32_t first, uint32_t count, nb_error *err) {
    assert(count > 0 && d->used >= count);
    /* An extent may have been joined up to a whole group, but never across the head of one. */
    if (!push_run(&d->released[floor_order(count)], (run){first, count}))
        return nb_fail_oom(err);
    d->used -= count;
    return 0;
}

static int write_zeros(disk *d, uint64_t offset, uint64_t length) {
    memset(d->gather, 0, GATHER_BYTES);
    while (length > 0) {
        size_t now = length < GATHER_BYTES ? (size_t) length : GATHER_BYTES;
        if (fd_pwrite_all(d->fd, d->gather, now, offset) < 0)
            return -1;
        offset += now;
        length -= now;
    }
    return 0;
}

/* Makes holes of all released blocks, so that nothing of a deleted file is left. */
static int clear_released(disk *d, nb_error *err) {
    for (size_t order = 0; order < RUN_ORDERS; order++) {
        for (size_t i = 0; i < d->released[order].count; i++) {
            run r = d->released[order].runs[i];
            uint64_t offset = (uint64_t) r.first * DISK_BLOCK_BYTES, length = (uint64_t) r.count * DISK_BLOCK_BYTES;
            if (fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) offset, (off_t) length) == 0)
                continue;
            /* Not every file system can make holes. */
            if (errno != EOPNOTSUPP || write_zeros(d, offset, length) < 0)
                return nb_fail(err, NB_E_STORAGE, errno, "clear the disk's released blocks");
        }
    }
    return 0;
}

static int fail_write(int error, nb_error *err) {
    return nb_fail(err, nb_code_of_errno(error), error, "write the disk");
}

/* Hands over what waits; an error may be that of what was handed over before. */
static int write_waiting(disk *d, nb_error *err) {
    int error = d->waiting_bytes > 0 ? background_give(d->writer, d->waiting_bytes, d->waiting_at) : 0;
    d->waiting = background_buffer(d->writer);
    d->waiting_bytes = 0;
    return error ? fail_write(error, err) : 0;
}

int disk_finish(disk *d, nb_error *err) {
    int result = write_waiting(d, err), error = background_finish(d->writer);
    if (result == 0 && error)
        result = fail_write(error, err);
    return result < 0 ? result : clear_released(d, err);
}

int disk_write(disk *d, uint32_t first, const void *bytes, size_t length, nb_error *err) {
    uint64_t offset = (uint64_t) first * DISK_BLOCK_BYTES;
    size_t padded = (size_t) align_up(length, DISK_BLOCK_BYTES);
    assert(padded <= GATHER_BYTES);
    if (offset != d->waiting_at + d->waiting_bytes || padded > GATHER_BYTES - d->waiting_bytes) {
        int result = write_waiting(d, err);
        if (result < 0)
            return result;
        d->waiting_at = offset;
    }
    memcpy(d->waiting + d->waiting_bytes, bytes, length);
    memset(d->waiting + d->waiting_bytes + length, 0, padded - length);
    d->waiting_bytes += padded;
    return 0;
}

static int map_add(disk_map *map, disk_extent extent, nb_error *err) {
    disk_extent *last = map->count ? &map->extents[map->count - 1] : NULL;
    if (last && last->logical + last->length == extent.logical && last->physical + last->length == extent.physical) {
        last->length += extent.length;
        return 0;
    }
    if (map->count == IMAGE_EXTENTS_MAX)
        return nb_fail(err, NB_E_EXHAUSTED, 0, "write a file: it is in more than %u pieces", IMAGE_EXTENTS_MAX);
    if (map->count == map->capacity) {
        /* Most files are of one piece. */
        uint32_t capacity = map->capacity ? map->capacity * 2 : 1;
        disk_extent *extents = reallocarray(map->extents, capacity, sizeof(*extents));
        if (!extents)
            return nb_fail_oom(err);
        map->extents = extents;
        map->capacity = capacity;
    }
    map->extents[map->count++] = extent;
    return 0;
}

int disk_append(disk *d, disk_map *map, uint32_t logical, const void *bytes, size_t length, nb_error *err) {
    const uint8_t *at = bytes;
    while (length > 0) {
        uint32_t first, count;
        size_t now = length < GATHER_BYTES ? length : GATHER_BYTES;
        int r = disk_allocate(d, (uint32_t) (align_up(now, DISK_BLOCK_BYTES) / DISK_BLOCK_BYTES), &first, &count, err);
        if (r < 0 || (r = map_add(map, (disk_extent){logical, first, count}, err)) < 0)
            return r;
        if (now > (size_t) count * DISK_BLOCK_BYTES)
            now = (size_t) count * DISK_BLOCK_BYTES;
        r = disk_write(d, first, at, now, err);
        if (r < 0)
            return r;
        at += now;
        length -= now;
        logical += count;
    }
    return 0;
}

void disk_file_begin(disk *d, disk_map *map) {
    assert(!d->map);
    d->map = map;
    d->gather_at = 0;
    d->gathered = 0;
}

static int flush(disk *d, nb_error *err) {
    int r = disk_append(d, d->map, (uint32_t) (d->gather_at / DISK_BLOCK_BYTES), d->gather, d->gathered, err);
    d->gather_at += align_up(d->gathered, DISK_BLOCK_BYTES);
    d->gathered = 0;
    return r;
}

/* Moves the end of the gathered bytes to @offset: by zeros inside a block, by a hole beyond it. */
static int skip_to(disk *d, uint64_t offset, nb_error *err) {
    uint64_t end = d->gather_at + d->gathered;
    if (offset < end)
        return nb_fail(err, NB_E_IMAGE, 0, "write a sparse file: its pieces are not in ascending order");
    if (offset / DISK_BLOCK_BYTES != end / DISK_BLOCK_BYTES || d->gathered == 0) {
        int r = flush(d, err);
        if (r < 0)
            return r;
        /* flush() may have padded up to the block in which the new piece begins, but not beyond: that is no hole. */
        d->gather_at = offset - offset % DISK_BLOCK_BYTES;
    }
    size_t zeros = (size_t) (offset - d->gather_at) - d->gathered;
    assert(zeros < DISK_BLOCK_BYTES);
    memset(d->gather + d->gathered, 0, zeros);
    d->gathered += zeros;
    return 0;
}

/* How much fits before the next multiple of the buffer's size in the file. */
static size_t gather_room(const disk *d) {
    return GATHER_BYTES - (size_t) (d->gather_at % GATHER_BYTES) - d->gathered;
}

int disk_file_write(disk *d, uint64_t offset, const void *bytes, size_t length, nb_error *err) {
    const uint8_t *at = bytes;
    if (offset > IMAGE_FILE_MAX_BYTES || length > IMAGE_FILE_MAX_BYTES - offset)
        return nb_fail(err, NB_E_IMAGE, 0, "write a file: it is larger than ext4 can hold");
    if (length > 0 && offset != d->gather_at + d->gathered) {
        int r = skip_to(d, offset, err);
        if (r < 0)
            return r;
    }
    while (length > 0) {
        size_t room = gather_room(d);
        size_t now = length < room ? length : room;
        memcpy(d->gather + d->gathered, at, now);
        d->gathered += now;
        at += now;
        length -= now;
        if (gather_room(d) == 0) {
            int r = flush(d, err);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int disk_file_end(disk *d, nb_error *err) {
    int r = flush(d, err);
    d->map = NULL;
    d->gathered = 0;
    return r;
}

int disk_map_release(disk *d, disk_map *map, nb_error *err) {
    for (uint32_t i = 0; i < map->count; i++) {
        int r = disk_release(d, map->extents[i].physical, map->extents[i].length, err);
        if (r < 0)
            return r;
    }
    disk_map_done(map);
    return 0;
}
