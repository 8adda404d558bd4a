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

#include <stdbool.h>
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

/* With nothing in it; its strings are NULL until they are given. */
void image_config_init(image_config *config);
void image_config_done(image_config *config);

/* Reads the configuration of an OCI or Docker image. 0, -NB_E_IMAGE, -NB_E_NO_MEMORY. */
int image_config_parse(const char *text, size_t length, image_config *ret_config, nb_error *err);

/* One port, or one volume, more in the list: "80", "80/tcp", "8000-8010/udp", kept in one form, with the protocol that Docker takes where none
 * stands; an absolute path. -NB_E_IMAGE: it is none. */
int image_config_add_port(const char *item, buf *list, nb_error *err);
int image_config_add_volume(const char *item, buf *list, nb_error *err);

/* To and from what owners and workers send each other. False, or -NB_E_NO_MEMORY, or -NB_E_INVALID for what is no IMAGE_CONFIG. */
bool image_config_encode(const image_config *config, buf *to);
int image_config_decode(const uint8_t *bytes, size_t length, image_config *ret_config, nb_error *err);

/* The configuration of an image of one layer as image-spec writes it, in one form only: equal configurations have equal texts. What is not said
 * is left out.
 *
 * @layer     the layer's digest, unpacked
 * @ret_text  owned by the caller
 * -NB_E_INVALID: a text of it is no UTF-8, as it has to be. -NB_E_NO_MEMORY. */
int image_config_text(const image_config *config, const digest *layer, char **ret_text, nb_error *err);

#endif
