/* SPDX-License-Identifier: Apache-2.0
 *
 * node.c - the files that the guest knows, by the numbers it knows them by
 */
#include "files/node.h"

#include "base/cleanup.h"
#include "base/fd.h"
#include "files/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HASH_FIRST_SIZE 1024u

/* One server serves one volume: its nodes are the process's. */
static struct nodes {
    node **table; /* by number - NODE_ROOT */
    size_t used, capacity;
    uint64_t *free_numbers;
    size_t free_count;
    node **hash; /* by device and inode */
    size_t hash_size, count;
    node recent; /* ring of folders with a descriptor, latest first */
    size_t open_count;
} nodes;

node *node_find(uint64_t number) {
    return number >= NODE_ROOT && number - NODE_ROOT < nodes.used ? nodes.table[number - NODE_ROOT] : NULL;
}

/* ------------------------------------------------------------------------------------------------------------- hash */

static node **bucket_of(dev_t device, ino_t inode) {
    uint64_t mixed = ((uint64_t) inode + (uint64_t) device * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    return &nodes.hash[(mixed >> 32) & (nodes.hash_size - 1)];
}

static node *find_file(const struct stat *status) {
    for (node *n = *bucket_of(status->st_dev, status->st_ino); n; n = n->hash_next) {
        if (node_is(n, status))
            return n;
    }
    return NULL;
}

/* A larger hash is a matter of speed only: without memory for it the old one goes on. */
static void grow_hash(void) {
    size_t old_size = nodes.hash_size;
    node **old = nodes.hash, **larger = calloc(old_size * 2, sizeof(node *));
    if (!larger)
        return;
    nodes.hash = larger;
    nodes.hash_size = old_size * 2;
    for (size_t i = 0; i < old_size; i++) {
        for (node *n = old[i], *next; n; n = next) {
            next = n->hash_next;
            node **bucket = bucket_of(n->device, n->inode);
            n->hash_next = *bucket;
            *bucket = n;
        }
    }
    free(old);
}

static void add_to_hash(node *n) {
    if (nodes.count > nodes.hash_size)
        grow_hash();
    node **bucket = bucket_of(n->device, n->inode);
    n->hash_next = *bucket;
    *bucket = n;
}

static void take_from_hash(node *n) {
    node **at = bucket_of(n->device, n->inode);
    while (*at != n)
        at = &(*at)->hash_next;
    *at = n->hash_next;
}

/* ---------------------------------------------------------------------------------------------------------- numbers */

/* Room for one number more, and for giving it back later. */
static bool reserve_number(void) {
    if (nodes.free_count > 0 || nodes.used < nodes.capacity)
        return true;
    size_t capacity = nodes.capacity ? nodes.capacity * 2 : 64;
    node **table = realloc(nodes.table, capacity * sizeof(node *));
    if (!table)
        return false;
    nodes.table = table;
    uint64_t *free_numbers = realloc(nodes.free_numbers, capacity * sizeof(uint64_t));
    if (!free_numbers)
        return false;
    nodes.free_numbers = free_numbers;
    nodes.capacity = capacity;
    return true;
}

static void number_node(node *n) {
    n->number = nodes.free_count > 0 ? nodes.free_numbers[--nodes.free_count] : NODE_ROOT + nodes.used++;
    nodes.table[n->number - NODE_ROOT] = n;
}

static node *node_new(const struct stat *status, const char *name) {
    if (nodes.count >= NODES_MAX) {
        errno = ENFILE;
        return NULL;
    }
    node *n = reserve_number() ? calloc(1, sizeof(*n)) : NULL;
    char *copy = n ? strdup(name) : NULL;
    if (!copy) {
        free(n);
        errno = ENOMEM;
        return NULL;
    }
    *n = (node){.device = status->st_dev, .inode = status->st_ino, .type = status->st_mode & S_IFMT, .name = copy, .fd = -1};
    number_node(n);
    nodes.count++;
    add_to_hash(n);
    return n;
}

/* ------------------------------------------------------------------------------------------------- open descriptors */

static void unlink_recent(node *n) {
    n->recent_next->recent_previous = n->recent_previous;
    n->recent_previous->recent_next = n->recent_next;
}

static void link_recent(node *n) {
    n->recent_next = nodes.recent.recent_next;
    n->recent_previous = &nodes.recent;
    n->recent_next->recent_previous = n;
    nodes.recent.recent_next = n;
}

/* The root's stays: it is where all others are found from. */
static void close_folder(node *n) {
    if (n->fd < 0 || !n->parent)
        return;
    unlink_recent(n);
    n->fd = fd_close(n->fd);
    nodes.open_count--;
}

static void keep_open(node *n, int fd) {
    while (nodes.open_count >= NODE_FOLDERS_OPEN_MAX)
        close_folder(nodes.recent.recent_previous);
    n->fd = fd;
    nodes.open_count++;
    link_recent(n);
}

/* ----------------------------------------------------------------------------------------------------------- lifetime */

static void free_unused(node *n) {
    while (n && n->parent && n->lookups == 0 && n->children == 0 && !n->handles) {
        node *parent = n->parent;
        close_folder(n);
        take_from_hash(n);
        nodes.table[n->number - NODE_ROOT] = NULL;
        nodes.free_numbers[nodes.free_count++] = n->number;
        nodes.count--;
        free(n->name);
        free(n);
        parent->children--;
        n = parent;
    }
}

void node_release(node *n) {
    free_unused(n);
}

static bool is_above(const node *n, const node *of) {
    for (unsigned depth = 0; of && depth < NODE_DEPTH_MAX; of = of->parent, depth++) {
        if (of == n)
            return true;
    }
    return of != NULL; /* too deep to tell */
}

/* Gives a node the place where it was seen last. False with errno. */
static bool set_place(node *n, node *parent, const char *name) {
    if (n->parent == parent && strcmp(n->name, name) == 0)
        return true;
    if (!n->parent || is_above(n, parent)) {
        errno = ESTALE; /* it was moved on the host while we looked: what is above it cannot be below it */
        return false;
    }
    char *copy = strdup(name);
    if (!copy)
        return false;
    node *before = n->parent;
    free(n->name);
    n->name = copy;
    n->parent = parent;
    parent->children++;
    before->children--;
    free_unused(before);
    return true;
}

node *node_remember(node *parent, const char *name, const struct stat *status) {
    node *n = find_file(status);
    if (n && n->parent && !set_place(n, parent, name))
        return NULL;
    if (!n) {
        n = node_new(status, name);
        if (!n)
            return NULL;
        n->parent = parent;
        parent->children++;
    }
    n->lookups++;
    return n;
}

void node_forget(node *n, uint64_t lookups) {
    n->lookups -= lookups < n->lookups ? lookups : n->lookups;
    free_unused(n);
}

void node_moved(node *parent, const char *name) {
    struct stat status;
    int fd = node_folder(parent);
    if (fd < 0 || fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    node *n = find_file(&status);
    if (n && n->parent)
        (void) set_place(n, parent, name);
}

int nodes_init(int root) {
    struct stat status;
    if (fstat(root, &status) < 0)
        return -1;
    nodes.recent.recent_next = nodes.recent.recent_previous = &nodes.recent;
    nodes.hash = calloc(HASH_FIRST_SIZE, sizeof(node *));
    nodes.hash_size = HASH_FIRST_SIZE;
    node *n = nodes.hash ? node_new(&status, "") : NULL;
    if (!n)
        return -1;
    n->fd = root;
    n->lookups = 1;
    return 0;
}

void nodes_done(void) {
    for (size_t i = 0; i < nodes.used; i++) {
        node *n = nodes.table[i];
        if (!n)
            continue;
        (void) fd_close(n->fd);
        free(n->name);
        free(n);
    }
    free(nodes.table);
    free(nodes.free_numbers);
    free(nodes.hash);
    nodes = (struct nodes){0};
}

/* ------------------------------------------------------------------------------------------------------------- places */

/* Opens @n below its parent, whose descriptor is there. */
static int open_below(node *n) {
    struct stat status;
    CLEANUP(cleanup_fd) int fd = openat(n->parent->fd, n->name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)
            errno = ESTALE;
        return -1;
    }
    if (!node_is(n, &status)) {
        errno = ESTALE;
        return -1;
    }
    keep_open(n, take_fd(&fd));
    return 0;
}

/* Opens from the nearest folder above that is open, down to @n. What is opened on the way may push out what was opened before it, but never
 * the last one. */
int node_folder(node *n) {
    if (n->type != S_IFDIR) {
        errno = ENOTDIR;
        return -1;
    }
    while (n->fd < 0) {
        node *first = n;
        unsigned depth = 0;
        while (first->parent->fd < 0) {
            first = first->parent;
            if (++depth > NODE_DEPTH_MAX) {
                errno = ESTALE;
                return -1;
            }
        }
        if (open_below(first) < 0)
            return -1;
    }
    if (n->parent) { /* used just now */
        unlink_recent(n);
        link_recent(n);
    }
    return n->fd;
}

int node_place(node *n, int *ret_fd, const char **ret_name) {
    bool itself = n->type == S_IFDIR || !n->parent;
    int fd = !n->parent ? n->fd : node_folder(itself ? n : n->parent);
    if (fd < 0)
        return -1;
    *ret_fd = fd;
    *ret_name = itself ? "" : n->name;
    return 0;
}

int node_stat(node *n, struct stat *ret_status) {
    const char *name;
    int fd;
    if (n->handles) /* exact, whatever became of the name */
        return fstat(n->handles->fd, ret_status);
    if (node_place(n, &fd, &name) < 0)
        return -1;
    if (fstatat(fd, name, ret_status, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0) {
        if (errno == ENOENT)
            errno = ESTALE;
        return -1;
    }
    if (node_is(n, ret_status))
        return 0;
    errno = ESTALE;
    return -1;
}

int node_open_path(node *n) {
    const char *name;
    struct stat status;
    int at;
    if (n->handles)
        return fcntl(n->handles->fd, F_DUPFD_CLOEXEC, 0);
    if (node_place(n, &at, &name) < 0)
        return -1;
    if (*name == '\0')
        return fcntl(at, F_DUPFD_CLOEXEC, 0);
    CLEANUP(cleanup_fd) int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0 && node_is(n, &status))
        return take_fd(&fd);
    if (fd >= 0 || errno == ENOENT)
        errno = ESTALE;
    return -1;
}
