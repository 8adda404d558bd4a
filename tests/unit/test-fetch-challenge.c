/* SPDX-License-Identifier: Apache-2.0
 *
 * test-fetch-challenge.c - what a registry wants to see before it answers
 */
#include "fetch/challenge.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void expect(const char *header, enum challenge_scheme scheme, const char *realm, const char *service, const char *scope) {
    challenge c;
    assert_int_equal(challenge_parse(header, &c, NULL), 0);
    assert_int_equal(c.scheme, scheme);
    if (scheme == CHALLENGE_BEARER) {
        assert_string_equal(c.realm, realm);
        assert_string_equal(c.service, service);
        assert_string_equal(c.scope, scope);
    }
}

static void docker_hub_s_own(void **state) {
    expect("Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:library/busybox:pull\"",
           CHALLENGE_BEARER, "https://auth.docker.io/token", "registry.docker.io", "repository:library/busybox:pull");
}

static void parameters_in_every_form(void **state) {
    expect("bearer  realm = \"https://a/\" , SERVICE=plain, scope=\"a \\\"quoted\\\" one, with a comma\", error=\"invalid_token\"",
           CHALLENGE_BEARER, "https://a/", "plain", "a \"quoted\" one, with a comma");
    expect("Bearer realm=https", CHALLENGE_BEARER, "https", "", "");
    expect(",, Bearer realm=\"r\",,", CHALLENGE_BEARER, "r", "", "");
    expect("Bearer realm=\"r\",service=\"\"", CHALLENGE_BEARER, "r", "", "");
}

static void basic(void **state) {
    expect("Basic realm=\"Registry Realm\"", CHALLENGE_BASIC, NULL, NULL, NULL);
    expect("BASIC", CHALLENGE_BASIC, NULL, NULL, NULL);
}

static void the_first_that_we_know_counts(void **state) {
    expect("Negotiate, Bearer realm=\"r\",service=\"s\"", CHALLENGE_BEARER, "r", "s", "");
    expect("Negotiate dG9rZW4/==, Basic realm=\"x\"", CHALLENGE_BASIC, NULL, NULL, NULL);
    expect("Digest realm=\"wrong\", nonce=\"n\", Bearer realm=\"right\"", CHALLENGE_BEARER, "right", "", "");
    expect("Bearer realm=\"right\", Basic realm=\"wrong\"", CHALLENGE_BEARER, "right", "", "");
}

static void none_that_we_know(void **state) {
    expect("", CHALLENGE_NONE, NULL, NULL, NULL);
    expect("Digest realm=\"x\", qop=\"auth\"", CHALLENGE_NONE, NULL, NULL, NULL);
    expect("Basics realm=\"x\"", CHALLENGE_NONE, NULL, NULL, NULL);
}

static void malformed_ones_are_refused(void **state) {
    static const char *const wrong[] = {
        "Bearer",     "Bearer service=\"s\"", "Bearer realm=\"open", "Bearer realm=\"open\\", "Bearer realm=\"\"",
        "\"quoted\"", "Bearer \x80=1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        challenge c = {.scheme = CHALLENGE_BASIC};
        nb_error err;
        assert_int_equal(challenge_parse(wrong[i], &c, &err), -NB_E_PROTOCOL);
        assert_int_equal(c.scheme, CHALLENGE_BASIC);
    }
}

static void texts_have_a_maximum(void **state) {
    char header[CHALLENGE_TEXT_SIZE + 64], value[CHALLENGE_TEXT_SIZE + 2];
    challenge c;
    for (size_t length = CHALLENGE_TEXT_SIZE - 2; length <= CHALLENGE_TEXT_SIZE; length++) {
        memset(value, 'a', length);
        value[length] = '\0';
        for (int quoted = 0; quoted < 2; quoted++) {
            (void) snprintf(header, sizeof(header), quoted ? "Bearer realm=\"%s\"" : "Bearer realm=%s", value);
            assert_int_equal(challenge_parse(header, &c, NULL), length < CHALLENGE_TEXT_SIZE ? 0 : -NB_E_PROTOCOL);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(docker_hub_s_own),
        cmocka_unit_test(parameters_in_every_form),
        cmocka_unit_test(basic),
        cmocka_unit_test(the_first_that_we_know_counts),
        cmocka_unit_test(none_that_we_know),
        cmocka_unit_test(malformed_ones_are_refused),
        cmocka_unit_test(texts_have_a_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
