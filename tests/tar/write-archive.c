/* SPDX-License-Identifier: Apache-2.0
 *
 * write-archive.c - writes a tar archive, so that a test can give it to other readers
 *
 * usage: write-archive <ENTRIES >ARCHIVE
 *
 * One line for each entry, fields separated by tabs, names and values as percent-escaped bytes:
 *     TYPE PATH TARGET MODE UID GID MTIME_S MTIME_NS MAJOR MINOR SIZE MAP XATTRS
 * MAP is - for a file without one, otherwise OFFSET:LENGTH with commas between them. XATTRS are NAME=VALUE with commas between them. The
 * byte at offset N of a file is the letter of the alphabet with number N modulo 26.
 */
#include "base/size.h"
#include "tar/limits.h"
#include "tar/writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECES_MAX 1000u

static const struct {
    const char *name;
    enum tar_kind kind;
} kinds[] = {
    {"file", TAR_FILE},
    {"hardlink", TAR_HARD_LINK},
    {"symlink", TAR_SYMBOLIC_LINK},
    {"character", TAR_CHARACTER_DEVICE},
    {"block", TAR_BLOCK_DEVICE},
    {"folder", TAR_FOLDER},
    {"fifo", TAR_FIFO},
};

static _Noreturn void fail(const char *what) {
    (void) fprintf(stderr, "write-archive: %s\n", what);
    exit(1);
}

static char *next_field(char **line) {
    char *field = strsep(line, "\t");
    if (!field)
        fail("a line has too few fields");
    return field;
}

static int64_t number_of(const char *text, int base) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, base);
    if (errno || end == text || *end != '\0')
        fail("a number is none");
    return number;
}

/* In place; the bytes end in a NUL, and may have others. */
static size_t unescape(char *text) {
    char *to = text;
    for (const char *at = text; *at; at++) {
        unsigned byte;
        if (*at != '%')
            *to++ = *at;
        else if (sscanf(at, "%%%2x", &byte) == 1) {
            *to++ = (char) byte;
            at += 2;
        } else
            fail("an escape is none");
    }
    *to = '\0';
    return (size_t) (to - text);
}

static char *next_text(char **line) {
    char *text = next_field(line);
    (void) unescape(text);
    return text;
}

static void read_map(char *list, tar_entry *entry) {
    static tar_piece map[PIECES_MAX];
    entry->sparse = strcmp(list, "-") != 0;
    entry->map = map;
    while (entry->sparse && list && list[0]) {
        char *length = strsep(&list, ","), *offset = strsep(&length, ":");
        if (!length || entry->map_count == PIECES_MAX)
            fail("a map is none");
        map[entry->map_count++] = (tar_piece){(uint64_t) number_of(offset, 10), (uint64_t) number_of(length, 10)};
    }
}

static void read_xattrs(char *list, tar_entry *entry) {
    static tar_xattr xattrs[TAR_XATTRS_MAX];
    entry->xattrs = xattrs;
    while (list && list[0]) {
        char *value = strsep(&list, ","), *name = strsep(&value, "=");
        if (!value || entry->xattr_count == TAR_XATTRS_MAX)
            fail("attributes are none");
        (void) unescape(name);
        xattrs[entry->xattr_count++] = (tar_xattr){name, (const uint8_t *) value, unescape(value)};
    }
}

static void write_data(tar_writer *writer, tar_piece piece) {
    static uint8_t bytes[26 * 1000];
    nb_error err;
    while (piece.length > 0) {
        size_t now = piece.length < sizeof(bytes) ? (size_t) piece.length : sizeof(bytes);
        for (size_t i = 0; i < now; i++)
            bytes[i] = (uint8_t) ('a' + (piece.offset + i) % 26);
        if (tar_write(writer, bytes, now, &err) < 0)
            fail(err.message);
        piece.offset += now;
        piece.length -= now;
    }
}

static void write_entry(tar_writer *writer, char *line) {
    tar_entry entry = {0};
    nb_error err;
    const char *type = next_field(&line);
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        if (strcmp(kinds[i].name, type) == 0)
            entry.kind = kinds[i].kind;
    }
    if (entry.kind == 0)
        fail("a type is not known");
    entry.name = next_text(&line);
    entry.link = next_text(&line);
    entry.mode = (uint32_t) number_of(next_field(&line), 8);
    entry.uid = (uint32_t) number_of(next_field(&line), 10);
    entry.gid = (uint32_t) number_of(next_field(&line), 10);
    entry.mtime_s = number_of(next_field(&line), 10);
    entry.mtime_ns = (uint32_t) number_of(next_field(&line), 10);
    entry.major = (uint32_t) number_of(next_field(&line), 10);
    entry.minor = (uint32_t) number_of(next_field(&line), 10);
    entry.size = (uint64_t) number_of(next_field(&line), 10);
    read_map(next_field(&line), &entry);
    read_xattrs(next_field(&line), &entry);
    if (tar_put(writer, &entry, &err) < 0)
        fail(err.message);
    if (entry.kind == TAR_FILE && !entry.sparse)
        write_data(writer, (tar_piece){0, entry.size});
    for (size_t i = 0; i < entry.map_count; i++)
        write_data(writer, entry.map[i]);
}

static int write_out(void *user, const void *bytes, size_t length, nb_error *err) {
    if (fwrite(bytes, 1, length, stdout) != length)
        fail("the archive cannot be written");
    return 0;
}

int main(void) {
    CLEANUP(tar_writer_freep) tar_writer *writer = tar_writer_new((tar_output){.write = write_out});
    char *line = NULL;
    size_t capacity = 0;
    nb_error err;
    if (!writer)
        fail("out of memory");
    for (ssize_t length; (length = getline(&line, &capacity, stdin)) > 0;) {
        line[length - 1] = '\0';
        write_entry(writer, line);
    }
    free(line);
    if (tar_finish(writer, &err) < 0)
        fail(err.message);
    return fflush(stdout) == 0 ? 0 : 1;
}
