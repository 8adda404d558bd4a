/* SPDX-License-Identifier: Apache-2.0
 *
 * challenge.c - what a registry asks for: texts stay within their bounds, and mean the same when they are written anew
 */
#include "fetch/challenge.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int condition) {
    if (!condition)
        abort();
}

static void quote(const char *text, char into[2 * CHALLENGE_TEXT_SIZE]) {
    size_t used = 0;
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            into[used++] = '\\';
        into[used++] = *text;
    }
    into[used] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    static challenge one, two;
    static char realm[2 * CHALLENGE_TEXT_SIZE], service[2 * CHALLENGE_TEXT_SIZE], scope[2 * CHALLENGE_TEXT_SIZE];
    static char again[sizeof(realm) + sizeof(service) + sizeof(scope) + 64];
    char *text = malloc(length + 1); /* an exact block: the sanitizer sees a read beyond it */
    check(text != NULL);
    if (length > 0)
        memcpy(text, bytes, length);
    text[length] = '\0';
    int result = challenge_parse(text, &one, NULL);
    free(text);
    check(result == 0 || result == -NB_E_PROTOCOL);
    if (result < 0 || one.scheme != CHALLENGE_BEARER)
        return 0;
    check(one.realm[0] && strlen(one.realm) < CHALLENGE_TEXT_SIZE);
    check(strlen(one.service) < CHALLENGE_TEXT_SIZE && strlen(one.scope) < CHALLENGE_TEXT_SIZE);
    quote(one.realm, realm);
    quote(one.service, service);
    quote(one.scope, scope);
    (void) snprintf(again, sizeof(again), "Bearer realm=\"%s\",service=\"%s\",scope=\"%s\"", realm, service, scope);
    check(challenge_parse(again, &two, NULL) == 0);
    check(strcmp(one.realm, two.realm) == 0 && strcmp(one.service, two.service) == 0 && strcmp(one.scope, two.scope) == 0);
    return 0;
}
