/* SPDX-License-Identifier: Apache-2.0
 *
 * check.h - whether a request of the guest's has the form that libfuse takes for granted
 *
 * libfuse trusts who sends it requests to be a kernel: it reads names to their NUL and structs whole, wherever the message ends. Here a guest
 * sends them, which may be anything. So every request is held to the layout of its operation first (linux/fuse.h), and operations that this
 * server does not have are renamed to one that libfuse itself refuses.
 */
#ifndef FILES_CHECK_H
#define FILES_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A request is at most this long: what the box may write with one, and its headers. */
#define CHECK_WRITE_MAX_BYTES (112u << 10)
#define CHECK_REQUEST_MAX_BYTES (CHECK_WRITE_MAX_BYTES + 4096u)

typedef struct check_state {
    bool initialised; /* INIT has come, and must not come again */
} check_state;

/* Looks at one request, whole and aligned for uint64_t. The server's answer to a form that no kernel sends is to end: false. Where the operation
 * is not served, its number is changed, so that libfuse answers ENOSYS. */
bool check_request(check_state *state, uint8_t *bytes, size_t length);

#endif
