/* SPDX-License-Identifier: Apache-2.0
 *
 * image-config.c - how an image wants to be run: between its record and the worker that writes and reads images
 */
#include "runtime/image-config.h"

#include "runtime/runtime.h"

msg_image_config image_config_plain(strv command) {
    static const char env[] = IMAGE_DEFAULT_PATH;
    return (msg_image_config){
        .architecture = wire_str(host_architecture()),
        .os = wire_str("linux"),
        .command = command,
        .env = {env, sizeof(env)},
    };
}

msg_image_config image_config_of(const image_record *image) {
    return (msg_image_config){
        .architecture = wire_str(image->architecture),
        .os = wire_str(image->os),
        .entrypoint = image->entrypoint,
        .command = image->command,
        .env = image->env,
        .labels = image->labels,
        .cwd = wire_str(image->cwd),
        .user = wire_str(image->user),
        .stop_signal = wire_str(image->stop_signal),
        .exposed_ports = image->exposed_ports,
        .volumes = image->volumes,
        .shell = image->shell,
        .health_test = image->health_test,
        .health_interval_ns = image->health_interval_ns,
        .health_timeout_ns = image->health_timeout_ns,
        .health_start_period_ns = image->health_start_period_ns,
        .health_retries = image->health_retries,
    };
}

static const char *text_of(arena *a, wire_bytes text) {
    return arena_text(a, text.at, text.length);
}

static strv list_of(arena *a, strv list) {
    return arena_list(a, list);
}

bool image_config_take(wire_bytes encoded, arena *a, image_record *image) {
    msg_image_config m;
    if (wire_decode_image_config(encoded.at, encoded.length, &m) < 0)
        return false;
    image->architecture = text_of(a, m.architecture);
    image->os = text_of(a, m.os);
    image->entrypoint = list_of(a, m.entrypoint);
    image->command = list_of(a, m.command);
    image->env = list_of(a, m.env);
    image->labels = list_of(a, m.labels);
    image->cwd = text_of(a, m.cwd);
    image->user = text_of(a, m.user);
    image->stop_signal = text_of(a, m.stop_signal);
    image->exposed_ports = list_of(a, m.exposed_ports);
    image->volumes = list_of(a, m.volumes);
    image->shell = list_of(a, m.shell);
    image->health_test = list_of(a, m.health_test);
    image->health_interval_ns = m.health_interval_ns;
    image->health_timeout_ns = m.health_timeout_ns;
    image->health_start_period_ns = m.health_start_period_ns;
    image->health_retries = m.health_retries;
    return !a->failed;
}
