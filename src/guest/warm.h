/* SPDX-License-Identifier: Apache-2.0
 *
 * warm.h - an image's files in the memory of a machine that is to be saved
 */
#ifndef GUEST_WARM_H
#define GUEST_WARM_H

/* Reads what is in the working folder and below it, on its file system alone, where it is small enough; a larger image's is left on its disk. Nothing
 * depends on it: what cannot be read is not. */
void warm_files(void);

#endif
