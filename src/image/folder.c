/* SPDX-License-Identifier: Apache-2.0
 *
 * folder.c - a folder of the host as the content of an image
 *
 * Theory of operation
 *   A walk in the order of names, by descriptors: each file is opened without following links and without waiting (a fifo opened for
 *   reading would), and is then what fstat(2) on the descriptor says, whatever its name has become meanwhile. The digest is taken
 *   of a serialisation that has one form for one tree: for each file its path, numbers, target, attributes and data, each with its length.
 */
#include "image/folder.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/size.h"

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

#define READ_BYTES ((size_t) 256 << 10)
/* The kernel's own maximum for a list of names. */
#define XATTR_LIST_MAX_BYTES ((size_t) 64 << 10)

/* A file with several names, by what makes it one. */
typedef struct linked_file {
    dev_t device;
    ino_t number;
    tree_inode *inode; /* kept alive by the tree */
    uint64_t order;    /* stands for it in the digest */
} linked_file;

typedef struct folder_reader {
    tree *tree;
    const image_watch *watch;
    hasher *hasher;
    void *linked; /* a tsearch(3) tree of linked_file */
    uint64_t order;
    uint64_t done_bytes;
    uid_t uid;
    gid_t gid;
    char path[PATH_MAX]; /* of the file that is read, from the folder on */
    uint8_t bytes[READ_BYTES];
    char names[XATTR_LIST_MAX_BYTES];
} folder_reader;

static void folder_reader_free(folder_reader *r) {
    if (!r)
        return;
    hasher_free(r->hasher);
    tdestroy(r->linked, free);
    free(r);
}
CLEANUP_DEFINE(folder_reader, folder_reader_free)

static int compare_linked(const void *a, const void *b) {
    const linked_file *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int refuse(const folder_reader *r, const char *what, nb_error *err) {
    int saved = errno;
    return nb_fail(err, nb_code_of_errno(saved), saved, "%s '%.500s' of the folder", what, r->path[0] ? r->path : ".");
}

static void hash_number(folder_reader *r, uint64_t number) {
    uint8_t bytes[8];
    store_le64(bytes, number);
    hasher_add(r->hasher, bytes, sizeof(bytes));
}

static void hash_block(folder_reader *r, const void *bytes, size_t length) {
    hash_number(r, length);
    hasher_add(r->hasher, bytes, length);
}

static void hash_inode(folder_reader *r, const tree_inode *inode) {
    const uint64_t numbers[] = {inode->mode,     inode->uid,   inode->gid,   (uint64_t) inode->mtime_s,
                                inode->mtime_ns, inode->major, inode->minor, inode->size};
    hash_block(r, r->path, strlen(r->path));
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        hash_number(r, numbers[i]);
    if (inode->target)
        hash_block(r, inode->target, strlen(inode->target));
    for (const tree_xattr *x = inode->xattrs; x; x = x->next) {
        hash_block(r, x->name, strlen(x->name));
        hash_block(r, x->value, x->length);
    }
}

static tree_inode *inode_of(const folder_reader *r, const struct stat *stat) {
    tree_inode *inode = tree_inode_new(stat->st_mode);
    if (!inode)
        return NULL;
    inode->uid = stat->st_uid == r->uid ? 0 : stat->st_uid;
    inode->gid = stat->st_gid == r->gid ? 0 : stat->st_gid;
    inode->mtime_s = stat->st_mtim.tv_sec;
    inode->mtime_ns = (uint32_t) stat->st_mtim.tv_nsec;
    if (S_ISCHR(stat->st_mode) || S_ISBLK(stat->st_mode)) {
        inode->major = major(stat->st_rdev);
        inode->minor = minor(stat->st_rdev);
    } else if (S_ISREG(stat->st_mode))
        inode->size = (uint64_t) stat->st_size;
    return inode;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int read_xattrs(folder_reader *r, int fd, tree_inode *inode, nb_error *err) {
    ssize_t length = flistxattr(fd, r->names, sizeof(r->names));
    if (length < 0)
        return errno == ENOTSUP ? 0 : refuse(r, "list the extended attributes of", err);
    const char *names[IMAGE_XATTRS_MAX];
    size_t count = 0;
    for (const char *name = r->names; name < r->names + length; name += strlen(name) + 1) {
        if (strncmp(name, "user.", 5) != 0 && strcmp(name, "security.capability") != 0)
            continue;
        if (count == IMAGE_XATTRS_MAX)
            return nb_fail(err, NB_E_IMAGE, 0, "read '%.500s' of the folder: more than %u extended attributes", r->path, IMAGE_XATTRS_MAX);
        names[count++] = name;
    }
    qsort(names, count, sizeof(names[0]), compare_names);
    for (size_t i = 0; i < count; i++) {
        ssize_t size = fgetxattr(fd, names[i], r->bytes, sizeof(r->bytes));
        if (size < 0)
            return refuse(r, "read an extended attribute of", err);
        int result = tree_inode_add_xattr(inode, names[i], r->bytes, (size_t) size, err);
        if (result < 0)
            return nb_fail_within(err, result, "'%.300s'", r->path);
    }
    return 0;
}

/* Data from @offset to @end. */
static int read_piece(folder_reader *r, int fd, uint64_t offset, uint64_t end, nb_error *err) {
    hash_number(r, offset);
    hash_number(r, end - offset);
    while (offset < end) {
        size_t wanted = end - offset < READ_BYTES ? (size_t) (end - offset) : READ_BYTES;
        ssize_t length = pread(fd, r->bytes, wanted, (off_t) offset);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return refuse(r, "read", err);
        if (length == 0)
            return nb_fail(err, NB_E_STORAGE, 0, "read '%.500s' of the folder: it became shorter while it was read", r->path);
        hasher_add(r->hasher, r->bytes, (size_t) length);
        int result = disk_file_write(r->tree->disk, offset, r->bytes, (size_t) length, err);
        if (result < 0)
            return result;
        offset += (uint64_t) length;
        r->done_bytes += (uint64_t) length;
        if (r->watch->progress)
            r->watch->progress(r->watch->user, "reading the folder", "", r->done_bytes, 0);
    }
    return 0;
}

/* All data between the holes. A file system without holes says that there is one at the end. */
static int read_data(folder_reader *r, int fd, tree_inode *inode, nb_error *err) {
    if (inode->size > IMAGE_FILE_MAX_BYTES)
        return nb_fail(err, NB_E_IMAGE, 0, "read '%.500s' of the folder: its size is beyond what ext4 can hold", r->path);
    disk_file_begin(r->tree->disk, &inode->map);
    for (uint64_t at = 0; at < inode->size;) {
        off_t start = lseek(fd, (off_t) at, SEEK_DATA);
        if (start < 0 && errno == ENXIO)
            break;
        off_t end = start < 0 ? -1 : lseek(fd, start, SEEK_HOLE);
        if (end < 0)
            return refuse(r, "look for holes in", err);
        if ((uint64_t) end > inode->size)
            end = (off_t) inode->size;
        if (end <= start)
            break;
        int result = read_piece(r, fd, (uint64_t) start, (uint64_t) end, err);
        if (result < 0)
            return result;
        at = (uint64_t) end;
    }
    return disk_file_end(r->tree->disk, err);
}

static int read_target(folder_reader *r, int folder, const char *name, tree_inode *inode, nb_error *err) {
    char target[PATH_MAX];
    ssize_t length = readlinkat(folder, name, target, sizeof(target));
    if (length < 0)
        return refuse(r, "read the link", err);
    if (length == 0 || length > (ssize_t) IMAGE_TARGET_MAX_BYTES)
        return nb_fail(err, NB_E_IMAGE, 0, "read the link '%.500s' of the folder: its target is too long", r->path);
    inode->target = strndup(target, (size_t) length);
    return inode->target ? 0 : nb_fail_oom(err);
}

static int read_folder(folder_reader *r, int fd, tree_node *node, nb_error *err);

/* Puts an inode, taking it over, and gives the node that stands for it. */
static int put(folder_reader *r, const tree_place *place, tree_inode *inode, tree_node **ret_node, nb_error *err) {
    int result = tree_put(r->tree, place, inode, err);
    if (result < 0)
        return nb_fail_within(err, result, "'%.300s'", r->path);
    *ret_node = tree_find(r->tree, place);
    return 0;
}

/* A file or folder, through a descriptor. */
static int read_opened(folder_reader *r, int fd, const struct stat *stat, const tree_place *place, tree_node **ret_node, nb_error *err) {
    tree_inode *inode = inode_of(r, stat);
    if (!inode)
        return nb_fail_oom(err);
    int result = read_xattrs(r, fd, inode, err);
    if (result == 0) {
        hash_inode(r, inode);
        if (S_ISREG(stat->st_mode))
            result = read_data(r, fd, inode, err);
    }
    if (result < 0) {
        tree_inode_release(inode, NULL);
        return result;
    }
    result = put(r, place, inode, ret_node, err);
    return result == 0 && S_ISDIR(stat->st_mode) ? read_folder(r, fd, *ret_node, err) : result;
}

/* A link, device or fifo: never opened. */
static int read_special(folder_reader *r, int folder, const struct stat *stat, const tree_place *place, tree_node **ret_node,
                        nb_error *err) {
    tree_inode *inode = inode_of(r, stat);
    if (!inode)
        return nb_fail_oom(err);
    int result = S_ISLNK(stat->st_mode) ? read_target(r, folder, place->name, inode, err) : 0;
    if (result < 0) {
        tree_inode_release(inode, NULL);
        return result;
    }
    hash_inode(r, inode);
    return put(r, place, inode, ret_node, err);
}

/* Whether the file was read under another name; if so, this name is put. */
static int read_linked(folder_reader *r, const struct stat *stat, const tree_place *place, bool *ret_known, nb_error *err) {
    linked_file key = {.device = stat->st_dev, .number = stat->st_ino};
    linked_file **found = tfind(&key, &r->linked, compare_linked);
    *ret_known = found != NULL;
    if (!found)
        return 0;
    tree_node *node;
    (*found)->inode->references++;
    hash_block(r, r->path, strlen(r->path));
    hash_number(r, (*found)->order);
    return put(r, place, (*found)->inode, &node, err);
}

static int remember_linked(folder_reader *r, const struct stat *stat, const tree_node *node, nb_error *err) {
    linked_file *file = malloc(sizeof(*file));
    if (!file)
        return nb_fail_oom(err);
    *file = (linked_file){stat->st_dev, stat->st_ino, node->inode, ++r->order};
    if (!tsearch(file, &r->linked, compare_linked)) {
        free(file);
        return nb_fail_oom(err);
    }
    return 0;
}

static int read_entry(folder_reader *r, int folder, const tree_place *place, nb_error *err) {
    struct stat stat;
    tree_node *node = NULL;
    CLEANUP(cleanup_fd) int fd = -1;
    if (fstatat(folder, place->name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return refuse(r, "look at", err);
    if (S_ISSOCK(stat.st_mode))
        return 0;
    if (S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode)) {
        fd = openat(folder, place->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &stat) < 0)
            return refuse(r, "open", err);
        if (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode))
            return nb_fail(err, NB_E_STORAGE, 0, "open '%.500s' of the folder: it changed while it was read", r->path);
    }
    bool linked = !S_ISDIR(stat.st_mode) && stat.st_nlink > 1, known = false;
    int result = linked ? read_linked(r, &stat, place, &known, err) : 0;
    if (result < 0 || known)
        return result;
    result = fd >= 0 ? read_opened(r, fd, &stat, place, &node, err) : read_special(r, folder, &stat, place, &node, err);
    return result == 0 && linked ? remember_linked(r, &stat, node, err) : result;
}

typedef struct name_list {
    char **names;
    size_t count, capacity;
} name_list;

static void name_list_done(name_list *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
}

static bool name_list_add(name_list *list, const char *name) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 32;
        char **names = reallocarray(list->names, capacity, sizeof(*names));
        if (!names)
            return false;
        list->names = names;
        list->capacity = capacity;
    }
    list->names[list->count] = strdup(name);
    return list->names[list->count++] != NULL;
}

static void cleanup_dir(DIR **dir) {
    if (*dir)
        (void) closedir(*dir);
}

static int list_names(folder_reader *r, int fd, name_list *list, nb_error *err) {
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(cleanup_dir) DIR *dir = own < 0 ? NULL : fdopendir(own);
    if (!dir) {
        int result = refuse(r, "list", err);
        (void) fd_close(own);
        return result;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry && errno != 0)
            return refuse(r, "list", err);
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (list->count >= r->tree->max_nodes)
            return tree_is_full(r->tree, entry->d_name, err);
        if (!name_list_add(list, entry->d_name))
            return nb_fail_oom(err);
    }
    if (list->count > 0)
        qsort(list->names, list->count, sizeof(*list->names), compare_names);
    return 0;
}

static int read_folder(folder_reader *r, int fd, tree_node *node, nb_error *err) {
    CLEANUP(name_list_done) name_list list = {0};
    size_t length = strlen(r->path);
    int result = list_names(r, fd, &list, err);
    for (size_t i = 0; i < list.count && result == 0; i++) {
        tree_place place = {.parent = node};
        size_t name_length = strlen(list.names[i]);
        if (name_length > IMAGE_NAME_MAX_BYTES || length + 1 + name_length + 1 > sizeof(r->path))
            return nb_fail(err, NB_E_IMAGE, 0, "read '%.500s' of the folder: a path below it has more than %d bytes", r->path,
                           PATH_MAX - 1);
        memcpy(place.name, list.names[i], name_length + 1);
        (void) snprintf(r->path + length, sizeof(r->path) - length, "%s%s", length ? "/" : "", list.names[i]);
        result = read_entry(r, fd, &place, err);
        r->path[length] = '\0';
    }
    return result;
}

int folder_read(tree *t, int fd, const image_watch *watch, digest *ret_content, nb_error *err) {
    CLEANUP(folder_reader_freep) folder_reader *r = calloc(1, sizeof(*r));
    struct stat stat;
    if (!r)
        return nb_fail_oom(err);
    r->tree = t;
    r->watch = watch;
    r->uid = geteuid();
    r->gid = r->uid == 0 ? 0 : getegid(); /* root keeps all owners */
    r->hasher = hasher_new(DIGEST_SHA256);
    if (!r->hasher)
        return nb_fail_oom(err);
    if (fstat(fd, &stat) < 0)
        return refuse(r, "look at", err);
    if (!S_ISDIR(stat.st_mode))
        return nb_fail(err, NB_E_IMAGE, 0, "read the folder: it is none");
    tree_place root = {.parent = t->root};
    tree_node *node;
    int result = read_opened(r, fd, &stat, &root, &node, err);
    if (result == 0)
        hasher_finish(r->hasher, ret_content);
    return result;
}
