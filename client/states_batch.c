/* holdfast_save_all: many states in one commit. */
#include "client/states.h"

#include "client/order.h"
#include "client/problem.h"
#include "client/upload.h"
#include "core/id.h"

#include <string.h>

#define BODY_BYTES_LIMIT (SIZE_MAX / 8)

static bool check(const struct holdfast_item *items, size_t count, struct holdfast_error *err);
static bool write_body(const struct holdfast_item *items, size_t count, struct hf_buf *body,
                       struct holdfast_error *err);
static void add_field(struct hf_buf *body, const char *name, const char *value);
static bool write_content(const struct holdfast_item *item, struct hf_buf *body);
static bool is_plain_json(const struct holdfast_item *item);
static bool read_receipts(const json_t *answer, const struct holdfast_item *items, size_t count,
                          struct holdfast_receipt *receipts);

bool holdfast_save_all(struct holdfast *service, const struct holdfast_item *items, size_t count,
                       struct holdfast_receipt *out, struct holdfast_error *err)
{
    const struct hf_states_terms terms = {.epoch = holdfast_epoch(service)};
    return hf_states_save_all(service, &terms, items, count, out, err);
}

bool hf_states_save_all(struct holdfast *service, const struct hf_states_terms *terms,
                        const struct holdfast_item *items, size_t count, struct holdfast_receipt *out,
                        struct holdfast_error *err)
{
    struct holdfast_error unused;
    HF_AUTO(buf) struct hf_buf body;
    char key[32], epoch_line[48], order_line[HF_ORDER_LINE_BYTES];
    err = err ? err : &unused;
    hf_buf_init(&body, BODY_BYTES_LIMIT);
    if (!check(items, count, err) || !write_body(items, count, &body, err))
        return false;
    /* The same for all attempts: one that was carried out already is answered again. */
    hf_id_random("", key, sizeof(key));
    HF_AUTO(free) char *key_line = hf_format("Idempotency-Key: %s", key);
    snprintf(epoch_line, sizeof(epoch_line), "State-Epoch: %lld", (long long)terms->epoch);
    hf_order_line(terms->place.order ? terms->place : hf_states_next_place(service), order_line);
    const char *const headers[] = {key_line, order_line, terms->epoch > 0 ? epoch_line : NULL, NULL};
    HF_AUTO(free) char *doing = hf_format("saving %zu states", count);
    HF_AUTO(free) char *target = hf_call_target(service, "states");
    const struct hf_call call = {
        .request = {.doing = doing,
                    .method = "POST",
                    .target = target,
                    .body = body.data,
                    .bytes = body.bytes,
                    .content_type = "application/json",
                    .headers = headers,
                    .stop = terms->stop},
        .repeatable = true,
        .said = terms->answer,
    };
    HF_AUTO(json) json_t *answer = NULL;
    if (!hf_call_send_json(service, &call, &answer, err))
        return false;
    HF_AUTO(free) struct holdfast_receipt *receipts = hf_alloc(count * sizeof(*receipts));
    if (!read_receipts(answer, items, count, receipts))
        return hf_call_bad_answer(err, doing, "it holds no receipts of these states");
    hf_handle_note_epoch(service, receipts[0].epoch);
    if (out)
        memcpy(out, receipts, count * sizeof(*receipts));
    return true;
}

static bool check(const struct holdfast_item *items, size_t count, struct holdfast_error *err)
{
    if (count == 0)
        return hf_problem_set(err, HF_PROBLEM_INVALID, false, "there are no states to save");
    for (size_t i = 0; i < count; i++) {
        const struct holdfast_save_options *options = &items[i].options;
        if (!hf_problem_check_name("component", items[i].component, err))
            return false;
        if (!items[i].data && items[i].bytes > 0)
            return hf_problem_set(err, HF_PROBLEM_INVALID, false, "saving %s: no data is given", items[i].component);
        if (options->if_match && options->if_absent)
            return hf_problem_set(err, HF_PROBLEM_INVALID, false,
                                  "saving %s: if_match and if_absent exclude each other", items[i].component);
        if (options->event_snapshot)
            return hf_problem_set(err, HF_PROBLEM_INVALID, false,
                                  "saving %s: event_snapshot goes with a single state alone", items[i].component);
    }
    return true;
}

static bool write_body(const struct holdfast_item *items, size_t count, struct hf_buf *body, struct holdfast_error *err)
{
    hf_buf_add_text(body, "{\"states\":[");
    for (size_t i = 0; i < count; i++) {
        const struct holdfast_save_options *options = &items[i].options;
        hf_buf_add_format(body, "%s{\"component\":\"%s\",", i ? "," : "", items[i].component);
        add_field(body, "ifMatch", options->if_match);
        add_field(body, "ifNoneMatch", options->if_absent ? "*" : NULL);
        add_field(body, "event", options->event);
        add_field(body, "contentType", options->content_type ? options->content_type : "application/json");
        if (!write_content(&items[i], body))
            break;
        hf_buf_add_char(body, '}');
    }
    hf_buf_add_text(body, "]}");
    return !body->failed || hf_problem_set(err, HF_PROBLEM_NO_MEMORY, false, "saving %zu states: no memory", count);
}

/* With a comma after it; nothing where the value is NULL. */
static void add_field(struct hf_buf *body, const char *name, const char *value)
{
    if (!value)
        return;
    hf_buf_add_format(body, "\"%s\":", name);
    hf_buf_add_json_string(body, value, strlen(value));
    hf_buf_add_char(body, ',');
}

/* As it stands, or in base64: what is in doubt, and what JSON around it would not keep byte for byte. */
static bool write_content(const struct holdfast_item *item, struct hf_buf *body)
{
    if (is_plain_json(item))
        return hf_buf_add_text(body, "\"state\":") && hf_buf_add(body, item->data, item->bytes);
    if (item->bytes > BODY_BYTES_LIMIT / 2) {
        body->failed = true;
        return false;
    }
    hf_buf_add_text(body, "\"stateBase64\":\"");
    char *text = hf_buf_reserve(body, 4 * ((item->bytes + 2) / 3));
    if (!text)
        return false;
    body->bytes += hf_base64_encode(item->bytes > 0 ? item->data : "", item->bytes, text);
    return hf_buf_add_char(body, '"');
}

static bool is_plain_json(const struct holdfast_item *item)
{
    struct hf_error ignored;
    const char *type = item->options.content_type, *data = item->data;
    if ((type && !hf_json_is_media_type(type)) || item->bytes == 0)
        return false;
    bool spaced = strchr(" \t\r\n", data[0]) || strchr(" \t\r\n", data[item->bytes - 1]);
    return !spaced && hf_json_check(data, item->bytes, &ignored);
}

static bool read_receipts(const json_t *answer, const struct holdfast_item *items, size_t count,
                          struct holdfast_receipt *receipts)
{
    const json_t *results = json_object_get(answer, "results");
    if (json_array_size(results) != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const json_t *result = json_array_get(results, i);
        const char *component = json_string_value(json_object_get(result, "component"));
        struct hf_hash hash;
        hf_hash_of(items[i].bytes > 0 ? items[i].data : "", items[i].bytes, &hash);
        if (!component || strcmp(component, items[i].component) != 0 ||
            !hf_upload_read_receipt(result, NULL, &hash, &receipts[i]))
            return false;
    }
    return true;
}
