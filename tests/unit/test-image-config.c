/* SPDX-License-Identifier: Apache-2.0
 *
 * test-image-config.c - what an image says of how it wants to be run, and what is not taken from it
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/size.h"
#include "image/config.h"
#include "wire/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Larger than any list that is taken. */
#define DOCUMENT_BYTES ((size_t) 1 << 20)

static int parse(const char *members, image_config *ret_config, nb_error *err) {
    CLEANUP(cleanup_free) char *text = malloc(DOCUMENT_BYTES);
    int length = snprintf(text, DOCUMENT_BYTES,
                          "{\"os\":\"linux\",\"architecture\":\"amd64\",\"config\":{%s},\"rootfs\":{\"diff_ids\":[]}}", members);
    assert_true(length > 0 && (size_t) length < DOCUMENT_BYTES);
    return image_config_parse(text, (size_t) length, ret_config, err);
}

static image_config parse_well(const char *members) {
    image_config config = {0};
    nb_error err;
    if (parse(members, &config, &err) < 0)
        fail_msg("%s", err.message);
    return config;
}

/* @packed: the list with a NUL behind each string. */
static void assert_list(const buf *list, const char *packed, size_t length) {
    assert_int_equal(buf_length(list), length);
    if (length > 0)
        assert_memory_equal(buf_bytes(list), packed, length);
}
#define ASSERT_LIST(list, packed) assert_list(&(list), (packed), sizeof(packed) - 1)

static void assert_refused(const char *members, const char *word) {
    image_config config = {0};
    nb_error err;
    if (parse(members, &config, &err) != -NB_E_IMAGE)
        fail_msg("taken: %.200s", members);
    if (!strstr(err.message, word))
        fail_msg("no '%s' in: %s", word, err.message);
}

static void ports_volumes_and_shell_are_read(void **state) {
    CLEANUP(image_config_done)
    image_config config = parse_well("\"ExposedPorts\":{\"80\":{},\"443/tcp\":{},\"53/UDP\":null,\"8000-8010/sctp\":{},\"65535-65535\":{},"
                                     "\"00001/tcp\":{}},\"Volumes\":{\"/data\":{},\"/a b\":null},\"Shell\":[\"/bin/bash\",\"-c\"]");
    ASSERT_LIST(config.exposed_ports, "80/tcp\0"
                                      "443/tcp\0"
                                      "53/udp\0"
                                      "8000-8010/sctp\0"
                                      "65535/tcp\0"
                                      "1/tcp\0");
    ASSERT_LIST(config.volumes, "/data\0/a b\0");
    ASSERT_LIST(config.shell, "/bin/bash\0-c\0");
}

static void a_health_check_is_read(void **state) {
    CLEANUP(image_config_done)
    image_config config = parse_well("\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"true || false\"],\"Interval\":30000000000,"
                                     "\"Timeout\":9223372036854775807,\"StartPeriod\":1,\"StartInterval\":5,\"Retries\":2147483647}");
    ASSERT_LIST(config.health.test, "CMD-SHELL\0true || false\0");
    assert_int_equal(config.health.interval_ns, 30000000000);
    assert_int_equal(config.health.timeout_ns, INT64_MAX);
    assert_int_equal(config.health.start_period_ns, 1);
    assert_int_equal(config.health.retries, INT32_MAX);
}

static void a_health_check_may_be_of_three_kinds(void **state) {
    CLEANUP(image_config_done) image_config none = parse_well("\"Healthcheck\":{\"Test\":[\"NONE\"]}");
    CLEANUP(image_config_done) image_config words = parse_well("\"Healthcheck\":{\"Test\":[\"CMD\",\"check\",\"\"]}");
    ASSERT_LIST(none.health.test, "NONE\0");
    ASSERT_LIST(words.health.test, "CMD\0check\0\0");
    assert_int_equal(words.health.interval_ns, 0);
}

static void what_an_image_does_not_say_is_empty(void **state) {
    static const char *const silent[] = {
        "",
        "\"ExposedPorts\":null,\"Volumes\":null,\"Shell\":null,\"Healthcheck\":null",
        "\"ExposedPorts\":{},\"Volumes\":{},\"Shell\":[],\"Healthcheck\":{}",
        "\"Healthcheck\":{\"Test\":[],\"Interval\":1,\"Timeout\":1,\"StartPeriod\":1,\"Retries\":1}",
    };
    for (size_t i = 0; i < ARRAY_LENGTH(silent); i++) {
        CLEANUP(image_config_done) image_config config = parse_well(silent[i]);
        assert_int_equal(buf_length(&config.exposed_ports) + buf_length(&config.volumes) + buf_length(&config.shell), 0);
        assert_int_equal(buf_length(&config.health.test), 0);
        assert_true(config.health.interval_ns == 0 && config.health.timeout_ns == 0 && config.health.start_period_ns == 0);
        assert_int_equal(config.health.retries, 0);
    }
}

static void what_is_none_is_refused_by_its_name(void **state) {
    static const struct {
        const char *members, *word;
    } wrong[] = {
        {"\"ExposedPorts\":[\"80/tcp\"]", "ExposedPorts"},
        {"\"ExposedPorts\":{\"80/tcp\":1}", "80/tcp"},
        {"\"ExposedPorts\":{\"80/tcp\":{\"x\":1}}", "80/tcp"},
        {"\"ExposedPorts\":{\"0/tcp\":{}}", "0/tcp"},
        {"\"ExposedPorts\":{\"65536\":{}}", "65536"},
        {"\"ExposedPorts\":{\"000080\":{}}", "000080"},
        {"\"ExposedPorts\":{\"90-80/tcp\":{}}", "90-80/tcp"},
        {"\"ExposedPorts\":{\"80-/tcp\":{}}", "80-/tcp"},
        {"\"ExposedPorts\":{\"80/icmp\":{}}", "80/icmp"},
        {"\"ExposedPorts\":{\"80/tcp \":{}}", "80/tcp "},
        {"\"ExposedPorts\":{\"80/\":{}}", "80/"},
        {"\"ExposedPorts\":{\"-80\":{}}", "-80"},
        {"\"ExposedPorts\":{\"\":{}}", "ExposedPorts"},
        {"\"Volumes\":[\"/data\"]", "Volumes"},
        {"\"Volumes\":{\"/data\":true}", "/data"},
        {"\"Volumes\":{\"data\":{}}", "'data'"},
        {"\"Volumes\":{\"\":{}}", "Volumes"},
        {"\"Shell\":\"/bin/sh -c\"", "Shell"},
        {"\"Shell\":[1]", "Shell"},
        {"\"Healthcheck\":[]", "Healthcheck"},
        {"\"Healthcheck\":{\"Test\":\"true\"}", "Test"},
        {"\"Healthcheck\":{\"Test\":[\"true\"]}", "Healthcheck"},
        {"\"Healthcheck\":{\"Test\":[\"\"]}", "Healthcheck"},
        {"\"Healthcheck\":{\"Test\":[\"CMD\"]}", "Healthcheck"},
        {"\"Healthcheck\":{\"Test\":[\"NONE\",\"x\"]}", "Healthcheck"},
        {"\"Healthcheck\":{\"Test\":[\"NONE\"],\"Interval\":\"30s\"}", "Interval"},
        {"\"Healthcheck\":{\"Test\":[\"NONE\"],\"Timeout\":1.5}", "Timeout"},
        {"\"Healthcheck\":{\"Test\":[\"NONE\"],\"StartPeriod\":-1}", "StartPeriod"},
        {"\"Healthcheck\":{\"Test\":[\"NONE\"],\"Retries\":2147483648}", "Retries"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        assert_refused(wrong[i].members, wrong[i].word);
}

/* A list of one string that takes @bytes with its NUL. */
static char *text_of_shell(size_t bytes) {
    char *text = calloc(1, bytes + 64);
    (void) snprintf(text, 64, "\"Shell\":[\"");
    size_t at = strlen(text);
    memset(text + at, 'x', bytes - 1);
    (void) snprintf(text + at + bytes - 1, 8, "\"]");
    return text;
}

static void a_list_has_a_bound(void **state) {
    static const size_t fitting[] = {WIRE_IMAGE_LIST_MAX_BYTES - 1, WIRE_IMAGE_LIST_MAX_BYTES};
    for (size_t i = 0; i < ARRAY_LENGTH(fitting); i++) {
        CLEANUP(cleanup_free) char *text = text_of_shell(fitting[i]);
        CLEANUP(image_config_done) image_config config = parse_well(text);
        assert_int_equal(buf_length(&config.shell), fitting[i]);
    }
    CLEANUP(cleanup_free) char *text = text_of_shell(WIRE_IMAGE_LIST_MAX_BYTES + 1);
    assert_refused(text, "'Shell' is too long");
}

static void a_volume_s_path_has_a_bound(void **state) {
    char text[WIRE_PATH_MAX_BYTES + 64];
    for (size_t length = WIRE_PATH_MAX_BYTES - 1; length <= WIRE_PATH_MAX_BYTES + 1; length++) {
        (void) snprintf(text, sizeof(text), "\"Volumes\":{\"/%0*d\":{}}", (int) length - 1, 0);
        if (length > WIRE_PATH_MAX_BYTES) {
            assert_refused(text, "4095 bytes");
            continue;
        }
        CLEANUP(image_config_done) image_config config = parse_well(text);
        assert_int_equal(buf_length(&config.volumes), length + 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_volumes_and_shell_are_read),     cmocka_unit_test(a_health_check_is_read),
        cmocka_unit_test(a_health_check_may_be_of_three_kinds), cmocka_unit_test(what_an_image_does_not_say_is_empty),
        cmocka_unit_test(what_is_none_is_refused_by_its_name),  cmocka_unit_test(a_list_has_a_bound),
        cmocka_unit_test(a_volume_s_path_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
