/* SPDX-License-Identifier: Apache-2.0
 *
 * place.h - the table of cp: where a file or folder goes, given what is at its destination
 */
#ifndef TAR_PLACE_H
#define TAR_PLACE_H

#include "tar/unpack.h"

/* Finds the place for a file, or a folder, that is called @name where it comes from, "." for a folder's content alone, at @destination, as
 * docker cp and podman cp have it:
 *
 *     what         destination                  it goes to
 *     a file       is not there                 the destination; with a '/' at its end, that is an error
 *     a file       is a file                    the destination, replacing it
 *     a file       is a folder                  the folder, under its own name
 *     a folder     is not there                 the destination, which is made
 *     a folder     is a file                    an error
 *     a folder     is a folder                  the folder, under its own name; "." into the folder itself
 *
 * The destination's parent must be there. A symbolic link at the destination is followed. 0, or -NB_E_NOT_FOUND, -NB_E_INVALID,
 * -NB_E_STORAGE, -NB_E_PERMISSION, -NB_E_NO_MEMORY. */
int tar_place_find(const char *destination, const char *name, bool is_folder, tar_place *ret_place, nb_error *err);

/* The place of an archive whose entries keep their names: the folder @folder, which must be there. Errors as above. */
int tar_place_whole(const char *folder, tar_place *ret_place, nb_error *err);

/* The last component of a path, without slashes after it; "." of "/", of "a/." and of nothing. */
void tar_place_base_name(const char *path, char *ret_name, size_t size);

#endif
