/* SPDX-License-Identifier: Apache-2.0
 *
 * tree.c - the merged file tree of an image, in memory, with its data on the disk
 *
 * Theory of operation
 *   A folder's children are a balanced tree by name (tsearch(3)): names are hostile, and no choice of them makes it slow. Recursion goes
 *   as deep as folders do, which IMAGE_DEPTH_MAX bounds.
 *
 *   Paths are first cleaned as text ('a/../b' is 'b', whatever a is) and then walked, as the usual unpackers do; a link met on the
 *   way puts its target in front of what is left to walk. Nothing can be escaped from: there is no host path in here.
 *
 *   A node knows the last layer that named it. A whiteout spares what its own layer brought, wherever it stands in the layer.
 */
#include "image/tree.h"

#include "base/error.h"
#include "base/path.h"
#include "base/size.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

static int compare_names(const void *a, const void *b) {
    return strcmp(((const tree_node *) a)->name, ((const tree_node *) b)->name);
}

tree_inode *tree_inode_new(uint32_t mode) {
    tree_inode *inode = calloc(1, sizeof(*inode));
    if (!inode)
        return NULL;
    inode->references = 1;
    inode->mode = mode;
    return inode;
}

void tree_inode_release(tree_inode *inode, disk *d) {
    if (!inode || --inode->references > 0)
        return;
    /* Without memory to note them, the blocks stay taken: the disk is a little larger, and nothing is wrong with it. */
    if (d)
        (void) disk_map_release(d, &inode->map, NULL);
    disk_map_done(&inode->map);
    disk_map_done(&inode->index);
    while (inode->xattrs) {
        tree_xattr *next = inode->xattrs->next;
        free(inode->xattrs);
        inode->xattrs = next;
    }
    free(inode->target);
    free(inode->index_root);
    free(inode);
}

bool tree_xattr_is_storable(const char *name) {
    static const char *const namespaces[] = {"user.", "security.", "trusted."};
    for (size_t i = 0; i < ARRAY_LENGTH(namespaces); i++) {
        size_t length = strlen(namespaces[i]);
        if (strncmp(name, namespaces[i], length) == 0 && name[length] != '\0')
            return true;
    }
    return strcmp(name, "system.posix_acl_access") == 0 || strcmp(name, "system.posix_acl_default") == 0;
}

int tree_inode_add_xattr(tree_inode *inode, const char *name, const void *value, size_t length, nb_error *err) {
    size_t name_length = strlen(name), count = 0;
    tree_xattr **at = &inode->xattrs;
    if (name_length > IMAGE_XATTR_NAME_MAX_BYTES || length > IMAGE_XATTR_VALUE_MAX_BYTES)
        return nb_fail(err, NB_E_IMAGE, 0, "set the extended attribute '%.255s': its value of %zu bytes is beyond the maximum of %u", name,
                       length, IMAGE_XATTR_VALUE_MAX_BYTES);
    for (; *at; at = &(*at)->next) {
        if (strcmp((*at)->name, name) == 0)
            return nb_fail(err, NB_E_IMAGE, 0, "set the extended attribute '%s': it is given twice", name);
        count++;
    }
    if (count == IMAGE_XATTRS_MAX)
        return nb_fail(err, NB_E_IMAGE, 0, "set the extended attribute '%s': there are more than %u", name, IMAGE_XATTRS_MAX);
    tree_xattr *xattr = malloc(sizeof(*xattr) + length + name_length + 1);
    if (!xattr)
        return nb_fail_oom(err);
    xattr->next = NULL;
    xattr->length = (uint32_t) length;
    if (length > 0)
        memcpy(xattr->value, value, length);
    xattr->name = (char *) xattr->value + length;
    memcpy(xattr->name, name, name_length + 1);
    *at = xattr;
    return 0;
}

/* Takes over a reference to @inode, on success only. */
static tree_node *node_new(tree *t, tree_node *parent, const char *name, tree_inode *inode) {
    size_t length = strlen(name);
    tree_node *node = calloc(1, sizeof(*node) + length + 1);
    if (!node)
        return NULL;
    memcpy(node + 1, name, length + 1);
    node->name = (const char *) (node + 1);
    node->parent = parent;
    node->depth = parent ? parent->depth + 1 : 0;
    node->layer = t->layer;
    if (parent) {
        if (!tsearch(node, &parent->children, compare_names)) {
            free(node);
            return NULL;
        }
        parent->child_count++;
    }
    node->inode = inode;
    t->node_count++;
    return node;
}

tree *tree_new(disk *d, uint64_t max_nodes) {
    CLEANUP(tree_freep) tree *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->disk = d;
    t->layer = 1;
    t->max_nodes = max_nodes;
    tree_inode *inode = tree_inode_new(S_IFDIR | 0755);
    if (!inode)
        return NULL;
    t->root = node_new(t, NULL, "", inode);
    if (!t->root) {
        tree_inode_release(inode, NULL);
        return NULL;
    }
    return take_ptr(&t);
}

/* Some child, by the root of the search tree (whose nodes begin with their item): tdestroy(3) cannot be given the disk. */
static tree_node *any_child(const tree_node *folder) {
    return folder->children ? *(tree_node **) folder->children : NULL;
}

static void node_remove(tree *t, tree_node *node) {
    tree_node *child;
    while ((child = any_child(node)))
        node_remove(t, child);
    if (node->parent) {
        (void) tdelete(node, &node->parent->children, compare_names);
        node->parent->child_count--;
    }
    tree_inode_release(node->inode, t->disk);
    t->node_count--;
    free(node);
}

/* Of a tree that goes as a whole: its search trees are not balanced again, and its blocks stay taken. */
static void free_node(void *user) {
    tree_node *node = user;
    tdestroy(node->children, free_node);
    tree_inode_release(node->inode, NULL);
    free(node);
}

void tree_free(tree *t) {
    if (!t)
        return;
    if (t->root)
        free_node(t->root);
    free(t);
}

tree_node *tree_child(const tree_node *folder, const char *name) {
    tree_node key = {.name = name};
    tree_node **found = tfind(&key, &folder->children, compare_names);
    return found ? *found : NULL;
}

tree_node *tree_find(tree *t, const tree_place *place) {
    if (!place->parent)
        return NULL;
    return place->name[0] ? tree_child(place->parent, place->name) : t->root;
}

/* As mkdir(2) does, which every other unpacker calls: in a set-group-id folder the group and the bit go on to the new one. */
static int make_folder(tree *t, tree_node *parent, const char *name, tree_node **ret_node, nb_error *err) {
    uint32_t passed_on = parent->inode->mode & S_ISGID;
    tree_inode *inode = tree_inode_new(S_IFDIR | 0755 | passed_on);
    if (!inode)
        return nb_fail_oom(err);
    inode->gid = passed_on ? parent->inode->gid : 0;
    tree_place place = {.parent = parent};
    memcpy(place.name, name, strlen(name) + 1);
    int r = tree_put(t, &place, inode, err);
    if (r == 0)
        *ret_node = tree_child(parent, name);
    return r;
}

/* A path that is being walked: where it stands, and what is left of it. */
typedef struct walk {
    tree_node *at;
    char *left; /* owned */
    unsigned links;
} walk;

static void walk_done(walk *w) {
    free(w->left);
}

/* Takes the next component from w->left; false at the end. */
static bool next_component(char **left, const char **ret_component, size_t *ret_length) {
    char *at = *left;
    while (*at == '/')
        at++;
    if (*at == '\0')
        return false;
    *ret_component = at;
    *ret_length = strcspn(at, "/");
    *left = at + *ret_length;
    return true;
}

/* Puts the target of a link before @rest. */
static int follow_link(tree *t, walk *w, const tree_node *link, const char *rest, nb_error *err) {
    const char *target = link->inode->target;
    size_t target_length = strlen(target), rest_length = strlen(rest);
    if (++w->links > IMAGE_LINKS_FOLLOWED_MAX)
        return nb_fail(err, NB_E_IMAGE, 0, "follow the symbolic link '%s': more than %u links", link->name, IMAGE_LINKS_FOLLOWED_MAX);
    if (target_length + rest_length > IMAGE_PATH_MAX_BYTES)
        return nb_fail(err, NB_E_IMAGE, 0, "follow the symbolic link '%s': the path is beyond %u bytes", link->name, IMAGE_PATH_MAX_BYTES);
    char *left = malloc(target_length + rest_length + 2);
    if (!left)
        return nb_fail_oom(err);
    memcpy(left, target, target_length);
    left[target_length] = '/';
    memcpy(left + target_length + 1, rest, rest_length + 1);
    free(w->left);
    w->left = left;
    if (target[0] == '/')
        w->at = t->root;
    return 0;
}

/* Follows every component of w->left as a folder. w->at is NULL afterwards if one is not there and not to be made. */
static int walk_folders(tree *t, walk *w, bool make, nb_error *err) {
    char *left = w->left;
    const char *component;
    size_t length;
    while (w->at && next_component(&left, &component, &length)) {
        char name[IMAGE_NAME_MAX_BYTES + 1];
        if (length > IMAGE_NAME_MAX_BYTES)
            return nb_fail(err, NB_E_IMAGE, 0, "resolve a path: the name '%.40s...' has more than %u bytes", component,
                           IMAGE_NAME_MAX_BYTES);
        memcpy(name, component, length);
        name[length] = '\0';
        if (strcmp(name, ".") == 0)
            continue;
        if (strcmp(name, "..") == 0) {
            w->at = w->at->parent ? w->at->parent : w->at;
            continue;
        }
        tree_node *child = tree_child(w->at, name);
        int r = 0;
        if (!child && make)
            r = make_folder(t, w->at, name, &child, err);
        else if (child && S_ISLNK(child->inode->mode)) {
            r = follow_link(t, w, child, left, err);
            left = w->left;
            child = w->at;
        } else if (child && !tree_node_is_folder(child) && make)
            r = nb_fail(err, NB_E_IMAGE, 0, "resolve a path: '%s' on the way is no folder", name);
        else if (child && !tree_node_is_folder(child))
            child = NULL; /* below it there is nothing */
        if (r < 0)
            return r;
        w->at = child;
    }
    return 0;
}

int tree_resolve(tree *t, const char *path, bool make, tree_place *ret_place, nb_error *err) {
    size_t length = strlen(path);
    if (length > IMAGE_PATH_MAX_BYTES)
        return nb_fail(err, NB_E_IMAGE, 0, "resolve a path: it has %zu bytes, more than %u", length, IMAGE_PATH_MAX_BYTES);
    CLEANUP(walk_done) walk w = {.at = t->root, .left = malloc(length + 2)};
    if (!w.left)
        return nb_fail_oom(err);
    path_clean(w.left, 0, path);
    char *slash = strrchr(w.left, '/');
    const char *last = slash ? slash + 1 : w.left;
    tree_place place = {0};
    if (strlen(last) > IMAGE_NAME_MAX_BYTES)
        return nb_fail(err, NB_E_IMAGE, 0, "resolve a path: the name '%.40s...' has more than %u bytes", last, IMAGE_NAME_MAX_BYTES);
    memcpy(place.name, last, strlen(last) + 1);
    w.left[last - w.left] = '\0';
    int r = walk_folders(t, &w, make, err);
    if (r < 0)
        return r;
    place.parent = w.at;
    *ret_place = place;
    return 0;
}

static void replace_inode(tree *t, tree_node *node, tree_inode *inode) {
    tree_inode_release(node->inode, t->disk);
    node->inode = inode;
    node->layer = t->layer;
}

int tree_is_full(const tree *t, const char *name, nb_error *err) {
    return image_limit_hint(
        err, nb_fail(err, NB_E_EXHAUSTED, 0, "add '%.500s': the image has more than %llu files", name, (unsigned long long) t->max_nodes),
        "max_entries");
}

int tree_put(tree *t, const tree_place *place, tree_inode *inode, nb_error *err) {
    tree_node *old = tree_find(t, place);
    if (!place->name[0] && !S_ISDIR(inode->mode)) {
        tree_inode_release(inode, t->disk);
        return nb_fail(err, NB_E_IMAGE, 0, "replace the root folder by something that is none");
    }
    if (old && tree_node_is_folder(old) && S_ISDIR(inode->mode)) {
        replace_inode(t, old, inode);
        return 0;
    }
    if (old)
        node_remove(t, old);
    int r = 0;
    if (t->node_count > t->max_nodes) /* the root is a node, but no name */
        r = tree_is_full(t, place->name, err);
    else if (place->parent->depth >= IMAGE_DEPTH_MAX)
        r = nb_fail(err, NB_E_EXHAUSTED, 0, "add '%s': its folders are nested deeper than %u", place->name, IMAGE_DEPTH_MAX);
    else if (inode->references > IMAGE_LINK_COUNT_MAX)
        r = nb_fail(err, NB_E_EXHAUSTED, 0, "add '%s': its file has more than %u names", place->name, IMAGE_LINK_COUNT_MAX);
    else if (!node_new(t, place->parent, place->name, inode))
        r = nb_fail_oom(err);
    if (r < 0)
        tree_inode_release(inode, t->disk);
    return r;
}

struct listing {
    tree_node **nodes;
    size_t count;
};

static void list_node(const void *at, VISIT visit, void *user) {
    struct listing *listing = user;
    if (visit == postorder || visit == leaf)
        listing->nodes[listing->count++] = *(tree_node *const *) at;
}

tree_node **tree_children(const tree_node *folder) {
    struct listing listing = {.nodes = calloc(folder->child_count + 1u, sizeof(tree_node *))};
    if (!listing.nodes)
        return NULL;
    twalk_r(folder->children, list_node, &listing);
    assert(listing.count == folder->child_count);
    return listing.nodes;
}

/* A node that is of a lower layer goes, unless this layer has put something below it. */
static int hide_lower(tree *t, tree_node *node, nb_error *err) {
    int r = tree_node_is_folder(node) ? tree_whiteout_below(t, node, err) : 0;
    if (r == 0 && node->layer < t->layer && node->child_count == 0)
        node_remove(t, node);
    return r;
}

int tree_whiteout_below(tree *t, tree_node *folder, nb_error *err) {
    CLEANUP(cleanup_free) tree_node **children = tree_children(folder);
    if (!children)
        return nb_fail_oom(err);
    int r = 0;
    for (uint32_t i = 0, count = folder->child_count; i < count && r == 0; i++)
        r = hide_lower(t, children[i], err);
    return r;
}

int tree_whiteout(tree *t, const tree_place *place, nb_error *err) {
    tree_node *node = tree_find(t, place);
    return node && node->parent ? hide_lower(t, node, err) : 0;
}
