/* The process itself: is it alive, is it ready, its metrics, its API description. */
#include "api/api.h"
#include "api/auth.h"
#include "api/handlers.h"
#include "core/metrics.h"
#include "engine/recoverability.h"
#include "engine/storage.h"

#include <string.h>

static const unsigned char openapi[] = {
#include "openapi.inc"
};

/* One row a check of /readyz. Each sets the reason when it fails. */
static bool check_started(const struct hf_api *api, char reason[128]);
static bool check_database(const struct hf_api *api, char reason[128]);
static bool check_running(const struct hf_api *api, char reason[128]);

static const struct check {
    const char *name;
    bool (*run)(const struct hf_api *api, char reason[128]);
} checks[] = {
    {"startup", check_started},
    {"database", check_database},
    {"shutdown", check_running},
};
#define CHECK_COUNT ((int)(sizeof(checks) / sizeof(checks[0])))

static void write_exposure(const struct hf_api *api, struct hf_engine *engine, struct hf_buf *out);
static void write_storage(const struct hf_api *api, struct hf_engine *engine, struct hf_buf *out);

/* Warned about, never failed for: taking the service away would make it worse. */
static const struct warning {
    const char *name;
    void (*write)(const struct hf_api *api, struct hf_engine *engine, struct hf_buf *out);
} warnings[] = {
    {"exposure", write_exposure},
    {"storage", write_storage},
};
#define WARNING_COUNT ((int)(sizeof(warnings) / sizeof(warnings[0])))
#define NAME_COUNT    (CHECK_COUNT + WARNING_COUNT)

static void write_warnings(const struct hf_api *api, const bool excluded[NAME_COUNT], struct hf_buf *out);
static bool read_exclusion(const char *text, bool excluded[NAME_COUNT], struct hf_error *err);
static int find_check(const char *name, size_t bytes); /* from CHECK_COUNT on: a warning; -1: none */
static void reply_text(struct hf_reply *reply, int status, const char *text);

enum hf_verdict hf_api_root(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)request;
    (void)err;
    reply_text(reply, 200,
               "holdfast " HF_VERSION " is running.\n"
               "  GET /v1/status?format=text   how it is\n"
               "  GET /v1/openapi.json         what it can do\n"
               "  GET /readyz?verbose          whether it is ready\n");
    return HF_DONE;
}

enum hf_verdict hf_api_livez(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)err;
    bool verbose = hf_request_query(request, "verbose") != NULL;
    reply_text(reply, 200, verbose ? "[+]process ok\nlivez check passed\n" : "ok\n");
    return HF_DONE;
}

enum hf_verdict hf_api_readyz(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    bool excluded[NAME_COUNT] = {false};
    if (!read_exclusion(hf_request_query(request, "exclude"), excluded, err))
        return HF_FAIL;
    bool ready = true;
    for (int i = 0; i < CHECK_COUNT; i++) {
        char reason[128] = "";
        if (excluded[i]) {
            hf_buf_add_format(&reply->body, "[+]%s excluded: ok\n", checks[i].name);
        } else if (checks[i].run(request->api, reason)) {
            hf_buf_add_format(&reply->body, "[+]%s ok\n", checks[i].name);
        } else {
            hf_buf_add_format(&reply->body, "[-]%s failed: %s\n", checks[i].name, reason);
            ready = false;
        }
    }
    bool verbose = hf_request_query(request, "verbose") != NULL;
    if (verbose)
        write_warnings(request->api, excluded, &reply->body);
    if (ready && !verbose) {
        hf_buf_reset(&reply->body);
        reply_text(reply, 200, "ok\n");
        return HF_DONE;
    }
    reply_text(reply, ready ? 200 : 503, ready ? "readyz check passed\n" : "readyz check failed\n");
    if (!ready)
        hf_reply_header(request, reply, "Retry-After", "1");
    return HF_DONE;
}

enum hf_verdict hf_api_metrics(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)err;
    struct hf_engine *engine = atomic_load(&request->api->engine);
    if (engine)
        hf_storage_set_gauges(engine);
    hf_metrics_write(&reply->body);
    reply->status = 200;
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return HF_DONE;
}

enum hf_verdict hf_api_openapi(struct hf_request *request, struct hf_reply *reply, struct hf_error *err)
{
    (void)request;
    (void)err;
    hf_buf_add(&reply->body, openapi, sizeof(openapi));
    reply->status = 200;
    reply->content_type = "application/json";
    return HF_DONE;
}

static void write_warnings(const struct hf_api *api, const bool excluded[NAME_COUNT], struct hf_buf *out)
{
    struct hf_engine *engine = atomic_load(&api->engine);
    for (int i = 0; engine && i < WARNING_COUNT; i++)
        if (!excluded[CHECK_COUNT + i])
            warnings[i].write(api, engine, out);
}

/* Nobody is asked who he is here: where there are tokens the names of systems are not for everyone. */
static void write_exposure(const struct hf_api *api, struct hf_engine *engine, struct hf_buf *out)
{
    hf_exposure_write(engine, api->config->tokens_file == NULL, out);
}

static void write_storage(const struct hf_api *api, struct hf_engine *engine, struct hf_buf *out)
{
    (void)api;
    hf_storage_write(engine, out);
}

static bool check_started(const struct hf_api *api, char reason[128])
{
    if (atomic_load(&api->engine))
        return true;
    snprintf(reason, 128, "opening the database and recovering state");
    return false;
}

static bool check_database(const struct hf_api *api, char reason[128])
{
    struct hf_engine *engine = atomic_load(&api->engine);
    if (engine && hf_committer_store_is_up(engine->committer))
        return true;
    snprintf(reason, 128, engine ? "%s does not answer; it is tried again all the time" : "not opened yet",
             engine ? hf_store_engine(engine->store) : "");
    return false;
}

static bool check_running(const struct hf_api *api, char reason[128])
{
    if (!atomic_load(&api->stopping))
        return true;
    snprintf(reason, 128, "the service is stopping");
    return false;
}

/* exclude=a,b: names that do not exist are refused, so that a typo does not switch nothing off silently. */
static bool read_exclusion(const char *text, bool excluded[NAME_COUNT], struct hf_error *err)
{
    while (text && *text) {
        size_t bytes = strcspn(text, ",");
        int index = find_check(text, bytes);
        if (index < 0)
            return hf_error_set(err, HF_INVALID_REQUEST, "query parameter exclude: there is no check \"%.*s\"",
                                bytes < 64 ? (int)bytes : 64, text);
        excluded[index] = true;
        text += bytes + (text[bytes] == ',');
    }
    return true;
}

static int find_check(const char *name, size_t bytes)
{
    for (int i = 0; i < NAME_COUNT; i++) {
        const char *known = i < CHECK_COUNT ? checks[i].name : warnings[i - CHECK_COUNT].name;
        if (strlen(known) == bytes && memcmp(known, name, bytes) == 0)
            return i;
    }
    return -1;
}

static void reply_text(struct hf_reply *reply, int status, const char *text)
{
    hf_buf_add_text(&reply->body, text);
    reply->status = status;
    reply->content_type = "text/plain; charset=utf-8";
}
