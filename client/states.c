#include "client/states.h"

#include "client/delta_upload.h"
#include "client/order.h"
#include "client/problem.h"
#include "core/clock.h"

static bool check(const char *component, const void *data, size_t bytes, const struct holdfast_save_options *options,
                  struct holdfast_error *err);
static bool upload_whole(struct holdfast *service, const struct hf_upload *upload, struct holdfast_receipt *out,
                         struct holdfast_error *err);

bool holdfast_save(struct holdfast *service, const char *component, const void *data, size_t bytes,
                   const struct holdfast_save_options *options, struct holdfast_receipt *out,
                   struct holdfast_error *err)
{
    const struct hf_states_terms terms = {.epoch = holdfast_epoch(service)};
    return hf_states_save(service, &terms, component, data, bytes, options, out, err);
}

bool hf_states_save(struct holdfast *service, const struct hf_states_terms *terms, const char *component,
                    const void *data, size_t bytes, const struct holdfast_save_options *options,
                    struct holdfast_receipt *out, struct holdfast_error *err)
{
    static const struct holdfast_save_options defaults;
    struct holdfast_error unused;
    struct holdfast_receipt receipt;
    err = err ? err : &unused;
    options = options ? options : &defaults;
    if (!check(component, data, bytes, options, err))
        return false;
    HF_AUTO(free) char *doing = hf_format("saving %s", component);
    char order_line[HF_ORDER_LINE_BYTES];
    hf_order_line(terms->place.order ? terms->place : hf_states_next_place(service), order_line);
    struct hf_upload upload = {
        .doing = doing,
        .component = component,
        .data = bytes > 0 ? data : "",
        .bytes = bytes,
        .order_line = order_line,
        .terms = terms,
        .options = options,
    };
    if (service->retry_ms > 0)
        upload.deadline_ns = hf_clock_monotonic_ns() + (uint64_t)service->retry_ms * HF_MS_NS;
    hf_hash_of(upload.data, bytes, &upload.hash);
    enum hf_delta_outcome outcome = HF_DELTA_WHOLE;
    if (bytes >= service->delta_bytes_min)
        outcome = hf_delta_upload(service, &upload, &receipt, err);
    if (outcome == HF_DELTA_FAILED || (outcome == HF_DELTA_WHOLE && !upload_whole(service, &upload, &receipt, err)))
        return false;
    if (out)
        *out = receipt;
    return true;
}

struct hf_order_place hf_states_next_place(struct holdfast *service)
{
    return hf_order_next(atomic_load(&service->order));
}

void hf_states_take_turn(struct holdfast *service, const uint64_t writer[2], int64_t turn)
{
    struct hf_order *order = hf_alloc(sizeof(*order));
    hf_order_init_turn(order, writer, turn);
    order->before = atomic_load(&service->order);
    while (!atomic_compare_exchange_weak(&service->order, &order->before, order))
        ;
}

bool hf_states_are_cancelled(const struct holdfast *service)
{
    return hf_wire_is_cancelled(service->wire);
}

static bool check(const char *component, const void *data, size_t bytes, const struct holdfast_save_options *options,
                  struct holdfast_error *err)
{
    if (!hf_problem_check_name("component", component, err) ||
        !hf_problem_check_header("the content type", options->content_type, err) ||
        !hf_problem_check_header("if_match", options->if_match, err) ||
        (options->event && !hf_problem_check_name("event", options->event, err)))
        return false;
    if (!data && bytes > 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "saving %s: no data is given", component);
    if (options->if_match && options->if_absent)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "saving %s: if_match and if_absent exclude each other",
                              component);
    return true;
}

static bool upload_whole(struct holdfast *service, const struct hf_upload *upload, struct holdfast_receipt *out,
                         struct holdfast_error *err)
{
    HF_AUTO(upload_lines) struct hf_upload_lines lines;
    HF_AUTO(free) char *target = hf_call_target(service, "components/%s/state", upload->component);
    hf_upload_lines_make(upload, &upload->hash, &lines);
    const char *type = upload->options->content_type;
    const struct hf_call call = {
        .request = {.doing = upload->doing,
                    .method = "PUT",
                    .target = target,
                    .body = upload->data,
                    .bytes = upload->bytes,
                    .content_type = type ? type : "application/json",
                    .headers = (const char *const *)lines.line,
                    .stop = upload->terms->stop},
        .repeatable = true,
        .deadline_ns = upload->deadline_ns,
        .said = upload->terms->answer,
    };
    return hf_upload_send(service, upload, &call, out, err);
}
