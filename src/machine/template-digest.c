/* SPDX-License-Identifier: Apache-2.0
 *
 * template-digest.c - what a template's files held when it was made
 */
#include "machine/template-digest.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define PIECE_BYTES ((size_t) 64 << 10)

static bool is_zero(const uint8_t *bytes, size_t length) {
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/* One number, with what it is of. */
static void add_number(XXH3_state_t *state, size_t file, uint64_t number) {
    uint8_t bytes[16];
    store_le64(bytes, file);
    store_le64(bytes + 8, number);
    (void) XXH3_128bits_update(state, bytes, sizeof(bytes));
}

/* A piece of zeros says nothing, be it written or a hole: copies of a file differ in that. */
static int add_piece(XXH3_state_t *state, size_t file, int fd, off_t at, size_t length, uint8_t *bytes) {
    for (size_t done = 0; done < length;) {
        ssize_t n = pread(fd, bytes + done, length - done, at + (off_t) done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : EIO;
            return -1;
        }
        done += (size_t) n;
    }
    if (is_zero(bytes, length))
        return 0;
    add_number(state, file, (uint64_t) at);
    (void) XXH3_128bits_update(state, bytes, length);
    return 0;
}

static int add_file(XXH3_state_t *state, size_t file, int fd, uint8_t *bytes) {
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -1;
    add_number(state, file, (uint64_t) status.st_size);
    for (off_t at = 0; at < status.st_size;) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0)
            return errno == ENXIO ? 0 : -1; /* a hole to the end */
        at = data - data % (off_t) PIECE_BYTES;
        size_t length = status.st_size - at < (off_t) PIECE_BYTES ? (size_t) (status.st_size - at) : PIECE_BYTES;
        if (add_piece(state, file, fd, at, length, bytes) < 0)
            return -1;
        at += (off_t) length;
    }
    return 0;
}

int template_digest(const int *fds, size_t count, uint8_t ret_digest[TEMPLATE_DIGEST_BYTES]) {
    XXH3_state_t *state = XXH3_createState();
    uint8_t *bytes = malloc(PIECE_BYTES);
    int result = state && bytes && XXH3_128bits_reset(state) == XXH_OK ? 0 : -1;
    errno = result < 0 ? ENOMEM : 0;
    for (size_t i = 0; result == 0 && i < count; i++) {
        if (fds[i] >= 0)
            result = add_file(state, i, fds[i], bytes);
    }
    if (result == 0) {
        XXH128_canonical_t canonical;
        XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
        memcpy(ret_digest, canonical.digest, TEMPLATE_DIGEST_BYTES);
    }
    int saved = errno;
    free(bytes);
    (void) XXH3_freeState(state);
    errno = saved;
    return result;
}
