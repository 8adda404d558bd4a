/* SPDX-License-Identifier: Apache-2.0
 *
 * write-behind.c - writing a file while the next bytes are made
 */
#include "image/write-behind.h"

#include "base/fd.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* The thread calls pwrite(2) and no more. */
#define STACK_BYTES ((size_t) 64 << 10)

struct write_behind {
    int fd;
    uint8_t *buffers[2];
    unsigned filling; /* which of them; the other is the thread's while busy */
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    bool busy, ending;
    size_t length;
    uint64_t offset;
    int error; /* the first write that failed */
};

static void *write_for_ever(void *user) {
    write_behind *w = user;
    (void) pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (!w->busy && !w->ending)
            (void) pthread_cond_wait(&w->changed, &w->mutex);
        if (w->ending)
            break;
        const uint8_t *bytes = w->buffers[!w->filling];
        size_t length = w->length;
        uint64_t offset = w->offset;
        (void) pthread_mutex_unlock(&w->mutex);
        int error = fd_pwrite_all(w->fd, bytes, length, offset) < 0 ? errno : 0;
        (void) pthread_mutex_lock(&w->mutex);
        w->error = error;
        w->busy = false;
        (void) pthread_cond_broadcast(&w->changed);
    }
    (void) pthread_mutex_unlock(&w->mutex);
    return NULL;
}

static bool start_thread(write_behind *w) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void) pthread_attr_setstacksize(&attributes, STACK_BYTES > (size_t) PTHREAD_STACK_MIN ? STACK_BYTES : (size_t) PTHREAD_STACK_MIN);
    bool started = pthread_create(&w->thread, &attributes, write_for_ever, w) == 0;
    (void) pthread_attr_destroy(&attributes);
    return started;
}

write_behind *write_behind_new(int fd, size_t buffer_bytes) {
    write_behind *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->fd = fd;
    w->buffers[0] = malloc(buffer_bytes);
    w->buffers[1] = malloc(buffer_bytes);
    if (!w->buffers[0] || !w->buffers[1]) {
        free(w->buffers[0]);
        free(w->buffers[1]);
        free(w);
        return NULL;
    }
    (void) pthread_mutex_init(&w->mutex, NULL);
    (void) pthread_cond_init(&w->changed, NULL);
    w->has_thread = start_thread(w);
    return w;
}

void write_behind_free(write_behind *w) {
    if (!w)
        return;
    if (w->has_thread) {
        (void) pthread_mutex_lock(&w->mutex);
        w->ending = true;
        (void) pthread_cond_broadcast(&w->changed);
        (void) pthread_mutex_unlock(&w->mutex);
        (void) pthread_join(w->thread, NULL);
    }
    (void) pthread_mutex_destroy(&w->mutex);
    (void) pthread_cond_destroy(&w->changed);
    free(w->buffers[0]);
    free(w->buffers[1]);
    free(w);
}

uint8_t *write_behind_buffer(write_behind *w) {
    return w->buffers[w->filling];
}

int write_behind_give(write_behind *w, size_t length, uint64_t offset) {
    int error = write_behind_finish(w);
    if (error)
        return error;
    if (!w->has_thread) {
        w->error = fd_pwrite_all(w->fd, w->buffers[w->filling], length, offset) < 0 ? errno : 0;
        return w->error;
    }
    (void) pthread_mutex_lock(&w->mutex);
    w->filling = !w->filling;
    w->length = length;
    w->offset = offset;
    w->busy = true;
    (void) pthread_cond_broadcast(&w->changed);
    (void) pthread_mutex_unlock(&w->mutex);
    return 0;
}

int write_behind_finish(write_behind *w) {
    (void) pthread_mutex_lock(&w->mutex);
    while (w->busy)
        (void) pthread_cond_wait(&w->changed, &w->mutex);
    int error = w->error;
    (void) pthread_mutex_unlock(&w->mutex);
    return error;
}
