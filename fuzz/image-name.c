/* SPDX-License-Identifier: Apache-2.0
 *
 * image-name.c - names of images: what is accepted can stand in a URL and on a file's path, and its familiar form means the same
 */
#include "runtime/image-name.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check(int condition) {
    if (!condition)
        abort();
}

static int same(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    image_name one, two;
    char *text = malloc(length + 1);
    check(text != NULL);
    if (length > 0)
        memcpy(text, bytes, length);
    text[length] = '\0';
    int result = image_name_parse(text, &one, NULL);
    free(text);
    check(result == 0 || result == -NB_E_INVALID);
    if (result < 0)
        return 0;
    check(one.tag || one.digest);
    check(!strstr(one.repository, "..") && one.repository[0] != '/' && !strstr(one.repository, "//"));
    check(!strpbrk(one.repository, "?#%@: \r\n") && !strpbrk(one.registry, "/?#%@ \r\n"));
    check(!one.tag || !strpbrk(one.tag, "/?#%@: \r\n"));
    char *familiar = image_name_familiar(&one);
    check(familiar && image_name_parse(familiar, &two, NULL) == 0);
    check(same(one.registry, two.registry) && same(one.repository, two.repository) && same(one.tag, two.tag) &&
          same(one.digest, two.digest));
    image_name_done(&one);
    image_name_done(&two);
    free(familiar);
    return 0;
}
