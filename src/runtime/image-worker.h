/* SPDX-License-Identifier: Apache-2.0
 *
 * image-worker.h - one errand of a helper process that works on images
 */
#ifndef RUNTIME_IMAGE_WORKER_H
#define RUNTIME_IMAGE_WORKER_H

#include "base/buf.h"
#include "base/clock.h"
#include "runtime/channel.h"
#include "runtime/embedded.h"
#include "runtime/runtime.h"
#include "wire/message.h"

/* Besides its socket. */
#define IMAGE_WORKER_FDS_MAX 2u

/* How long a worker may be at work, where only its silence has a bound. */
#define IMAGE_WORKER_FOR_EVER ((deadline){UINT64_MAX})

/* Starts the worker, sends it one request, passes its progress on to the runtime's user, and waits for its answer.
 *
 * @fds        become its descriptors 4 and 5; borrowed
 * @bytes      the encoded request; afterwards what the answer's bytes lie in. NULL memory means that it could not be encoded
 * @feed       what brings the source's bytes while the worker works, or NULL
 * @until      when it must have answered; it ends when it has not
 * @ret_bytes  the answer, which is no FAILED: that is returned as the error it carries
 * Besides the worker's own errors: -NB_E_IMAGE (it died), -NB_E_TIMEOUT (said nothing for five minutes, or @until passed), -NB_E_PROTOCOL, -NB_E_STORAGE, -NB_E_NO_MEMORY. */
int image_worker_ask(nb_runtime *rt, const embedded_program *program, const int *fds, size_t fd_count, buf *bytes, const channel_work *feed,
                     deadline until, const uint8_t **ret_bytes, size_t *ret_length, nb_error *err);

#endif
