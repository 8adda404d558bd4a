/* SPDX-License-Identifier: Apache-2.0
 *
 * settings.h - what the host's user says of registries: registries.json, and a few variables
 *
 *   {"registries": {"127.0.0.1:5000": {"plain_http": true},
 *                   "registry.example": {"ca_file": "/etc/ssl/example.pem", "mirrors": ["mirror.example:5000"]}},
 *    "unqualified_search": ["docker.io", "quay.io"],
 *    "timeout_seconds": 60}
 */
#ifndef FETCH_SETTINGS_H
#define FETCH_SETTINGS_H

#include "base/strv.h"

#include <nestbox/error.h>

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A host's name has at most 253 bytes (RFC 1035), a port five more. */
#define SETTINGS_HOST_SIZE 264

typedef struct settings {
    strv env;     /* of the library's process; borrowed */
    json_t *root; /* an object, owned */
    uint32_t timeout_ms;
} settings;

/* How to reach one host. */
typedef struct endpoint {
    char host[SETTINGS_HOST_SIZE]; /* as users write it: "docker.io", "127.0.0.1:5000" */
    bool plain_http;               /* http, without TLS */
    bool skip_verify;              /* TLS with whatever certificate */
    const char *ca_file;           /* instead of the host's certificate authorities, or NULL; the settings' */
} endpoint;

/* Reads the first of $NESTBOX_REGISTRIES, $XDG_CONFIG_HOME/nestbox/registries.json, ~/.config/nestbox/registries.json and
 * /etc/nestbox/registries.json that exists; none is fine. 0; -NB_E_INVALID: it is there and wrong; -NB_E_STORAGE, -NB_E_NO_MEMORY. */
int settings_load(strv env, settings *ret_settings, nb_error *err);
void settings_done(settings *s);

/* 0; -NB_E_INVALID: the host is no name, or what stands for it is of the wrong type. */
int settings_endpoint(const settings *s, const char *host, endpoint *ret_endpoint, nb_error *err);

/* Hosts to be asked before @host itself; NULL beyond the last. */
const char *settings_mirror(const settings *s, const char *host, size_t at);

/* Registries for images that name none; NULL beyond the last. Without an entry there is one, docker.io. */
const char *settings_search(const settings *s, size_t at);

/* The value of a variable, NULL where it is absent or empty. */
const char *settings_variable(const settings *s, const char *name);

#endif
