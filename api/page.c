#include "api/page.h"

bool hf_api_page_begin(struct hf_request *request, const char *field, struct hf_api_page *out, struct hf_error *err)
{
    struct hf_api_page page = {0};
    if (!hf_api_limit(request, &page.limit, err) ||
        !hf_api_cursor_read_time(request, &page.before_at_ms, &page.before_id, err))
        return false;
    page.object = json_object();
    page.rows = json_array();
    hf_api_set(page.object, field, page.rows);
    *out = page;
    return true;
}

void hf_api_page_done(struct hf_api_page *page)
{
    json_decref(page->object);
}

int hf_api_page_rows_max(const struct hf_api_page *page)
{
    return page->limit + 1;
}

bool hf_api_page_is_full(const struct hf_api_page *page)
{
    return (int)json_array_size(page->rows) == page->limit;
}

bool hf_api_page_end(struct hf_api_page *page)
{
    page->more = true;
    return false;
}

bool hf_api_page_add(struct hf_api_page *page, json_t *row, int64_t at_ms, const char *id)
{
    json_array_append_new(page->rows, row);
    page->last_at_ms = at_ms;
    snprintf(page->last_id, sizeof(page->last_id), "%s", id);
    return true;
}

void hf_api_page_answer(struct hf_request *request, struct hf_reply *reply, struct hf_api_page *page)
{
    hf_api_set_next(request, reply, page->object,
                    page->more ? hf_api_cursor_make_time(request, page->last_at_ms, page->last_id) : NULL);
    hf_reply_json(reply, 200, page->object);
}
