/* SPDX-License-Identifier: Apache-2.0
 *
 * error.c - filling the caller's nb_error
 *
 * Nothing here allocates: an error must be reportable when memory is out.
 */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Messages are one line: what a guest or a file name smuggles in must not forge a second one on a terminal. */
static void flatten(char *text) {
    for (; *text; text++) {
        if ((unsigned char) *text < ' ' || *text == 0x7f)
            *text = '?';
    }
}

int nb_fail(nb_error *err, int code, int system_errno, const char *format, ...) {
    if (!err)
        return -code;
    char message[NB_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (length < 0)
        message[0] = '\0';

    err->code = code;
    err->system_errno = system_errno;
    err->hint[0] = '\0';
    if (system_errno)
        (void) snprintf(err->message, sizeof(err->message), "%.*s: %s", (int) sizeof(message) - 64, message, strerror(system_errno));
    else
        (void) snprintf(err->message, sizeof(err->message), "%s", message);
    flatten(err->message);
    return -code;
}

int nb_fail_oom(nb_error *err) {
    return nb_fail(err, NB_E_NO_MEMORY, ENOMEM, "allocate memory");
}

int nb_fail_within(nb_error *err, int result, const char *format, ...) {
    if (!err || result >= 0)
        return result;
    char name[NB_ERROR_MESSAGE_SIZE / 2];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(name, sizeof(name), format, arguments);
    va_end(arguments);
    if (length < 0)
        return result;
    char inner[NB_ERROR_MESSAGE_SIZE];
    memcpy(inner, err->message, sizeof(inner));
    (void) snprintf(err->message, sizeof(err->message), "%s: %.*s", name, (int) (sizeof(inner) - strlen(name) - 3), inner);
    flatten(err->message);
    return result;
}

int nb_fail_hint(nb_error *err, int result, const char *format, ...) {
    if (!err)
        return result;
    va_list arguments;
    va_start(arguments, format);
    (void) vsnprintf(err->hint, sizeof(err->hint), format, arguments);
    va_end(arguments);
    flatten(err->hint);
    return result;
}

const char *nb_code_text(int code) {
    switch (code) {
#define CODE_TEXT(name, number, text, meaning) \
    case name:                                 \
        return text;
        NB_ERRORS(CODE_TEXT)
#undef CODE_TEXT
    }
    return code == 0 ? "no error" : "unknown error";
}

int nb_code_is_known(int code) {
    switch (code) {
#define CODE_CASE(name, number, text, meaning) case name:
        NB_ERRORS(CODE_CASE)
#undef CODE_CASE
        return 1;
    }
    return 0;
}

int nb_code_of_errno(int system_errno) {
    switch (system_errno) {
    case EACCES:
    case EPERM:
    case EROFS:
        return NB_E_PERMISSION;
    case ENOMEM:
        return NB_E_NO_MEMORY;
    default:
        return NB_E_STORAGE;
    }
}
