/* SPDX-License-Identifier: Apache-2.0
 *
 * template-digest.h - what a template's files held when it was made, in sixteen bytes
 *
 * It is against damage, not against forgers: whoever can write to a template can write its digest as well, and can change the user's boxes. So
 * it is XXH3 with 128 bits, which reads memory as fast as it comes, and not SHA-256, which would add half a second to the making.
 */
#ifndef MACHINE_TEMPLATE_DIGEST_H
#define MACHINE_TEMPLATE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define TEMPLATE_DIGEST_BYTES 16u

/* Of the contents and lengths of regular files, in this order. A hole counts as the zeros that it reads as.
 *
 * @fds  open for reading; a file of -1 is left out
 * 0, or -1 with errno. */
int template_digest(const int *fds, size_t count, uint8_t ret_digest[TEMPLATE_DIGEST_BYTES]);

#endif
