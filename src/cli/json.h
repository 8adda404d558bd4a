/* SPDX-License-Identifier: Apache-2.0
 *
 * json.h - the shapes of docs/json.md
 *
 * Keys are snake_case; what is absent is null, never 0 or "". A byte that is no UTF-8 becomes U+FFFD.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <nestbox/events.h>
#include <nestbox/nestbox.h>
#include <nestbox/template.h>

#include <jansson.h>
#include <stdio.h>

/* New references; NULL: out of memory. */
json_t *json_of_box(const nb_box_info *box);
json_t *json_of_box_details(const nb_box_info *box, const nb_exec_list *execs, const nb_health_results *results);
json_t *json_of_image(const nb_image_info *image);
json_t *json_of_info(const nb_info *info);
json_t *json_of_stats(const nb_box_info *box, const nb_box_stats *stats, double cpu_percent);
json_t *json_of_checks(const nb_checks *checks);
json_t *json_of_processes(const nb_process_list *list);
json_t *json_of_event(const nb_runtime_event *event);
json_t *json_of_template(const nb_template_info *info);
json_t *json_of_volume(const nb_volume_info *volume);
json_t *json_of_disk_usage(const nb_disk_usage *usage);

/* Prints it as one line, for streams; otherwise as json_print(). */
int json_print_line(json_t *take_value, FILE *to, nb_error *err);

/* Prints it, indented, and gives up the reference, on failure too. NULL is -NB_E_NO_MEMORY. */
int json_print(json_t *take_value, FILE *to, nb_error *err);

#endif
