/* SPDX-License-Identifier: Apache-2.0
 *
 * http.h - requests over HTTP, several at once, on one thread
 */
#ifndef FETCH_HTTP_H
#define FETCH_HTTP_H

#include "base/cleanup.h"
#include "base/clock.h"
#include "fetch/settings.h"

#include <stddef.h>
#include <stdint.h>

typedef struct http http;
typedef struct http_transfer http_transfer;

typedef struct http_request {
    const endpoint *endpoint;
    const char *url;
    const char *accept;        /* or NULL */
    const char *authorization; /* the header's value, or NULL; never sent to another host that a redirect leads to */
    const char *form;          /* POST this instead of GET, or NULL */
    uint64_t from;             /* ask for the rest from this byte on; 0: for all */
    /* Takes the body of a good answer; @from: where in the whole it stands, 0 where the server sends all of it whatever was asked. A
     * negative code ends the transfer with it. */
    int (*take)(void *user, uint64_t from, const uint8_t *bytes, size_t length, nb_error *err);
    void *user;
} http_request;

typedef struct http_response {
    long status;          /* 0: there was no answer */
    char problem[512];    /* why there was none or it broke off; empty: it is whole */
    bool unreachable;     /* nobody answers there, or not in TLS */
    bool may_pass;        /* trying again may help: the problem is of the network, or the server says so */
    uint32_t wait_s;      /* Retry-After, 0 where there was none */
    char challenge[2048]; /* WWW-Authenticate */
    char digest[160];     /* Docker-Content-Digest */
    char type[128];       /* Content-Type */
    char words[512];      /* of an error: what the server itself says, for a person */
    int refused;          /* what take returned, if it was negative; then failed says why */
    nb_error failed;
} http_response;

/* Who wants the work: asked once a second while requests run, and when @fd becomes readable; may end the process. */
typedef struct http_watch {
    int fd;
    void (*turn)(void *user);
    void *user;
} http_watch;

/* Both borrowed. */
int http_new(const settings *s, const http_watch *watch, http **ret_http, nb_error *err);
void http_free(http *h);
CLEANUP_DEFINE(http, http_free)

/* Starts a request; everything in it is borrowed until the transfer is freed. 0, -NB_E_NO_MEMORY, -NB_E_INVALID (the URL, the CA file). */
int http_start(http *h, const http_request *request, http_transfer **ret_transfer, nb_error *err);

/* Drives all transfers until one has ended, and gives it; NULL when the time is over first. */
http_transfer *http_next(http *h, deadline until);
const http_response *http_response_of(const http_transfer *t);
const http_request *http_request_of(const http_transfer *t);
/* Ends it, wherever it stands. */
void http_transfer_free(http_transfer *t);
CLEANUP_DEFINE(http_transfer, http_transfer_free)

/* One request from beginning to end, while there is no other of @h. */
int http_do(http *h, const http_request *request, http_response *ret_response, nb_error *err);

/* @text as it may stand in a query; the caller's. NULL: out of memory. */
char *http_escape(const char *text);

#endif
