/* SPDX-License-Identifier: Apache-2.0
 *
 * unpack.c - an archive, into files and folders
 *
 * Theory of operation
 *   Each entry's name is cleaned, its first component exchanged for what the place says, and its parent opened component by component
 *   from the place's folder. Where the archive is not trusted, no component may be a symbolic link, so that a link which an entry has made leads
 *   no later one out; what is not followed cannot be raced. Folders are made so that we may write into them; their own permissions and
 *   times come last, when nothing is put into them any more.
 */
#include "tar/unpack.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/fd.h"
#include "tar/large.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAME_MAX_BYTES ((size_t) 64 << 10) /* of an entry, as the reader has it */
#define FOLDERS_MAX_BYTES ((size_t) 256 << 20)
#define OWNERS_LOST "owners could not be kept: only root may give files away"

/* A folder's own attributes, waiting for the end. */
typedef struct late_folder {
    struct late_folder *before; /* the one that was named before it */
    struct timespec mtime;
    uint32_t mode, uid, gid;
    char name[];
} late_folder;

typedef struct unpacker {
    tar_reader *reader;
    const tar_unpack_options *options;
    nb_error *err;
    tar_place place;
    char root[NAME_MAX + 1]; /* the first entry's first component; "" where it is the folder itself */
    buf name, target;        /* of the entry, and of the file that it is a hard link to: below the place's folder */
    buf parent_name;         /* of the folder that is open as parent */
    uint8_t *block;          /* of a large file; NULL until there was one */
    int parent;              /* -1: none */
    late_folder *folders;    /* the last named first */
    size_t folders_bytes;
    bool finishing; /* nothing new is made any more */
    bool told_owner, told_attributes, told_special;
} unpacker;

static void notice(unpacker *u, bool *told, const char *sentence) {
    if (u->options->on_notice && !*told)
        u->options->on_notice(u->options->user, sentence);
    *told = true;
}

static int fail(unpacker *u, const char *what, const char *name) {
    return nb_fail(u->err, nb_code_of_errno(errno), errno, "%s '%s'", what, name);
}

/* ---------------------------------------------------------------------------------------------------------------- names */

/* The next component of *@at, which moves behind it. 0: there is none. */
static size_t next_component(const char **at, const char **ret_component) {
    *at += strspn(*at, "/");
    size_t length = strcspn(*at, "/");
    *ret_component = *at;
    *at += length;
    return length;
}

static bool is(const char *component, size_t length, const char *text) {
    return strlen(text) == length && memcmp(component, text, length) == 0;
}

static bool add_component(buf *path, const char *component, size_t length) {
    return (buf_length(path) == 0 || buf_append(path, "/", 1)) && buf_append(path, component, length);
}

/* An entry's name, or a hard link's target, as a path below the place's folder; empty for the folder itself. */
static int clean_name(unpacker *u, const char *name, buf *ret_path) {
    const char *at = name, *component;
    bool renamed = !u->place.as_it_says && strcmp(u->place.name, ".") != 0, first = !u->place.as_it_says && u->root[0] != '\0';
    buf_clear(ret_path);
    if (renamed && !add_component(ret_path, u->place.name, strlen(u->place.name)))
        return nb_fail_oom(u->err);
    for (size_t length; (length = next_component(&at, &component)) > 0;) {
        if (is(component, length, "."))
            continue;
        if (is(component, length, ".."))
            return nb_fail(u->err, NB_E_INVALID, 0, "the archive's name '%s' leads out of its folder", name);
        if (first) {
            first = false;
            if (!is(component, length, u->root))
                return nb_fail(u->err, NB_E_INVALID, 0, "the archive's '%s' is not within '%s'", name, u->root);
            continue; /* the place's name stands for it */
        }
        if (!add_component(ret_path, component, length))
            return nb_fail_oom(u->err);
    }
    return buf_append(ret_path, "", 1) ? 0 : nb_fail_oom(u->err);
}

static const char *text_of(const buf *path) {
    return (const char *) buf_bytes(path);
}

static int find_root(unpacker *u, const char *first_name) {
    const char *at = first_name, *component;
    size_t length = next_component(&at, &component);
    while (is(component, length, "."))
        length = next_component(&at, &component);
    if (length > NAME_MAX)
        return nb_fail(u->err, NB_E_INVALID, ENAMETOOLONG, "use the archive's name '%.64s...'", component);
    (void) snprintf(u->root, sizeof(u->root), "%.*s", (int) length, component);
    return 0;
}

/* One component further. @from is closed unless it is the place's folder. The folder, or -1 with errno. */
static int enter(unpacker *u, int from, const char *component, size_t length) {
    char name[NAME_MAX + 1];
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (u->options->confined ? O_NOFOLLOW : 0), to = -1;
    if (length > NAME_MAX) {
        errno = ENAMETOOLONG;
    } else {
        (void) snprintf(name, sizeof(name), "%.*s", (int) length, component);
        to = openat(from, name, flags);
        if (to < 0 && errno == ENOENT && !u->finishing && mkdirat(from, name, 0755) == 0)
            to = openat(from, name, flags);
    }
    if (from != u->place.folder) {
        int error = errno;
        (void) fd_close(from);
        errno = error;
    }
    return to;
}

/* The folder that @path is in, which stays open until another is asked for; missing ones are made before the end. @ret_name points into @path. */
static int open_parent(unpacker *u, const char *path, int *ret_folder, const char **ret_name) {
    const char *slash = strrchr(path, '/'), *at = path, *component;
    size_t parent_bytes = slash ? (size_t) (slash - path) : 0;
    *ret_name = slash ? slash + 1 : path;
    if (u->parent >= 0 && buf_length(&u->parent_name) == parent_bytes &&
        (parent_bytes == 0 || memcmp(buf_bytes(&u->parent_name), path, parent_bytes) == 0)) {
        *ret_folder = u->parent;
        return 0;
    }
    if (u->parent != u->place.folder)
        (void) fd_close(u->parent);
    u->parent = -1;
    int folder = u->place.folder;
    while (folder >= 0 && at < *ret_name) {
        size_t length = next_component(&at, &component);
        if (component == *ret_name)
            break;
        folder = enter(u, folder, component, length);
    }
    if (folder < 0)
        return fail(u, "open the folder of", path);
    buf_clear(&u->parent_name);
    if (!buf_append(&u->parent_name, path, parent_bytes)) {
        if (folder != u->place.folder)
            (void) fd_close(folder);
        return nb_fail_oom(u->err);
    }
    *ret_folder = u->parent = folder;
    return 0;
}

/* ----------------------------------------------------------------------------------------------------------- attributes */

static mode_t mode_of(const unpacker *u, uint32_t mode) {
    return mode & (u->options->confined ? 01777 : 07777);
}

static void keep_owner(unpacker *u, int folder, const char *name, const tar_entry *entry) {
    if (u->options->owners && fchownat(folder, name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
        notice(u, &u->told_owner, OWNERS_LOST);
}

static void keep_attributes(unpacker *u, int fd, const tar_entry *entry) {
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const tar_xattr *x = &entry->xattrs[i];
        if (u->options->confined && strncmp(x->name, "user.", strlen("user.")) != 0)
            continue;
        if (fsetxattr(fd, x->name, x->value, x->length, 0) < 0)
            notice(u, &u->told_attributes, "extended attributes could not all be kept");
    }
}

static struct timespec mtime_of(const tar_entry *entry) {
    return (struct timespec){.tv_sec = (time_t) entry->mtime_s, .tv_nsec = (long) entry->mtime_ns};
}

static void keep_mtime(int folder, const char *name, struct timespec mtime) {
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, mtime};
    (void) utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW); /* a file system that cannot keep it rounds */
}

/* -------------------------------------------------------------------------------------------------------------- entries */

/* Makes way for an entry that is no folder. */
static int clear_way(unpacker *u, int folder, const char *name) {
    struct stat status;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fail(u, "look at", text_of(&u->name));
    if (S_ISDIR(status.st_mode))
        return nb_fail(u->err, NB_E_INVALID, EISDIR, "replace the folder '%s' by a file", text_of(&u->name));
    /* EBUSY: something is mounted on it, which is then written in place */
    return unlinkat(folder, name, 0) < 0 && errno != EBUSY ? fail(u, "replace", text_of(&u->name)) : 0;
}

/* Whether the file's bytes are to go past the cache. */
static bool is_large(unpacker *u, int fd, const tar_entry *entry) {
    struct stat status;
    if (!u->options->past_cache || entry->sparse || entry->size < LARGE_FILE_MIN_BYTES || fstat(fd, &status) < 0)
        return false;
    if (!u->block)
        u->block = large_block_new();
    return u->block && large_begin(fd, &status, entry->size);
}

static int write_content(unpacker *u, int fd, const tar_entry *entry) {
    large_writer large = {.fd = fd};
    const uint8_t *bytes;
    size_t length;
    uint64_t offset;
    if (is_large(u, fd, entry))
        large.block = u->block;
    for (;;) {
        int result = tar_read(u->reader, &bytes, &length, &offset, u->err);
        if (result < 0)
            return result;
        if (length == 0)
            break;
        if (large.block ? large_write(&large, bytes, length) < 0 : fd_pwrite_all(fd, bytes, length, offset) < 0)
            return fail(u, "write", text_of(&u->name));
    }
    if (large.block && large_finish(&large) < 0)
        return fail(u, "write", text_of(&u->name));
    bool hole = entry->sparse && entry->size > 0; /* at its end, perhaps */
    return hole && ftruncate(fd, (off_t) entry->size) < 0 ? fail(u, "write", text_of(&u->name)) : 0;
}

/* What a new file has already is not set again: each time is an entry in the file system's journal, a tenth of what a small file costs. */
static int finish_file(unpacker *u, int fd, const tar_entry *entry) {
    struct stat status;
    bool owners = u->options->owners;
    if (fstat(fd, &status) < 0)
        return fail(u, "look at", text_of(&u->name));
    if (owners && (status.st_uid != entry->uid || status.st_gid != entry->gid)) {
        if (fchown(fd, entry->uid, entry->gid) < 0)
            notice(u, &u->told_owner, OWNERS_LOST);
        status.st_mode = 0; /* some of its bits may have gone */
    }
    keep_attributes(u, fd, entry);
    if ((status.st_mode & 07777) != mode_of(u, entry->mode) && fchmod(fd, mode_of(u, entry->mode)) < 0)
        return fail(u, "set the permissions of", text_of(&u->name));
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, mtime_of(entry)};
    (void) futimens(fd, times); /* a file system that cannot keep it rounds */
    return 0;
}

/* A file of its own, or where something is mounted on the name, that, anew. */
static int open_file(unpacker *u, int folder, const char *name, const tar_entry *entry, bool *ret_made) {
    const int flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC;
    /* Nobody but its owner to be may read what somebody else has made. */
    mode_t mode = u->options->owners && entry->uid != geteuid() ? 0600 : mode_of(u, entry->mode) & 0777;
    int fd = openat(folder, name, flags | O_CREAT | O_EXCL, mode);
    if (fd < 0 && errno == EEXIST) {
        int result = clear_way(u, folder, name);
        if (result < 0)
            return result;
        fd = openat(folder, name, flags | O_CREAT | O_EXCL, mode);
    }
    *ret_made = fd >= 0;
    if (fd < 0 && errno == EEXIST && !u->options->confined)
        fd = openat(folder, name, flags | O_TRUNC | O_NONBLOCK);
    return fd < 0 ? fail(u, "make the file", text_of(&u->name)) : fd;
}

static int make_file(unpacker *u, int folder, const char *name, const tar_entry *entry) {
    bool made;
    int fd = open_file(u, folder, name, entry, &made);
    if (fd < 0)
        return fd;
    int result = write_content(u, fd, entry);
    if (result == 0)
        result = finish_file(u, fd, entry);
    (void) fd_close(fd);
    if (result < 0 && made)
        (void) unlinkat(folder, name, 0);
    return result;
}

static int remember_folder(unpacker *u, const tar_entry *entry) {
    size_t size = sizeof(late_folder) + buf_length(&u->name);
    late_folder *late = size <= FOLDERS_MAX_BYTES - u->folders_bytes ? malloc(size) : NULL;
    if (!late)
        return nb_fail_oom(u->err);
    *late = (late_folder){
        .before = u->folders,
        .mtime = mtime_of(entry),
        .mode = mode_of(u, entry->mode),
        .uid = entry->uid,
        .gid = entry->gid,
    };
    memcpy(late->name, buf_bytes(&u->name), buf_length(&u->name)); /* with its NUL */
    u->folders = late;
    u->folders_bytes += size;
    return 0;
}

static int make_folder(unpacker *u, int folder, const char *name, const tar_entry *entry) {
    struct stat status;
    if (mkdirat(folder, name, 0700) < 0) {
        if (errno != EEXIST || fstatat(folder, name, &status, u->options->confined ? AT_SYMLINK_NOFOLLOW : 0) < 0)
            return fail(u, "make the folder", text_of(&u->name));
        if (!S_ISDIR(status.st_mode))
            return nb_fail(u->err, NB_E_INVALID, ENOTDIR, "replace '%s' by a folder", text_of(&u->name));
    }
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (u->options->confined ? O_NOFOLLOW : 0));
    if (fd < 0)
        return fail(u, "open the folder", text_of(&u->name));
    keep_attributes(u, fd, entry);
    (void) fd_close(fd);
    return remember_folder(u, entry);
}

static int make_hard_link(unpacker *u, int folder, const char *name, const tar_entry *entry) {
    int result = clean_name(u, entry->link, &u->target);
    if (result < 0)
        return result;
    int to = fcntl(folder, F_DUPFD_CLOEXEC, 0); /* the other folder takes its place as the open one */
    int from;
    const char *linked;
    if (to < 0)
        return fail(u, "make the link", text_of(&u->name));
    result = open_parent(u, text_of(&u->target), &from, &linked);
    if (result == 0 && linkat(from, linked, to, name, 0) < 0)
        result = fail(u, "make the link", text_of(&u->name));
    (void) fd_close(to);
    return result;
}

static int make_special(unpacker *u, int folder, const char *name, const tar_entry *entry) {
    if (u->options->confined) {
        notice(u, &u->told_special, "devices and FIFOs were left out");
        return 0;
    }
    mode_t kind = entry->kind == TAR_FIFO ? S_IFIFO : entry->kind == TAR_BLOCK_DEVICE ? S_IFBLK : S_IFCHR;
    if (mknodat(folder, name, kind | 0600, makedev(entry->major, entry->minor)) < 0)
        return fail(u, "make the device", text_of(&u->name));
    keep_owner(u, folder, name, entry);
    (void) fchmodat(folder, name, mode_of(u, entry->mode), 0);
    keep_mtime(folder, name, mtime_of(entry));
    return 0;
}

static int make_symbolic_link(unpacker *u, int folder, const char *name, const tar_entry *entry) {
    if (symlinkat(entry->link, folder, name) < 0)
        return fail(u, "make the link", text_of(&u->name));
    keep_owner(u, folder, name, entry);
    keep_mtime(folder, name, mtime_of(entry));
    return 0;
}

static int make_entry(unpacker *u, const tar_entry *entry) {
    int folder;
    const char *name;
    int result = clean_name(u, entry->name, &u->name);
    if (result < 0)
        return result;
    if (text_of(&u->name)[0] == '\0') /* the place's folder itself, which keeps what it has */
        return entry->kind == TAR_FOLDER ? 0 : nb_fail(u->err, NB_E_INVALID, 0, "an entry of the archive has no name");
    result = open_parent(u, text_of(&u->name), &folder, &name);
    if (result == 0 && entry->kind != TAR_FOLDER && entry->kind != TAR_FILE)
        result = clear_way(u, folder, name);
    if (result < 0)
        return result;
    switch (entry->kind) {
    case TAR_FILE:
        return make_file(u, folder, name, entry);
    case TAR_FOLDER:
        return make_folder(u, folder, name, entry);
    case TAR_HARD_LINK:
        return make_hard_link(u, folder, name, entry);
    case TAR_SYMBOLIC_LINK:
        return make_symbolic_link(u, folder, name, entry);
    default:
        return make_special(u, folder, name, entry);
    }
}

/* A folder that somebody has moved since is let be. */
static void finish_folder(unpacker *u, const late_folder *late) {
    int folder;
    const char *name;
    if (open_parent(u, late->name, &folder, &name) < 0)
        return;
    int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (u->options->confined ? O_NOFOLLOW : 0));
    if (fd < 0)
        return;
    if (u->options->owners && fchown(fd, late->uid, late->gid) < 0)
        notice(u, &u->told_owner, OWNERS_LOST);
    (void) fchmod(fd, late->mode);
    (void) futimens(fd, (const struct timespec[2]){{.tv_nsec = UTIME_OMIT}, late->mtime});
    (void) fd_close(fd);
}

/* Innermost first would be right, and the last named first is: a folder is named before what is in it. */
static void finish_folders(unpacker *u) {
    nb_error *told = u->err, not_told;
    u->finishing = true;
    u->err = &not_told; /* what stopped us is the error to tell */
    while (u->folders) {
        late_folder *late = u->folders;
        finish_folder(u, late);
        u->folders = late->before;
        free(late);
    }
    u->err = told;
}

static int unpack_all(unpacker *u) {
    const tar_entry *entry;
    int result = tar_next(u->reader, &entry, u->err);
    if (result <= 0)
        return result == 0 ? nb_fail(u->err, NB_E_IMAGE, 0, "the archive is empty") : result;
    result = find_root(u, entry->name);
    if (result == 0)
        result = u->options->place(u->options->user, entry, &u->place, u->err);
    if (result < 0)
        return result;
    int found = 1;
    while (found > 0) {
        result = make_entry(u, entry);
        if (result < 0)
            break;
        result = found = tar_next(u->reader, &entry, u->err);
    }
    finish_folders(u);
    return result;
}

int tar_unpack(tar_reader *reader, const tar_unpack_options *options, nb_error *err) {
    unpacker u = {.reader = reader, .options = options, .err = err, .place = {.folder = -1}, .parent = -1};
    buf_init(&u.name, NAME_MAX_BYTES);
    buf_init(&u.target, NAME_MAX_BYTES);
    buf_init(&u.parent_name, NAME_MAX_BYTES);
    int result = unpack_all(&u);
    if (u.parent != u.place.folder)
        (void) fd_close(u.parent);
    (void) fd_close(u.place.folder);
    free(u.block);
    buf_done(&u.name);
    buf_done(&u.target);
    buf_done(&u.parent_name);
    return result;
}
