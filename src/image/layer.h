/* SPDX-License-Identifier: Apache-2.0
 *
 * layer.h - puts the entries of a tar archive into the tree
 */
#ifndef IMAGE_LAYER_H
#define IMAGE_LAYER_H

#include "image/tree.h"
#include "tar/reader.h"

/* Applies all entries up to the end of the archive.
 *
 * @whiteouts  names that begin with ".wh." take away what lower layers brought (image-spec, layer.md, "Whiteouts"); otherwise they
 *             are names like any other
 * 0, or -NB_E_IMAGE, -NB_E_EXHAUSTED, -NB_E_STORAGE, -NB_E_NO_MEMORY; the tree is then good for tree_free() only. */
int layer_apply(tree *t, tar_reader *reader, bool whiteouts, nb_error *err);

#endif
