/* SPDX-License-Identifier: Apache-2.0
 *
 * credential-helper.h - logins that another program keeps
 */
#ifndef FETCH_CREDENTIAL_HELPER_H
#define FETCH_CREDENTIAL_HELPER_H

#include "fetch/credentials.h"

/* Runs "docker-credential-NAME get" of the user's $PATH and gives it @host (docker-credential-helpers, README.md, "Development").
 * 0, also when it has no login for this host; -NB_E_INVALID: NAME is no name, or the answer is not understood; -NB_E_PERMISSION: it is not
 * there, failed, or took longer than the settings' timeout. */
int credential_helper_ask(const settings *s, const char *name, const char *host, credentials *ret_found, nb_error *err);

#endif
