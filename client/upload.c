#include "client/upload.h"

#include "client/problem.h"

#include <stdio.h>
#include <string.h>

#define TAG_DIGITS 16

static bool read_answer(const struct hf_upload *upload, const struct hf_wire_answer *answer,
                        struct holdfast_receipt *out, struct holdfast_error *err);
static bool look_for_own(struct holdfast *service, const struct hf_upload *upload, struct holdfast_receipt *out);
static int64_t next_version(const char *before);
static bool read_head(struct holdfast *service, const struct hf_upload *upload, int64_t version,
                      struct holdfast_receipt *out);
static void read_committed_at(struct holdfast *service, const struct hf_upload *upload, struct holdfast_receipt *out);

void hf_upload_lines_make(const struct hf_upload *upload, const struct hf_hash *body_hash,
                          struct hf_upload_lines *lines)
{
    const struct holdfast_save_options *options = upload->options;
    char digest[4 * ((HF_HASH_BYTES + 2) / 3) + 1];
    hf_base64_encode(body_hash->bytes, HF_HASH_BYTES, digest);
    *lines = (struct hf_upload_lines){0};
    hf_upload_lines_add(lines, hf_format("Content-Digest: sha-256=:%s:", digest));
    hf_upload_lines_add(lines, hf_strdup(upload->order_line));
    if (upload->terms->epoch > 0)
        hf_upload_lines_add(lines, hf_format("State-Epoch: %lld", (long long)upload->terms->epoch));
    if (options->if_match)
        hf_upload_lines_add(lines, hf_format("If-Match: %s", options->if_match));
    if (options->if_absent)
        hf_upload_lines_add(lines, hf_strdup("If-None-Match: *"));
    if (options->event)
        hf_upload_lines_add(lines, hf_format("State-Event: %s", options->event));
    if (options->event_snapshot)
        hf_upload_lines_add(lines, hf_strdup("State-Event-Snapshot: true"));
}

void hf_upload_lines_add(struct hf_upload_lines *lines, char *line)
{
    HF_ASSERT(lines->count < HF_UPLOAD_LINES);
    lines->line[lines->count++] = line;
}

void hf_upload_lines_done(struct hf_upload_lines *lines)
{
    for (int i = 0; i < lines->count; i++)
        free(lines->line[i]);
    *lines = (struct hf_upload_lines){0};
}

bool hf_upload_send(struct holdfast *service, const struct hf_upload *upload, const struct hf_call *call,
                    struct holdfast_receipt *out, struct holdfast_error *err)
{
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    struct holdfast_receipt receipt = {0};
    hf_wire_answer_init(&answer);
    bool ok = hf_call_send(service, call, &answer, err);
    if (ok)
        ok = read_answer(upload, &answer, &receipt, err);
    else if (hf_problem_is(err, "precondition_failed") && answer.maybe_twice)
        ok = look_for_own(service, upload, &receipt);
    if (!ok)
        return false;
    hf_handle_note_epoch(service, receipt.epoch);
    *out = receipt;
    return true;
}

bool hf_upload_read_receipt(const json_t *json, const char *etag, const struct hf_hash *hash,
                            struct holdfast_receipt *out)
{
    char label[HF_HASH_LABEL], epoch[24] = "";
    struct holdfast_receipt receipt = {.unchanged = json_is_true(json_object_get(json, "unchanged"))};
    hf_hash_label(hash, label);
    if (!hf_call_get_int(json, "version", &receipt.version) || !hf_call_get_int(json, "sequence", &receipt.sequence) ||
        !hf_call_get_int(json, "epoch", &receipt.epoch) || !hf_call_get_int(json, "bytes", &receipt.bytes) ||
        !hf_call_get_text(json, "hash", receipt.hash, sizeof(receipt.hash)) ||
        !hf_call_get_text(json, "committedAt", receipt.committed_at, sizeof(receipt.committed_at)) ||
        strcmp(receipt.hash, label) != 0)
        return false;
    if (receipt.epoch > 1)
        snprintf(epoch, sizeof(epoch), "-%lld", (long long)receipt.epoch);
    if (etag && *etag)
        snprintf(receipt.etag, sizeof(receipt.etag), "%s", etag);
    else
        snprintf(receipt.etag, sizeof(receipt.etag), "\"%lld-%.*s%s\"", (long long)receipt.version, TAG_DIGITS,
                 receipt.hash + strlen("sha256:"), epoch);
    *out = receipt;
    return true;
}

bool hf_upload_tag_matches(const char *etag, const struct hf_hash *hash)
{
    char hex[HF_HASH_HEX];
    hf_hash_hex(hash, hex);
    const char *digits = strchr(etag, '-');
    return etag[0] == '"' && digits && strncmp(digits + 1, hex, TAG_DIGITS) == 0 &&
           (digits[1 + TAG_DIGITS] == '"' || digits[1 + TAG_DIGITS] == '-');
}

static bool read_answer(const struct hf_upload *upload, const struct hf_wire_answer *answer,
                        struct holdfast_receipt *out, struct holdfast_error *err)
{
    struct hf_error ignored;
    HF_AUTO(json)
    json_t *json = hf_json_parse(answer->body.data ? answer->body.data : "", answer->body.bytes, &ignored);
    if (!hf_upload_read_receipt(json, answer->etag, &upload->hash, out))
        return hf_call_bad_answer(err, upload->doing, "it is no receipt of this state");
    return true;
}

/* The condition failed after an attempt whose answer was lost: the version that follows the one which the condition
 * named is ours when it has our content, also where others went on from it since. */
static bool look_for_own(struct holdfast *service, const struct hf_upload *upload, struct holdfast_receipt *out)
{
    if (!read_head(service, upload, next_version(upload->options->if_match), out) ||
        !hf_upload_tag_matches(out->etag, &upload->hash))
        return false;
    read_committed_at(service, upload, out);
    return true;
}

/* A condition that is no single tag of the service (NULL, *, a list) tells no version: 0. */
static int64_t next_version(const char *before)
{
    long long version = 0;
    return before && !strchr(before, ',') && sscanf(before, "\"%lld-", &version) == 1 ? version + 1 : 0;
}

/* Of the present, if version is 0. */
static bool read_head(struct holdfast *service, const struct hf_upload *upload, int64_t version,
                      struct holdfast_receipt *out)
{
    struct holdfast_error ignored;
    HF_AUTO(wire_answer) struct hf_wire_answer answer;
    HF_AUTO(free)
    char *target =
        version ? hf_call_target(service, "components/%s/state?version=%lld", upload->component, (long long)version)
                : hf_call_target(service, "components/%s/state", upload->component);
    const struct hf_call call = {
        .request = {.doing = upload->doing, .method = "HEAD", .target = target, .stop = upload->terms->stop},
        .repeatable = true,
        .deadline_ns = upload->deadline_ns,
    };
    hf_wire_answer_init(&answer);
    if (!hf_call_send(service, &call, &answer, &ignored) || !answer.version)
        return false;
    *out = (struct holdfast_receipt){
        .version = answer.version,
        .sequence = answer.sequence,
        .epoch = answer.epoch,
        .bytes = (int64_t)upload->bytes,
    };
    hf_hash_label(&upload->hash, out->hash);
    snprintf(out->etag, sizeof(out->etag), "%s", answer.etag);
    return true;
}

/* Stays "" where another state came in between, or nothing answers any more. */
static void read_committed_at(struct holdfast *service, const struct hf_upload *upload, struct holdfast_receipt *out)
{
    struct holdfast_error ignored;
    int64_t version = 0;
    HF_AUTO(free) char *target = hf_call_target(service, "components/%s", upload->component);
    const struct hf_call call = {
        .request = {.doing = upload->doing, .method = "GET", .target = target, .stop = upload->terms->stop},
        .repeatable = true,
        .deadline_ns = upload->deadline_ns,
    };
    HF_AUTO(json) json_t *json = NULL;
    if (hf_call_send_json(service, &call, &json, &ignored) && hf_call_get_int(json, "version", &version) &&
        version == out->version)
        hf_call_get_text(json, "committedAt", out->committed_at, sizeof(out->committed_at));
}
