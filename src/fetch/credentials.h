/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials.h - who we are for a registry: our own logins, Docker's and Podman's files, credential helpers
 */
#ifndef FETCH_CREDENTIALS_H
#define FETCH_CREDENTIALS_H

#include "fetch/settings.h"

/* Owned; all NULL: nobody. */
typedef struct credentials {
    char *user, *password;
    char *identity_token; /* OAuth2's refresh token, instead of a password */
} credentials;

/* Looks in @own_file, then where Podman keeps its logins ($REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers/auth.json,
 * ~/.config/containers/auth.json), then Docker ($DOCKER_CONFIG/config.json, ~/.docker/config.json). In each the most specific entry counts,
 * as for Podman: HOST/PATH before HOST; then that file's credential helper. May run such a helper, for as long as the settings' timeout.
 *
 * 0, also when there is nobody; -NB_E_INVALID: a file cannot be understood; -NB_E_PERMISSION: a helper failed; -NB_E_NO_MEMORY. */
int credentials_find(const settings *s, const char *own_file, const char *host, const char *repository, credentials *ret_found,
                     nb_error *err);
void credentials_done(credentials *c);

/* Keeps a login in @file, made with mode 0600 where it does not exist. */
int credentials_store(const char *file, const char *host, const char *user, const char *password, nb_error *err);
/* -NB_E_NOT_FOUND: there is no login for this host. */
int credentials_remove(const char *file, const char *host, nb_error *err);

/* One entry of such a file: "auth" is base64 of USER:PASSWORD. 0, or -NB_E_INVALID: malformed. */
int credentials_decode(const char *auth, char **ret_user, char **ret_password, nb_error *err);

#endif
