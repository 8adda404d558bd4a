/* SPDX-License-Identifier: Apache-2.0
 *
 * challenge.c - what a registry wants to see before it answers
 *
 *   WWW-Authenticate = #challenge
 *   challenge        = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
 *   auth-param       = token BWS "=" BWS ( token / quoted-string )
 *
 * A comma separates challenges and parameters alike: a word that is not followed by "=" begins the next challenge.
 */
#include "fetch/challenge.h"

#include "base/error.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* RFC 9110, 5.6.2: what a token may hold besides letters and digits. */
#define TOKEN_MARKS "!#$%&'*+-.^_`|~"
#define LETTERS_AND_DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define SPACE " \t"

static size_t token_length(const char *at) {
    return strspn(at, LETTERS_AND_DIGITS TOKEN_MARKS);
}

static int malformed(nb_error *err) {
    return nb_fail(err, NB_E_PROTOCOL, 0, "understand which authentication the registry wants");
}

static bool add_byte(char text[CHALLENGE_TEXT_SIZE], size_t *used, char byte) {
    if (*used + 1 >= CHALLENGE_TEXT_SIZE)
        return false;
    text[(*used)++] = byte;
    return true;
}

/* Takes a token or a quoted string from *at; false: malformed or too long. */
static bool take_value(const char **at, char ret_text[CHALLENGE_TEXT_SIZE]) {
    const char *from = *at;
    size_t used = 0;
    if (*from != '"') {
        size_t length = token_length(from);
        for (size_t i = 0; i < length; i++) {
            if (!add_byte(ret_text, &used, from[i]))
                return false;
        }
        ret_text[used] = '\0';
        *at = from + length;
        return true;
    }
    for (from++; *from != '"'; from++) {
        if (*from == '\\')
            from++;
        if (*from == '\0' || !add_byte(ret_text, &used, *from))
            return false;
    }
    ret_text[used] = '\0';
    *at = from + 1;
    return true;
}

static enum challenge_scheme scheme_of(const char *word, size_t length) {
    if (length == 5 && strncasecmp(word, "basic", length) == 0)
        return CHALLENGE_BASIC;
    if (length == 6 && strncasecmp(word, "bearer", length) == 0)
        return CHALLENGE_BEARER;
    return CHALLENGE_NONE;
}

/* Where a parameter of the challenge that is being read goes. */
static char *place_of(challenge *c, char other[CHALLENGE_TEXT_SIZE], const char *name, size_t length) {
    if (length == 5 && strncasecmp(name, "realm", length) == 0)
        return c->realm;
    if (length == 7 && strncasecmp(name, "service", length) == 0)
        return c->service;
    if (length == 5 && strncasecmp(name, "scope", length) == 0)
        return c->scope;
    return other;
}

int challenge_parse(const char *header, challenge *ret_challenge, nb_error *err) {
    challenge c = {.scheme = CHALLENGE_NONE}, unknown = c;
    char other[CHALLENGE_TEXT_SIZE];
    challenge *into = &unknown;
    for (const char *at = header;;) {
        at += strspn(at, SPACE ",");
        if (*at == '\0')
            break;
        const char *word = at;
        size_t length = strspn(at, LETTERS_AND_DIGITS TOKEN_MARKS "/"); /* a token68 may hold slashes */
        if (length == 0)
            return malformed(err);
        at += length;
        const char *after = at + strspn(at, SPACE);
        if (*after == '=' && strspn(after, "=") == 1) {
            at = after + 1 + strspn(after + 1, SPACE);
            if (!take_value(&at, place_of(into, other, word, length)))
                return malformed(err);
            continue;
        }
        if (c.scheme != CHALLENGE_NONE)
            break; /* the next challenge; the first one that we know is complete */
        c.scheme = scheme_of(word, length);
        into = c.scheme != CHALLENGE_NONE ? &c : &unknown;
        at += strspn(at, "="); /* the padding of a token68, of a scheme that we do not know */
    }
    if (c.scheme == CHALLENGE_BEARER && c.realm[0] == '\0')
        return malformed(err);
    *ret_challenge = c;
    return 0;
}
