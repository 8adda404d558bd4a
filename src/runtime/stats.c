/* SPDX-License-Identifier: Apache-2.0
 *
 * stats.c - what a running box uses
 */
#include "base/cleanup.h"
#include "base/fd.h"
#include "runtime/box.h"
#include "runtime/channel.h"
#include "runtime/connect.h"

static int ask(int folder, msg_counted *ret_counted, nb_error *err) {
    deadline until = deadline_in(CONNECT_TIMEOUT_MS);
    CLEANUP(buf_done) buf bytes;
    buf_init(&bytes, WIRE_READ_BUFFER_BYTES);
    const uint8_t *message;
    size_t length;
    int result = wire_control(&bytes, wire_encode_count, (&(msg_count){0})) ? connect_ask(folder, until, &bytes, &message, &length, err)
                                                                            : nb_fail_oom(err);
    if (result == 0 && wire_decode_counted(message, length, ret_counted) < 0)
        result = channel_failed(message, length, err);
    return result;
}

static int measure(nb_box *box, nb_box_stats *ret_stats, nb_error *err) {
    arena a = {0};
    box_record record;
    msg_counted counted;
    CLEANUP(cleanup_fd) int folder = box_open_folder(box->runtime, box->id, err);
    if (folder < 0)
        return folder;
    int result = box_read_record(box, &a, &record, err);
    if (result == 0)
        result = ask(folder, &counted, err);
    if (result == 0)
        *ret_stats = (nb_box_stats){
            .at_us = counted.at_us,
            .commands_executed = counted.execs,
            .exec_errors = counted.exec_failures,
            .bytes_sent = counted.input_bytes,
            .bytes_received = counted.output_bytes,
            .cpu_time_us = counted.cpu_time_us,
            .memory_bytes = counted.memory_bytes,
            .memory_limit_bytes = record.memory_bytes,
            .processes = counted.pids,
            .processes_limit = record.pids_max,
            .cpus = record.cpus,
            .machine_cpu_time_us = counted.machine_cpu_time_us,
            .machine_memory_bytes = counted.machine_memory_bytes,
            .shim_memory_bytes = counted.shim_memory_bytes,
        };
    arena_done(&a);
    return result;
}

int nb_box_stats_get(nb_box *box, nb_box_stats *ret_stats, nb_error *err) {
    if (!box || !ret_stats)
        return nb_fail(err, NB_E_INVALID, 0, "measure a box: an argument is NULL");
    return nb_fail_within(err, measure(box, ret_stats, err), "box '%s'", box->called);
}
