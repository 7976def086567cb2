#include "server/record.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/metrics.h"

#define WARNINGS_MAX 10

void hf_record_init(struct hf_record *record, const struct hf_route_table *routes)
{
    *record = (struct hf_record){.tally = hf_tally_new(routes)};
}

void hf_record_done(struct hf_record *record)
{
    hf_tally_free(record->tally);
}

void hf_record_add(struct hf_record *record, const struct hf_exchange *x, int status)
{
    const struct hf_request *request = &x->request;
    uint64_t elapsed_ns = hf_clock_monotonic_ns() - request->received_ns;
    hf_tally_add(record->tally, request->route, status);
    hf_metric_observe(HF_M_REQUEST_SECONDS, (double)elapsed_ns / (double)HF_SECOND_NS);
    enum hf_log_level level = HF_LOG_DEBUG;
    if (status >= 500)
        level = record->warnings++ < WARNINGS_MAX ? HF_LOG_WARNING : HF_LOG_DEBUG;
    hf_log(level, "request", "answered", HF_LOG_TEXT("requestId", request->request_id),
           HF_LOG_TEXT("method", hf_method_name(request->method)), HF_LOG_TEXT("target", request->target),
           HF_LOG_NUMBER("status", status), HF_LOG_NUMBER("durationUs", elapsed_ns / 1000),
           HF_LOG_TEXT("detail", x->failed && !x->outstanding ? x->err.text : ""));
}

void hf_record_flush(struct hf_record *record)
{
    hf_tally_flush(record->tally);
}

void hf_record_allow_warnings(struct hf_record *record)
{
    if (record->warnings > WARNINGS_MAX)
        hf_log(HF_LOG_WARNING, "requests_failed", "more requests failed than were logged",
               HF_LOG_NUMBER("unlogged", record->warnings - WARNINGS_MAX));
    record->warnings = 0;
}
