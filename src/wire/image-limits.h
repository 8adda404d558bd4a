/* SPDX-License-Identifier: Apache-2.0
 *
 * image-limits.h - how large an image may be, where its user has a say: what IMPORT and FETCH carry, and images.json sets
 *
 * A limit has a value for whoever sets none, and a most that nobody goes beyond: what the programs are made for.
 */
#ifndef WIRE_IMAGE_LIMITS_H
#define WIRE_IMAGE_LIMITS_H

#include <stdint.h>

/* Container engines stop at 127 layers (overlayfs): twice that. The most is what FETCHED has room for (WIRE_BLOBS_MAX_BYTES). */
#define IMAGE_LAYERS_DEFAULT 256u
#define IMAGE_LAYERS_MAX 1024u
/* A large desktop image has half a million names. One costs some 350 bytes of the worker's memory, which has a bound; 8 million were tried. */
#define IMAGE_ENTRIES_DEFAULT 5000000u
#define IMAGE_ENTRIES_MAX 8000000u
/* What an image's files take on its disk; the most is what a base disk can be grown to. */
#define IMAGE_DISK_DEFAULT_BYTES (UINT64_C(64) << 30)
#define IMAGE_DISK_GROW_MAX_BYTES (UINT64_C(1) << 40)
/* gzip cannot do better than 1,032 to 1, and zstd on real layers does far worse. The most lets everything pass. */
#define IMAGE_RATIO_DEFAULT 2000u
#define IMAGE_RATIO_MAX 1000000000u
/* image-spec's advice for a manifest is 4 MiB; the same serves indexes and configurations. A tree of one of the most fits into a worker. */
#define IMAGE_JSON_DEFAULT_BYTES (4u << 20)
#define IMAGE_JSON_MAX_BYTES (16u << 20)

/* Layers replace each other's files, so that their sum may go beyond the disk; by how much. */
#define IMAGE_LAYERS_PER_DISK 4u

typedef struct image_limits {
    uint64_t max_layers, max_entries, max_bytes, max_ratio, max_manifest_bytes;
} image_limits;

/* What all layers of an image may come to, packed or unpacked. */
static inline uint64_t image_layers_max_bytes(const image_limits *limits) {
    return limits->max_bytes * IMAGE_LAYERS_PER_DISK;
}

/* X(member, default, most): the member's name is the setting's too. */
#define IMAGE_LIMITS(X)                                               \
    X(max_layers, IMAGE_LAYERS_DEFAULT, IMAGE_LAYERS_MAX)             \
    X(max_entries, IMAGE_ENTRIES_DEFAULT, IMAGE_ENTRIES_MAX)          \
    X(max_bytes, IMAGE_DISK_DEFAULT_BYTES, IMAGE_DISK_GROW_MAX_BYTES) \
    X(max_ratio, IMAGE_RATIO_DEFAULT, IMAGE_RATIO_MAX)                \
    X(max_manifest_bytes, IMAGE_JSON_DEFAULT_BYTES, IMAGE_JSON_MAX_BYTES)

#endif
