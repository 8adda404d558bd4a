/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h - how an image wants to be run (image-spec, config.md)
 */
#ifndef IMAGE_CONFIG_H
#define IMAGE_CONFIG_H

#include "base/buf.h"
#include "base/strv.h"
#include "image/digest.h"

#include <nestbox/error.h>

#include <stddef.h>
#include <stdint.h>

/* How an image wants its health to be looked at: Docker's HEALTHCHECK, which OCI images have too. */
typedef struct image_health {
    buf test; /* {"NONE"}, {"CMD", ARG...} or {"CMD-SHELL", COMMAND}; packed, empty: the image says nothing, and the rest is 0 */
    uint64_t interval_ns, timeout_ns, start_period_ns; /* 0: not said */
    uint32_t retries;                                  /* 0: not said */
} image_health;

/* Strings are owned and never NULL; lists are packed (base/strv.h). */
typedef struct image_config {
    char *os, *architecture;
    buf entrypoint, command, env, labels;
    buf exposed_ports; /* "PORT/PROTOCOL" or "FIRST-LAST/PROTOCOL", of tcp, udp, sctp */
    buf volumes;       /* absolute paths */
    buf shell;         /* what the image's builder would run commands with */
    image_health health;
    char *cwd, *user, *stop_signal;
    digest *diff_ids; /* of the layers, unpacked; owned */
    size_t diff_id_count;
} image_config;

void image_config_done(image_config *config);

/* Reads the configuration of an OCI or Docker image. 0, -NB_E_IMAGE, -NB_E_NO_MEMORY. */
int image_config_parse(const char *text, size_t length, image_config *ret_config, nb_error *err);

/* Makes the configuration of an image that has none: a root file system.
 *
 * @content  the digest of its content, which becomes the one layer's
 * @ret_id   the digest of the configuration's canonical text, hence of all that matters about the image */
int image_config_make(const char *architecture, strv command, const digest *content, image_config *ret_config, digest *ret_id,
                      nb_error *err);

/* Puts another command in place of the image's. */
int image_config_set_command(image_config *config, strv command, nb_error *err);

#endif
