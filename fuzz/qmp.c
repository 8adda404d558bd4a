/* SPDX-License-Identifier: Apache-2.0
 *
 * qmp.c - fuzzes the reading of QEMU's control connection
 *
 * Properties: the same bytes, fed at once and one at a time, give the same messages and the same verdict; what comes out is a
 * terminated text and a body that is JSON by itself. The first byte says how many commands wait for answers.
 */
#include "machine/qmp.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

typedef struct digest {
    uint64_t value;
    unsigned count;
} digest;

/* FNV-1a: differences are to show, nothing more. */
static void mix(digest *d, const void *bytes, size_t length) {
    const uint8_t *at = bytes;
    for (size_t i = 0; i < length; i++)
        d->value = (d->value ^ at[i]) * UINT64_C(0x100000001b3);
}

static void on_message(void *user, const qmp_message *m) {
    digest *d = user;
    json_value body;
    assert(memchr(m->text, '\0', sizeof(m->text)));
    assert(m->body.length == 0 || (json_check(m->body.at, m->body.length, &body) && body.length == m->body.length));
    char reason[64];
    if (json_string(json_member(m->body, "reason"), reason, sizeof(reason)))
        mix(d, reason, strlen(reason));
    mix(d, &m->kind, sizeof(m->kind));
    mix(d, &m->command, sizeof(m->command));
    mix(d, m->text, strlen(m->text));
    mix(d, m->body.at, m->body.length);
    d->count++;
}

static int feed(const uint8_t *bytes, size_t length, size_t piece, unsigned commands, digest *ret_digest) {
    qmp q;
    buf out;
    int r = 0;
    qmp_init(&q, on_message, ret_digest);
    buf_init(&out, 4096);
    for (unsigned i = 0; i < commands; i++)
        (void) qmp_write(&q, (qmp_command) (i % (QMP_QUERY_STATUS + 1)), &out);
    for (size_t at = 0; at < length && r == 0; at += piece)
        r = qmp_feed(&q, bytes + at, length - at < piece ? length - at : piece, NULL);
    buf_done(&out);
    qmp_done(&q);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    if (length == 0)
        return 0;
    unsigned commands = bytes[0] % (QMP_WAITING_MAX + 1);
    digest whole = {0}, cut = {0};
    int whole_result = feed(bytes + 1, length - 1, SIZE_MAX / 2, commands, &whole);
    int cut_result = feed(bytes + 1, length - 1, 1, commands, &cut);
    assert(whole_result == cut_result);
    assert(whole.value == cut.value && whole.count == cut.count);
    return 0;
}
