/* SPDX-License-Identifier: Apache-2.0
 *
 * template-folder.h - where templates are kept: whole or not at all, made by one program at a time, and not for ever
 */
#ifndef RUNTIME_TEMPLATE_FOLDER_H
#define RUNTIME_TEMPLATE_FOLDER_H

#include "runtime/runtime.h"

/* A key is a SHA-256 in hexadecimal. */
#define TEMPLATE_KEY_SIZE 65

typedef struct template_folder {
    const log_sink *log;
    char *path;
    int fd;
} template_folder;

/* Opens the home's folder of templates, or $NESTBOX_TEMPLATES, and makes it where it is missing. Closed in any case by template_folder_close().
 *
 * Errors: -NB_E_UNSUPPORTED (none is wanted), -NB_E_PERMISSION (it is not to be relied on), -NB_E_STORAGE, -NB_E_NO_MEMORY; then it has none */
int template_folder_open(const nb_runtime *rt, template_folder *ret_folder, nb_error *err);
void template_folder_close(template_folder *folder);

/* Whether there is one. It counts as used now. */
bool template_folder_use(const template_folder *folder, const char *key);

/* Whether one was asked for before; the next time it was. */
bool template_folder_ask(const template_folder *folder, const char *key);

typedef struct template_maker {
    int (*make)(void *user, int folder, nb_error *err); /* makes one in the folder open as @folder */
    void *user;
    int64_t wait_ms; /* for another program that makes the same; 0: somebody else's is not waited for */
    bool retry;      /* also one that could not be made lately */
} template_maker;

/* Sees to it that there is one, by whoever made it. One that could not be made is not tried again for a while; that it could not is in the log.
 *
 * Errors: -NB_E_INVALID_STATE (somebody else makes it; it could not be made lately), the maker's */
int template_folder_provide(const template_folder *folder, const char *key, const template_maker *maker, nb_error *err);

/* Removes one, and that it was asked for. */
int template_folder_remove(const template_folder *folder, const char *key);

/* Calls @each for every one that is whole; a result other than 0 is the last, and is returned. */
int template_folder_each(const template_folder *folder, int (*each)(void *user, const char *key), void *user, nb_error *err);

/* What the files of one take on the disk, and when it was used last. False: it is gone. */
bool template_folder_measure(const template_folder *folder, const char *key, uint64_t *ret_bytes, uint64_t *ret_used_at_ms);

/* Removes of those with a disk whatever was not used for longest, until another one, like @like and with a disk, finds room among @max_bytes. False: it
 * does not, because the others are in use. */
bool template_folder_make_room(const template_folder *folder, const char *like, uint64_t max_bytes);

/* How many there are, and why the last one could not be made, "" where all could. */
void template_folder_look(const template_folder *folder, size_t *ret_count, char *ret_failure, size_t size);

#endif
