/* A page of a list that has the newest rows first: from the query's limit and cursor to the cursor of the page after
 * it, which is made of the last row's time and id. */
#ifndef HF_API_PAGE_H
#define HF_API_PAGE_H

#include "api/api.h"

struct hf_api_page {
    json_t *object; /* the answer; owned until hf_api_page_done */
    json_t *rows;   /* its array */
    int limit;
    int64_t before_at_ms; /* the rows wanted are older than this time and id; INT64_MAX and "": from the newest on */
    const char *before_id;
    bool more; /* there is a page after this one */
    int64_t last_at_ms;
    char last_id[HF_NAME_MAX + 1];
};

/* field: the array's name in the answer. */
HF_MUST_USE bool hf_api_page_begin(struct hf_request *request, const char *field, struct hf_api_page *out,
                                   struct hf_error *err);
void hf_api_page_done(struct hf_api_page *page); /* accepts a zeroed one */

/* How many rows to ask the database for: the one past the limit only tells that there are more. */
int hf_api_page_rows_max(const struct hf_api_page *page);
bool hf_api_page_is_full(const struct hf_api_page *page);
/* Leaves the row at hand, and all after it, to the next page. Returns false: what ends the reading of rows. */
bool hf_api_page_end(struct hf_api_page *page);
/* Takes row. Returns true. */
bool hf_api_page_add(struct hf_api_page *page, json_t *row, int64_t at_ms, const char *id);

void hf_api_page_answer(struct hf_request *request, struct hf_reply *reply, struct hf_api_page *page);

static inline void hf_auto_api_page(struct hf_api_page *page)
{
    hf_api_page_done(page);
}

#endif
