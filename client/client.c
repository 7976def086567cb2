/* Opening and closing a handle: options, the environment, and what either may not hold. */
#include "client/handle.h"

#include "client/problem.h"
#include "core/auto.h"

#include <curl/curl.h>
#include <string.h>

#define URL_DEFAULT                "http://127.0.0.1:8080"
#define SYSTEM_DEFAULT             "default"
#define CONNECT_TIMEOUT_DEFAULT_MS 5000
#define TIMEOUT_DEFAULT_MS         30000
#define RETRY_DEFAULT_MS           60000
#define STATE_BYTES_DEFAULT        ((size_t)1024 * 1024 * 1024)
#define STATE_BYTES_LIMIT          (SIZE_MAX / 8)
#define DELTA_BYTES_DEFAULT        ((size_t)1024 * 1024)

static const char *first_of(const char *option, const char *variable, const char *otherwise);
static char *check_url(const char *url, struct holdfast_error *err);
static int or_default(int value, int otherwise);

const char *holdfast_version(void)
{
    return HOLDFAST_VERSION;
}

bool holdfast_open(const struct holdfast_options *options, struct holdfast **out, struct holdfast_error *err)
{
    static const struct holdfast_options defaults;
    if (!options)
        options = &defaults;
    const char *system = first_of(options->system, "HOLDFAST_SYSTEM", SYSTEM_DEFAULT);
    struct hf_wire_options wire = {
        .token = first_of(options->token, "HOLDFAST_TOKEN", NULL),
        .ca_file = options->ca_file,
        .user_agent = options->user_agent ? options->user_agent : "libholdfast/" HOLDFAST_VERSION,
        .connect_timeout_ms = or_default(options->connect_timeout_ms, CONNECT_TIMEOUT_DEFAULT_MS),
    };
    if (options->connect_timeout_ms < 0 || options->timeout_ms < 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "a timeout is below 0 ms");
    if (!hf_problem_check_name("system", system, err) || !hf_problem_check_header("the token", wire.token, err) ||
        !hf_problem_check_header("the user agent", wire.user_agent, err))
        return false;
    HF_AUTO(free) char *url = check_url(first_of(options->url, "HOLDFAST_URL", URL_DEFAULT), err);
    if (!url)
        return false;
    wire.url = url;
    struct holdfast *service = hf_alloc(sizeof(*service));
    service->url = hf_strdup(url);
    service->system = hf_strdup(system);
    service->timeout_ms = or_default(options->timeout_ms, TIMEOUT_DEFAULT_MS);
    service->retry_ms = or_default(options->retry_ms, RETRY_DEFAULT_MS);
    service->state_bytes_max = options->state_bytes_max ? options->state_bytes_max : STATE_BYTES_DEFAULT;
    if (service->state_bytes_max > STATE_BYTES_LIMIT)
        service->state_bytes_max = STATE_BYTES_LIMIT;
    service->delta_bytes_min = options->delta_bytes_min ? options->delta_bytes_min : DELTA_BYTES_DEFAULT;
    service->wire = hf_wire_new(&wire);
    hf_order_init(&service->own_order);
    atomic_init(&service->order, &service->own_order);
    *out = service;
    return true;
}

void holdfast_close(struct holdfast *service)
{
    if (!service)
        return;
    hf_wire_free(service->wire);
    for (struct hf_order *order = atomic_load(&service->order), *before; order != &service->own_order; order = before) {
        before = order->before;
        free(order);
    }
    free(service->url);
    free(service->system);
    free(service);
}

void holdfast_cancel(struct holdfast *service)
{
    hf_wire_cancel(service->wire);
}

const char *holdfast_url(const struct holdfast *service)
{
    return service->url;
}

const char *holdfast_system(const struct holdfast *service)
{
    return service->system;
}

int64_t holdfast_epoch(const struct holdfast *service)
{
    return atomic_load(&service->epoch);
}

void holdfast_set_epoch(struct holdfast *service, int64_t epoch)
{
    atomic_store(&service->epoch_from_save, false);
    atomic_store(&service->epoch, epoch > 0 ? epoch : 0);
}

void hf_handle_note_epoch(struct holdfast *service, int64_t epoch)
{
    bool wanted = true;
    if (epoch > 0 && atomic_compare_exchange_strong(&service->epoch_from_save, &wanted, false))
        atomic_store(&service->epoch, epoch);
}

/* An empty variable counts as none. */
static const char *first_of(const char *option, const char *variable, const char *otherwise)
{
    if (option)
        return option;
    const char *value = getenv(variable);
    return value && *value ? value : otherwise;
}

/* Owns the result; NULL: refused. A name and password in a URL would end up in messages. */
static char *check_url(const char *url, struct holdfast_error *err)
{
    HF_AUTO(free) char *copy = hf_strdup(url);
    for (size_t bytes = strlen(copy); bytes > 0 && copy[bytes - 1] == '/'; bytes--)
        copy[bytes - 1] = '\0';
    char *user = NULL, *query = NULL, *fragment = NULL;
    CURLU *parsed = curl_url();
    HF_ASSERT(parsed);
    bool http = strncmp(copy, "http://", 7) == 0 || strncmp(copy, "https://", 8) == 0;
    bool ok = http && !strpbrk(copy, " \t\r\n") && curl_url_set(parsed, CURLUPART_URL, copy, 0) == CURLUE_OK;
    if (ok) {
        curl_url_get(parsed, CURLUPART_USER, &user, 0);
        curl_url_get(parsed, CURLUPART_QUERY, &query, 0);
        curl_url_get(parsed, CURLUPART_FRAGMENT, &fragment, 0);
    }
    if (!ok || query || fragment)
        hf_problem_set(err, HF_PROBLEM_INVALID, false, "the URL must be like http://host:8080 or https://host/path");
    else if (user)
        hf_problem_set(err, HF_PROBLEM_INVALID, false, "the URL must hold no name and password; there is the token");
    ok = ok && !user && !query && !fragment;
    curl_free(user);
    curl_free(query);
    curl_free(fragment);
    curl_url_cleanup(parsed);
    return ok ? hf_strdup(copy) : NULL;
}

static int or_default(int value, int otherwise)
{
    return value ? value : otherwise;
}
