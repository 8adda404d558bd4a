/* SPDX-License-Identifier: Apache-2.0
 *
 * image-name.c - names of images in registries
 *
 *   reference      := name [ ":" tag ] [ "@" digest ]
 *   name           := [ domain "/" ] path-component [ "/" path-component ]*
 *   path-component := [a-z0-9]+ ( ( "." | "_" | "__" | "-"+ ) [a-z0-9]+ )*
 *   tag            := [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}
 *
 * That is the grammar of distribution/reference, which every engine uses. What stands before the first slash is a domain if it holds a dot or a
 * colon, or is "localhost", or has a capital letter.
 */
#include "runtime/image-name.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_REGISTRY "docker.io"
#define DEFAULT_REGISTRY_ADDRESS "index.docker.io"
#define DEFAULT_OWNER "library/"
#define DEFAULT_TAG "latest"

/* distribution/reference: NameTotalLengthMax, and the tag's. */
#define NAME_MAX_BYTES 255u
#define TAG_MAX_BYTES 128u

#define LOWER_AND_DIGITS "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define HEX "0123456789abcdef"

void image_name_done(image_name *name) {
    free(name->registry);
    free(name->repository);
    free(name->tag);
    free(name->digest);
    *name = (image_name){0};
}

static bool component_is_good(const char *at, size_t length) {
    const char *end = at + length;
    while (at < end) {
        size_t word = strspn(at, LOWER_AND_DIGITS);
        if (word == 0 || at + word > end)
            return false;
        at += word;
        if (at == end)
            return true;
        size_t mark = *at == '-' ? strspn(at, "-") : *at == '_' ? strspn(at, "_") : *at == '.';
        if (mark == 0 || (*at == '_' && mark > 2))
            return false;
        at += mark;
    }
    return false; /* empty, or it ends in a mark */
}

static bool path_is_good(const char *path) {
    for (;;) {
        size_t length = strcspn(path, "/");
        if (!component_is_good(path, length))
            return false;
        if (path[length] == '\0')
            return true;
        path += length + 1;
    }
}

static bool tag_is_good(const char *tag) {
    size_t length = strspn(tag, LOWER_AND_DIGITS UPPER "_.-");
    return length > 0 && length <= TAG_MAX_BYTES && tag[length] == '\0' && tag[0] != '.' && tag[0] != '-';
}

static bool digest_is_good(const char *digest) {
    size_t digits = strncmp(digest, "sha256:", 7) == 0 ? 64 : strncmp(digest, "sha512:", 7) == 0 ? 128 : 0;
    return digits > 0 && strspn(digest + 7, HEX) == digits && digest[7 + digits] == '\0';
}

/* HOST[:PORT]; an IPv6 address stands in brackets. */
static bool domain_is_good(const char *domain) {
    static const char digits[] = "0123456789";
    const char *end = domain;
    if (*domain == '[') {
        size_t length = strspn(domain + 1, "0123456789abcdefABCDEF:.");
        if (length == 0 || domain[1 + length] != ']')
            return false;
        end = domain + length + 2;
    } else {
        end += strspn(domain, LOWER_AND_DIGITS UPPER ".-");
        if (end == domain || strchr(".-", *domain) || strchr(".-", end[-1]))
            return false;
    }
    return *end == '\0' || (*end == ':' && end[1] && end[1 + strspn(end + 1, digits)] == '\0');
}

/* Whether the first @length bytes of a name are its domain. */
static bool is_domain(const char *name, size_t length) {
    size_t plain = strcspn(name, ".:" UPPER);
    return plain < length || (length == 9 && strncmp(name, "localhost", length) == 0);
}

static int wrong(const char *text, const char *why, nb_error *err) {
    return nb_fail_hint(err, nb_fail(err, NB_E_INVALID, 0, "use the image '%.300s': %s", text, why),
                        "name it [HOST[:PORT]/]PATH[:TAG][@sha256:...], in lower-case letters");
}

/* Cuts the digest and the tag off @name, in place. */
static int split_tail(const char *text, char *name, const char **ret_tag, const char **ret_digest, nb_error *err) {
    char *at = strchr(name, '@'), *slash, *colon;
    *ret_tag = *ret_digest = NULL;
    if (at) {
        *at = '\0';
        *ret_digest = at + 1;
        if (!digest_is_good(at + 1))
            return wrong(text, "what follows '@' is no digest", err);
    }
    slash = strrchr(name, '/');
    colon = strchr(slash ? slash : name, ':');
    if (colon) {
        *colon = '\0';
        *ret_tag = colon + 1;
        if (!tag_is_good(colon + 1))
            return wrong(text, "what follows ':' is no tag", err);
    }
    return 0;
}

static char *copy_or_null(const char *text) {
    return text ? strdup(text) : NULL;
}

int image_name_parse(const char *text, image_name *ret_name, nb_error *err) {
    CLEANUP(cleanup_free) char *copy = strdup(text);
    CLEANUP(image_name_done) image_name name = {0};
    const char *tag, *digest;
    if (!copy)
        return nb_fail_oom(err);
    int r = split_tail(text, copy, &tag, &digest, err);
    if (r < 0)
        return r;
    char *slash = strchr(copy, '/'), *path = copy;
    const char *domain = NULL;
    if (slash && is_domain(copy, (size_t) (slash - copy))) {
        *slash = '\0';
        domain = copy;
        path = slash + 1;
        if (!domain_is_good(domain))
            return wrong(text, "its registry is no HOST[:PORT]", err);
    }
    if (!path_is_good(path))
        return wrong(text, "that is no name of an image", err);
    if (strlen(text) > NAME_MAX_BYTES + 1 + TAG_MAX_BYTES + 1 + 135 || strlen(path) > NAME_MAX_BYTES)
        return wrong(text, "it is too long", err);
    name.unqualified = !domain;
    bool at_default = !domain || strcmp(domain, DEFAULT_REGISTRY) == 0 || strcmp(domain, DEFAULT_REGISTRY_ADDRESS) == 0;
    const char *owner = at_default && !strchr(path, '/') ? DEFAULT_OWNER : "";
    name.registry = strdup(at_default ? DEFAULT_REGISTRY : domain);
    name.digest = copy_or_null(digest);
    name.tag = copy_or_null(tag ? tag : digest ? NULL : DEFAULT_TAG);
    if (asprintf(&name.repository, "%s%s", owner, path) < 0)
        name.repository = NULL;
    if (!name.registry || !name.repository || (digest && !name.digest) || ((tag || !digest) && !name.tag))
        return nb_fail_oom(err);
    *ret_name = name;
    name = (image_name){0};
    return 0;
}

/* Without its domain the path must not begin with what would be taken for one; and only a single name is docker.io's own. */
static const char *familiar_path(const image_name *name) {
    const char *path = name->repository, *slash = strchr(path, '/');
    if (strcmp(name->registry, DEFAULT_REGISTRY) != 0 || (slash && is_domain(path, (size_t) (slash - path))))
        return NULL;
    bool official = strncmp(path, DEFAULT_OWNER, strlen(DEFAULT_OWNER)) == 0 && !strchr(path + strlen(DEFAULT_OWNER), '/');
    return official ? path + strlen(DEFAULT_OWNER) : path;
}

char *image_name_familiar(const image_name *name) {
    const char *path = familiar_path(name), *registry = path ? "" : name->registry;
    char *text;
    int length = asprintf(&text, "%s%s%s%s%s%s%s", registry, *registry ? "/" : "", path ? path : name->repository, name->tag ? ":" : "",
                          name->tag ? name->tag : "", name->digest ? "@" : "", name->digest ? name->digest : "");
    return length < 0 ? NULL : text;
}
