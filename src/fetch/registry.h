/* SPDX-License-Identifier: Apache-2.0
 *
 * registry.h - one repository of one registry (OCI distribution-spec): who we are there, its documents, and when to try again
 */
#ifndef FETCH_REGISTRY_H
#define FETCH_REGISTRY_H

#include "fetch/credentials.h"
#include "fetch/http.h"

/* A repository's name has at most 255 bytes (distribution-spec, "pulling manifests"). */
#define REGISTRY_REPOSITORY_SIZE 256

typedef struct registry {
    const settings *settings; /* borrowed, as the next two */
    const char *auth_file;
    const http_watch *watch;

    endpoint endpoint;
    char repository[REGISTRY_REPOSITORY_SIZE]; /* "": the registry itself */
    http *http;                                /* for one request at a time */
    credentials credentials;
    bool credentials_known; /* they have been looked for */
    char *authorization;    /* the header that goes with every request, or NULL */
    bool reached;           /* it has answered before: when it does not now, that may pass */
} registry;

int registry_open(const settings *s, const char *auth_file, const char *host, const char *repository, const http_watch *watch,
                  registry *ret_registry, nb_error *err);
void registry_done(registry *r);

/* The address of something in the repository: "manifests" or "blobs", and its name. The caller's; NULL: out of memory. */
char *registry_url(const registry *r, const char *kind, const char *name);

/* A document, NUL-terminated; the caller's.
 *
 * @max_bytes  a limit of images; -NB_E_EXHAUSTED beyond it
 * @ret_type   its media type, "" where the registry names none; at least 128 bytes */
int registry_manifest(registry *r, const char *reference, uint64_t max_bytes, char **ret_text, size_t *ret_length, char ret_type[128],
                      nb_error *err);

/* Whether the registry takes this user. 0; -NB_E_PERMISSION: it does not. */
int registry_check_login(registry *r, const char *user, const char *password, nb_error *err);

/* What to do about an answer. */
enum registry_verdict {
    REGISTRY_GOOD,
    REGISTRY_AGAIN, /* now, with the new authorization */
    REGISTRY_LATER, /* after @ret_wait_ms */
    REGISTRY_FAILED,
};

/* @attempt       how often this was asked for, from 1
 * @what          for the message: "get the manifest 'latest'"
 * @authorized_by the header that went with the request, or NULL */
enum registry_verdict registry_judge(registry *r, const http_response *response, unsigned attempt, const char *what,
                                     const char *authorized_by, uint32_t *ret_wait_ms, nb_error *err);

#endif
