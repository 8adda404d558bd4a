/* SPDX-License-Identifier: Apache-2.0
 *
 * source.c - where the documents and blobs of an image lie: a folder, or a tar archive of one
 *
 * Paths come from digests that were checked, or from the image's own documents, which may say anything. In an archive they are only
 * compared with names. In a folder they are walked one component at a time, without links, '..' or anything but folders and files.
 */
#include "image/source.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/size.h"
#include "image/limits.h"
#include "tar/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Links to links in an archive: docker save makes one level. */
#define MEMBER_LINKS_MAX 4u

typedef struct member {
    char *name; /* clean: no leading slash, no '.' and '..' */
    char *link; /* of a symbolic link: clean, from the archive's root; otherwise NULL */
    uint64_t offset, size;
    size_t order; /* of two members with one name the later counts */
} member;

struct source {
    int fd;
    uint64_t document_max_bytes;
    bool is_archive;
    member *members; /* sorted by name */
    size_t count, capacity;
};

void source_free(source *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++) {
        free(s->members[i].name);
        free(s->members[i].link);
    }
    free(s->members);
    free(s);
}

int source_open_folder(int fd, uint64_t document_max_bytes, source **ret_source, nb_error *err) {
    source *s = calloc(1, sizeof(*s));
    if (!s)
        return nb_fail_oom(err);
    s->fd = fd;
    s->document_max_bytes = document_max_bytes;
    *ret_source = s;
    return 0;
}

/* @path, seen from the folder of @from (NULL: the root), as text alone. Owned by the caller; NULL: out of memory. */
static char *clean_name(const char *from, const char *path) {
    const char *slash = from && path[0] != '/' ? strrchr(from, '/') : NULL;
    size_t used = slash ? (size_t) (slash - from) : 0;
    char *clean = malloc(used + strlen(path) + 2);
    if (!clean)
        return NULL;
    if (used > 0)
        memcpy(clean, from, used);
    path_clean(clean, used, path);
    return clean;
}

/* The archive as a tar_input: pread(2), and a skip that only counts. */
typedef struct archive_cursor {
    int fd;
    uint64_t at, size;
    const image_watch *watch;
} archive_cursor;

static int cursor_read(void *user, void *into, size_t size, size_t *ret_length, nb_error *err) {
    archive_cursor *cursor = user;
    ssize_t length;
    do {
        length = pread(cursor->fd, into, size, (off_t) cursor->at);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "read the archive");
    cursor->at += (uint64_t) length;
    *ret_length = (size_t) length;
    if (cursor->watch->progress)
        cursor->watch->progress(cursor->watch->user, "reading the archive's index", "", cursor->at, cursor->size);
    return 0;
}

static int cursor_skip(void *user, uint64_t length, nb_error *err) {
    archive_cursor *cursor = user;
    if (length > cursor->size - cursor->at)
        return nb_fail(err, NB_E_IMAGE, 0, "read the archive: it is cut short");
    cursor->at += length;
    return 0;
}

static int add_member(source *s, const tar_entry *entry, nb_error *err) {
    if (s->count == IMAGE_ARCHIVE_MEMBERS_MAX)
        return nb_fail(err, NB_E_IMAGE, 0, "read the archive: it has more than %u members", IMAGE_ARCHIVE_MEMBERS_MAX);
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 64;
        member *members = reallocarray(s->members, capacity, sizeof(*members));
        if (!members)
            return nb_fail_oom(err);
        s->members = members;
        s->capacity = capacity;
    }
    member m = {.name = clean_name(NULL, entry->name), .offset = entry->position, .size = entry->stored, .order = s->count};
    if (m.name && entry->kind == TAR_SYMBOLIC_LINK)
        m.link = clean_name(m.name, entry->link);
    else if (m.name && entry->kind == TAR_HARD_LINK)
        m.link = clean_name(NULL, entry->link);
    if (!m.name || (entry->kind != TAR_FILE && !m.link)) {
        free(m.name);
        return nb_fail_oom(err);
    }
    s->members[s->count++] = m;
    return 0;
}

static int compare_members(const void *a, const void *b) {
    const member *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->order < y->order ? -1 : 1;
}

static bool is_compressed(int fd) {
    static const char *const magics[] = {"\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd\x37zXZ", "BZh"};
    uint8_t head[8];
    ssize_t length = pread(fd, head, sizeof(head), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(magics); i++) {
        size_t magic = strlen(magics[i]);
        if (length >= (ssize_t) magic && memcmp(head, magics[i], magic) == 0)
            return true;
    }
    return false;
}

int source_open_archive(int fd, uint64_t document_max_bytes, const image_watch *watch, source **ret_source, nb_error *err) {
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "look at the archive");
    if (!S_ISREG(stat.st_mode))
        return nb_fail(err, NB_E_IMAGE, 0, "read the archive: it is no regular file, and must be read in more than one place");
    if (is_compressed(fd))
        return nb_fail_hint(err, nb_fail(err, NB_E_IMAGE, 0, "read the archive: it is compressed, and must be read in more than one place"),
                            "decompress it first");
    archive_cursor cursor = {.fd = fd, .size = (uint64_t) stat.st_size, .watch = watch};
    CLEANUP(source_freep) source *s = calloc(1, sizeof(*s));
    CLEANUP(tar_reader_freep) tar_reader *reader = tar_reader_new((tar_input){cursor_read, cursor_skip, &cursor});
    if (!s || !reader)
        return nb_fail_oom(err);
    s->fd = fd;
    s->document_max_bytes = document_max_bytes;
    s->is_archive = true;
    const tar_entry *entry;
    int r;
    while ((r = tar_next(reader, &entry, err)) == 1) {
        bool wanted = (entry->kind == TAR_FILE && !entry->sparse) || entry->kind == TAR_SYMBOLIC_LINK || entry->kind == TAR_HARD_LINK;
        r = wanted ? add_member(s, entry, err) : 0;
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    if (s->count > 0)
        qsort(s->members, s->count, sizeof(*s->members), compare_members);
    *ret_source = take_ptr(&s);
    return 0;
}

/* The last member of that name. */
static const member *find_member(const source *s, const char *name) {
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(s->members[middle].name, name) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && strcmp(s->members[low - 1].name, name) == 0 ? &s->members[low - 1] : NULL;
}

static int find_in_archive(const source *s, const char *path, bool *ret_found, blob *ret_blob, nb_error *err) {
    CLEANUP(cleanup_free) char *name = clean_name(NULL, path);
    if (!name)
        return nb_fail_oom(err);
    const member *m = find_member(s, name);
    for (unsigned links = 0; m && m->link; links++) {
        if (links == MEMBER_LINKS_MAX)
            return nb_fail(err, NB_E_IMAGE, 0, "open '%.300s' in the archive: it is a link to a link to a link", path);
        m = find_member(s, m->link);
    }
    *ret_found = m != NULL;
    if (m)
        *ret_blob = (blob){.fd = s->fd, .seekable = true, .offset = m->offset, .size = m->size};
    return 0;
}

static int find_in_folder(const source *s, const char *path, bool *ret_found, blob *ret_blob, nb_error *err) {
    CLEANUP(cleanup_fd) int fd = -1;
    for (const char *at = path;;) {
        char name[IMAGE_NAME_MAX_BYTES + 1];
        size_t length = strcspn(at, "/");
        bool last = at[length] == '\0';
        if (length == 0 || length > IMAGE_NAME_MAX_BYTES || strncmp(at, "..", length) == 0)
            return nb_fail(err, NB_E_IMAGE, 0, "open '%.300s' in the image's folder: such a path is not allowed", path);
        memcpy(name, at, length);
        name[length] = '\0';
        int next = openat(fd < 0 ? s->fd : fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (last ? 0 : O_DIRECTORY));
        if (next < 0 && errno == ENOENT) {
            *ret_found = false;
            return 0;
        }
        if (next < 0)
            return nb_fail(err, errno == EACCES ? NB_E_PERMISSION : NB_E_IMAGE, errno, "open '%.300s' in the image's folder", path);
        (void) fd_close(fd);
        fd = next;
        if (last)
            break;
        at += length + 1;
    }
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return nb_fail(err, NB_E_STORAGE, errno, "look at '%.300s' in the image's folder", path);
    if (!S_ISREG(stat.st_mode))
        return nb_fail(err, NB_E_IMAGE, 0, "open '%.300s' in the image's folder: it is no regular file", path);
    *ret_found = true;
    *ret_blob = (blob){.fd = take_fd(&fd), .owned = true, .seekable = true, .size = (uint64_t) stat.st_size};
    return 0;
}

int source_find(const source *s, const char *path, bool *ret_found, blob *ret_blob, nb_error *err) {
    return s->is_archive ? find_in_archive(s, path, ret_found, ret_blob, err) : find_in_folder(s, path, ret_found, ret_blob, err);
}

int source_open(const source *s, const char *path, blob *ret_blob, nb_error *err) {
    bool found;
    int r = source_find(s, path, &found, ret_blob, err);
    if (r == 0 && !found)
        return nb_fail(err, NB_E_IMAGE, 0, "open '%.300s' in the image: there is no such file", path);
    return r;
}

int source_read_document(const source *s, const char *path, const blob_promise *promise, char **ret_text, size_t *ret_length,
                         nb_error *err) {
    CLEANUP(blob_done) blob b = {.fd = -1};
    int r = source_open(s, path, &b, err);
    if (r == 0 && b.size > s->document_max_bytes)
        r = image_limit_hint(err,
                             nb_fail(err, NB_E_EXHAUSTED, 0, "read a document of the image: it has more than %llu bytes",
                                     (unsigned long long) s->document_max_bytes),
                             "max_manifest_bytes");
    return r < 0 ? r : blob_read(&b, promise, IMAGE_JSON_MAX_BYTES, ret_text, ret_length, err);
}
