/* SPDX-License-Identifier: Apache-2.0
 *
 * text.h - strings from outside (users, images, guests) made fit for a terminal or for JSON
 */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stddef.h>

/* A copy that is harmless on a terminal: control characters (C0, DEL, C1) and bytes that are not UTF-8 become \n, \t, \xNN or \uNNNN.
 * A backslash stays as it is. Freed by the caller; NULL: out of memory. */
char *text_escape(const char *text);

/* A copy that is valid UTF-8: every byte that is no part of a valid sequence becomes U+FFFD. Freed by the caller; NULL: out of memory. */
char *text_utf8(const char *text);

/* How many characters there are (code points), for the width of columns; @text is valid UTF-8. */
size_t text_width(const char *text);

/* A copy of the first @width characters of valid UTF-8; when something was cut, the last of them is an ellipsis.
 * Freed by the caller; NULL: out of memory. */
char *text_cut(const char *text, size_t width);

#endif
