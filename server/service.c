#include "server/service.h"

#include "core/clock.h"

bool hf_service_start(struct hf_service *service, const struct hf_http_options *options, struct hf_error *err)
{
    const struct hf_config *config = options->config;
    service->config = config;
    service->api = options->api;
    service->auth = options->auth;
    service->routes = (struct hf_route_table){options->routes, options->route_count};
    /* Tasks and transfers have threads of their own, so that long work, or clients that are slow with archives, never
     * keep the others waiting. Few may wait for one; but those that an idle thread is about to take are in the queue
     * too. */
    int tasks = (int)config->tasks, transfers = (int)config->transfers;
    return hf_workers_start(&service->workers, (int)config->workers, (int)config->queue_jobs_max, err) &&
           hf_workers_start(&service->tasks, tasks, 2 * tasks, err) &&
           hf_workers_start(&service->transfers, transfers, 2 * transfers, err);
}

void hf_service_stop(struct hf_service *service)
{
    hf_workers_stop(service->workers);
    hf_workers_stop(service->tasks);
    hf_workers_stop(service->transfers);
}

bool hf_service_check_tokens(const struct hf_service *service, bool is_loopback, struct hf_error *err)
{
    if (is_loopback || hf_auth_has_tokens(service->auth))
        return true;
    return hf_error_set(err, HF_CONFIG,
                        "refusing to listen on %s without tokens: anyone could read and change every state. Make one "
                        "with: holdfast-server token create --role operator --tokens-file FILE, and start with "
                        "PERSISTENCE_TOKENS_FILE=FILE",
                        service->config->listen);
}

/* One client that began a request and dawdles must not use up the time that a supervisor gives for a stop. */
bool hf_service_is_busy(const struct hf_service *service, uint64_t arrival_ns)
{
    int arriving = atomic_load_explicit(&service->arriving, memory_order_relaxed);
    int under_way = atomic_load_explicit(&service->under_way, memory_order_acquire) -
                    atomic_load_explicit(&service->streams, memory_order_relaxed);
    return under_way > (hf_clock_monotonic_ns() < arrival_ns ? 0 : arriving);
}
