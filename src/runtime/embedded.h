/* SPDX-License-Identifier: Apache-2.0
 *
 * embedded.h - the helper programs that the library carries
 */
#ifndef RUNTIME_EMBEDDED_H
#define RUNTIME_EMBEDDED_H

#include "base/error.h"
#include "base/log.h"

#include <stddef.h>
#include <stdint.h>

typedef struct embedded_program {
    const char *name;
    const uint8_t *bytes;
    size_t length;
    const char *sha256; /* 64 hexadecimal digits, worked out by the build */
} embedded_program;

/* Made by tools/embed. */
extern const embedded_program embedded_shim, embedded_image, embedded_fetch, embedded_files, embedded_guest;

/* Opens the program's copy in @cache (the home's folder for such copies), writing it there first where it is missing or damaged. What is
 * returned was compared with it, whole, just now.
 *
 * @ret_path  where it is, or NULL if not wanted; the caller's
 * The descriptor (read-only, CLOEXEC), or -NB_E_...: any failure is final, the program is not run. */
int embedded_open(const embedded_program *program, int cache, const char *cache_path, const log_sink *log, char **ret_path, nb_error *err);

#endif
