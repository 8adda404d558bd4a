/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.c - files and folders, into an archive
 *
 * Theory of operation
 *   A walk by descriptors, depth first, a folder before what is in it, and that in the order of the names' bytes, so that equal trees give
 *   equal archives. Nothing is opened that is not a file or a folder, and no symbolic link is followed below the root. Files with several
 *   names are remembered by device and inode; their later names become hard links. Who changes the tree meanwhile gets a mixture, but always a whole archive: a file gives what its header promised, cut or filled up
 *   with zeros.
 */
#include "tar/pack.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/strv.h"
#include "tar/buffered.h"
#include "tar/large.h"
#include "tar/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* A folder stays open while what is in it is walked; a process is born with 1,024 descriptors. */
#define DEPTH_MAX 500u
#define BLOCK_BYTES 512u
#define NAME_MAX_BYTES ((size_t) 64 << 10)
/* Of all that is in one folder: millions of files. */
#define NAMES_MAX_BYTES ((size_t) 256 << 20)
/* A file in more pieces than this is written without its holes. */
#define PIECES_MAX 4096u
#define XATTR_LIST_MAX_BYTES ((size_t) 64 << 10)
#define XATTRS_MAX 64u

typedef struct linked_file {
    dev_t device;
    ino_t inode;
    char name[]; /* in the archive */
} linked_file;

typedef struct packer {
    tar_writer *writer;
    const tar_pack_options *options;
    nb_error *err;
    const char *path; /* of the root */
    buf name;         /* of the entry, NUL-terminated */
    unsigned depth;
    void *linked; /* tree of linked_file */
    uint8_t *piece;
    tar_piece *map;
    char *xattr_names;
    buf xattr_values;
    tar_xattr xattrs[XATTRS_MAX];
} packer;

static int pack_node(packer *p, int folder, const char *name, bool follow);

/* In messages the root is what its user called it; what is below it, as the archive has it. */
static int fail(packer *p, const char *what) {
    return nb_fail(p->err, errno == ENOENT ? NB_E_NOT_FOUND : nb_code_of_errno(errno), errno, "%s '%s'", what,
                   p->depth == 0 ? p->path : (const char *) buf_bytes(&p->name));
}

static void notice(packer *p, const char *what) {
    char sentence[512];
    (void) snprintf(sentence, sizeof(sentence), "'%.400s' was left out: %s", (const char *) buf_bytes(&p->name), what);
    if (p->options->on_notice)
        p->options->on_notice(p->options->user, sentence);
}

/* 0; 1: no archive can say this, it is left out; or a negative code. What was asked for by name is not left out. */
static int put(packer *p, const tar_entry *entry) {
    nb_error why = {0};
    int result = tar_put(p->writer, entry, &why);
    if (p->depth > 0 && (result == -NB_E_INVALID || result == -NB_E_EXHAUSTED)) {
        notice(p, why.message);
        return 1;
    }
    if (result < 0 && p->err)
        *p->err = why;
    return result;
}

/* ------------------------------------------------------------------------------------------------------------ attributes */

static int compare_linked(const void *a, const void *b) {
    const linked_file *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode == y->inode ? 0 : x->inode < y->inode ? -1 : 1;
}

/* The name that a file with several was packed under; "" if this is its first. NULL: out of memory. */
static const char *first_name(packer *p, const struct stat *status) {
    size_t bytes = buf_length(&p->name);
    linked_file *this = malloc(sizeof(*this) + bytes);
    if (!this)
        return NULL;
    this->device = status->st_dev;
    this->inode = status->st_ino;
    memcpy(this->name, buf_bytes(&p->name), bytes);
    linked_file **found = tsearch(this, &p->linked, compare_linked);
    if (found && *found == this)
        return "";
    free(this);
    return found ? (*found)->name : NULL;
}

/* All that can be read: who packs may not see every namespace. */
static int read_attributes(packer *p, int fd, tar_entry *entry) {
    ssize_t listed = flistxattr(fd, p->xattr_names, XATTR_LIST_MAX_BYTES);
    buf_clear(&p->xattr_values);
    if (listed <= 0 || !buf_reserve(&p->xattr_values, XATTR_LIST_MAX_BYTES))
        return listed <= 0 ? 0 : nb_fail_oom(p->err);
    for (const char *name = p->xattr_names; name < p->xattr_names + listed && entry->xattr_count < XATTRS_MAX; name += strlen(name) + 1) {
        size_t used = buf_length(&p->xattr_values);
        uint8_t *to = buf_reserve(&p->xattr_values, 1);
        ssize_t length = to ? fgetxattr(fd, name, to, XATTR_LIST_MAX_BYTES - used) : -1;
        if (length < 0 || strncmp(name, "system.", strlen("system.")) == 0)
            continue;
        p->xattrs[entry->xattr_count++] = (tar_xattr){.name = name, .value = to, .length = (size_t) length};
        buf_added(&p->xattr_values, (size_t) length);
    }
    entry->xattrs = p->xattrs;
    return 0;
}

/* Where the file has data, as far as it can be asked, in whole blocks of an archive. */
static size_t find_pieces(packer *p, int fd, uint64_t size) {
    size_t count = 0;
    for (off_t at = 0; (uint64_t) at < size && count < PIECES_MAX;) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0)
            return errno == ENXIO ? count : 0; /* no more data: a hole until the end */
        off_t hole = lseek(fd, data, SEEK_HOLE);
        if (hole < 0 || (uint64_t) data >= size)
            return hole < 0 ? 0 : count;
        uint64_t begin = (uint64_t) data / BLOCK_BYTES * BLOCK_BYTES;
        uint64_t end = ((uint64_t) hole + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
        p->map[count++] = (tar_piece){.offset = begin, .length = (end < size ? end : size) - begin};
        at = hole;
    }
    return count;
}

static tar_entry describe(const packer *p, const struct stat *status) {
    return (tar_entry){
        .name = (const char *) buf_bytes(&p->name),
        .link = "",
        .mode = status->st_mode & 07777,
        .uid = status->st_uid,
        .gid = status->st_gid,
        .mtime_s = status->st_mtim.tv_sec,
        .mtime_ns = (uint32_t) status->st_mtim.tv_nsec,
    };
}

/* ----------------------------------------------------------------------------------------------------------------- nodes */

static int write_piece(packer *p, int fd, tar_piece piece) {
    while (piece.length > 0) {
        size_t wanted = piece.length < LARGE_BLOCK_BYTES ? (size_t) piece.length : LARGE_BLOCK_BYTES;
        ssize_t n = large_read(fd, p->piece, wanted, piece.offset);
        if (n < 0)
            return fail(p, "read");
        if (n == 0) { /* it has become shorter */
            memset(p->piece, 0, wanted);
            n = (ssize_t) wanted;
        }
        int result = tar_write(p->writer, p->piece, (size_t) n, p->err);
        if (result < 0)
            return result;
        piece.offset += (uint64_t) n;
        piece.length -= (uint64_t) n;
    }
    return 0;
}

static int pack_file(packer *p, int fd, const struct stat *status) {
    tar_entry entry = describe(p, status);
    entry.kind = TAR_FILE;
    entry.size = (uint64_t) status->st_size;
    if (status->st_nlink > 1) {
        const char *first = first_name(p, status);
        if (!first)
            return nb_fail_oom(p->err);
        if (*first) {
            entry.kind = TAR_HARD_LINK;
            entry.link = first;
            entry.size = 0;
            return put(p, &entry);
        }
    }
    int result = read_attributes(p, fd, &entry);
    size_t count = 0;
    if ((uint64_t) status->st_blocks * 512 < entry.size) {
        count = find_pieces(p, fd, entry.size);
        entry.sparse = count < PIECES_MAX && (count > 0 || lseek(fd, 0, SEEK_DATA) < 0);
    }
    if (entry.sparse) {
        entry.map = p->map;
        entry.map_count = count;
    } else {
        if (p->options->past_cache)
            (void) large_begin(fd, status, entry.size);
        p->map[0] = (tar_piece){.length = entry.size};
        count = entry.size > 0 ? 1 : 0;
    }
    if (result == 0)
        result = put(p, &entry);
    for (size_t i = 0; i < count && result == 0; i++)
        result = write_piece(p, fd, p->map[i]);
    return result;
}

/* The names of what is in the folder, packed. */
static int list_children(packer *p, DIR *listing, buf *names) {
    for (;;) {
        errno = 0;
        struct dirent *child = readdir(listing);
        if (!child)
            return errno ? fail(p, "read the folder") : 0;
        if (strcmp(child->d_name, ".") != 0 && strcmp(child->d_name, "..") != 0 && !strv_add(names, child->d_name))
            return nb_fail_oom(p->err);
    }
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int pack_child(packer *p, int folder, const char *name) {
    size_t length = buf_length(&p->name) - 1; /* without the NUL */
    buf_truncate(&p->name, length);
    if (!buf_append(&p->name, name, strlen(name) + 1))
        return nb_fail_oom(p->err);
    int result = pack_node(p, folder, name, false);
    if (result < 0) /* whose name it is, the error's reader wants to know */
        return result;
    buf_truncate(&p->name, length);
    return buf_append(&p->name, "", 1) ? 0 : nb_fail_oom(p->err);
}

static int pack_children(packer *p, DIR *listing) {
    CLEANUP(buf_done) buf names;
    buf_init(&names, NAMES_MAX_BYTES);
    int result = list_children(p, listing, &names);
    if (result < 0)
        return result;
    size_t count = strv_count(strv_of(&names));
    CLEANUP(cleanup_free) char **sorted = strv_pointers(strv_of(&names));
    if (!sorted)
        return nb_fail_oom(p->err);
    qsort(sorted, count, sizeof(*sorted), compare_names);
    for (size_t i = 0; result == 0 && i < count; i++)
        result = pack_child(p, dirfd(listing), sorted[i]);
    return result;
}

/* @fd  taken over */
static int pack_folder(packer *p, int fd, const struct stat *status) {
    buf_truncate(&p->name, buf_length(&p->name) - 1);
    if (!buf_append(&p->name, "/", 2)) {
        (void) fd_close(fd);
        return nb_fail_oom(p->err);
    }
    tar_entry entry = describe(p, status);
    entry.kind = TAR_FOLDER;
    int result = read_attributes(p, fd, &entry);
    if (result == 0)
        result = put(p, &entry);
    DIR *listing = result == 0 ? fdopendir(fd) : NULL;
    if (!listing) {
        (void) fd_close(fd);
        return result == 0 ? fail(p, "read the folder") : result;
    }
    result = ++p->depth > DEPTH_MAX ? nb_fail(p->err, NB_E_EXHAUSTED, 0, "pack folders deeper than %u within each other", DEPTH_MAX)
                                    : pack_children(p, listing);
    p->depth--;
    (void) closedir(listing);
    return result;
}

static int pack_symbolic_link(packer *p, int folder, const char *name, const struct stat *status) {
    char target[PATH_MAX];
    ssize_t length = readlinkat(folder, name, target, sizeof(target) - 1);
    if (length < 0)
        return fail(p, "read the link");
    target[length] = '\0';
    tar_entry entry = describe(p, status);
    entry.kind = TAR_SYMBOLIC_LINK;
    entry.link = target;
    return put(p, &entry);
}

static int pack_special(packer *p, const struct stat *status) {
    if (S_ISSOCK(status->st_mode)) {
        notice(p, "archives have no sockets");
        return 0;
    }
    tar_entry entry = describe(p, status);
    entry.kind = S_ISFIFO(status->st_mode) ? TAR_FIFO : S_ISBLK(status->st_mode) ? TAR_BLOCK_DEVICE : TAR_CHARACTER_DEVICE;
    if (entry.kind != TAR_FIFO) {
        entry.major = major(status->st_rdev);
        entry.minor = minor(status->st_rdev);
    }
    return put(p, &entry);
}

static int pack_node(packer *p, int folder, const char *name, bool follow) {
    struct stat status;
    bool root = p->depth == 0;
    if (fstatat(folder, name, &status, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT && !root ? 0 : fail(p, "look at"); /* removed since it was listed */
    if (S_ISLNK(status.st_mode))
        return pack_symbolic_link(p, folder, name, &status);
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
        return pack_special(p, &status);
    int fd = openat(folder, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return errno == ENOENT && !root ? 0 : fail(p, "open");
    if (fstat(fd, &status) < 0 || (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))) {
        (void) fd_close(fd);
        notice(p, "it was replaced while it was read");
        return 0;
    }
    if (S_ISDIR(status.st_mode))
        return pack_folder(p, fd, &status);
    int result = pack_file(p, fd, &status);
    (void) fd_close(fd);
    return result;
}

int tar_pack(tar_output output, const char *path, const tar_pack_options *options, nb_error *err) {
    packer p = {.options = options, .err = err, .path = path};
    char root[NAME_MAX + 1];
    size_t length = strlen(path);
    bool slash = length > 0 && (path[length - 1] == '/' || (length > 1 && strcmp(path + length - 2, "/.") == 0));
    buf_init(&p.name, NAME_MAX_BYTES);
    buf_init(&p.xattr_values, XATTR_LIST_MAX_BYTES);
    tar_place_base_name(path, root, sizeof(root));
    if (strcmp(root, "..") == 0)
        (void) snprintf(root, sizeof(root), "."); /* no name that anybody would take */
    tar_buffered *buffered = calloc(1, sizeof(*buffered));
    if (buffered)
        buffered->to = output;
    p.writer = tar_writer_new((tar_output){tar_buffered_write, buffered});
    p.piece = large_block_new();
    p.map = calloc(PIECES_MAX, sizeof(*p.map));
    p.xattr_names = malloc(XATTR_LIST_MAX_BYTES);
    int result = 0;
    if (!buffered || !p.writer || !p.piece || !p.map || !p.xattr_names || !buf_append(&p.name, root, strlen(root) + 1))
        result = nb_fail_oom(err);
    else
        result = pack_node(&p, AT_FDCWD, path, options->follow || slash);
    if (result == 0)
        result = tar_finish(p.writer, err);
    if (result == 0)
        result = tar_buffered_flush(buffered, err);
    tar_writer_free(p.writer);
    free(buffered);
    buf_done(&p.name);
    buf_done(&p.xattr_values);
    free(p.piece);
    free(p.map);
    free(p.xattr_names);
    while (p.linked) {
        linked_file *file = *(linked_file **) p.linked;
        (void) tdelete(file, &p.linked, compare_linked);
        free(file);
    }
    return result;
}
