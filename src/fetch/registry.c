/* SPDX-License-Identifier: Apache-2.0
 *
 * registry.c - one repository of one registry (OCI distribution-spec)
 *
 * Theory of operation
 *   We ask without saying who we are. A registry that wants to know answers 401 with a challenge: for Basic we look for a login, for
 *   Bearer we fetch a token where the challenge says, with a login if there is one (distribution, "token authentication"). The header that
 *   comes of it goes with every later request; a 401 for it means that the token is too old, once, or that we may not.
 *
 *   What may pass is tried again, ATTEMPTS_MAX times in all, after one, two, four ... seconds or what Retry-After says. A registry that
 *   has never answered is not waited for: most likely its name is wrong.
 */
#include "fetch/registry.h"

#include "base/error.h"
#include "fetch/challenge.h"
#include "image/json.h"
#include "image/limits.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX 5u
#define WAIT_FIRST_MS 1000u
/* A registry that asks for more patience than this is better asked by its user, later. */
#define WAIT_MAX_S 120u
/* A token is a signed text with the rights in it; real ones have up to 8 KiB. */
#define TOKEN_ANSWER_MAX_BYTES ((size_t) 256 << 10)

#define DOCKER_HOST "docker.io"
#define DOCKER_ADDRESS "registry-1.docker.io"

#define ACCEPTED                                                                                           \
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, " \
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"

int registry_open(const settings *s, const char *auth_file, const char *host, const char *repository, const http_watch *watch,
                  registry *ret_registry, nb_error *err) {
    registry r = {.settings = s, .auth_file = auth_file, .watch = watch};
    if (snprintf(r.repository, sizeof(r.repository), "%s", repository) >= (int) sizeof(r.repository))
        return nb_fail(err, NB_E_INVALID, 0, "use the repository '%.300s': its name is too long", repository);
    int result = settings_endpoint(s, host, &r.endpoint, err);
    if (result == 0)
        result = http_new(s, watch, &r.http, err);
    if (result == 0)
        *ret_registry = r;
    return result;
}

static void forget_authorization(registry *r) {
    if (r->authorization)
        OPENSSL_cleanse(r->authorization, strlen(r->authorization));
    free(r->authorization);
    r->authorization = NULL;
}

void registry_done(registry *r) {
    http_free(r->http);
    credentials_done(&r->credentials);
    forget_authorization(r);
    *r = (registry){0};
}

char *registry_url(const registry *r, const char *kind, const char *name) {
    const char *host = strcmp(r->endpoint.host, DOCKER_HOST) == 0 ? DOCKER_ADDRESS : r->endpoint.host;
    const char *scheme = r->endpoint.plain_http ? "http" : "https";
    char *url;
    int length = r->repository[0] ? asprintf(&url, "%s://%s/v2/%s/%s/%s", scheme, host, r->repository, kind, name)
                                  : asprintf(&url, "%s://%s/v2/", scheme, host);
    return length < 0 ? NULL : url;
}

/* ----------------------------------------------------------------------------------------------------------- a small body */

typedef struct body {
    char *text;
    size_t length, max_bytes;
    const char *limit; /* what a user calls max_bytes; NULL: it is no limit of theirs */
} body;

static void body_done(body *b) {
    free(b->text);
    *b = (body){0};
}

static int take_body(void *user, uint64_t from, const uint8_t *bytes, size_t length, nb_error *err) {
    body *b = user;
    if (from == 0)
        b->length = 0;
    if (length > b->max_bytes - b->length) {
        int result = nb_fail(err, NB_E_EXHAUSTED, 0, "take a document: it has more than %zu bytes", b->max_bytes);
        return b->limit ? image_limit_hint(err, result, b->limit) : result;
    }
    char *text = realloc(b->text, b->length + length + 1);
    if (!text)
        return nb_fail_oom(err);
    memcpy(text + b->length, bytes, length);
    b->text = text;
    b->length += length;
    b->text[b->length] = '\0';
    return 0;
}

/* ---------------------------------------------------------------------------------------------------------- who we are */

static int know_credentials(registry *r, nb_error *err) {
    if (r->credentials_known)
        return 0;
    r->credentials_known = true;
    return credentials_find(r->settings, r->auth_file, r->endpoint.host, r->repository, &r->credentials, err);
}

/* "Basic ..." for a user, or NULL: out of memory. */
static char *basic_header(const char *user, const char *password) {
    char *plain, *header = NULL;
    int length = asprintf(&plain, "%s:%s", user, password);
    if (length < 0)
        return NULL;
    size_t prefix = strlen("Basic ");
    header = malloc(prefix + 4 * ((size_t) length + 2) / 3 + 4);
    if (header) {
        memcpy(header, "Basic ", prefix);
        (void) EVP_EncodeBlock((unsigned char *) header + prefix, (const unsigned char *) plain, length);
    }
    OPENSSL_cleanse(plain, (size_t) length);
    free(plain);
    return header;
}

/* The address of the token, and for a refresh token what to post there. Both the caller's. */
static int token_request(const registry *r, const challenge *c, char **ret_url, char **ret_form, nb_error *err) {
    char scope_default[REGISTRY_REPOSITORY_SIZE + 32] = "";
    const char *refresh = r->credentials.identity_token;
    if (r->repository[0])
        (void) snprintf(scope_default, sizeof(scope_default), "repository:%s:pull", r->repository);
    CLEANUP(cleanup_free) char *service = http_escape(c->service), *scope = http_escape(c->scope[0] ? c->scope : scope_default);
    CLEANUP(cleanup_free) char *token = refresh ? http_escape(refresh) : NULL;
    char *url = NULL, *form = NULL;
    bool good = service && scope && (!refresh || token);
    if (good && refresh)
        good =
            (url = strdup(c->realm)) &&
            asprintf(&form, "grant_type=refresh_token&client_id=nestbox&service=%s&scope=%s&refresh_token=%s", service, scope, token) >= 0;
    else if (good)
        good =
            asprintf(&url, "%s%sservice=%s%s%s", c->realm, strchr(c->realm, '?') ? "&" : "?", service, *scope ? "&scope=" : "", scope) >= 0;
    if (!good) {
        free(url);
        return nb_fail_oom(err);
    }
    *ret_url = url;
    *ret_form = form;
    return 0;
}

/* A token goes into a header: what could end that is refused. */
static bool token_is_good(const char *token) {
    if (!token || !*token)
        return false;
    for (; *token; token++) {
        if (*token <= ' ' || *token > '~')
            return false;
    }
    return true;
}

static int read_token(const registry *r, const body *b, char **ret_header, nb_error *err) {
    CLEANUP(cleanup_json) json_t *root = NULL;
    const char *token = NULL;
    int code = b->text ? json_document(b->text, b->length, "the token", &root, NULL) : 0;
    if (code == -NB_E_NO_MEMORY)
        return nb_fail_oom(err);
    if (root) {
        token = json_string_value(json_object_get(root, "token"));
        token = token ? token : json_string_value(json_object_get(root, "access_token"));
    }
    if (!token_is_good(token))
        return nb_fail(err, NB_E_PERMISSION, 0, "log in to '%s': its token service sends no token", r->endpoint.host);
    return asprintf(ret_header, "Bearer %s", token) < 0 ? nb_fail_oom(err) : 0;
}

/* HOST[:PORT] of an address that curl will take apart by itself; "": there is none. */
static void host_of(const char *url, char ret_host[SETTINGS_HOST_SIZE]) {
    const char *at = strstr(url, "://");
    at = at ? at + 3 : url;
    (void) snprintf(ret_host, SETTINGS_HOST_SIZE, "%.*s", (int) strcspn(at, "/?#"), at);
}

static int fetch_token(registry *r, const challenge *c, char **ret_header, nb_error *err) {
    CLEANUP(cleanup_free) char *url = NULL, *form = NULL, *basic = NULL;
    CLEANUP(body_done) body b = {.max_bytes = TOKEN_ANSWER_MAX_BYTES};
    CLEANUP(http_freep) http *h = NULL; /* other requests of r->http may be on their way */
    char host[SETTINGS_HOST_SIZE];
    endpoint there;
    http_response response;
    host_of(c->realm, host);
    int result = settings_endpoint(r->settings, host, &there, err);
    if (result < 0)
        return result;
    if (strcmp(host, r->endpoint.host) != 0 && !there.plain_http && !there.skip_verify && !there.ca_file)
        there = r->endpoint; /* what was said of the registry holds for its token service, where nothing was said of that */
    if ((result = token_request(r, c, &url, &form, err)) < 0 || (result = http_new(r->settings, r->watch, &h, err)) < 0)
        return result;
    if (!form && r->credentials.user && !(basic = basic_header(r->credentials.user, r->credentials.password)))
        return nb_fail_oom(err);
    http_request request = {
        .endpoint = &there, .url = url, .accept = "application/json", .authorization = basic, .form = form, .take = take_body, .user = &b};
    result = http_do(h, &request, &response, err);
    if (basic)
        OPENSSL_cleanse(basic, strlen(basic));
    if (form)
        OPENSSL_cleanse(form, strlen(form));
    if (result < 0)
        return result;
    if (response.refused < 0) {
        if (err)
            *err = response.failed;
        return response.refused;
    }
    if (response.status != 200) {
        bool answered = response.status != 0;
        result = answered
                     ? nb_fail(err, NB_E_PERMISSION, 0, "log in to '%s': its token service '%s' answers %ld%s%s", r->endpoint.host, host,
                               response.status, response.words[0] ? ": " : "", response.words)
                     : nb_fail(err, NB_E_IMAGE, 0, "log in to '%s': its token service '%s': %s", r->endpoint.host, host, response.problem);
        return nb_fail_hint(err, result, "nestbox login %s", r->endpoint.host);
    }
    return read_token(r, &b, ret_header, err);
}

/* Takes a challenge up. -NB_E_PERMISSION: we have nothing to answer it with. */
static int authorize(registry *r, const char *challenge_text, nb_error *err) {
    challenge c;
    char *header = NULL;
    int result = challenge_parse(challenge_text, &c, err);
    if (result == 0)
        result = know_credentials(r, err);
    if (result < 0)
        return nb_fail_within(err, result, "log in to '%s'", r->endpoint.host);
    if (c.scheme == CHALLENGE_BEARER) {
        result = fetch_token(r, &c, &header, err);
    } else if (c.scheme == CHALLENGE_BASIC && r->credentials.user) {
        header = basic_header(r->credentials.user, r->credentials.password);
        result = header ? 0 : nb_fail_oom(err);
    } else {
        result =
            nb_fail_hint(err, nb_fail(err, NB_E_PERMISSION, 0, "log in to '%s': it wants a login, and there is none", r->endpoint.host),
                         "nestbox login %s", r->endpoint.host);
    }
    if (result < 0)
        return result;
    forget_authorization(r);
    r->authorization = header;
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------- answers */

static int code_of_status(long status) {
    switch (status) {
    case 401:
    case 403:
        return NB_E_PERMISSION;
    case 404:
        return NB_E_NOT_FOUND;
    case 429:
        return NB_E_EXHAUSTED;
    default: /* an open set */
        return NB_E_IMAGE;
    }
}

static void fail_for(const registry *r, const http_response *response, const char *what, nb_error *err) {
    char who[SETTINGS_HOST_SIZE + REGISTRY_REPOSITORY_SIZE];
    (void) snprintf(who, sizeof(who), "%s%s%s", r->endpoint.host, r->repository[0] ? "/" : "", r->repository);
    if (response->status < 400) {
        int result = nb_fail(err, NB_E_IMAGE, 0, "%s of '%s': %s", what, who,
                             response->problem[0] ? response->problem : "a redirect that leads nowhere");
        if (strstr(response->problem, "rotocol \"http\"") || strstr(response->problem, "wrong version number"))
            (void) nb_fail_hint(err, result, "plain HTTP only goes to registries with \"plain_http\": true in registries.json");
        return;
    }
    int result = nb_fail(err, code_of_status(response->status), 0, "%s of '%s': HTTP %ld%s%s", what, who, response->status,
                         response->words[0] ? ": " : "", response->words);
    if (response->status == 401 || response->status == 403)
        (void) nb_fail_hint(err, result, "nestbox login %s", r->endpoint.host);
    if (response->status == 429)
        (void) nb_fail_hint(err, result, "try again later; a login may raise the limit");
}

static uint32_t wait_before(const http_response *response, unsigned attempt) {
    return response->wait_s > 0 ? response->wait_s * 1000u : WAIT_FIRST_MS << (attempt - 1);
}

enum registry_verdict registry_judge(registry *r, const http_response *response, unsigned attempt, const char *what,
                                     const char *authorized_by, uint32_t *ret_wait_ms, nb_error *err) {
    if (response->status > 0)
        r->reached = true;
    if (response->refused < 0) {
        if (err)
            *err = response->failed;
        return REGISTRY_FAILED;
    }
    if (response->status >= 200 && response->status < 300 && !response->problem[0])
        return REGISTRY_GOOD;
    if (response->status == 401) {
        /* Somebody else of this repository may have a newer header by now. */
        if (r->authorization && (!authorized_by || strcmp(authorized_by, r->authorization) != 0))
            return REGISTRY_AGAIN;
        if (attempt <= 2 && response->challenge[0])
            return authorize(r, response->challenge, err) < 0 ? REGISTRY_FAILED : REGISTRY_AGAIN;
    } else if (response->may_pass && attempt < ATTEMPTS_MAX && (r->reached || !response->unreachable) && response->wait_s <= WAIT_MAX_S) {
        *ret_wait_ms = wait_before(response, attempt);
        return REGISTRY_LATER;
    }
    fail_for(r, response, what, err);
    return REGISTRY_FAILED;
}

/* Waits without losing sight of the owner. */
static void wait_ms(const registry *r, uint32_t ms) {
    (void) http_next(r->http, deadline_in(ms));
}

/* One document, as often as it takes. */
static int get(registry *r, const char *url, const char *what, body *b, char ret_type[128], nb_error *err) {
    for (unsigned attempt = 1;; attempt++) {
        CLEANUP(cleanup_free) char *sent = r->authorization ? strdup(r->authorization) : NULL;
        http_request request = {
            .endpoint = &r->endpoint, .url = url, .accept = ACCEPTED, .authorization = sent, .take = take_body, .user = b};
        http_response response;
        uint32_t ms = 0;
        nb_error failed = {0};
        int result = http_do(r->http, &request, &response, err);
        if (result < 0)
            return result;
        switch (registry_judge(r, &response, attempt, what, sent, &ms, &failed)) {
        case REGISTRY_GOOD:
            (void) snprintf(ret_type, 128, "%s", response.type);
            return 0;
        case REGISTRY_AGAIN:
            continue;
        case REGISTRY_LATER:
            wait_ms(r, ms);
            continue;
        case REGISTRY_FAILED:
            if (err)
                *err = failed;
            return -failed.code;
        }
    }
}

int registry_manifest(registry *r, const char *reference, uint64_t max_bytes, char **ret_text, size_t *ret_length, char ret_type[128],
                      nb_error *err) {
    CLEANUP(cleanup_free) char *url = registry_url(r, "manifests", reference);
    CLEANUP(body_done) body b = {.max_bytes = (size_t) max_bytes, .limit = "max_manifest_bytes"};
    char what[256];
    if (!url)
        return nb_fail_oom(err);
    (void) snprintf(what, sizeof(what), "get the manifest '%.200s'", reference);
    int result = get(r, url, what, &b, ret_type, err);
    if (result < 0)
        return result;
    if (!b.text)
        return nb_fail(err, NB_E_IMAGE, 0, "%s of '%s/%s': it is empty", what, r->endpoint.host, r->repository);
    *ret_text = take_ptr(&b.text);
    *ret_length = b.length;
    return 0;
}

int registry_check_login(registry *r, const char *user, const char *password, nb_error *err) {
    CLEANUP(cleanup_free) char *url = registry_url(r, "", "");
    CLEANUP(body_done) body b = {.max_bytes = IMAGE_JSON_DEFAULT_BYTES};
    char type[128];
    r->credentials = (credentials){.user = strdup(user), .password = strdup(password)};
    r->credentials_known = true;
    if (!url || !r->credentials.user || !r->credentials.password)
        return nb_fail_oom(err);
    return get(r, url, "log in: the API", &b, type, err);
}
