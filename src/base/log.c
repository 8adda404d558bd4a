/* SPDX-License-Identifier: Apache-2.0
 *
 * log.c - where a program's decisions are written down
 */
#include "base/log.h"

#include "base/size.h"

#include <errno.h>
#include <stdio.h>

void log_write(const log_sink *log, log_level level, const char *format, ...) {
    if (!log || !log->write || (int) level > log->max_level)
        return;
    int saved = errno;
    char line[LOG_LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (length >= 0) {
        for (char *c = line; *c; c++) {
            if ((unsigned char) *c < ' ' || *c == 0x7f)
                *c = '?'; /* guest and user strings must not forge lines */
        }
        log->write(log->user, (int) level, line);
    }
    errno = saved;
}

const char *log_level_name(int level) {
    static const char *const names[] = {"error", "warning", "info", "debug"};
    return level >= 0 && (size_t) level < ARRAY_LENGTH(names) ? names[level] : "?";
}
