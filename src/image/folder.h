/* SPDX-License-Identifier: Apache-2.0
 *
 * folder.h - a folder of the host as the content of an image
 */
#ifndef IMAGE_FOLDER_H
#define IMAGE_FOLDER_H

#include "image/digest.h"
#include "image/stream.h"
#include "image/tree.h"

/* Reads everything below @fd into the tree. Links are not followed, sockets are left out, other file systems mounted below are part of
 * it. What belongs to the caller, if that is not root, becomes root's, as in a user namespace; other owners stay. Of extended attributes
 * user.* and security.capability are taken.
 *
 * @ret_content  a digest over all of it: names, attributes, data
 * 0; -NB_E_PERMISSION and -NB_E_STORAGE name the file; -NB_E_EXHAUSTED, -NB_E_NO_MEMORY. */
int folder_read(tree *t, int fd, const image_watch *watch, digest *ret_content, nb_error *err);

#endif
