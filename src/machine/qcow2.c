/* SPDX-License-Identifier: Apache-2.0
 *
 * qcow2.c - making an empty copy-on-write disk over a raw one
 *
 * Theory of operation
 *   QEMU's docs/interop/qcow2.txt, version 3. All clusters in use are counted once in one refcount block, nothing is mapped: the L1 table is
 *   all zeros, so every read goes to the disk below. Cluster by cluster:
 *       0  header, header extensions, name of the disk below
 *       1  refcount table, one entry
 *       2  refcount block: 16 bits a cluster, enough for the first 2 GiB of the file; QEMU adds more as the file grows
 *       3  L1 table: 8 bytes for each 512 MiB of disk, in as many clusters as it takes
 */
#include "machine/qcow2.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CLUSTER_BITS 16
#define CLUSTER_BYTES (UINT64_C(1) << CLUSTER_BITS)
/* An L2 table is one cluster of 8-byte entries, each for a cluster. */
#define L1_ENTRY_COVERS_BYTES (CLUSTER_BYTES * (CLUSTER_BYTES / 8))

#define HEADER_BYTES 104
#define REFCOUNT_ORDER_16_BITS 4
#define EXTENSION_BACKING_FORMAT 0xE2792ACAu

enum { HEADER_CLUSTER, REFCOUNT_TABLE_CLUSTER, REFCOUNT_BLOCK_CLUSTER, L1_CLUSTER };

/* header, extension of "raw" padded to 8, end of extensions, name */
#define NAME_AT (HEADER_BYTES + 16 + 8)
#define HEADER_CLUSTER_USED_MAX (NAME_AT + QCOW2_BACKING_MAX_BYTES)

static int write_header(int fd, const char *backing_path, size_t backing_length, uint64_t size_bytes, uint64_t l1_entries) {
    uint8_t header[HEADER_CLUSTER_USED_MAX] = {0};
    memcpy(header, "QFI\xfb", 4);
    store_be32(header + 4, 3);
    store_be64(header + 8, NAME_AT);
    store_be32(header + 16, (uint32_t) backing_length);
    store_be32(header + 20, CLUSTER_BITS);
    store_be64(header + 24, size_bytes);
    store_be32(header + 36, (uint32_t) l1_entries);
    store_be64(header + 40, L1_CLUSTER * CLUSTER_BYTES);
    store_be64(header + 48, REFCOUNT_TABLE_CLUSTER * CLUSTER_BYTES);
    store_be32(header + 56, 1); /* clusters of the refcount table */
    store_be32(header + 96, REFCOUNT_ORDER_16_BITS);
    store_be32(header + 100, HEADER_BYTES);

    uint8_t *extension = header + HEADER_BYTES;
    store_be32(extension, EXTENSION_BACKING_FORMAT);
    store_be32(extension + 4, 3);
    memcpy(extension + 8, "raw", 3);
    memcpy(header + NAME_AT, backing_path, backing_length);
    return fd_pwrite_all(fd, header, NAME_AT + backing_length, 0);
}

static uint64_t l1_entries_of(uint64_t size_bytes) {
    return align_up(size_bytes, L1_ENTRY_COVERS_BYTES) / L1_ENTRY_COVERS_BYTES;
}

int qcow2_create_overlay(int fd, const char *backing_path, uint64_t size_bytes, nb_error *err) {
    size_t backing_length = strlen(backing_path);
    if (backing_length == 0 || backing_length > QCOW2_BACKING_MAX_BYTES || strchr(backing_path, '\n'))
        return nb_fail(err, NB_E_INVALID, 0, "make a disk over '%.64s': a name has 1 to %d bytes and no newline", backing_path,
                       QCOW2_BACKING_MAX_BYTES);
    if (size_bytes < 512 || size_bytes % 512 != 0 || size_bytes > QCOW2_SIZE_MAX_BYTES)
        return nb_fail(err, NB_E_INVALID, 0, "make a disk of %llu bytes: it must be a multiple of 512, at most 64 TiB",
                       (unsigned long long) size_bytes);

    uint64_t l1_entries = l1_entries_of(size_bytes);
    uint64_t clusters = L1_CLUSTER + align_up(l1_entries * 8, CLUSTER_BYTES) / CLUSTER_BYTES;
    uint8_t table_entry[8], counts[2 * (L1_CLUSTER + QCOW2_SIZE_MAX_BYTES / L1_ENTRY_COVERS_BYTES * 8 / CLUSTER_BYTES)];
    store_be64(table_entry, REFCOUNT_BLOCK_CLUSTER * CLUSTER_BYTES);
    for (uint64_t i = 0; i < clusters; i++) {
        counts[2 * i] = 0;
        counts[2 * i + 1] = 1; /* big-endian 1 */
    }
    if (ftruncate(fd, (off_t) (clusters * CLUSTER_BYTES)) < 0 ||
        fd_pwrite_all(fd, table_entry, sizeof(table_entry), REFCOUNT_TABLE_CLUSTER * CLUSTER_BYTES) < 0 ||
        fd_pwrite_all(fd, counts, 2 * clusters, REFCOUNT_BLOCK_CLUSTER * CLUSTER_BYTES) < 0 ||
        write_header(fd, backing_path, backing_length, size_bytes, l1_entries) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "write the box's disk over '%s'", backing_path);
    return 0;
}

int qcow2_read_size(int fd, uint64_t *ret_size_bytes, nb_error *err) {
    uint8_t header[HEADER_BYTES];
    ssize_t n = pread(fd, header, sizeof(header), 0);
    if (n != (ssize_t) sizeof(header) || memcmp(header, "QFI\xfb", 4) != 0)
        return nb_fail(err, NB_E_STORAGE, n < 0 ? errno : 0, "read the header of the box's disk");
    *ret_size_bytes = load_be64(header + 24);
    return 0;
}

/* Where qcow2_create_overlay() puts the name of the disk below, and the table: whoever else made a disk may put them elsewhere. */
static bool is_ours(const uint8_t *header) {
    return memcmp(header, "QFI\xfb", 4) == 0 && load_be32(header + 4) == 3 && load_be64(header + 8) == NAME_AT &&
           load_be32(header + 20) == CLUSTER_BITS && load_be32(header + 36) == l1_entries_of(load_be64(header + 24)) &&
           load_be64(header + 40) == L1_CLUSTER * CLUSTER_BYTES;
}

bool qcow2_is_untouched(int fd) {
    uint8_t header[HEADER_BYTES], entries[CLUSTER_BYTES / 16];
    if (pread(fd, header, sizeof(header), 0) != (ssize_t) sizeof(header) || !is_ours(header) || load_be32(header + 60) != 0 /* snapshots */)
        return false;
    uint64_t left = (uint64_t) load_be32(header + 36) * 8;
    for (uint64_t at = L1_CLUSTER * CLUSTER_BYTES; left > 0;) {
        size_t now = left < sizeof(entries) ? (size_t) left : sizeof(entries);
        if (pread(fd, entries, now, (off_t) at) != (ssize_t) now)
            return false;
        for (size_t i = 0; i < now; i++) {
            if (entries[i])
                return false;
        }
        at += now;
        left -= now;
    }
    return true;
}

int qcow2_copy_backing(int from, int to, nb_error *err) {
    uint8_t ours[HEADER_BYTES], theirs[HEADER_BYTES], name[QCOW2_BACKING_MAX_BYTES];
    if (pread(from, ours, sizeof(ours), 0) != (ssize_t) sizeof(ours) || pread(to, theirs, sizeof(theirs), 0) != (ssize_t) sizeof(theirs) ||
        !is_ours(ours) || !is_ours(theirs))
        return nb_fail(err, NB_E_STORAGE, 0, "read the header of a disk");
    size_t length = load_be32(ours + 16);
    if (length > sizeof(name) || pread(from, name, length, NAME_AT) != (ssize_t) length)
        return nb_fail(err, NB_E_STORAGE, 0, "read what a disk lies over");
    if (fd_pwrite_all(to, name, length, NAME_AT) < 0 || fd_pwrite_all(to, ours + 16, 4, 16) < 0)
        return nb_fail(err, nb_code_of_errno(errno), errno, "write the header of a disk");
    return 0;
}
