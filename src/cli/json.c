/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c - the shapes of docs/json.md
 *
 * Out of memory latches: a shape is filled by straight-line calls into a json_builder, and whether all went in is asked once.
 */
#include "cli/json.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "cli/text.h"
#include "cli/when.h"

#include <string.h>

#define JSON_INDENT_STEP 2

typedef struct json_builder {
    json_t *object;
    bool bad; /* something did not go in */
} json_builder;

static json_builder begin(void) {
    json_builder b = {.object = json_object()};
    b.bad = !b.object;
    return b;
}

/* The object, or NULL if something was lost. */
static json_t *end(json_builder *b) {
    if (b->bad) {
        json_decref(b->object);
        b->object = NULL;
    }
    return b->object;
}

/* @value's reference is taken over; NULL is a failed allocation. */
static void add(json_builder *b, const char *key, json_t *value) {
    if (b->bad || !value) {
        json_decref(value);
        b->bad = true;
    } else if (json_object_set_new(b->object, key, value) < 0) {
        b->bad = true;
    }
}

static json_t *string_value(const char *text) {
    CLEANUP(cleanup_free) char *valid = text_utf8(text);
    return valid ? json_string(valid) : NULL;
}

/* NULL and "" are null. */
static void add_string(json_builder *b, const char *key, const char *text) {
    add(b, key, text && *text ? string_value(text) : json_null());
}

static void add_bool(json_builder *b, const char *key, bool value) {
    add(b, key, json_boolean(value));
}

static void add_count(json_builder *b, const char *key, uint64_t value) {
    add(b, key, json_integer((json_int_t) value));
}

/* 0 is null. */
static void add_number(json_builder *b, const char *key, int64_t value) {
    add(b, key, value ? json_integer(value) : json_null());
}

static void add_time(json_builder *b, const char *key, uint64_t at_ms) {
    char text[WHEN_TEXT_SIZE];
    when_rfc3339(at_ms, text);
    add(b, key, at_ms ? json_string(text) : json_null());
}

/* Takes @value's reference over. An array that lost one becomes NULL, which every user of it refuses. */
static void append(json_t **array, json_t *value) {
    if (json_array_append_new(*array, value) < 0) { /* refuses NULL, for either */
        json_decref(*array);
        *array = NULL;
    }
}

static void add_strings(json_builder *b, const char *key, nb_strings strings) {
    json_t *array = json_array();
    for (size_t i = 0; i < strings.count; i++)
        append(&array, string_value(strings.items[i]));
    add(b, key, array);
}

/* KEY=value strings as an object; of a key that is there twice the last counts. */
static void add_labels(json_builder *b, const char *key, nb_strings labels) {
    json_builder object = begin();
    for (size_t i = 0; i < labels.count; i++) {
        CLEANUP(cleanup_free) char *name = text_utf8(labels.items[i]);
        if (!name) {
            object.bad = true;
            break;
        }
        char *value = strchr(name, '=');
        if (value)
            *value++ = '\0';
        add(&object, name, json_string(value ? value : ""));
    }
    add(b, key, end(&object));
}

static json_t *json_of_timing(const nb_timing *timing) {
    json_builder b = begin();
    add_count(&b, "prepare_us", timing->prepare_us);
    add_count(&b, "machine_us", timing->machine_us);
    add_count(&b, "boot_us", timing->boot_us);
    add_count(&b, "container_us", timing->container_us);
    add_count(&b, "command_us", timing->command_us);
    add_count(&b, "total_us", timing->total_us);
    return end(&b);
}

static json_t *json_of_host_limits(const nb_host_limits *limits) {
    json_builder b = begin();
    add_string(&b, "by", limits->by);
    add_bool(&b, "cpu", limits->cpu);
    add_bool(&b, "memory", limits->memory);
    add_bool(&b, "pids", limits->pids);
    add_string(&b, "missing", limits->missing);
    return end(&b);
}

static void add_state(json_builder *b, const nb_box_info *box) {
    add_string(b, "state", nb_box_state_name(box->state));
    add_string(b, "cause", box->cause == NB_END_NONE ? NULL : nb_end_cause_name(box->cause));
    add(b, "exit_code", box->has_exit ? json_integer(box->exit_code) : json_null());
    add_number(b, "exit_signal", box->has_exit ? box->exit_signal : 0);
    add(b, "oom_killed", box->has_exit ? json_boolean(box->oom_killed) : json_null());
    add(b, "timed_out", box->has_exit ? json_boolean(box->timed_out) : json_null());
    add_string(b, "message", box->message);
    add_time(b, "created_at", box->created_at_ms);
    add_time(b, "started_at", box->started_at_ms);
    add_time(b, "finished_at", box->finished_at_ms);
    add_number(b, "shim_pid", box->shim_pid);
    add_number(b, "machine_pid", box->machine_pid);
}

static void add_settings(json_builder *b, const nb_box_info *box) {
    add_strings(b, "command", box->command);
    add_strings(b, "environment", box->environment);
    add_labels(b, "labels", box->labels);
    add_string(b, "working_directory", box->working_directory);
    add_string(b, "user", box->user);
    add_string(b, "hostname", box->hostname);
    add_string(b, "stop_signal", box->stop_signal);
    add_count(b, "stop_timeout_ms", box->stop_timeout_ms);
    add_count(b, "memory_bytes", box->memory_bytes);
    add_count(b, "disk_bytes", box->disk_bytes);
    add_count(b, "cpus", box->cpus);
    add(b, "cpu_limit", box->cpu_millis ? json_real(box->cpu_millis / 1000.0) : json_null());
    add_count(b, "pids_max", box->pids_max);
    add_number(b, "io_bytes_per_second", (int64_t) box->io_bytes_per_second);
    add_number(b, "io_operations_per_second", box->io_operations_per_second);
    add_bool(b, "tty", box->tty);
    add_bool(b, "open_stdin", box->open_stdin);
    add_bool(b, "detach", box->detach);
    add_bool(b, "auto_remove", box->auto_remove);
    add_bool(b, "init", box->init);
    add_bool(b, "keep", box->keep);
    add_strings(b, "cap_add", box->cap_add);
    add_strings(b, "cap_drop", box->cap_drop);
    add_strings(b, "ulimits", box->ulimits);
    add_bool(b, "no_new_privileges", box->no_new_privileges);
    add_number(b, "timeout_ms", (int64_t) box->timeout_ms);
}

static json_t *json_of_mounts(const nb_mounts *mounts) {
    static const char *const kinds[] = {[NB_MOUNT_BIND] = "bind", [NB_MOUNT_VOLUME] = "volume", [NB_MOUNT_TMPFS] = "tmpfs"};
    json_t *array = json_array();
    for (size_t i = 0; array && i < mounts->count; i++) {
        const nb_mount *mount = &mounts->items[i];
        json_builder b = begin();
        add_string(&b, "type", kinds[mount->kind]);
        add_string(&b, "source", mount->source);
        add_string(&b, "target", mount->target);
        add_bool(&b, "read_only", mount->read_only);
        add_string(&b, "options", mount->options);
        if (json_array_append_new(array, end(&b)) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

json_t *json_of_volume(const nb_volume_info *volume) {
    json_builder b = begin();
    add_string(&b, "name", volume->name);
    add_string(&b, "path", volume->path);
    add_time(&b, "created_at", volume->created_at_ms);
    add_count(&b, "boxes", volume->boxes);
    return end(&b);
}

json_t *json_of_template(const nb_template_info *info) {
    json_builder b = begin();
    add_string(&b, "key", info->key);
    add_string(&b, "image_id", info->image_id);
    add_string(&b, "image", info->image);
    add_string(&b, "accelerator", info->accelerator);
    add_count(&b, "memory_bytes", info->memory_bytes);
    add_count(&b, "cpus", info->cpus);
    add_number(&b, "disk_bytes", (int64_t) info->disk_bytes);
    add_bool(&b, "init", info->init);
    add_count(&b, "size_bytes", info->size_bytes);
    add_time(&b, "created_at", info->created_at_ms);
    add_time(&b, "used_at", info->used_at_ms);
    return end(&b);
}

static json_t *json_of_health_check(const nb_health_check *check) {
    json_builder b = begin();
    add_strings(&b, "test", check->test);
    add_number(&b, "interval_ns", (int64_t) check->interval_ns);
    add_number(&b, "timeout_ns", (int64_t) check->timeout_ns);
    add_number(&b, "start_period_ns", (int64_t) check->start_period_ns);
    add_number(&b, "retries", check->retries);
    return end(&b);
}

static void add_care(json_builder *b, const nb_box_info *box) {
    bool checked = box->health_check.test.count > 0;
    add_string(b, "restart", nb_restart_policy_name(box->restart));
    add_number(b, "restart_retries", box->restart_retries);
    add_count(b, "restart_count", box->restart_count);
    add_time(b, "next_start_at", box->next_start_at_ms);
    add(b, "health_check", checked ? json_of_health_check(&box->health_check) : json_null());
    add_string(b, "health", box->health == NB_HEALTH_NONE ? NULL : nb_health_name(box->health));
    add(b, "health_failures", box->health == NB_HEALTH_NONE ? json_null() : json_integer(box->health_failures));
    add_number(b, "auto_stop_ms", (int64_t) box->auto_stop_ms);
    add_number(b, "max_lifetime_ms", (int64_t) box->max_lifetime_ms);
    add_number(b, "auto_delete_ms", (int64_t) box->auto_delete_ms);
}

json_t *json_of_box(const nb_box_info *box) {
    json_builder b = begin();
    add_string(&b, "id", box->id);
    add_string(&b, "name", box->name);
    add_string(&b, "image", box->image);
    add_string(&b, "image_id", box->image_id);
    add_state(&b, box);
    add_settings(&b, box);
    add(&b, "mounts", json_of_mounts(&box->mounts));
    add_care(&b, box);
    add_string(&b, "accelerator", box->accelerator);
    add(&b, "host_limits", json_of_host_limits(&box->host_limits));
    add(&b, "timing", box->timing.total_us ? json_of_timing(&box->timing) : json_null());
    return end(&b);
}

static json_t *json_of_exec(const nb_exec_info *exec) {
    const nb_exit_status *status = &exec->status;
    json_builder b = begin();
    add_string(&b, "id", exec->id);
    add_strings(&b, "command", exec->command);
    add_number(&b, "pid", exec->pid);
    add_bool(&b, "running", exec->running);
    add_bool(&b, "attached", exec->attached);
    add_bool(&b, "tty", exec->tty);
    add(&b, "exit_code", exec->has_status ? json_integer(status->code) : json_null());
    add_number(&b, "exit_signal", exec->has_status ? status->signal : 0);
    add(&b, "timed_out", exec->has_status ? json_boolean(status->timed_out) : json_null());
    add(&b, "oom_killed", exec->has_status ? json_boolean(status->oom_killed) : json_null());
    add_time(&b, "started_at", exec->started_at_ms);
    add_time(&b, "finished_at", status->finished_at_ms);
    add(&b, "user_time_us", exec->has_status ? json_integer((json_int_t) status->user_time_us) : json_null());
    add(&b, "system_time_us", exec->has_status ? json_integer((json_int_t) status->system_time_us) : json_null());
    add(&b, "max_rss_bytes", exec->has_status ? json_integer((json_int_t) status->max_rss_bytes) : json_null());
    return end(&b);
}

static json_t *json_of_execs(const nb_exec_list *execs) {
    json_t *array = json_array();
    for (size_t i = 0; i < execs->count; i++)
        append(&array, json_of_exec(&execs->items[i]));
    return array;
}

static json_t *json_of_health_results(const nb_health_results *results) {
    json_t *array = json_array();
    for (size_t i = 0; i < results->count; i++) {
        const nb_health_result *result = &results->items[i];
        json_builder b = begin();
        add_time(&b, "started_at", result->started_at_ms);
        add_time(&b, "finished_at", result->finished_at_ms);
        add(&b, "exit_code", result->exit_code >= 0 ? json_integer(result->exit_code) : json_null());
        add_bool(&b, "timed_out", result->timed_out);
        add_string(&b, "output", result->output);
        append(&array, end(&b));
    }
    return array;
}

json_t *json_of_box_details(const nb_box_info *box, const nb_exec_list *execs, const nb_health_results *results) {
    json_t *object = json_of_box(box);
    if (json_object_set_new(object, "execs", json_of_execs(execs)) < 0 ||
        json_object_set_new(object, "health_results", json_of_health_results(results)) < 0) { /* refuses NULL, for either */
        json_decref(object);
        return NULL;
    }
    return object;
}

/* No strings are null. */
static void add_strings_or_null(json_builder *b, const char *key, nb_strings strings) {
    if (strings.count > 0)
        add_strings(b, key, strings);
    else
        add(b, key, json_null());
}

json_t *json_of_image(const nb_image_info *image) {
    json_builder b = begin();
    add_string(&b, "id", image->id);
    add_string(&b, "name", image->name);
    add_time(&b, "created_at", image->created_at_ms);
    add_count(&b, "size_bytes", image->size_bytes);
    add_count(&b, "disk_bytes", image->disk_bytes);
    add_strings(&b, "entrypoint", image->entrypoint);
    add_strings(&b, "command", image->command);
    add_strings(&b, "environment", image->environment);
    add_string(&b, "working_directory", image->working_directory);
    add_string(&b, "user", image->user);
    add_string(&b, "stop_signal", image->stop_signal);
    add_string(&b, "architecture", image->architecture);
    add_string(&b, "os", image->os);
    add_labels(&b, "labels", image->labels);
    add_strings_or_null(&b, "exposed_ports", image->exposed_ports);
    add_strings_or_null(&b, "volumes", image->volumes);
    add_strings_or_null(&b, "shell", image->shell);
    add(&b, "health_check", image->health_check.test.count > 0 ? json_of_health_check(&image->health_check) : json_null());
    return end(&b);
}

json_t *json_of_info(const nb_info *info) {
    json_builder b = begin();
    add_string(&b, "version", info->version);
    add_string(&b, "home", info->home);
    add_string(&b, "accelerator", info->accelerator);
    add_string(&b, "accelerator_reason", info->accelerator_reason);
    add_string(&b, "qemu", info->qemu);
    add_string(&b, "kernel", info->kernel);
    add_string(&b, "kernel_version", info->kernel_version);
    add_string(&b, "architecture", info->architecture);
    add_count(&b, "boxes", info->boxes);
    add_count(&b, "boxes_running", info->boxes_running);
    add_count(&b, "images", info->images);
    return end(&b);
}

static json_t *json_of_usage(const nb_usage *usage) {
    json_builder b = begin();
    add_count(&b, "count", usage->count);
    add_count(&b, "active", usage->active);
    add_count(&b, "size_bytes", usage->size_bytes);
    add_count(&b, "reclaimable_bytes", usage->reclaimable_bytes);
    return end(&b);
}

json_t *json_of_processes(const nb_process_list *list) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < list->count; i++) {
        const nb_process *p = &list->items[i];
        json_builder b = begin();
        add_number(&b, "pid", p->pid);
        add_number(&b, "parent", p->parent);
        add_count(&b, "user", p->user);
        add_string(&b, "state", (char[]){p->state, '\0'});
        add_count(&b, "cpu_time_us", p->cpu_time_us);
        add_count(&b, "age_ms", p->age_ms);
        add_string(&b, "command", p->command);
        if (json_array_append_new(array, end(&b)) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

json_t *json_of_checks(const nb_checks *checks) {
    json_t *array = json_array();
    for (size_t i = 0; array && i < checks->count; i++) {
        const nb_check *check = &checks->items[i];
        json_builder b = begin();
        add_string(&b, "name", check->name);
        add_string(&b, "state", nb_check_state_name(check->state));
        add_string(&b, "found", check->found);
        add_string(&b, "meaning", check->meaning);
        add_string(&b, "remedy", check->remedy);
        if (json_array_append_new(array, end(&b)) < 0) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

json_t *json_of_disk_usage(const nb_disk_usage *usage) {
    json_builder b = begin();
    add(&b, "images", json_of_usage(&usage->images));
    add(&b, "boxes", json_of_usage(&usage->boxes));
    add(&b, "blobs", json_of_usage(&usage->blobs));
    add(&b, "volumes", json_of_usage(&usage->volumes));
    add(&b, "templates", json_of_usage(&usage->templates));
    add(&b, "cache", json_of_usage(&usage->cache));
    return end(&b);
}

json_t *json_of_stats(const nb_box_info *box, const nb_box_stats *stats, double cpu_percent) {
    json_builder b = begin();
    add_string(&b, "id", box->id);
    add_string(&b, "name", box->name);
    add_count(&b, "commands_executed_total", stats->commands_executed);
    add_count(&b, "exec_errors_total", stats->exec_errors);
    add_count(&b, "bytes_sent_total", stats->bytes_sent);
    add_count(&b, "bytes_received_total", stats->bytes_received);
    add(&b, "cpu_percent", json_real((double) (int64_t) (cpu_percent * 100 + 0.5) / 100));
    add_count(&b, "cpu_time_us", stats->cpu_time_us);
    add_count(&b, "memory_bytes", stats->memory_bytes);
    add_count(&b, "memory_limit_bytes", stats->memory_limit_bytes);
    add_count(&b, "processes", stats->processes);
    add_number(&b, "processes_limit", stats->processes_limit);
    add_count(&b, "machine_cpu_time_us", stats->machine_cpu_time_us);
    add_count(&b, "machine_memory_bytes", stats->machine_memory_bytes);
    add_count(&b, "shim_memory_bytes", stats->shim_memory_bytes);
    return end(&b);
}

json_t *json_of_event(const nb_runtime_event *event) {
    json_builder b = begin();
    add_time(&b, "time", event->at_ms);
    add_string(&b, "type", event->kind);
    add_string(&b, "event", event->action);
    add_string(&b, "id", event->id);
    add_string(&b, "name", event->name);
    add_string(&b, "image", event->image);
    add_labels(&b, "labels", event->labels);
    add_labels(&b, "attributes", event->attributes);
    return end(&b);
}

static int print(json_t *take_value, size_t flags, FILE *to, nb_error *err) {
    if (!take_value)
        return nb_fail_oom(err);
    int r = json_dumpf(take_value, to, flags | JSON_ENCODE_ANY);
    json_decref(take_value);
    if (r < 0 && !ferror(to)) /* a stream that refuses is told when it is flushed at the end */
        return nb_fail_oom(err);
    (void) fputc('\n', to);
    return 0;
}

int json_print(json_t *take_value, FILE *to, nb_error *err) {
    return print(take_value, JSON_INDENT(JSON_INDENT_STEP), to, err);
}

int json_print_line(json_t *take_value, FILE *to, nb_error *err) {
    return print(take_value, JSON_COMPACT, to, err);
}
