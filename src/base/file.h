/* SPDX-License-Identifier: Apache-2.0
 *
 * file.h - folders and whole files, relative to a folder's descriptor
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Makes a folder and its missing parents, each with @mode; those that exist stay as they are. 0, or -1 with errno. */
int file_make_folders(const char *path, mode_t mode);

/* Writes a whole file so that a reader finds the old content or the new, never a part: own temporary file, then rename.
 *
 * @durable  also fsync the file and the folder: the content survives a power cut once this returns
 * 0, or -1 with errno and nothing left behind. */
int file_write_atomic(int folder, const char *name, const void *bytes, size_t length, bool durable);

/* Reads a whole file as fd_read_file() does. -1 with errno. */
int file_read(int folder, const char *name, size_t max_bytes, char **ret_text, size_t *ret_length);

/* What is in @folder, which stays its owner's; to be closed by closedir(3). NULL with errno: it cannot be listed. */
DIR *file_list(int folder);

/* Removes @name below @folder and, where it is a folder, all that is in it; follows no symbolic link. What is not there is no
 * error. 0, or -1 with errno of the first thing that could not be removed. */
int file_remove_tree(int folder, const char *name);

/* Copies an open file's content to another from their current positions, sharing blocks where the file system can.
 * 0, or -1 with errno. */
int file_copy(int from, int to);

/* Copies all of a regular file to the beginning of an empty one, and leaves out its holes. 0, or -1 with errno. */
int file_copy_sparse(int from, int to);

#endif
