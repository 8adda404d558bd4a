/* SPDX-License-Identifier: Apache-2.0
 *
 * channel.h - a blocking conversation in frames: with a shim before an exec begins, with an image worker
 */
#ifndef RUNTIME_CHANNEL_H
#define RUNTIME_CHANNEL_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "wire/frame.h"
#include "wire/message.h"

/* Sends our HELLO and what is queued in @out behind it. -NB_E_BOX_GONE: nobody reads any more. -NB_E_TIMEOUT. */
int channel_send(int fd, const buf *out, deadline until, nb_error *err);

/* What is to go on while we wait for the other side. */
typedef struct channel_work {
    /* Returns 0 when @fd is readable. What it fails with ends the wait. */
    int (*until_readable)(void *user, int fd, deadline until, nb_error *err);
    void *user;
} channel_work;

/* Reads one control message, and not a byte more: what follows stays in the socket. The other side's HELLO is checked and passed over.
 *
 * @accepts    what the other side may send
 * @work       or NULL
 * @ret_bytes  the message, in @into, until that is used again
 * -NB_E_BOX_GONE: the other side closed. -NB_E_TIMEOUT, -NB_E_PROTOCOL. */
int channel_receive_at_work(int fd, enum wire_direction accepts, deadline until, const channel_work *work, buf *into,
                            const uint8_t **ret_bytes, size_t *ret_length, nb_error *err);
int channel_receive(int fd, enum wire_direction accepts, deadline until, buf *into, const uint8_t **ret_bytes, size_t *ret_length,
                    nb_error *err);

/* Sends what is queued in @bytes and reads the one message that answers it, into the same @bytes. Results as above. */
int channel_ask(int fd, buf *bytes, deadline until, const uint8_t **ret_message, size_t *ret_length, nb_error *err);

/* Turns a FAILED message into an error. Its code, negative. */
int channel_failed(const uint8_t *bytes, size_t length, nb_error *err);

#endif
