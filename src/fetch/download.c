/* SPDX-License-Identifier: Apache-2.0
 *
 * download.c - the blobs of an image, several at a time
 *
 * Theory of operation
 *   Each blob is a small state machine: WAITING for its turn or for a later attempt, COMING, DONE. The loop starts what is due, as long as
 *   fewer than PARALLEL_MAX are coming, and judges what has ended. An attempt that broke off is followed by one for the rest.
 */
#include "fetch/download.h"

#include "base/clock.h"
#include "base/error.h"
#include "fetch/blobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Docker's number. More helps only against servers that are slow for each connection. */
#define PARALLEL_MAX 3u

enum download_state {
    DOWNLOAD_WAITING, /* not before due_ms */
    DOWNLOAD_COMING,  /* transfer, part, url and sent are there */
    DOWNLOAD_DONE,
};

typedef struct download {
    enum download_state state;
    const blob_promise *promise;
    unsigned attempts;
    bool has_old_bytes; /* of an earlier pull, which nobody has verified */
    uint64_t due_ms;
    uint64_t told_bytes; /* how far it was when that was told last */
    part part;
    char *url, *sent; /* sent: the Authorization header that went along, or NULL */
    http_transfer *transfer;
} download;

typedef struct batch {
    registry *registry;
    int folder;
    http *http;
    download *downloads;
    size_t count, done;
    const download_watch *watch;
} batch;

static void end_attempt(download *d) {
    http_transfer_free(d->transfer);
    part_done(&d->part);
    free(d->url);
    free(d->sent);
    d->transfer = NULL;
    d->url = d->sent = NULL;
}

static void batch_done(batch *b) {
    for (size_t i = 0; b->downloads && i < b->count; i++)
        end_attempt(&b->downloads[i]);
    free(b->downloads);
    http_free(b->http);
}

static void tell(const batch *b, download *d, const char *what, uint64_t done_bytes) {
    d->told_bytes = done_bytes;
    b->watch->tell(b->watch->user, what, &d->promise->digest, done_bytes, d->promise->size);
}

/* Of those that are coming, which have come further. */
static void report(const batch *b) {
    if (!b->watch->is_due(b->watch->user))
        return;
    for (size_t i = 0; i < b->count; i++) {
        download *d = &b->downloads[i];
        if (d->state == DOWNLOAD_COMING && d->part.length != d->told_bytes)
            tell(b, d, "fetching", d->part.length);
    }
}

static int take(void *user, uint64_t from, const uint8_t *bytes, size_t length, nb_error *err) {
    download *d = user;
    return part_write(&d->part, from, bytes, length, err);
}

static bool stands_before(const batch *b, const download *d) {
    for (const download *other = b->downloads; other < d; other++) {
        if (digest_equal(&other->promise->digest, &d->promise->digest))
            return true;
    }
    return false;
}

/* Finds out what is missing. */
static int look(batch *b, const blob_promise *promises, nb_error *err) {
    for (size_t i = 0; i < b->count; i++) {
        download *d = &b->downloads[i];
        bool has;
        d->promise = &promises[i];
        d->part.fd = -1;
        int r = stands_before(b, d) ? 0 : blobs_has(b->folder, d->promise, &has, err);
        if (r < 0)
            return r;
        if (stands_before(b, d) || has) {
            d->state = DOWNLOAD_DONE;
            b->done++;
        }
        tell(b, d, d->state == DOWNLOAD_DONE ? "here already" : "waiting", d->state == DOWNLOAD_DONE ? d->promise->size : 0);
    }
    return 0;
}

/* What an earlier pull has left may be damaged: then the registry's own bytes are still to be seen. */
static int finish(batch *b, download *d, nb_error *err) {
    int r = part_finish(&d->part, err);
    end_attempt(d);
    if (r == -NB_E_IMAGE && d->has_old_bytes) {
        d->has_old_bytes = false;
        d->state = DOWNLOAD_WAITING;
        return 0;
    }
    d->state = DOWNLOAD_DONE;
    b->done++;
    if (r == 0)
        tell(b, d, "fetched", d->promise->size);
    return r;
}

static int start(batch *b, download *d, nb_error *err) {
    char text[DIGEST_TEXT_SIZE];
    digest_format(&d->promise->digest, text);
    int r = part_open(b->folder, d->promise, &d->part, err);
    if (r < 0)
        return r;
    d->has_old_bytes = d->has_old_bytes || (d->attempts == 0 && d->part.length > 0);
    if (d->part.length == d->promise->size) /* all of it came the last time, or there is nothing in it */
        return finish(b, d, err);
    d->url = registry_url(b->registry, "blobs", text);
    d->sent = b->registry->authorization ? strdup(b->registry->authorization) : NULL;
    if (!d->url || (b->registry->authorization && !d->sent))
        return nb_fail_oom(err);
    http_request request = {
        .endpoint = &b->registry->endpoint, .url = d->url, .authorization = d->sent, .from = d->part.length, .take = take, .user = d};
    r = http_start(b->http, &request, &d->transfer, err);
    if (r < 0)
        return r;
    d->attempts++;
    d->state = DOWNLOAD_COMING;
    return 0;
}

/* A server that sends no more than a part of what it promised has ended its answer properly, and is asked for the rest. */
static bool is_short(const download *d) {
    return d->part.length < d->promise->size;
}

static int judge(batch *b, download *d, nb_error *err) {
    http_response response = *http_response_of(d->transfer);
    char what[DIGEST_TEXT_SIZE + 32], text[DIGEST_TEXT_SIZE];
    uint32_t wait_ms = 0;
    nb_error failed = {0};
    digest_format(&d->promise->digest, text);
    (void) snprintf(what, sizeof(what), "get the blob %s", text);
    if (response.status == 416 && d->part.length > 0) { /* what we have is longer than what the registry has: begin anew */
        response = (http_response){.status = 200, .problem = "the registry does not have the rest", .may_pass = true};
        int r = part_write(&d->part, 0, NULL, 0, err);
        if (r < 0)
            return r;
    } else if (response.status < 300 && response.status > 0 && !response.problem[0] && response.refused == 0 && is_short(d)) {
        (void) snprintf(response.problem, sizeof(response.problem), "it has %llu bytes, not %llu", (unsigned long long) d->part.length,
                        (unsigned long long) d->promise->size);
        response.may_pass = true;
    }
    enum registry_verdict verdict = registry_judge(b->registry, &response, d->attempts, what, d->sent, &wait_ms, &failed);
    if (verdict == REGISTRY_GOOD)
        return finish(b, d, err);
    end_attempt(d);
    if (verdict == REGISTRY_FAILED) {
        if (err)
            *err = failed;
        return -failed.code;
    }
    d->state = DOWNLOAD_WAITING;
    d->due_ms = clock_monotonic_ms() + wait_ms;
    return 0;
}

static download *find_coming(batch *b, const http_transfer *t) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->downloads[i].transfer == t)
            return &b->downloads[i];
    }
    return NULL;
}

/* Starts what is due. @ret_until: when the next will be, at the latest. */
static int start_due(batch *b, deadline *ret_until, nb_error *err) {
    uint64_t now = clock_monotonic_ms(), next = now + 1000; /* to report progress, at least */
    size_t coming = 0;
    for (size_t i = 0; i < b->count; i++)
        coming += b->downloads[i].state == DOWNLOAD_COMING;
    for (size_t i = 0; i < b->count && coming < PARALLEL_MAX; i++) {
        download *d = &b->downloads[i];
        if (d->state != DOWNLOAD_WAITING)
            continue;
        if (d->due_ms > now) {
            next = d->due_ms < next ? d->due_ms : next;
            continue;
        }
        int r = start(b, d, err);
        if (r < 0)
            return r;
        coming += d->state == DOWNLOAD_COMING;
    }
    *ret_until = (deadline){next};
    return 0;
}

int download_blobs(registry *r, int folder, const blob_promise *promises, size_t count, const download_watch *watch, nb_error *err) {
    CLEANUP(batch_done) batch b = {.registry = r, .folder = folder, .count = count, .watch = watch};
    b.downloads = calloc(count + 1, sizeof(*b.downloads));
    if (!b.downloads)
        return nb_fail_oom(err);
    int result = look(&b, promises, err);
    if (result == 0)
        result = http_new(r->settings, r->watch, &b.http, err);
    while (result == 0 && b.done < b.count) {
        deadline until;
        result = start_due(&b, &until, err);
        if (result < 0 || b.done == b.count)
            break;
        http_transfer *t = http_next(b.http, until);
        download *d = t ? find_coming(&b, t) : NULL;
        if (d)
            result = judge(&b, d, err);
        report(&b);
    }
    return result;
}
