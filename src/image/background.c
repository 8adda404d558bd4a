/* SPDX-License-Identifier: Apache-2.0
 *
 * background.c - work on bytes while the next ones are made
 */
#include "image/background.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* The work is a write or a digest. */
#define STACK_BYTES ((size_t) 64 << 10)

struct background {
    background_work work;
    void *user;
    uint8_t *buffers[2];
    unsigned filling; /* which of them; the other is the thread's while busy */
    bool has_thread;
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    bool busy, ending;
    size_t length;
    uint64_t offset;
    int error; /* of the first piece that failed */
};

static void *work_for_ever(void *user) {
    background *b = user;
    (void) pthread_mutex_lock(&b->mutex);
    for (;;) {
        while (!b->busy && !b->ending)
            (void) pthread_cond_wait(&b->changed, &b->mutex);
        if (b->ending)
            break;
        const uint8_t *bytes = b->buffers[!b->filling];
        size_t length = b->length;
        uint64_t offset = b->offset;
        (void) pthread_mutex_unlock(&b->mutex);
        int error = b->work(b->user, bytes, length, offset);
        (void) pthread_mutex_lock(&b->mutex);
        b->error = error;
        b->busy = false;
        (void) pthread_cond_broadcast(&b->changed);
    }
    (void) pthread_mutex_unlock(&b->mutex);
    return NULL;
}

static bool start_thread(background *b) {
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void) pthread_attr_setstacksize(&attributes, STACK_BYTES > (size_t) PTHREAD_STACK_MIN ? STACK_BYTES : (size_t) PTHREAD_STACK_MIN);
    bool started = pthread_create(&b->thread, &attributes, work_for_ever, b) == 0;
    (void) pthread_attr_destroy(&attributes);
    return started;
}

background *background_new(background_work work, void *user, size_t buffer_bytes) {
    background *b = calloc(1, sizeof(*b));
    if (!b)
        return NULL;
    b->work = work;
    b->user = user;
    b->buffers[0] = malloc(buffer_bytes);
    b->buffers[1] = malloc(buffer_bytes);
    if (!b->buffers[0] || !b->buffers[1]) {
        free(b->buffers[0]);
        free(b->buffers[1]);
        free(b);
        return NULL;
    }
    (void) pthread_mutex_init(&b->mutex, NULL);
    (void) pthread_cond_init(&b->changed, NULL);
    b->has_thread = start_thread(b);
    return b;
}

void background_free(background *b) {
    if (!b)
        return;
    if (b->has_thread) {
        (void) pthread_mutex_lock(&b->mutex);
        b->ending = true;
        (void) pthread_cond_broadcast(&b->changed);
        (void) pthread_mutex_unlock(&b->mutex);
        (void) pthread_join(b->thread, NULL);
    }
    (void) pthread_mutex_destroy(&b->mutex);
    (void) pthread_cond_destroy(&b->changed);
    free(b->buffers[0]);
    free(b->buffers[1]);
    free(b);
}

uint8_t *background_buffer(background *b) {
    return b->buffers[b->filling];
}

int background_give(background *b, size_t length, uint64_t offset) {
    int error = background_finish(b);
    if (error)
        return error;
    if (!b->has_thread) {
        b->error = b->work(b->user, b->buffers[b->filling], length, offset);
        return b->error;
    }
    (void) pthread_mutex_lock(&b->mutex);
    b->filling = !b->filling;
    b->length = length;
    b->offset = offset;
    b->busy = true;
    (void) pthread_cond_broadcast(&b->changed);
    (void) pthread_mutex_unlock(&b->mutex);
    return 0;
}

int background_finish(background *b) {
    (void) pthread_mutex_lock(&b->mutex);
    while (b->busy)
        (void) pthread_cond_wait(&b->changed, &b->mutex);
    int error = b->error;
    (void) pthread_mutex_unlock(&b->mutex);
    return error;
}
