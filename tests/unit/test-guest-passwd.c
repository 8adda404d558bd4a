/* SPDX-License-Identifier: Apache-2.0
 *
 * test-guest-passwd.c - who a process runs as, by the image's files and against them
 */
#include "guest/passwd.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char users[] = "root:x:0:0:root:/root:/bin/sh\n"
                            "\n"
                            "# a comment\n"
                            "broken:x:12\n"
                            "no-number:x:abc:5::/n:\n"
                            "negative:x:-1:5::/n:\n"
                            "huge:x:4294967295:5::/n:\n"
                            "longer:x:00000000007:5::/n:\n"
                            ":x:77:77::/nameless:\n"
                            "web:x:1000:1001:Web:/srv/web:/bin/false\n"
                            "1000:x:2000:2001::/home/number:\n"
                            "bare:x:5:6\n"
                            "twice:x:8:8::/first:\n"
                            "twice:x:9:9::/second:\n"
                            "last:x:4294967294:4294967294::/l:/bin/sh"; /* without a newline */
static const char groups[] = "root:x:0:\n"
                             "broken:x\n"
                             "web:x:1001:\n"
                             "disk:x:6:web,last\n"
                             "audio:x:29:other,web\n"
                             "prefix:x:30:webb,we\n"
                             "bad:x:abc:web\n"
                             "44:x:4444:\n"
                             "empty:x:31:,,\n";

/* In exact blocks, so that the sanitizer sees a read beyond the end. */
static int look_up_in(const char *users_text, size_t users_length, const char *groups_text, size_t groups_length, const char *spec,
                      passwd_identity *ret) {
    CLEANUP(cleanup_free) char *a = malloc(users_length ? users_length : 1);
    CLEANUP(cleanup_free) char *b = malloc(groups_length ? groups_length : 1);
    assert_true(a && b);
    memcpy(a, users_text, users_length);
    memcpy(b, groups_text, groups_length);
    return passwd_look_up(a, users_length, b, groups_length, spec, ret);
}

static int look_up(const char *spec, passwd_identity *ret) {
    return look_up_in(users, sizeof(users) - 1, groups, sizeof(groups) - 1, spec, ret);
}

static void every_form_that_docker_takes(void **state) {
    static const struct {
        const char *spec;
        uint32_t uid, gid;
        size_t group_count;
        const char *home;
    } cases[] = {
        {"", 0, 0, 1, "/root"},
        {"root", 0, 0, 1, "/root"},
        {"0", 0, 0, 1, "/root"},
        {"web", 1000, 1001, 3, "/srv/web"},
        {"web:disk", 1000, 6, 1, "/srv/web"}, /* an explicit group takes the others away */
        {"web:77", 1000, 77, 1, "/srv/web"},
        {"web:44", 1000, 4444, 1, "/srv/web"},   /* a name before a number */
        {"1000", 2000, 2001, 1, "/home/number"}, /* so here */
        {"2000", 2000, 2001, 1, "/home/number"}, /* a number finds its line */
        {"5555", 5555, 0, 1, "/"},               /* or needs none */
        {"5555:6666", 5555, 6666, 1, "/"},
        {":disk", 0, 6, 1, "/root"},
        {"bare", 5, 6, 1, "/"},
        {"twice", 8, 8, 1, "/first"},
        {"last", 4294967294u, 4294967294u, 2, "/l"},
        {"4294967294:4294967294", 4294967294u, 4294967294u, 1, "/l"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        passwd_identity found;
        assert_int_equal(look_up(cases[i].spec, &found), 0);
        assert_int_equal(found.uid, cases[i].uid);
        assert_int_equal(found.gid, cases[i].gid);
        assert_int_equal(found.group_count, cases[i].group_count);
        assert_int_equal(found.groups[0], found.gid); /* no way out of one's own group */
        assert_string_equal(found.home, cases[i].home);
    }
    passwd_identity web;
    assert_int_equal(look_up("web", &web), 0);
    assert_int_equal(web.groups[0], 1001);
    assert_int_equal(web.groups[1], 6);
    assert_int_equal(web.groups[2], 29);
}

static void what_is_nobody_is_refused_and_changes_nothing(void **state) {
    static const char *const specs[] = {"nobody",
                                        "web:nobody",
                                        "web:",
                                        ":",
                                        "-1",
                                        "+1",
                                        " web",
                                        "web ",
                                        "4294967295",
                                        "4294967296",
                                        "18446744073709551616",
                                        "0x0",
                                        "web:4294967295",
                                        "root:-1",
                                        "broken",
                                        "no-number",
                                        "negative",
                                        "huge",
                                        "we",
                                        "webb",
                                        "1.5",
                                        "# a comment",
                                        "web:disk:audio",
                                        "99999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        passwd_identity found = {.uid = 42};
        if (look_up(specs[i], &found) != -1)
            fail_msg("'%s' was found as %u:%u", specs[i], found.uid, found.gid);
        assert_int_equal(found.uid, 42);
    }
}

static void an_image_without_files_knows_root_and_numbers(void **state) {
    passwd_identity found;
    assert_int_equal(look_up_in("", 0, "", 0, "", &found), 0);
    assert_int_equal(found.uid, 0);
    assert_string_equal(found.home, "/");
    assert_int_equal(look_up_in("", 0, "", 0, "7:8", &found), 0);
    assert_int_equal(found.gid, 8);
    assert_int_equal(look_up_in("", 0, "", 0, "root", &found), -1);
}

static void files_of_noise_are_passed_over(void **state) {
    static const char noise[] = ":::::::::::::\n:\n\n::::\x00\xff:\nweb\nweb:\nweb::\nweb:::\n\x00web:x:1:1::/:\nweb:x:3:3:a:b:c:d:e:f\n";
    passwd_identity found;
    assert_int_equal(look_up_in(noise, sizeof(noise) - 1, noise, sizeof(noise) - 1, "web", &found), 0);
    assert_int_equal(found.uid, 3);
    assert_string_equal(found.home, "b");
}

static void a_home_fits_or_is_the_root(void **state) {
    static char text[600];
    for (size_t length = sizeof(((passwd_identity *) 0)->home) - 2; length <= sizeof(((passwd_identity *) 0)->home); length++) {
        char home[300];
        memset(home, 'h', length);
        home[length] = '\0';
        int written = snprintf(text, sizeof(text), "u:x:1:1::%s:/bin/sh\n", home);
        passwd_identity found;
        assert_int_equal(look_up_in(text, (size_t) written, "", 0, "u", &found), 0);
        assert_string_equal(found.home, length < sizeof(found.home) ? home : "/");
    }
}

static void more_groups_than_fit_are_left_out(void **state) {
    static char text[40 * (PASSWD_GROUPS_MAX + 2)];
    size_t length = 0;
    for (unsigned i = 0; i < PASSWD_GROUPS_MAX + 2; i++)
        length += (size_t) snprintf(text + length, sizeof(text) - length, "g%u:x:%u:u\n", i, 100 + i);
    passwd_identity found;
    assert_int_equal(look_up_in("u:x:1:1\n", 8, text, length, "u", &found), 0);
    assert_int_equal(found.group_count, PASSWD_GROUPS_MAX);
    assert_int_equal(found.groups[PASSWD_GROUPS_MAX - 1], 100 + PASSWD_GROUPS_MAX - 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_that_docker_takes),
        cmocka_unit_test(what_is_nobody_is_refused_and_changes_nothing),
        cmocka_unit_test(an_image_without_files_knows_root_and_numbers),
        cmocka_unit_test(files_of_noise_are_passed_over),
        cmocka_unit_test(a_home_fits_or_is_the_root),
        cmocka_unit_test(more_groups_than_fit_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
