/* SPDX-License-Identifier: Apache-2.0
 *
 * check.c - whether a request of the guest's has the form that libfuse takes for granted
 */
#include "files/check.h"

#include "base/size.h"

#include <linux/fuse.h>
#include <string.h>

/* Beyond every number that libfuse knows. */
#define OPERATION_REFUSED 0x7fffffffu

/* What follows a request's header: a struct, then so many names, each with its NUL, and then perhaps data. */
typedef struct layout {
    uint16_t fixed_bytes;
    uint8_t names;
    bool data; /* anything may follow; else nothing may */
    bool served;
} layout;

/* By operation. One that is not here is not served. */
static const layout layouts[] = {
    [FUSE_LOOKUP] = {0, 1, false, true},
    [FUSE_FORGET] = {sizeof(struct fuse_forget_in), 0, false, true},
    [FUSE_GETATTR] = {sizeof(struct fuse_getattr_in), 0, false, true},
    [FUSE_SETATTR] = {sizeof(struct fuse_setattr_in), 0, false, true},
    [FUSE_READLINK] = {0, 0, false, true},
    [FUSE_SYMLINK] = {0, 2, false, true},
    [FUSE_MKNOD] = {sizeof(struct fuse_mknod_in), 1, false, true},
    [FUSE_MKDIR] = {sizeof(struct fuse_mkdir_in), 1, false, true},
    [FUSE_UNLINK] = {0, 1, false, true},
    [FUSE_RMDIR] = {0, 1, false, true},
    [FUSE_RENAME] = {sizeof(struct fuse_rename_in), 2, false, true},
    [FUSE_RENAME2] = {sizeof(struct fuse_rename2_in), 2, false, true},
    [FUSE_LINK] = {sizeof(struct fuse_link_in), 1, false, true},
    [FUSE_OPEN] = {sizeof(struct fuse_open_in), 0, false, true},
    [FUSE_READ] = {sizeof(struct fuse_read_in), 0, false, true},
    [FUSE_WRITE] = {sizeof(struct fuse_write_in), 0, true, true},
    [FUSE_STATFS] = {0, 0, false, true},
    [FUSE_RELEASE] = {sizeof(struct fuse_release_in), 0, false, true},
    [FUSE_FSYNC] = {sizeof(struct fuse_fsync_in), 0, false, true},
    [FUSE_SETXATTR] = {FUSE_COMPAT_SETXATTR_IN_SIZE, 1, true, true},
    [FUSE_GETXATTR] = {sizeof(struct fuse_getxattr_in), 1, false, true},
    [FUSE_LISTXATTR] = {sizeof(struct fuse_getxattr_in), 0, false, true},
    [FUSE_REMOVEXATTR] = {0, 1, false, true},
    [FUSE_FLUSH] = {sizeof(struct fuse_flush_in), 0, false, true},
    [FUSE_INIT] = {16, 0, true, true}, /* it has grown with the protocol's versions, and may grow again */
    [FUSE_OPENDIR] = {sizeof(struct fuse_open_in), 0, false, true},
    [FUSE_READDIR] = {sizeof(struct fuse_read_in), 0, false, true},
    [FUSE_READDIRPLUS] = {sizeof(struct fuse_read_in), 0, false, true},
    [FUSE_RELEASEDIR] = {sizeof(struct fuse_release_in), 0, false, true},
    [FUSE_FSYNCDIR] = {sizeof(struct fuse_fsync_in), 0, false, true},
    [FUSE_CREATE] = {sizeof(struct fuse_create_in), 1, false, true},
    [FUSE_INTERRUPT] = {sizeof(struct fuse_interrupt_in), 0, false, true},
    [FUSE_DESTROY] = {0, 0, false, true},
    [FUSE_BATCH_FORGET] = {sizeof(struct fuse_batch_forget_in), 0, true, true},
    [FUSE_FALLOCATE] = {sizeof(struct fuse_fallocate_in), 0, false, true},
    [FUSE_LSEEK] = {sizeof(struct fuse_lseek_in), 0, false, true},
    [FUSE_COPY_FILE_RANGE] = {sizeof(struct fuse_copy_file_range_in), 0, false, true},
};

/* Takes a name and its NUL off. */
static bool take_name(const uint8_t **at, size_t *left) {
    const uint8_t *end = memchr(*at, '\0', *left);
    if (!end)
        return false;
    *left -= (size_t) (end - *at) + 1;
    *at = end + 1;
    return true;
}

/* What data follows a request that may have some: exactly as much as it says. */
static bool data_fits(uint32_t operation, const uint8_t *body, size_t left) {
    switch (operation) {
    case FUSE_WRITE: {
        struct fuse_write_in in;
        memcpy(&in, body, sizeof(in));
        return in.size == left;
    }
    case FUSE_SETXATTR: {
        uint32_t size;
        memcpy(&size, body, sizeof(size)); /* the first member of both its forms */
        return size == left;
    }
    case FUSE_BATCH_FORGET: {
        struct fuse_batch_forget_in in;
        memcpy(&in, body, sizeof(in));
        return (uint64_t) in.count * sizeof(struct fuse_forget_one) == left;
    }
    default:
        return true;
    }
}

bool check_request(check_state *state, uint8_t *bytes, size_t length) {
    struct fuse_in_header header;
    if (length < sizeof(header) || length > CHECK_REQUEST_MAX_BYTES)
        return false;
    memcpy(&header, bytes, sizeof(header));
    if (header.len != length)
        return false;
    if (header.opcode == FUSE_INIT ? state->initialised : !state->initialised)
        return false;
    if (header.opcode >= ARRAY_LENGTH(layouts) || !layouts[header.opcode].served) {
        header.opcode = OPERATION_REFUSED;
        memcpy(bytes, &header, sizeof(header));
        return true;
    }
    const layout *form = &layouts[header.opcode];
    const uint8_t *body = bytes + sizeof(header), *at = body + form->fixed_bytes;
    size_t left = length - sizeof(header);
    if (left < form->fixed_bytes)
        return false;
    left -= form->fixed_bytes;
    for (unsigned i = 0; i < form->names; i++) {
        if (!take_name(&at, &left))
            return false;
    }
    if (form->data ? !data_fits(header.opcode, body, left) : left > 0)
        return false;
    if (header.opcode == FUSE_INIT)
        state->initialised = true;
    return true;
}
