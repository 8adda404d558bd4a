/* SPDX-License-Identifier: Apache-2.0
 *
 * test-runtime-image-name.c - names of images in registries mean what they mean to Docker
 */
#include "fail.h"
#include "runtime/image-name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64

static void assert_text(const char *found, const char *expected) {
    if (!expected)
        assert_null(found);
    else
        assert_string_equal(found, expected);
}

typedef struct example {
    const char *text, *registry, *repository, *tag, *digest, *familiar;
    bool unqualified;
} example;

static const example examples[] = {
    {"python", "docker.io", "library/python", "latest", NULL, "python:latest", true},
    {"python:3.12", "docker.io", "library/python", "3.12", NULL, "python:3.12", true},
    {"acme/web", "docker.io", "acme/web", "latest", NULL, "acme/web:latest", true},
    {"docker.io/python", "docker.io", "library/python", "latest", NULL, "python:latest", false},
    {"docker.io/library/python:1", "docker.io", "library/python", "1", NULL, "python:1", false},
    {"index.docker.io/acme/web", "docker.io", "acme/web", "latest", NULL, "acme/web:latest", false},
    {"docker.io/ghcr.io/web", "docker.io", "ghcr.io/web", "latest", NULL, "docker.io/ghcr.io/web:latest", false},
    {"library/a/b", "docker.io", "library/a/b", "latest", NULL, "library/a/b:latest", true},
    {"ghcr.io/acme/web:1", "ghcr.io", "acme/web", "1", NULL, "ghcr.io/acme/web:1", false},
    {"ghcr.io/web", "ghcr.io", "web", "latest", NULL, "ghcr.io/web:latest", false},
    {"localhost/web", "localhost", "web", "latest", NULL, "localhost/web:latest", false},
    {"localhost:5000/a/b/c:t", "localhost:5000", "a/b/c", "t", NULL, "localhost:5000/a/b/c:t", false},
    {"127.0.0.1:5000/web", "127.0.0.1:5000", "web", "latest", NULL, "127.0.0.1:5000/web:latest", false},
    {"[::1]:5000/web", "[::1]:5000", "web", "latest", NULL, "[::1]:5000/web:latest", false},
    {"Upper/web", "Upper", "web", "latest", NULL, "Upper/web:latest", false},
    {"python@" DIGEST, "docker.io", "library/python", NULL, DIGEST, "python@" DIGEST, true},
    {"ghcr.io/web:1@" DIGEST, "ghcr.io", "web", "1", DIGEST, "ghcr.io/web:1@" DIGEST, false},
    {"x/a.b_c__d---e", "docker.io", "x/a.b_c__d---e", "latest", NULL, "x/a.b_c__d---e:latest", true},
    {"web:_Tag.1-x", "docker.io", "library/web", "_Tag.1-x", NULL, "web:_Tag.1-x", true},
};

static void names_are_taken_apart_as_docker_does(void **state) {
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        const example *e = &examples[i];
        image_name name;
        assert_int_equal(image_name_parse(e->text, &name, NULL), 0);
        char *familiar = image_name_familiar(&name);
        assert_text(name.registry, e->registry);
        assert_text(name.repository, e->repository);
        assert_text(name.tag, e->tag);
        assert_text(name.digest, e->digest);
        assert_text(familiar, e->familiar);
        assert_int_equal(name.unqualified, e->unqualified);
        image_name_done(&name);
        free(familiar);
    }
}

/* What is recorded under a name is found again by it. */
static void the_familiar_form_means_the_same(void **state) {
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        image_name first, second;
        assert_int_equal(image_name_parse(examples[i].text, &first, NULL), 0);
        char *familiar = image_name_familiar(&first);
        assert_int_equal(image_name_parse(familiar, &second, NULL), 0);
        assert_string_equal(first.registry, second.registry);
        assert_string_equal(first.repository, second.repository);
        assert_text(second.tag, first.tag);
        assert_text(second.digest, first.digest);
        image_name_done(&first);
        image_name_done(&second);
        free(familiar);
    }
}

static void what_is_no_name_is_refused(void **state) {
    static const char *const wrong[] = {
        "oci:/a/b",
        "host:/a",
        "host:8x/a",
        "host:80:90/a",
        "a.-/a",
        "[::1/a",
        "[::1]:/a",
        "[]:80/a",
        "[host]:80/a",
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "UPPER",
        "a b",
        "a:",
        "a:.t",
        "a:-t",
        "a:t:t",
        "a@",
        "a@sha256:",
        ("a@sha256:" HEX64 "0"),
        ("a@md5:" HEX64),
        "a@sha256:ABCDEF6789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "a..b",
        "a.-b",
        "a___b",
        "-a",
        "a-",
        ".a",
        "a.",
        "a_",
        "\xc3\xa9",
        "http://ghcr.io/a",
        "ghcr.io/",
        "ghcr.io/A",
        "a/../b",
        "g$.io/a",
        "a.b_c/d",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        image_name name = {.unqualified = true};
        nb_error err;
        assert_int_equal(image_name_parse(wrong[i], &name, &err), -NB_E_INVALID);
        assert_null(name.registry);
        assert_non_null(strstr(err.message, wrong[i]));
    }
}

static void lengths_have_a_maximum(void **state) {
    char text[600];
    for (size_t length = 254; length <= 256; length++) {
        image_name name;
        memset(text, 'a', length);
        text[length] = '\0';
        int expected = length <= 255 ? 0 : -NB_E_INVALID;
        assert_int_equal(image_name_parse(text, &name, NULL), expected);
        if (expected == 0)
            image_name_done(&name);
    }
    for (size_t length = 127; length <= 129; length++) {
        image_name name;
        memset(text, 'a', 2 + length);
        text[1] = ':';
        text[2 + length] = '\0';
        int expected = length <= 128 ? 0 : -NB_E_INVALID;
        assert_int_equal(image_name_parse(text, &name, NULL), expected);
        if (expected == 0)
            image_name_done(&name);
    }
}

static void memory_that_runs_out_leaves_nothing(void **state) {
    for (unsigned n = 0;; n++) {
        image_name name = {0};
        fail_alloc_at(n);
        int result = image_name_parse("ghcr.io/acme/web:1@" DIGEST, &name, NULL);
        bool fired = fail_alloc_fired();
        if (!fired) {
            assert_int_equal(result, 0);
            image_name_done(&name);
            return;
        }
        assert_int_equal(result, -NB_E_NO_MEMORY);
        assert_null(name.registry);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_taken_apart_as_docker_does), cmocka_unit_test(the_familiar_form_means_the_same),
        cmocka_unit_test(what_is_no_name_is_refused),           cmocka_unit_test(lengths_have_a_maximum),
        cmocka_unit_test(memory_that_runs_out_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
