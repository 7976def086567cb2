/* libFuzzer entry for what a service, or whatever sits in its place, answers to the C client. The first byte chooses:
 * below 128 a stream of events, which gives the same events however it is cut, in pieces of this size; else a problem,
 * with the status it may have. tests/fuzz/run_fuzzers builds and runs it. */
#include "client/problem.h"
#include "client/sse.h"
#include "core/auto.h"

#include <string.h>

#define EVENT_BYTES_MAX ((size_t)4096)
#define HEARD_BYTES_MAX ((size_t)1 << 24)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool hear(void *context, const struct hf_sse_event *event)
{
    HF_ASSERT(event->data[event->data_bytes] == '\0');
    return hf_buf_add_format(context, "%s|%zu|%s|", event->type, event->data_bytes, event->last_id) &&
           hf_buf_add(context, event->data, event->data_bytes);
}

static bool feed(const uint8_t *data, size_t bytes, size_t piece, struct hf_buf *heard)
{
    struct hf_sse sse;
    bool ok = true;
    hf_buf_init(heard, HEARD_BYTES_MAX);
    hf_sse_init(&sse, EVENT_BYTES_MAX, hear, heard);
    for (size_t at = 0; ok && at < bytes; at += piece) {
        size_t length = bytes - at < piece ? bytes - at : piece;
        /* Outside the fuzzer's own buffer, so that one byte too many is seen. */
        HF_AUTO(free) char *copy = hf_alloc(length);
        memcpy(copy, data + at, length);
        ok = hf_sse_feed(&sse, copy, length);
    }
    HF_ASSERT(sse.retry_ms >= -1);
    hf_sse_restart(&sse);
    hf_sse_done(&sse);
    return ok;
}

static void read_stream(const uint8_t *data, size_t bytes, size_t piece)
{
    HF_AUTO(buf) struct hf_buf whole;
    HF_AUTO(buf) struct hf_buf cut;
    HF_ASSERT(feed(data, bytes, bytes + 1, &whole) == feed(data, bytes, piece, &cut));
    HF_ASSERT(whole.bytes == cut.bytes && (whole.bytes == 0 || memcmp(whole.data, cut.data, whole.bytes) == 0));
}

static void read_problem(const uint8_t *data, size_t bytes, int status)
{
    HF_AUTO(free) char *copy = hf_alloc(bytes + 1);
    memcpy(copy, data, bytes);
    struct holdfast_error err;
    const struct hf_problem_answer answer = {.status = status,
                                             .body = bytes > 0 ? copy : NULL,
                                             .bytes = bytes,
                                             .content_type = "application/problem+json",
                                             .request_id = ""};
    HF_ASSERT(!hf_problem_read(&err, "fuzzing", &answer));
    HF_ASSERT(err.status == status && err.code[0] && strncmp(err.text, "fuzzing", 7) == 0);
    for (const unsigned char *at = (const unsigned char *)err.text; *at; at++)
        HF_ASSERT(*at >= 0x20 && *at != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0)
        return 0;
    if (data[0] < 128)
        read_stream(data + 1, bytes - 1, (size_t)data[0] + 1);
    else
        read_problem(data + 1, bytes - 1, 400 + data[0] - 128);
    return 0;
}
