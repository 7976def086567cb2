/* The reader of server-sent events, by the examples of the HTML standard and however the text is cut. */
#include "client/sse.h"

#include "core/auto.h"

#include "tests/support/check_main.h"

#include <string.h>

#define BYTES_MAX 65536

struct heard {
    struct hf_buf text; /* "type|data|id;" of each event */
    int refuse_after;   /* 0: never */
    int count;
};

static bool hear(void *context, const struct hf_sse_event *event)
{
    struct heard *heard = context;
    ck_assert_int_eq(event->data[event->data_bytes], '\0');
    hf_buf_add_format(&heard->text, "%s|", event->type);
    hf_buf_add(&heard->text, event->data, event->data_bytes);
    hf_buf_add_format(&heard->text, "|%s;", event->last_id);
    return ++heard->count != heard->refuse_after;
}

/* Feeds the text in pieces of this size. */
static void expect_cut(const char *text, size_t bytes, size_t piece, const char *expected)
{
    struct heard heard = {0};
    struct hf_sse sse;
    hf_buf_init(&heard.text, BYTES_MAX);
    hf_buf_add_text(&heard.text, "");
    hf_sse_init(&sse, BYTES_MAX, hear, &heard);
    for (size_t at = 0; at < bytes; at += piece)
        ck_assert(hf_sse_feed(&sse, text + at, bytes - at < piece ? bytes - at : piece));
    ck_assert_str_eq(heard.text.data, expected);
    hf_sse_done(&sse);
    hf_buf_done(&heard.text);
}

static void expect(const char *text, const char *expected)
{
    for (size_t piece = 1; piece <= strlen(text); piece++)
        expect_cut(text, strlen(text), piece, expected);
}

START_TEST(the_examples_of_the_standard_are_read_as_it_says)
{
    expect("data: YHOO\ndata: +2\ndata: 10\n\n", "message|YHOO\n+2\n10|;");
    expect(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
           "message|first event|1;message|second event|;message| third event|;");
    expect("data\n\ndata\ndata\n\ndata:", "message||;message|\n|;");
    expect("data:test\n\ndata: test\n\n", "message|test|;message|test|;");
    expect("event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n",
           "add|73857293|;remove|2153|;add|113411|;");
}
END_TEST

START_TEST(lines_end_in_any_of_three_ways)
{
    expect("data: a\r\ndata: b\r\rdata: c\n\n", "message|a\nb|;message|c|;");
    expect("data: a\r\n\r\ndata: b\r\r", "message|a|;message|b|;");
    expect("event: x\rdata: a\r\r\n\ndata: b\n\n", "x|a|;message|b|;");
}
END_TEST

START_TEST(one_byte_order_mark_at_the_begin_is_skipped)
{
    expect("\xEF\xBB\xBF"
           "data: a\n\n\xEF\xBB\xBF"
           "data: b\n\ndata: c\n\n",
           "message|a|;message|c|;");
    expect("\xEF\xBB"
           "data: a\n\ndata: b\n\n",
           "message|b|;");
    expect("\xEF\xBB\xBF\xEF\xBB\xBF"
           "data: a\n\ndata: b\n\n",
           "message|b|;");
}
END_TEST

START_TEST(an_id_stays_until_another_comes_and_is_also_told_without_data)
{
    struct heard heard = {0};
    struct hf_sse sse;
    hf_buf_init(&heard.text, BYTES_MAX);
    hf_sse_init(&sse, BYTES_MAX, hear, &heard);
    const char *text = "retry: 2000\nid: 4711\n\n";
    ck_assert(hf_sse_feed(&sse, text, strlen(text)));
    ck_assert_int_eq(heard.count, 0);
    ck_assert_str_eq(sse.last_id.data, "4711");
    ck_assert_int_eq(sse.retry_ms, 2000);
    text = "data: a\n\nid: 5\ndata: cut o";
    ck_assert(hf_sse_feed(&sse, text, strlen(text)));
    ck_assert_str_eq(heard.text.data, "message|a|4711;");
    hf_sse_restart(&sse);
    ck_assert_str_eq(sse.last_id.data, "4711");
    text = "data: b\n\n";
    ck_assert(hf_sse_feed(&sse, text, strlen(text)));
    ck_assert_str_eq(heard.text.data, "message|a|4711;message|b|4711;");
    hf_sse_done(&sse);
    hf_buf_done(&heard.text);
}
END_TEST

START_TEST(an_id_with_nul_and_a_retry_with_more_than_digits_are_ignored)
{
    static const char text[] = "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\nretry: 5x\nretry: \nretry:99999999999999\n\n";
    expect_cut(text, sizeof(text) - 1, sizeof(text), "message|a|1;message|b|1;");
    struct heard heard = {0};
    struct hf_sse sse;
    hf_buf_init(&heard.text, BYTES_MAX);
    hf_sse_init(&sse, BYTES_MAX, hear, &heard);
    ck_assert(hf_sse_feed(&sse, text, sizeof(text) - 1));
    ck_assert_int_eq(sse.retry_ms, -1);
    hf_sse_done(&sse);
    hf_buf_done(&heard.text);
}
END_TEST

START_TEST(fields_that_are_not_known_and_comments_mean_nothing)
{
    expect(":\n: keep-alive\n\n:data: x\nfoo: bar\nDATA: y\n data: z\ndatax: w\n\nevent: e\n\ndata: a\n\n",
           "message|a|;");
}
END_TEST

START_TEST(the_callback_ends_the_reading)
{
    struct heard heard = {.refuse_after = 2};
    struct hf_sse sse;
    hf_buf_init(&heard.text, BYTES_MAX);
    hf_sse_init(&sse, BYTES_MAX, hear, &heard);
    static const char text[] = "data: a\n\ndata: b\n\ndata: c\n\n";
    ck_assert(!hf_sse_feed(&sse, text, strlen(text)));
    ck_assert(sse.refused);
    ck_assert_str_eq(heard.text.data, "message|a|;message|b|;");
    hf_sse_done(&sse);
    hf_buf_done(&heard.text);
}
END_TEST

START_TEST(lines_and_events_have_a_limit)
{
    static const char *const lines[] = {"data: 0123456789", "data: 0\n"};
    for (int i = 0; i < 2; i++) {
        struct heard heard = {0};
        struct hf_sse sse;
        hf_buf_init(&heard.text, BYTES_MAX);
        hf_sse_init(&sse, 64, hear, &heard);
        int fed = 0;
        while (fed < 100 && hf_sse_feed(&sse, lines[i], strlen(lines[i])))
            fed++;
        ck_assert_int_lt(fed, 40);
        ck_assert(!sse.refused);
        hf_sse_done(&sse);
        hf_buf_done(&heard.text);
    }
}
END_TEST

HF_TEST_MAIN("sse", the_examples_of_the_standard_are_read_as_it_says, lines_end_in_any_of_three_ways,
             one_byte_order_mark_at_the_begin_is_skipped, an_id_stays_until_another_comes_and_is_also_told_without_data,
             an_id_with_nul_and_a_retry_with_more_than_digits_are_ignored,
             fields_that_are_not_known_and_comments_mean_nothing, the_callback_ends_the_reading,
             lines_and_events_have_a_limit);
