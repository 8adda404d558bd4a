/* SPDX-License-Identifier: Apache-2.0
 *
 * volume-private.h - a volume, for the two files that handle it: its server and streams (volume.c), where it is mounted (mounting.c)
 */
#ifndef SHIM_VOLUME_PRIVATE_H
#define SHIM_VOLUME_PRIVATE_H

#include "shim/volume.h"
#include "wire/mount-order.h"

#define VOLUME_FIRST_WORD_MAX_BYTES 1024u

/* STARTING    a server that has not said its first word. leaves by it -> READY; its end -> LEFT
 * READY       waits for its turn; a tmpfs begins here. leaves by volumes_next() -> MOUNTING
 * MOUNTING    its mounter runs. leaves by the mounter's end -> MOUNTED, or LEFT
 * MOUNTED     leaves by volumes_unmount() -> LEAVING; the guest unmounted it by itself -> LEFT
 * LEAVING     waits for its turn. leaves by volumes_next() -> UNMOUNTING
 * UNMOUNTING  its mounter runs. leaves by the mounter's end -> LEFT, or MOUNTED
 * LEFT        nothing is mounted; the agent has still to end its stream */
typedef enum volume_state {
    VOLUME_STARTING,
    VOLUME_READY,
    VOLUME_MOUNTING,
    VOLUME_MOUNTED,
    VOLUME_LEAVING,
    VOLUME_UNMOUNTING,
    VOLUME_LEFT,
} volume_state;

enum { WORD_KIND, WORD_SOURCE, WORD_TARGET, WORD_OPTIONS };

struct volume {
    shim *shim;
    volume *next;
    volume_state state;
    uint32_t id;
    buf text;                            /* the words, packed */
    const char *words[WIRE_MOUNT_WORDS]; /* of the order to launch, or of a client's MOUNT */
    client *asker;                       /* who waits for it to be mounted, or unmounted; NULL: nobody */
    bool file;                           /* the host's path is a file */
    bool announced;                      /* the agent knows of it, and both of us end a stream */
    bool requests_ended, answers_ended;
    pid_t pid;         /* 0: none, or reaped */
    int pidfd, socket; /* -1: none */
    loop_fd socket_watcher, process_watcher;
    wire_inflow requests; /* from the agent */
    wire_outflow answers; /* to it */
    buf queue;            /* requests that the socket did not take */
    char first_word[VOLUME_FIRST_WORD_MAX_BYTES];
    size_t first_word_bytes;
};

bool volume_is_served(const volume *v);

/* Starts its server. 0, or -NB_E_... with @err. */
int volume_start_server(volume *v, const char *program, nb_error *err);
/* Ends its server, and tells the agent that no answers come any more. */
void volume_close_server(volume *v);
/* Its server may be read again, or not yet. */
void volume_watch(volume *v);

/* volume.c tells mounting.c: its server is ready; or has ended, for this reason. */
void volume_server_is_ready(volume *v);
void volume_server_is_lost(volume *v, const char *why);
/* The agent has ended its stream. */
void volume_agent_has_left(volume *v);

#endif
