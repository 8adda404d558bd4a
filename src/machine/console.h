/* SPDX-License-Identifier: Apache-2.0
 *
 * console.h - keeping what the guest's kernel says, within a bound
 */
#ifndef MACHINE_CONSOLE_H
#define MACHINE_CONSOLE_H

#include "base/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A guest writes as much as it likes; of that the host's disk keeps this much. */
#define CONSOLE_FILE_MAX_BYTES ((size_t) 1 << 20)
#define CONSOLE_TAIL_BYTES ((size_t) 8 << 10)

typedef struct console {
    int fd; /* borrowed */
    uint64_t length;
    bool failed; /* the file refused a write; only the tail is kept from then on */
    size_t tail_length;
    char tail[CONSOLE_TAIL_BYTES];
} console;

/* Empties the file. @fd is a regular file, open read-write, borrowed until the console is no longer used. 0, or -1 with errno. */
int console_init(console *c, int fd);

void console_append(console *c, const void *bytes, size_t length, const log_sink *log);

/* The last whole lines that fit, printable: no control characters but newlines; NUL-terminated. */
void console_tail(const console *c, char *text, size_t size);

#endif
