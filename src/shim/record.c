/* SPDX-License-Identifier: Apache-2.0
 *
 * record.c - the file "run" of a box's folder: what its shim last did
 */
#include "shim/record.h"

#include "base/file.h"

#include <errno.h>

/* The fixed fields, short texts, and the paths of the machine's control groups. */
#define RECORD_MAX_BYTES (WIRE_LIMITS_GROUPS_MAX_BYTES + 4096u)

int record_write(record *r, int folder, bool durable) {
    r->is.accelerator = wire_str(r->accelerator);
    r->is.message = wire_str(r->message);
    buf encoded;
    buf_init(&encoded, RECORD_MAX_BYTES);
    errno = ENOMEM;
    int result = wire_encode_record(&encoded, &r->is)
                     ? file_write_atomic(folder, RECORD_FILE, buf_bytes(&encoded), buf_length(&encoded), durable)
                     : -1;
    int saved = errno;
    buf_done(&encoded);
    errno = saved;
    return result;
}
