/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials.c - a file of logins: whoever is found has a name and a secret
 */
#include "fetch/credentials.h"
#include "base/fd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    char path[64];
    credentials found = {0};
    settings s = {.timeout_ms = 1000};
    if (length > 0 && (memmem(bytes, length, "credsStore", 10) || memmem(bytes, length, "credHelpers", 11)))
        return 0; /* would start programs */
    int fd = fd_sealed_memory("logins", bytes, length);
    check(fd >= 0);
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int result = credentials_find(&s, path, "ghcr.io", "acme/web", &found, NULL);
    (void) fd_close(fd);
    check(result == 0 || result == -NB_E_INVALID || result == -NB_E_IMAGE);
    check(result == 0 || (!found.user && !found.password && !found.identity_token));
    check(!found.user == !found.password);
    check(!found.user || *found.user);
    credentials_done(&found);
    return 0;
}
