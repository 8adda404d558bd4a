/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h - where a program's decisions are written down
 *
 * A log is a value that is passed in, never a global: the library has its caller's function in it, the shim a file, the guest
 * the kernel's console. Lines read "area: sentence: key values".
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>

typedef enum log_level {
    LOG_LEVEL_ERROR = 0,
    LOG_LEVEL_WARNING = 1,
    LOG_LEVEL_INFO = 2,
    LOG_LEVEL_DEBUG = 3,
} log_level;

#define LOG_LINE_SIZE 1024 /* longer lines are cut */

typedef struct log_sink {
    void (*write)(void *user, int level, const char *line); /* NULL: nothing is logged; @line has no newline */
    void *user;
    int max_level; /* lines above this are not formatted */
} log_sink;

/* @log may be NULL. */
void log_write(const log_sink *log, log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define log_error(log, ...) log_write(log, LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(log, ...) log_write(log, LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(log, ...) log_write(log, LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(log, ...) log_write(log, LOG_LEVEL_DEBUG, __VA_ARGS__)

const char *log_level_name(int level);

#endif
