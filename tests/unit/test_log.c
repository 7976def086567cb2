#include "core/log.h"

#include "core/auto.h"
#include "core/json.h"

#include <pthread.h>
#include <string.h>

#include "tests/support/check_main.h"

/* A log that goes to a pipe; read_all closes the writing end. */
struct piped_log {
    int ends[2];
};

static void open_log(struct piped_log *log, enum hf_log_level level, bool json)
{
    ck_assert_int_eq(pipe(log->ends), 0);
    hf_log_init(log->ends[1], level, json);
}

static char *read_all(struct piped_log *log)
{
    static char text[65536];
    size_t used = 0;
    close(log->ends[1]);
    for (ssize_t got = 1; got > 0; used += got > 0 ? (size_t)got : 0)
        got = read(log->ends[0], text + used, sizeof(text) - 1 - used);
    close(log->ends[0]);
    text[used] = '\0';
    return text;
}

static json_t *parse_line(const char *line)
{
    struct hf_error err;
    size_t length = strlen(line);
    ck_assert_uint_gt(length, 0);
    ck_assert_int_eq(line[length - 1], '\n');
    ck_assert_ptr_eq(strchr(line, '\n'), line + length - 1);
    json_t *value = hf_json_parse(line, length, &err);
    ck_assert_msg(value != NULL, "%s: %s", err.text, line);
    return value;
}

static const char *text_of(const json_t *line, const char *key)
{
    return json_string_value(json_object_get(line, key));
}

START_TEST(a_json_line_has_the_fixed_keys_first_and_then_the_fields)
{
    struct piped_log log;
    open_log(&log, HF_LOG_INFO, true);
    hf_log(HF_LOG_WARNING, "snapshot_failed", "The snapshot failed.", HF_LOG_TEXT("system", "default"),
           HF_LOG_NUMBER("sequence", -5));
    HF_AUTO(json) json_t *line = parse_line(read_all(&log));
    static const char *const keys[] = {"time", "level", "event", "message", "system", "sequence"};
    int index = 0;
    const char *key;
    json_t *value;
    json_object_foreach(line, key, value)
    {
        ck_assert_int_lt(index, 6);
        ck_assert_str_eq(key, keys[index++]);
    }
    ck_assert_int_eq(index, 6);
    ck_assert_str_eq(text_of(line, "level"), "warning");
    ck_assert_str_eq(text_of(line, "event"), "snapshot_failed");
    ck_assert_str_eq(text_of(line, "message"), "The snapshot failed.");
    ck_assert_str_eq(text_of(line, "system"), "default");
    ck_assert_int_eq(json_integer_value(json_object_get(line, "sequence")), -5);
    ck_assert_uint_eq(strlen(text_of(line, "time")), strlen("2026-11-23T01:30:00.123Z"));
}
END_TEST

START_TEST(values_cannot_break_out_of_their_line)
{
    struct piped_log log;
    open_log(&log, HF_LOG_INFO, true);
    const char *evil = "x\"}\n{\"level\":\"error\" \x1b[31m \xff";
    hf_log(HF_LOG_INFO, "request", "m", HF_LOG_TEXT("agent", evil), HF_LOG_TEXT("none", NULL));
    HF_AUTO(json) json_t *line = parse_line(read_all(&log));
    ck_assert_str_eq(text_of(line, "agent"), "x\"}\n{\"level\":\"error\" \x1b[31m \xef\xbf\xbd");
    ck_assert_str_eq(text_of(line, "none"), "");
}
END_TEST

START_TEST(the_plain_form_is_for_terminals)
{
    struct piped_log log;
    open_log(&log, HF_LOG_INFO, false);
    hf_log(HF_LOG_INFO, "started", "Listening on \"x\".", HF_LOG_TEXT("host", "127.0.0.1"), HF_LOG_NUMBER("port", 80),
           HF_LOG_TEXT("why", "two words\n\x1b"), HF_LOG_TEXT("empty", ""));
    const char *line = read_all(&log);
    const char *rest = strchr(line, ' ');
    ck_assert_ptr_nonnull(rest);
    ck_assert_str_eq(rest, " info Listening on \"x\". host=127.0.0.1 port=80 why=\"two words\\n\\u001b\" empty=\"\"\n");
}
END_TEST

START_TEST(levels_below_the_chosen_one_are_not_written)
{
    struct piped_log log;
    open_log(&log, HF_LOG_WARNING, true);
    ck_assert(hf_log_enabled(HF_LOG_ERROR));
    ck_assert(hf_log_enabled(HF_LOG_WARNING));
    ck_assert(!hf_log_enabled(HF_LOG_INFO));
    hf_log(HF_LOG_INFO, "quiet", "not written");
    hf_log_write(HF_LOG_DEBUG, "quiet", "not written", NULL, 0);
    hf_log(HF_LOG_ERROR, "loud", "written");
    HF_AUTO(json) json_t *line = parse_line(read_all(&log));
    ck_assert_str_eq(text_of(line, "event"), "loud");
}
END_TEST

START_TEST(a_line_too_long_is_cut_marked_and_still_json)
{
    char longer[10000];
    for (size_t step = 1; step < 200; step++) {
        /* Every length near the limit: the cut may fall into a value, a key or between members. */
        size_t length = 3700 + step * 2;
        memset(longer, step % 3 ? 'x' : '\n', length);
        longer[length] = '\0';
        struct piped_log log;
        open_log(&log, HF_LOG_INFO, true);
        hf_log(HF_LOG_INFO, "long", "m", HF_LOG_TEXT("value", longer), HF_LOG_NUMBER("number", 123456),
               HF_LOG_TEXT("after", "short"), HF_LOG_TEXT("a_rather_long_key_at_the_end", "last"));
        const char *text = read_all(&log);
        ck_assert_uint_le(strlen(text), 4096);
        HF_AUTO(json) json_t *line = parse_line(text);
        bool whole = text_of(line, "a_rather_long_key_at_the_end") &&
                     strcmp(text_of(line, "a_rather_long_key_at_the_end"), "last") == 0;
        ck_assert(whole || json_is_true(json_object_get(line, "truncated")));
    }
}
END_TEST

START_TEST(a_message_too_long_is_cut_with_a_mark_in_both_forms)
{
    char longer[10000];
    memset(longer, 'm', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    for (int json = 0; json < 2; json++) {
        struct piped_log log;
        open_log(&log, HF_LOG_INFO, json);
        hf_log(HF_LOG_INFO, "long", longer, HF_LOG_TEXT("key", longer));
        const char *text = read_all(&log);
        ck_assert_uint_le(strlen(text), 4096);
        ck_assert_ptr_nonnull(strstr(text, "mmm\xe2\x80\xa6"));
        ck_assert_ptr_null(strstr(text, "key"));
        ck_assert_int_eq(text[strlen(text) - 1], '\n');
    }
}
END_TEST

static void *write_lines(void *arg)
{
    for (int i = 0; i < 50; i++)
        hf_log(HF_LOG_INFO, "thread", "A line of a thread.", HF_LOG_TEXT("name", arg), HF_LOG_NUMBER("index", i));
    return NULL;
}

START_TEST(lines_of_several_threads_never_mix)
{
    struct piped_log log;
    open_log(&log, HF_LOG_INFO, true);
    static char names[4][2] = {"a", "b", "c", "d"};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    char *rest = read_all(&log);
    int lines = 0;
    for (char *line = strsep(&rest, "\n"); line && *line; line = strsep(&rest, "\n"), lines++) {
        struct hf_error err;
        ck_assert_msg(hf_json_check(line, strlen(line), &err), "%s", line);
    }
    ck_assert_int_eq(lines, 200);
}
END_TEST

START_TEST(level_names_are_read_exactly)
{
    enum hf_log_level level = HF_LOG_ERROR;
    ck_assert(hf_log_level_parse("debug", &level));
    ck_assert_int_eq(level, HF_LOG_DEBUG);
    ck_assert(hf_log_level_parse("error", &level));
    ck_assert_int_eq(level, HF_LOG_ERROR);
    ck_assert(!hf_log_level_parse("Debug", &level));
    ck_assert(!hf_log_level_parse("", &level));
    ck_assert_int_eq(level, HF_LOG_ERROR);
}
END_TEST

HF_TEST_MAIN("log", a_json_line_has_the_fixed_keys_first_and_then_the_fields, values_cannot_break_out_of_their_line,
             the_plain_form_is_for_terminals, levels_below_the_chosen_one_are_not_written,
             a_line_too_long_is_cut_marked_and_still_json, a_message_too_long_is_cut_with_a_mark_in_both_forms,
             lines_of_several_threads_never_mix, level_names_are_read_exactly);
