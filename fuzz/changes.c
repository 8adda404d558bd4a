/* SPDX-License-Identifier: Apache-2.0
 *
 * changes.c - a Dockerfile's instructions: what they make can be written, read back, and written the same again
 */
#include "image/changes.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check(int condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
    image_config config, again = {0};
    char *text = NULL, *same = NULL, *lines = malloc(length + 1); /* an exact block: the sanitizer sees a read beyond it */
    digest layer;
    check(lines && digest_of("", 0, &layer));
    for (size_t i = 0; i < length; i++)
        lines[i] = bytes[i] == '\n' ? '\0' : (char) bytes[i];
    lines[length] = '\0';
    image_config_init(&config);
    config.os = strdup("linux");
    config.architecture = strdup("amd64");
    config.cwd = strdup("");
    config.user = strdup("");
    config.stop_signal = strdup("");
    int result = image_config_change(&config, (strv){lines, length + 1}, NULL);
    check(result == 0 || result == -NB_E_INVALID);
    result = result == 0 ? image_config_text(&config, &layer, &text, NULL) : result;
    check(result == 0 || result == -NB_E_INVALID); /* not UTF-8 */
    if (result == 0) {
        check(image_config_parse(text, strlen(text), &again, NULL) == 0);
        check(image_config_text(&again, &layer, &same, NULL) == 0);
        check(strcmp(text, same) == 0);
    }
    free(lines);
    free(text);
    free(same);
    image_config_done(&config);
    image_config_done(&again);
    return 0;
}
