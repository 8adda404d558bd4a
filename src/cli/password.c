/* SPDX-License-Identifier: Apache-2.0
 *
 * password.c - a secret from a person or a pipe
 */
#include "cli/password.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <string.h>
#include <termios.h>

#define PROMPT "Password: "

/* Takes line ends off, and looks whether something is left that a C string can hold. */
static int check(char password[PASSWORD_SIZE], size_t length, nb_error *err) {
    while (length > 0 && (password[length - 1] == '\n' || password[length - 1] == '\r'))
        length--;
    if (length == 0 || length >= PASSWORD_SIZE - 1 || memchr(password, '\0', length))
        return nb_fail(err, NB_E_INVALID, 0, "read the password: want 1 to %d bytes", PASSWORD_SIZE - 2);
    password[length] = '\0';
    return 0;
}

int password_read(int fd, char ret_password[PASSWORD_SIZE], nb_error *err) {
    ssize_t length = fd_read_full(fd, ret_password, PASSWORD_SIZE);
    return length < 0 ? nb_fail(err, NB_E_INTERNAL, errno, "read the password") : check(ret_password, (size_t) length, err);
}

int password_ask(int in, int out, char ret_password[PASSWORD_SIZE], nb_error *err) {
    struct termios before, hidden;
    if (tcgetattr(in, &before) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "ask for the password");
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t) ECHO;
    /* TCSAFLUSH drops what was typed before anybody asked. A signal that ends us meanwhile leaves a silent terminal: so signals from the
     * keyboard are off too, and Ctrl-C is a byte that we look for. */
    hidden.c_lflag &= ~(tcflag_t) ISIG;
    if (tcsetattr(in, TCSAFLUSH, &hidden) < 0)
        return nb_fail(err, NB_E_INTERNAL, errno, "ask for the password");
    (void) fd_write_all(out, PROMPT, strlen(PROMPT));
    ssize_t length = read(in, ret_password, PASSWORD_SIZE);
    int error = errno;
    (void) tcsetattr(in, TCSAFLUSH, &before);
    (void) fd_write_all(out, "\n", 1);
    if (length < 0)
        return nb_fail(err, NB_E_INTERNAL, error, "read the password");
    if (memchr(ret_password, 3, (size_t) length)) /* Ctrl-C */
        length = 0;
    return check(ret_password, (size_t) length, err);
}
