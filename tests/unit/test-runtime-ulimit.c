/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-ulimit.c - resource limits as users write them
 */
#include "runtime/ulimit.h"
#include "wire/rlimits.h"

#include <sys/resource.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char all[] = "as=1\0core=1\0cpu=1\0data=1\0fsize=1\0locks=1\0memlock=1\0msgqueue=1\0nice=1\0nofile=1\0nproc=1\0rss=1\0"
                          "rtprio=1\0rttime=1\0sigpending=1\0stack=1";

static void a_later_limit_takes_the_place_of_an_earlier_one(void **state) {
    static const char later[] = "nofile=5:unlimited\0core=0";
    buf packed;
    wire_rlimit limit;
    size_t count = 0;
    buf_init(&packed, WIRE_RLIMITS_MAX_BYTES);
    assert_int_equal(ulimit_pack((strv){all, sizeof(all)}, &packed, NULL), 0);
    assert_int_equal(buf_length(&packed), WIRE_RLIMITS_MAX_BYTES);
    assert_int_equal(ulimit_pack((strv){later, sizeof(later)}, &packed, NULL), 0);
    for (wire_bytes rest = {buf_bytes(&packed), buf_length(&packed)}; wire_rlimit_next(&rest, &limit); count++) {
        assert_int_equal(limit.soft, limit.resource == RLIMIT_NOFILE ? 5 : limit.resource == RLIMIT_CORE ? 0 : 1);
        assert_int_equal(limit.hard, limit.resource == RLIMIT_NOFILE ? UINT64_MAX : limit.resource == RLIMIT_CORE ? 0 : 1);
    }
    assert_int_equal(count, WIRE_RLIMITS_MAX_BYTES / WIRE_RLIMIT_BYTES);
    buf_done(&packed);
}

static void what_is_no_limit_is_refused(void **state) {
    static const char *const wrong[] = {"nofile", "nofile=", "nofile=1:", "nofile=2:1", "nofile=-10", "files=1", "nofile=1x", "=1"};
    buf packed;
    buf_init(&packed, WIRE_RLIMITS_MAX_BYTES);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(ulimit_pack((strv){wrong[i], strlen(wrong[i]) + 1}, &packed, NULL), -NB_E_INVALID);
    assert_int_equal(buf_length(&packed), 0);
    buf_done(&packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_limit_takes_the_place_of_an_earlier_one),
        cmocka_unit_test(what_is_no_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
