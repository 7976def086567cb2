#include "api/upload.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "api/conditions.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"

/* Its one reference is never given back. */
static struct hf_blob empty_body = {.references = 1};

static bool check_content_type(const char *content_type, struct hf_error *err);
static size_t token_bytes(const char *text);

bool hf_content_type_is_json(const char *content_type)
{
    return hf_json_is_media_type(content_type);
}

bool hf_upload_check(struct hf_save_item *item, const char *content_digest, struct hf_error *err)
{
    if (!item->body)
        item->body = &empty_body;
    if (!check_content_type(item->content_type, err))
        return false;
    hf_hash_of(item->body->data, item->body->bytes, &item->hash);
    if (content_digest && !hf_content_digest_check(content_digest, &item->hash, err))
        return false;
    return !hf_content_type_is_json(item->content_type) || hf_json_check(item->body->data, item->body->bytes, err);
}

void hf_upload_add_receipt(struct hf_buf *out, const struct hf_write *write, const struct hf_save_item *item,
                           int64_t next_incremental_at_ms)
{
    char hash[HF_HASH_LABEL], committed[HF_TIME_BYTES];
    hf_hash_label(&item->hash, hash);
    hf_time_format(item->committed_at_ms, committed);
    /* Names hold nothing that JSON would escape. */
    hf_buf_add_text(out, "{\"system\":\"");
    hf_buf_add_text(out, write->system);
    hf_buf_add_text(out, "\",\"component\":\"");
    hf_buf_add_text(out, item->component);
    hf_buf_add_text(out, "\",\"version\":");
    hf_buf_add_u64(out, (uint64_t)item->version);
    hf_buf_add_text(out, ",\"sequence\":");
    hf_buf_add_u64(out, (uint64_t)item->sequence);
    hf_buf_add_text(out, ",\"epoch\":");
    hf_buf_add_u64(out, (uint64_t)write->epoch);
    hf_buf_add_text(out, ",\"hash\":\"");
    hf_buf_add_text(out, hash);
    hf_buf_add_text(out, "\",\"bytes\":");
    hf_buf_add_u64(out, item->body->bytes);
    hf_buf_add_text(out, item->unchanged ? ",\"unchanged\":true" : ",\"unchanged\":false");
    hf_buf_add_text(out, ",\"durability\":\"database\",\"committedAt\":\"");
    hf_buf_add_text(out, committed);
    hf_buf_add_text(out, "\",\"nextIncrementalBackup\":");
    hf_buf_add_u64(out, (uint64_t)next_incremental_at_ms);
    hf_buf_add_char(out, '}');
}

bool hf_upload_fail(struct hf_request *request, const struct hf_write *write, struct hf_error *err)
{
    char member[2 * HF_NAME_MAX];
    *err = write->error;
    if (err->code == HF_PRECONDITION) {
        HF_AUTO(buf) struct hf_buf etag;
        hf_buf_init(&etag, sizeof(member));
        hf_buf_add_json_string(&etag, write->current_etag, strlen(write->current_etag));
        hf_request_problem_member(request, "currentEtag", write->current_etag[0] ? etag.data : "null");
    }
    if (err->code == HF_STALE_EPOCH) {
        snprintf(member, sizeof(member), "%lld", (long long)write->epoch);
        hf_request_problem_member(request, "epoch", member);
    }
    if (write->failed_item >= 0 && write->item_count > 1) {
        snprintf(member, sizeof(member), "\"%s\"", write->items[write->failed_item].component);
        hf_request_problem_member(request, "component", member);
    }
    return false;
}

/* RFC 9110 section 8.3.1: type/subtype, then parameters, which are kept as they are. */
static bool check_content_type(const char *content_type, struct hf_error *err)
{
    size_t length = strlen(content_type);
    size_t type = token_bytes(content_type);
    size_t subtype = type && content_type[type] == '/' ? token_bytes(content_type + type + 1) : 0;
    bool good = subtype > 0 && length <= HF_CONTENT_TYPE_MAX;
    const char *rest = content_type + type + 1 + subtype;
    if (good) {
        rest += strspn(rest, " \t");
        good = *rest == '\0' || *rest == ';';
    }
    for (size_t i = 0; good && i < length; i++)
        good = content_type[i] >= ' ' && content_type[i] < 127;
    if (!good)
        return hf_error_set(
            err, HF_INVALID_REQUEST,
            "the content type must be type/subtype, optionally with parameters, of at most %d characters",
            HF_CONTENT_TYPE_MAX);
    return true;
}

static size_t token_bytes(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || (text[n] && strchr("!#$%&'*+-.^_`|~", text[n])))
        n++;
    return n;
}
