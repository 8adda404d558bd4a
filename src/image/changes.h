/* SPDX-License-Identifier: Apache-2.0
 *
 * changes.h - a Dockerfile's instructions, applied to an image's configuration
 */
#ifndef IMAGE_CHANGES_H
#define IMAGE_CHANGES_H

#include "base/strv.h"
#include "image/config.h"

/* Applies each of @changes in turn, as docker commit --change takes them: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME,
 * WORKDIR, with their arguments in Docker's forms. Nothing is substituted in them: a '$' is a '$'.
 *
 * -NB_E_INVALID, naming the instruction. -NB_E_NO_MEMORY. @config is then changed in part. */
int image_config_change(image_config *config, strv changes, nb_error *err);

#endif
