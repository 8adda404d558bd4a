/* SPDX-License-Identifier: Apache-2.0
 *
 * event-log.c - what has happened in a home: adding to its log, and understanding a line of it
 */
#include "base/event-log.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/lock.h"
#include "base/quantity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whoever holds the lock is about to write a line. One that was stopped in the middle of that holds up nobody for longer. */
#define LOCK_WAIT_MS 200

/* ------------------------------------------------------------------------------------------------------------- writing */

bool event_attribute(buf *attributes, const char *key_and_equals, const char *value) {
    size_t before = buf_length(attributes);
    if (buf_append(attributes, key_and_equals, strlen(key_and_equals)) && buf_append(attributes, value, strlen(value) + 1))
        return true;
    buf_truncate(attributes, before);
    return false;
}

/* What separates words, and what says that it does not, is written as %XX. */
static bool is_plain(unsigned char c) {
    return c > ' ' && c != '%' && c != 0x7f;
}

static bool add_word(buf *line, const char *word) {
    for (; *word; word++) {
        char escaped[4];
        unsigned char c = (unsigned char) *word;
        bool plain = is_plain(c);
        if (!plain)
            (void) snprintf(escaped, sizeof(escaped), "%%%02X", c);
        if (!buf_append(line, plain ? word : escaped, plain ? 1 : 3))
            return false;
    }
    return buf_append(line, " ", 1);
}

static bool compose(buf *line, const char *kind, const char *action, const char *subject, strv attributes) {
    char time[32];
    int length = snprintf(time, sizeof(time), "\n%" PRIu64 " ", clock_wall_ms());
    if (!buf_append(line, time, (size_t) length) || !add_word(line, kind) || !add_word(line, action) || !add_word(line, subject))
        return false;
    for (const char *attribute = NULL; (attribute = strv_next(attributes, attribute));) {
        size_t before = buf_length(line);
        if (!add_word(line, attribute))
            buf_truncate(line, before);
    }
    buf_bytes(line)[buf_length(line) - 1] = '\n';
    return true;
}

static int open_log(int home) {
    return openat(home, EVENT_LOG_FILE, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* Whether the log is still the file that is open as @fd. */
static bool is_current(int home, int fd, off_t *ret_bytes) {
    struct stat ours, current;
    if (fstat(fd, &ours) < 0)
        return false;
    *ret_bytes = ours.st_size;
    return fstatat(home, EVENT_LOG_FILE, &current, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == current.st_ino &&
           ours.st_dev == current.st_dev;
}

/* The log, locked, with room for a line. The descriptor, or -1 with errno. */
static int take_log(int home) {
    deadline until = deadline_in(LOCK_WAIT_MS);
    for (;;) {
        CLEANUP(cleanup_fd) int fd = open_log(home);
        off_t bytes = 0;
        if (fd < 0 || (lock_wait(fd, LOCK_WAIT_MS) < 0 && errno != EAGAIN))
            return -1;
        bool current = is_current(home, fd, &bytes);
        if (current && bytes < EVENT_LOG_MAX_BYTES)
            return take_fd(&fd);
        if (current && renameat(home, EVENT_LOG_FILE, home, EVENT_LOG_OLD_FILE) < 0)
            return -1;
        if (deadline_passed(until)) {
            errno = EAGAIN;
            return -1;
        }
    }
}

int event_log_append(int home, const char *kind, const char *action, const char *subject, strv attributes) {
    CLEANUP(buf_done) buf line;
    buf_init(&line, EVENT_LINE_MAX_BYTES);
    errno = ENOMEM;
    if (!compose(&line, kind, action, subject, attributes))
        return -1;
    CLEANUP(cleanup_fd) int fd = take_log(home);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, buf_bytes(&line), buf_length(&line)); /* in one piece, or it is torn */
    if (n >= 0 && (size_t) n < buf_length(&line))
        errno = ENOSPC;
    return n == (ssize_t) buf_length(&line) ? 0 : -1;
}

/* ------------------------------------------------------------------------------------------------------------- reading */

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What the %XX at @from stands for, or 0: it is none. */
static char unescape(const char *from, const char *end) {
    int high = end - from >= 3 ? hex_digit(from[1]) : -1, low = high < 0 ? -1 : hex_digit(from[2]);
    return low < 0 ? '\0' : (char) (high << 4 | low);
}

/* Takes the word at *@at off the line, NUL-terminated and decoded in place. NULL: there is none, or it is malformed. */
static char *take_word(char **at, const char *end) {
    char *word = *at, *to = *at, *from = *at;
    while (from < end && *from != ' ') {
        bool escaped = *from == '%';
        char c = escaped ? unescape(from, end) : *from;
        if (c == '\0' || (!escaped && !is_plain((unsigned char) c)))
            return NULL;
        *to++ = c;
        from += escaped ? 3 : 1;
    }
    *at = from < end ? from + 1 : from;
    if (to == word)
        return NULL;
    *to = '\0';
    return word;
}

bool event_line_parse(char *line, size_t length, buf *attributes, event_record *ret_event) {
    char *at = line;
    const char *end = line + length;
    event_record event = {0};
    buf_clear(attributes);
    const char *time = take_word(&at, end);
    event.kind = time ? take_word(&at, end) : NULL;
    event.action = event.kind ? take_word(&at, end) : NULL;
    event.subject = event.action ? take_word(&at, end) : NULL;
    if (!event.subject || !quantity_count(time, 1, UINT64_MAX, &event.at_ms))
        return false;
    while (at < end) {
        const char *attribute = take_word(&at, end);
        if (!attribute || !strchr(attribute, '=') || !strv_add(attributes, attribute))
            return false;
    }
    event.attributes = strv_of(attributes);
    *ret_event = event;
    return true;
}
