/* SPDX-License-Identifier: Apache-2.0
 *
 * image-name.h - names of images in registries: text in, parts out
 */
#ifndef RUNTIME_IMAGE_NAME_H
#define RUNTIME_IMAGE_NAME_H

#include "base/error.h"

#include <stdbool.h>

/* "127.0.0.1:5000/team/web:1" */
typedef struct image_name {
    char *registry;   /* "docker.io" where the name has none */
    char *repository; /* "library/python": with what Docker adds to names without a slash */
    char *tag;        /* "latest" where the name has neither tag nor digest; NULL where it has only a digest */
    char *digest;     /* "sha256:...", or NULL */
    bool unqualified; /* the name has no registry */
} image_name;

/* Takes a name apart as Docker does (distribution/reference): [HOST[:PORT]/]PATH[:TAG][@DIGEST]. -NB_E_INVALID: it is none, and why. */
int image_name_parse(const char *text, image_name *ret_name, nb_error *err);
void image_name_done(image_name *name);

/* As people write it: without what parsing added but with the tag, "python:3.12", "ghcr.io/acme/web:latest". The caller's; NULL: out of
 * memory. */
char *image_name_familiar(const image_name *name);

#endif
