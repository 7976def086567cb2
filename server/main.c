/* holdfast-server: the daemon. Starts everything in order, waits for a signal, stops everything in order. */
#include "api/api.h"
#include "api/auth.h"
#include "api/routes.h"
#include "core/auto.h"
#include "core/clock.h"
#include "core/log.h"
#include "engine/scheduler.h"
#include "server/commands.h"
#include "server/http.h"
#include "server/signals.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DRAIN_TIMEOUT_NS      (28 * HF_SECOND_NS)
#define BREAK_OFF_NS          (2 * HF_SECOND_NS) /* for what was broken off to be answered */
#define EXIT_WITHOUT_SNAPSHOT 3                  /* stopped in order, but what changed is in the database alone */

struct service {
    struct hf_config config;
    struct hf_api api;
    struct hf_http *http;
    struct hf_engine *engine;
};

static int serve(int argc, char *argv[]);
static bool start_service(struct service *service, struct hf_error *err);
static void name_real_port(struct service *service);
static void start_log(const struct hf_config *config);
static void print_where(const struct service *service);
static void format_url(char *out, size_t bytes, const char *host, int port);
static const char *reachable_host(const char *host);
static void refresh_tokens(void *context);
static bool stop_service(struct service *service);

int main(int argc, char *argv[])
{
    hf_json_init();
    int exit_code;
    if (hf_command_run(argc, argv, &exit_code))
        return exit_code;
    /* "serve" may be said or left out. */
    bool said = argc > 1 && strcmp(argv[1], "serve") == 0;
    return serve(argc - said, argv + said);
}

static int serve(int argc, char *argv[])
{
    struct service service = {0};
    struct hf_error err;
    if (!hf_config_load(&service.config, argc, argv, &err)) {
        fprintf(stderr, "holdfast-server: %s\n", err.text);
        return 2;
    }
    start_log(&service.config);
    bool started = start_service(&service, &err);
    if (started) {
        print_where(&service);
        const char *signal_name = hf_signals_wait();
        hf_log(HF_LOG_INFO, "stopping", "The service is stopping; a second signal ends it at once",
               HF_LOG_TEXT("signal", signal_name));
    } else {
        hf_log(HF_LOG_ERROR, "start_failed", err.text, HF_LOG_TEXT("code", hf_code_name(err.code)));
    }
    bool safe = stop_service(&service);
    hf_config_done(&service.config);
    return !started ? 1 : safe ? 0 : EXIT_WITHOUT_SNAPSHOT;
}

/* HTTP comes first, so that probes and operators see a long recovery instead of a closed port. */
static bool start_service(struct service *service, struct hf_error *err)
{
    struct hf_api *api = &service->api;
    api->config = &service->config;
    if (!hf_signals_start(err) || !hf_auth_open(&api->auth, service->config.tokens_file, err))
        return false;
    const struct hf_http_options options = {
        .config = &service->config, .api = api, .auth = api->auth, .routes = hf_routes, .route_count = hf_route_count};
    if (!hf_http_start(&service->http, &options, err))
        return false;
    name_real_port(service);
    if (!hf_engine_start(&service->engine, &service->config, err))
        return false;
    hf_scheduler_on_tick(service->engine->scheduler, refresh_tokens, api->auth);
    atomic_store_explicit(&api->engine, service->engine, memory_order_release);
    return true;
}

/* The engine tells the operator commands to run, and those need the port that port 0 became. HTTP reads the address
 * only while it starts. */
static void name_real_port(struct service *service)
{
    char host[256];
    int port;
    struct hf_error err;
    if (!hf_config_listen_split(service->config.listen, host, &port, &err) || port != 0)
        return;
    free(service->config.listen);
    service->config.listen = hf_format(strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, hf_http_port(service->http));
}

static void start_log(const struct hf_config *config)
{
    bool json =
        strcmp(config->log_format, "json") == 0 || (strcmp(config->log_format, "auto") == 0 && !isatty(STDERR_FILENO));
    hf_log_init(STDERR_FILENO, config->log_level, json);
}

/* For whoever started it by hand; a program reads the address from the first line. */
static void print_where(const struct service *service)
{
    char host[256], database[512];
    int asked_port;
    struct hf_error err;
    if (!hf_config_listen_split(service->config.listen, host, &asked_port, &err))
        return;
    char url[300], try_url[300];
    format_url(url, sizeof(url), host, hf_http_port(service->http));
    format_url(try_url, sizeof(try_url), reachable_host(host), hf_http_port(service->http));
    const char *token = hf_auth_has_tokens(service->api.auth) ? " -H \"Authorization: Bearer $TOKEN\"" : "";
    hf_database_describe(&service->config, database, sizeof(database));
    printf("holdfast %s listens on %s\n"
           "  data:     %s\n"
           "  database: %s\n"
           "Try:\n"
           "  curl -X PUT%s --json '{\"hello\":\"world\"}' %s/v1/systems/default/components/first/state\n"
           "  curl%s '%s/v1/status?format=text'\n",
           HF_VERSION, url, service->config.data_directory, database, token, try_url, token, try_url);
    fflush(stdout);
}

static void format_url(char *out, size_t bytes, const char *host, int port)
{
    snprintf(out, bytes, strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d", host, port);
}

/* Every address is listened on, but none is called so. */
static const char *reachable_host(const char *host)
{
    if (strcmp(host, "0.0.0.0") == 0)
        return "127.0.0.1";
    return strcmp(host, "::") == 0 ? "::1" : host;
}

/* Scheduler thread. */
static void refresh_tokens(void *context)
{
    hf_auth_refresh(context);
}

/* Also after a start that failed half-way. Requests end before the engine does: nobody may find it gone. False: a final
 * snapshot could not be taken. */
static bool stop_service(struct service *service)
{
    bool safe = true;
    atomic_store(&service->api.stopping, true);
    if (service->engine)
        hf_engine_end_streams(service->engine);
    if (service->http) {
        hf_http_quiesce(service->http, hf_clock_monotonic_ns() + DRAIN_TIMEOUT_NS);
        if (service->engine) {
            hf_engine_break_off(service->engine);
            hf_http_quiesce(service->http, hf_clock_monotonic_ns() + BREAK_OFF_NS);
        }
        hf_http_stop(service->http);
    }
    if (service->engine)
        safe = hf_engine_stop(service->engine);
    if (service->api.auth)
        hf_auth_close(service->api.auth);
    hf_log(HF_LOG_INFO, "stopped", "The service has stopped");
    return safe;
}
