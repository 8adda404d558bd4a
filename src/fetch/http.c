/* SPDX-License-Identifier: Apache-2.0
 *
 * http.c - requests over HTTP, several at once, on one thread
 *
 * Theory of operation
 *   libcurl's multi interface does the work; this file says what we allow it. Only http and https, http only where the user's settings
 *   name that host for it, also after a redirect; at most REDIRECTS_MAX of those, and never with the Authorization header to another host
 *   (libcurl drops it there). A transfer without a byte for the settings' time-out has failed; there is no limit on a whole
 *   transfer, because a large layer on a slow line takes what it takes. Bodies are as the server has them: no content decoding.
 *
 *   An answer of 400 or more has its body kept for the message, a little of it.
 */
#include "fetch/http.h"

#include "base/error.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REDIRECTS_MAX 10L
#define CONNECTIONS_MAX 16L
/* What libcurl hands over at once. */
#define RECEIVE_BYTES (256L << 10)
/* Of an error's body: enough for the registry's JSON, which is one or two sentences. */
#define WORDS_MAX_BYTES ((size_t) 4096)
#define TURN_MS 1000

struct http {
    CURLM *multi;
    const settings *settings;
    const http_watch *watch;
};

struct http_transfer {
    http *http;
    CURL *easy;
    struct curl_slist *headers;
    http_request request;
    http_response response;
    uint64_t at; /* where the next byte of the body stands */
    bool body_began;
    char words[WORDS_MAX_BYTES + 1];
    size_t words_length;
    char problem[CURL_ERROR_SIZE];
};

int http_new(const settings *s, const http_watch *watch, http **ret_http, nb_error *err) {
    http *h = calloc(1, sizeof(*h));
    if (!h)
        return nb_fail_oom(err);
    *h = (http){.settings = s, .watch = watch};
    h->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    if (!h->multi) {
        free(h);
        return nb_fail_oom(err);
    }
    (void) curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, CONNECTIONS_MAX);
    *ret_http = h;
    return 0;
}

void http_free(http *h) {
    if (!h)
        return;
    (void) curl_multi_cleanup(h->multi);
    free(h);
}

/* The value of the header NAME in a line, without the space around it; NULL: it is another one. */
static const char *header_value(const char *line, size_t length, const char *name, size_t *ret_length) {
    size_t name_length = strlen(name);
    if (length <= name_length || strncasecmp(line, name, name_length) != 0 || line[name_length] != ':')
        return NULL;
    const char *at = line + name_length + 1, *end = line + length;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    *ret_length = (size_t) (end - at);
    return at;
}

static void keep_header(const char *line, size_t length, const char *name, char *into, size_t size) {
    size_t value_length;
    const char *value = header_value(line, length, name, &value_length);
    if (value)
        (void) snprintf(into, size, "%.*s", (int) (value_length < size ? value_length : size - 1), value);
}

/* Challenges may come in several headers, which mean the same as one with commas (RFC 9110, 5.3). */
static void add_challenge(http_response *r, const char *line, size_t length) {
    size_t value_length, used = strlen(r->challenge);
    const char *value = header_value(line, length, "WWW-Authenticate", &value_length);
    if (value)
        (void) snprintf(r->challenge + used, sizeof(r->challenge) - used, "%s%.*s", used ? ", " : "", (int) value_length, value);
}

static size_t on_header(char *line, size_t size, size_t count, void *user) {
    http_transfer *t = user;
    http_response *r = &t->response;
    size_t length = size * count;
    if (length > 5 && strncmp(line, "HTTP/", 5) == 0) { /* a new answer: what came before it was a redirect or a 100 */
        r->challenge[0] = r->digest[0] = r->type[0] = '\0';
        t->at = 0;
    }
    add_challenge(r, line, length);
    keep_header(line, length, "Docker-Content-Digest", r->digest, sizeof(r->digest));
    keep_header(line, length, "Content-Type", r->type, sizeof(r->type));
    char range[64] = "";
    keep_header(line, length, "Content-Range", range, sizeof(range));
    if (strncasecmp(range, "bytes ", 6) == 0)
        t->at = strtoull(range + 6, NULL, 10);
    return length;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *user) {
    http_transfer *t = user;
    size_t length = size * count;
    long status = 0;
    (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 300) {
        size_t room = WORDS_MAX_BYTES - t->words_length, taken = length < room ? length : room;
        memcpy(t->words + t->words_length, bytes, taken);
        t->words_length += taken;
        return length;
    }
    if (!t->body_began && status != 206)
        t->at = 0;
    t->body_began = true;
    t->response.refused = t->request.take(t->request.user, t->at, (const uint8_t *) bytes, length, &t->response.failed);
    t->at += length;
    return t->response.refused < 0 ? 0 : length;
}

static bool add_header(http_transfer *t, const char *name, const char *value) {
    char *line;
    if (!value)
        return true;
    if (asprintf(&line, "%s: %s", name, value) < 0)
        return false;
    struct curl_slist *more = curl_slist_append(t->headers, line);
    free(line);
    if (more)
        t->headers = more;
    return more;
}

static CURLcode set_bounds(const http_transfer *t) {
    CURL *c = t->easy;
    const endpoint *e = t->request.endpoint;
    long timeout_s = (long) (t->http->settings->timeout_ms / 1000u);
    const char *protocols = e->plain_http ? "http,https" : "https";
    CURLcode r;
    if ((r = curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols)) != CURLE_OK ||
        (r = curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, protocols)) != CURLE_OK)
        return r;
    (void) curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    (void) curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    (void) curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void) curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, timeout_s);
    (void) curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void) curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, timeout_s);
    (void) curl_easy_setopt(c, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    (void) curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, e->skip_verify ? 0L : 1L);
    (void) curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, e->skip_verify ? 0L : 2L);
    return e->ca_file ? curl_easy_setopt(c, CURLOPT_CAINFO, e->ca_file) : CURLE_OK;
}

static CURLcode set_request(http_transfer *t) {
    CURL *c = t->easy;
    const http_request *request = &t->request;
    CURLcode r = curl_easy_setopt(c, CURLOPT_URL, request->url);
    if (r != CURLE_OK || !add_header(t, "Accept", request->accept) || !add_header(t, "Authorization", request->authorization))
        return r != CURLE_OK ? r : CURLE_OUT_OF_MEMORY;
    (void) curl_easy_setopt(c, CURLOPT_HTTPHEADER, t->headers);
    if (request->form && (r = curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, request->form)) != CURLE_OK)
        return r;
    if (request->from > 0) {
        char range[32];
        (void) snprintf(range, sizeof(range), "%llu-", (unsigned long long) request->from);
        if ((r = curl_easy_setopt(c, CURLOPT_RANGE, range)) != CURLE_OK)
            return r;
    }
    (void) curl_easy_setopt(c, CURLOPT_USERAGENT, "nestbox");
    (void) curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->problem);
    (void) curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    (void) curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    (void) curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void) curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    (void) curl_easy_setopt(c, CURLOPT_PRIVATE, t);
    return CURLE_OK;
}

void http_transfer_free(http_transfer *t) {
    if (!t)
        return;
    if (t->easy) {
        (void) curl_multi_remove_handle(t->http->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    free(t);
}

int http_start(http *h, const http_request *request, http_transfer **ret_transfer, nb_error *err) {
    CLEANUP(http_transfer_freep) http_transfer *t = calloc(1, sizeof(*t));
    if (!t)
        return nb_fail_oom(err);
    t->http = h;
    t->request = *request;
    t->easy = curl_easy_init();
    if (!t->easy)
        return nb_fail_oom(err);
    CURLcode r = set_bounds(t);
    if (r == CURLE_OK)
        r = set_request(t);
    if (r == CURLE_OUT_OF_MEMORY)
        return nb_fail_oom(err);
    if (r != CURLE_OK || curl_multi_add_handle(h->multi, t->easy) != CURLM_OK)
        return nb_fail(err, NB_E_INVALID, 0, "ask '%.300s': %s", request->url, curl_easy_strerror(r));
    *ret_transfer = take_ptr(&t);
    return 0;
}

/* Whether the same request may go through later; a certificate, a protocol or a loop of redirects stays what it is. */
static bool code_may_pass(CURLcode code) {
    switch ((int) code) {
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default: /* an open set: libcurl adds codes */
        return false;
    }
}

static bool code_is_unreachable(CURLcode code) {
    return code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
           code == CURLE_SSL_CONNECT_ERROR;
}

/* The registry's own message (distribution-spec, "error codes"), or the beginning of a text; a page of HTML is for nobody's terminal. */
static void find_words(http_transfer *t) {
    http_response *r = &t->response;
    t->words[t->words_length] = '\0';
    const char *from = t->words, *key = strstr(t->words, "\"message\"");
    if (key && (key = strchr(key + strlen("\"message\""), '"')))
        from = key + 1;
    else if (t->words[strspn(t->words, " \t\r\n")] == '<')
        return;
    size_t length = key ? strcspn(from, "\"") : strcspn(from, "\r\n");
    (void) snprintf(r->words, sizeof(r->words), "%.*s", (int) (length < 400 ? length : 400), from);
}

static void finish(http_transfer *t, CURLcode code) {
    http_response *r = &t->response;
    curl_off_t wait_s = 0;
    (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &r->status);
    (void) curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &wait_s);
    r->wait_s = wait_s > 0 ? (wait_s < UINT32_MAX ? (uint32_t) wait_s : UINT32_MAX) : 0;
    if (code != CURLE_OK && r->refused == 0) {
        (void) snprintf(r->problem, sizeof(r->problem), "%s", t->problem[0] ? t->problem : curl_easy_strerror(code));
        r->unreachable = code_is_unreachable(code);
        r->may_pass = r->unreachable || code_may_pass(code);
    }
    if (r->status == 429 || r->status == 408 || (r->status >= 500 && r->status != 501))
        r->may_pass = true;
    if (r->status >= 400)
        find_words(t);
    (void) curl_multi_remove_handle(t->http->multi, t->easy);
}

http_transfer *http_next(http *h, deadline until) {
    for (;;) {
        int running, queued;
        (void) curl_multi_perform(h->multi, &running);
        CURLMsg *message = curl_multi_info_read(h->multi, &queued);
        if (message && message->msg == CURLMSG_DONE) {
            http_transfer *t = NULL;
            CURLcode code = message->data.result; /* the message goes with the handle */
            (void) curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &t);
            finish(t, code);
            return t;
        }
        int left = deadline_left_ms(until);
        if (left == 0)
            return NULL;
        struct curl_waitfd watch = {.fd = h->watch->fd, .events = CURL_WAIT_POLLIN};
        (void) curl_multi_poll(h->multi, &watch, 1, left < 0 || left > TURN_MS ? TURN_MS : left, NULL);
        h->watch->turn(h->watch->user);
    }
}

const http_response *http_response_of(const http_transfer *t) {
    return &t->response;
}

const http_request *http_request_of(const http_transfer *t) {
    return &t->request;
}

int http_do(http *h, const http_request *request, http_response *ret_response, nb_error *err) {
    CLEANUP(http_transfer_freep) http_transfer *t = NULL;
    int r = http_start(h, request, &t, err);
    if (r < 0)
        return r;
    (void) http_next(h, deadline_in(-1));
    *ret_response = t->response;
    return 0;
}

char *http_escape(const char *text) {
    char *escaped = curl_easy_escape(NULL, text, 0), *copy = escaped ? strdup(escaped) : NULL;
    curl_free(escaped);
    return copy;
}
