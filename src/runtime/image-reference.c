/* SPDX-License-Identifier: Apache-2.0
 *
 * image-reference.c - where an image is to come from
 */
#include "runtime/image-reference.h"

#include "base/cleanup.h"
#include "base/size.h"
#include "wire/limits.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *prefix;
    uint8_t kind;
    bool has_tag, is_folder;
} kinds[] = {
    {"rootfs:", WIRE_IMAGE_ROOTFS, false, false},          {"oci:", WIRE_IMAGE_OCI_LAYOUT, true, true},
    {"oci-archive:", WIRE_IMAGE_OCI_ARCHIVE, true, false}, {"docker-archive:", WIRE_IMAGE_DOCKER_ARCHIVE, true, false},
    {"dir:", WIRE_IMAGE_DIRECTORY, false, true},
};

void image_reference_done(image_reference *reference) {
    free(reference->path);
    free(reference->tag);
    *reference = (image_reference){0};
}

/* The path is as long as it can be while something is there; what follows the next colon is the tag. */
static char *split_tag(char *path, bool has_tag) {
    static char none[] = "";
    if (!has_tag || access(path, F_OK) == 0)
        return none;
    for (char *colon = path + strlen(path); colon > path; colon--) {
        if (*colon != ':')
            continue;
        *colon = '\0';
        if (access(path, F_OK) == 0)
            return colon + 1;
        *colon = ':';
    }
    return none;
}

int image_reference_parse(const char *text, image_reference *ret_reference, nb_error *err) {
    size_t i = 0;
    while (i < ARRAY_LENGTH(kinds) && strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) != 0)
        i++;
    if (i == ARRAY_LENGTH(kinds)) {
        *ret_reference = (image_reference){0};
        return 0;
    }
    CLEANUP(cleanup_free) char *path = strdup(text + strlen(kinds[i].prefix));
    if (!path)
        return nb_fail_oom(err);
    if (!*path)
        return nb_fail(err, NB_E_INVALID, 0, "use the image '%s': it names no %s", text, kinds[i].is_folder ? "folder" : "file");
    const char *tag = split_tag(path, kinds[i].has_tag);
    struct stat status;
    if (stat(path, &status) < 0)
        return nb_fail(err, errno == ENOENT || errno == ENOTDIR ? NB_E_NOT_FOUND : nb_code_of_errno(errno), errno, "use the image '%s'",
                       text);
    if (S_ISDIR(status.st_mode) != kinds[i].is_folder)
        return nb_fail(err, NB_E_INVALID, 0, "use the image '%s': '%s' is %s", text, path,
                       kinds[i].is_folder ? "no folder" : "a folder, not a file");
    if (!kinds[i].is_folder && !S_ISREG(status.st_mode))
        return nb_fail(err, NB_E_INVALID, 0, "use the image '%s': '%s' is no regular file", text, path);
    image_reference reference = {.kind = kinds[i].kind, .path = realpath(path, NULL), .tag = strdup(tag)};
    if (!reference.path || !reference.tag) {
        image_reference_done(&reference);
        return nb_fail(err, nb_code_of_errno(errno), errno, "use the image '%s'", text);
    }
    *ret_reference = reference;
    return 0;
}
