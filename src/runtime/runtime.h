/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime.h - one open home: what the library's parts share
 */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H

#include "base/error.h"
#include "base/id.h"
#include "base/log.h"
#include "runtime/embedded.h"
#include "runtime/store.h"

#include <nestbox/nestbox.h>

#include <stdbool.h>

/* Folders of a home. */
#define HOME_BOXES "boxes"
#define HOME_IMAGES "images"
#define HOME_CACHE "cache"
#define HOME_TEMPLATES "templates"
#define HOME_STANDBY "standby" /* machines that wait to be taken; made with the first */
#define HOME_VOLUMES "volumes" /* named ones; made with the first */
#define HOME_LAYOUT "layout"   /* blobs of images from registries; made at the first pull */
#define HOME_DATABASE "nestbox.db"
#define HOME_LOCK "lock"

struct nb_runtime {
    char *home;               /* absolute */
    int folder;               /* the home */
    int boxes, images, cache; /* its folders */
    char *accelerator;        /* wanted; NULL: by probe */
    store *store;
    log_sink log;
    nb_runtime_options options;
};

/* A lock for moments: whoever sweeps holds it, and whoever makes something that is not locked yet. The descriptor, or -NB_E_.... */
int home_lock(const nb_runtime *rt, nb_error *err);

/* Opens a program's verified copy in the home's cache, as embedded_open() does. */
int home_program(const nb_runtime *rt, const embedded_program *program, char **ret_path, nb_error *err);

/* The parts that machines are made of. */
typedef struct guest_bundle {
    char *kernel, *modules, *busybox; /* paths */
    char kernel_version[128];
} guest_bundle;

/* Finds it: $NESTBOX_GUEST_DIR, then guest/ or nestbox/guest/ beside the library or program, then LIBDIR/nestbox/guest.
 * -NB_E_MACHINE with a hint when none of them has one. */
int guest_bundle_find(guest_bundle *ret_bundle, nb_error *err);
void guest_bundle_done(guest_bundle *bundle);

/* The architecture of boxes on this host, in OCI's words. */
const char *host_architecture(void);
/* The same in the kernel's and QEMU's words. */
const char *host_machine(void);

#endif
