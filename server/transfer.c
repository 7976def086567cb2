#include "server/transfer.h"

#include "core/auto.h"
#include "core/log.h"

static bool read_body(void *context, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err);
static bool write_answer(void *context, const void *data, size_t bytes, struct hf_error *err);
static void keep_trailer(struct hf_transfer *transfer);
static void free_producer(struct hf_transfer *transfer);

struct hf_transfer *hf_transfer_new(bool receives, int64_t patience_ms, void (*wake)(void *context), void *context)
{
    const struct hf_pipe_options options = {
        .bytes_max = HF_TRANSFER_PIPE_BYTES,
        .patience_ms = patience_ms,
        .read_late = {HF_INVALID_REQUEST, "the client has sent nothing of its body"},
        .write_late = {HF_IO, "the client has read nothing of its answer"},
        .wake = wake,
        .wake_context = context,
    };
    struct hf_transfer *transfer = hf_alloc(sizeof(*transfer));
    transfer->pipe = hf_pipe_new(&options);
    transfer->body = (struct hf_reader){read_body, transfer->pipe};
    transfer->receives = receives;
    return transfer;
}

void hf_transfer_free(struct hf_transfer *transfer)
{
    if (!transfer)
        return;
    HF_ASSERT(!transfer->produce);
    hf_pipe_free(transfer->pipe);
    free(transfer->trailer_copy);
    free(transfer);
}

void hf_transfer_take_answer(struct hf_transfer *transfer, struct hf_reply *reply, bool wants_body)
{
    HF_ASSERT(!transfer->receives && !transfer->produce);
    transfer->produce = reply->produce;
    transfer->produce_context = reply->produce_context;
    transfer->produce_free = reply->produce_free;
    transfer->trailer_value = reply->trailer_value;
    transfer->trailer = reply->trailer;
    reply->produce = NULL;
    reply->produce_free = NULL;
    if (!wants_body)
        free_producer(transfer);
}

/* A pipe that is broken already was so by the loop, which knows why; its client has left, most likely. */
void hf_transfer_produce(struct hf_transfer *transfer, const char *request_id)
{
    const struct hf_writer to = {write_answer, transfer->pipe};
    struct hf_error err;
    bool whole = transfer->produce(transfer->produce_context, &to, &err);
    if (whole)
        keep_trailer(transfer);
    free_producer(transfer); /* before the end is told: who has a whole archive may delete its snapshot */
    if (whole) {
        hf_pipe_finish(transfer->pipe);
        return;
    }
    bool client_left = hf_pipe_is_broken(transfer->pipe);
    hf_log(client_left ? HF_LOG_INFO : HF_LOG_WARNING, "answer_broken_off", err.text,
           HF_LOG_TEXT("requestId", request_id), HF_LOG_TEXT("code", hf_code_name(err.code)));
    hf_pipe_break(transfer->pipe, err.code, err.text);
}

static bool read_body(void *context, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err)
{
    return hf_pipe_read(context, out, bytes_max, got_out, err);
}

static bool write_answer(void *context, const void *data, size_t bytes, struct hf_error *err)
{
    return hf_pipe_write(context, data, bytes, err);
}

/* Copied: the producer's memory goes before the loop has sent it. */
static void keep_trailer(struct hf_transfer *transfer)
{
    if (!transfer->trailer.name)
        return;
    const char *value = transfer->trailer.value;
    if (transfer->trailer_value)
        value = transfer->trailer_value(transfer->produce_context);
    transfer->trailer_copy = value ? hf_strdup(value) : NULL;
    transfer->trailer.value = transfer->trailer_copy;
}

static void free_producer(struct hf_transfer *transfer)
{
    if (transfer->produce_free)
        transfer->produce_free(transfer->produce_context);
    transfer->produce = NULL;
    transfer->produce_free = NULL;
}
