/* SPDX-License-Identifier: Apache-2.0
 *
 * channel.c - a blocking conversation in frames
 */
#include "runtime/channel.h"

#include "base/bytes.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int wait_for(int fd, short events, deadline until, nb_error *err) {
    for (;;) {
        struct pollfd one = {.fd = fd, .events = events};
        int n = poll(&one, 1, deadline_left_ms(until));
        if (n > 0)
            return 0;
        if (n == 0)
            return nb_fail(err, NB_E_TIMEOUT, 0, "wait for an answer");
        if (errno != EINTR)
            return nb_fail(err, NB_E_INTERNAL, errno, "wait for an answer");
    }
}

static int send_bytes(int fd, const uint8_t *bytes, size_t length, deadline until, nb_error *err) {
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            bytes += n;
            length -= (size_t) n;
        } else if (errno == EAGAIN) {
            int result = wait_for(fd, POLLOUT, until, err);
            if (result < 0)
                return result;
        } else if (errno != EINTR) {
            return nb_fail(err, NB_E_BOX_GONE, errno, "send a request");
        }
    }
    return 0;
}

int channel_send(int fd, const buf *out, deadline until, nb_error *err) {
    buf hello;
    buf_init(&hello, 64);
    int result = wire_control(&hello, wire_encode_hello, (&(msg_hello){.version = WIRE_VERSION, .capabilities = WIRE_CAPABILITIES}))
                     ? 0
                     : nb_fail_oom(err);
    if (result == 0)
        result = send_bytes(fd, buf_bytes(&hello), buf_length(&hello), until, err);
    buf_done(&hello);
    return result < 0 ? result : send_bytes(fd, buf_bytes(out), buf_length(out), until, err);
}

static int receive_bytes(int fd, uint8_t *bytes, size_t length, deadline until, const channel_work *work, nb_error *err) {
    while (length > 0) {
        ssize_t n = recv(fd, bytes, length, MSG_DONTWAIT);
        if (n > 0) {
            bytes += n;
            length -= (size_t) n;
        } else if (n == 0) {
            return nb_fail(err, NB_E_BOX_GONE, 0, "the other side closed the connection");
        } else if (errno == EAGAIN) {
            int result = work ? work->until_readable(work->user, fd, until, err) : wait_for(fd, POLLIN, until, err);
            if (result < 0)
                return result;
        } else if (errno != EINTR) {
            return nb_fail(err, NB_E_BOX_GONE, errno, "receive an answer");
        }
    }
    return 0;
}

static int receive_frame(int fd, deadline until, const channel_work *work, buf *into, wire_frame *ret_frame, nb_error *err) {
    buf_clear(into);
    uint8_t *header = buf_reserve(into, WIRE_HEADER_BYTES);
    if (!header)
        return nb_fail_oom(err);
    int result = receive_bytes(fd, header, WIRE_HEADER_BYTES, until, work, err);
    if (result < 0)
        return result;
    buf_added(into, WIRE_HEADER_BYTES);
    size_t used;
    int found = wire_frame_parse(buf_bytes(into), buf_length(into), ret_frame, &used);
    if (found == 0) { /* the header is good, the payload is still to come */
        uint32_t payload = load_le32(buf_bytes(into));
        uint8_t *to = buf_reserve(into, payload);
        if (!to)
            return nb_fail_oom(err);
        result = receive_bytes(fd, to, payload, until, work, err);
        if (result < 0)
            return result;
        buf_added(into, payload);
        found = wire_frame_parse(buf_bytes(into), buf_length(into), ret_frame, &used);
    }
    return found == 1 ? 0 : nb_fail(err, NB_E_PROTOCOL, 0, "understand an answer");
}

int channel_receive_at_work(int fd, enum wire_direction accepts, deadline until, const channel_work *work, buf *into,
                            const uint8_t **ret_bytes, size_t *ret_length, nb_error *err) {
    for (;;) {
        wire_frame frame;
        msg_hello hello;
        int result = receive_frame(fd, until, work, into, &frame, err);
        if (result < 0)
            return result;
        uint16_t id = wire_message_id(frame.payload, frame.length);
        if (frame.kind != WIRE_FRAME_CONTROL || !wire_message_allowed(id, accepts))
            return nb_fail(err, NB_E_PROTOCOL, 0, "understand an answer");
        if (id != id_of_msg_hello) {
            *ret_bytes = frame.payload;
            *ret_length = frame.length;
            return 0;
        }
        if (wire_decode_hello(frame.payload, frame.length, &hello) < 0 || hello.version != WIRE_VERSION)
            return nb_fail_hint(err, nb_fail(err, NB_E_PROTOCOL, 0, "the other side speaks another version of the protocol"),
                                "it was started by another version of Nestbox: stop the box with that one");
    }
}

int channel_receive(int fd, enum wire_direction accepts, deadline until, buf *into, const uint8_t **ret_bytes, size_t *ret_length,
                    nb_error *err) {
    return channel_receive_at_work(fd, accepts, until, NULL, into, ret_bytes, ret_length, err);
}

int channel_ask(int fd, buf *bytes, deadline until, const uint8_t **ret_message, size_t *ret_length, nb_error *err) {
    int result = channel_send(fd, bytes, until, err);
    return result < 0 ? result : channel_receive(fd, TO_CLIENT, until, bytes, ret_message, ret_length, err);
}

int channel_failed(const uint8_t *bytes, size_t length, nb_error *err) {
    msg_failed failed;
    if (wire_decode_failed(bytes, length, &failed) < 0 || !nb_code_is_known(failed.code))
        return nb_fail(err, NB_E_PROTOCOL, 0, "understand an answer");
    int result = nb_fail(err, failed.code, 0, "%.*s", (int) failed.message.length, (const char *) failed.message.at);
    if (err)
        err->system_errno = failed.error;
    if (failed.hint.length > 0)
        (void) nb_fail_hint(err, result, "%.*s", (int) failed.hint.length, (const char *) failed.hint.at);
    return result;
}
