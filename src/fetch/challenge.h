/* SPDX-License-Identifier: Apache-2.0
 *
 * challenge.h - what a registry wants to see before it answers: bytes in, struct out
 */
#ifndef FETCH_CHALLENGE_H
#define FETCH_CHALLENGE_H

#include <nestbox/error.h>

/* A realm is a URL; a service and a scope are names. Registries' own are well below 200 bytes. */
#define CHALLENGE_TEXT_SIZE 1024

enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

typedef struct challenge {
    enum challenge_scheme scheme;
    char realm[CHALLENGE_TEXT_SIZE], service[CHALLENGE_TEXT_SIZE], scope[CHALLENGE_TEXT_SIZE]; /* of CHALLENGE_BEARER; "" where absent */
} challenge;

/* Reads the value of a WWW-Authenticate header (RFC 9110, 11.6.1; distribution-spec, "token authentication"). Of several challenges the
 * first with a scheme that we know counts. 0, scheme CHALLENGE_NONE where there is none; -NB_E_PROTOCOL: malformed, or a text is too
 * long. */
int challenge_parse(const char *header, challenge *ret_challenge, nb_error *err);

#endif
