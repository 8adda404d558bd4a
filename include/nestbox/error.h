/* SPDX-License-Identifier: Apache-2.0
 *
 * error.h - how every Nestbox call reports what went wrong
 *
 * A call that can fail returns 0 or a negative code, -NB_E_..., and, when the caller passed an nb_error, fills it with the code,
 * the system's errno where there was one (else 0), and one sentence for a person. The struct belongs to the caller, has a fixed
 * size, is filled without allocating, and may be NULL everywhere.
 */
#ifndef NESTBOX_ERROR_H
#define NESTBOX_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, text, meaning): the one table of error codes. Numbers are stable and never reused. */
#define NB_ERRORS(X)                                                                                                                    \
    X(NB_E_INVALID, 1, "invalid argument", "an argument is malformed, out of range or contradictory")                                   \
    X(NB_E_NOT_FOUND, 2, "not found", "no such box, image or exec")                                                                     \
    X(NB_E_ALREADY_EXISTS, 3, "already exists", "the name is taken")                                                                    \
    X(NB_E_INVALID_STATE, 4, "invalid state", "the box is in a state that does not allow this")                                         \
    X(NB_E_STOPPED, 5, "stopped", "the box is not running")                                                                             \
    X(NB_E_BOX_GONE, 6, "box gone", "the machine ended before the answer came; the message says how")                                   \
    X(NB_E_TIMEOUT, 7, "timed out", "the bound of a wait passed; nothing was lost")                                                     \
    X(NB_E_NO_MEMORY, 8, "out of memory", "an allocation was refused")                                                                  \
    X(NB_E_STORAGE, 9, "storage error", "the home's file system refused an operation")                                                  \
    X(NB_E_DATABASE, 10, "database error", "the state database refused an operation or is damaged")                                     \
    X(NB_E_IMAGE, 11, "image error", "the image is damaged, hostile, unsupported or not to be had")                                     \
    X(NB_E_COMMAND_NOT_FOUND, 12, "command not found", "the program does not exist in the box")                                         \
    X(NB_E_COMMAND_REFUSED, 13, "command refused", "the program cannot be executed as asked: not executable, or bad user or directory") \
    X(NB_E_MACHINE, 14, "machine error", "the machine could not be started or failed")                                                  \
    X(NB_E_PROTOCOL, 15, "protocol error", "the other side sent what the protocol does not allow")                                      \
    X(NB_E_UNSUPPORTED, 16, "unsupported", "this build or host cannot do that")                                                         \
    X(NB_E_EXHAUSTED, 17, "limit reached", "a named limit was reached")                                                                 \
    X(NB_E_PERMISSION, 18, "permission denied", "the caller may not do that")                                                           \
    X(NB_E_CANCELLED, 20, "cancelled", "the caller's own callback asked for it")                                                        \
    X(NB_E_INTERNAL, 19, "internal error", "a fault of Nestbox itself")

typedef enum nb_error_code {
    NB_OK = 0,
#define NB_ERROR_ENUM(name, number, text, meaning) name = number,
    NB_ERRORS(NB_ERROR_ENUM)
#undef NB_ERROR_ENUM
} nb_error_code;

#define NB_ERROR_MESSAGE_SIZE 1024
#define NB_ERROR_HINT_SIZE 256

typedef struct nb_error {
    int code;                            /* NB_E_..., 0 when nothing failed */
    int system_errno;                    /* errno of the system call behind it, or 0 */
    char message[NB_ERROR_MESSAGE_SIZE]; /* one line, always terminated; longer text is cut */
    char hint[NB_ERROR_HINT_SIZE];       /* the way out, one line, empty where there is none */
} nb_error;

#ifdef __cplusplus
}
#endif

#endif
