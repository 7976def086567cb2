#include "cli/table.h"

#include "cli/print.h"
#include "core/auto.h"

#include <string.h>

#include "tests/support/check_main.h"

static const struct hf_column columns[] = {{"NAME", false, true, 0},
                                           {"SIZE", true, false, 0},
                                           {"NOTE", false, true, 2},
                                           {"HASH", false, false, 3}};

static struct hf_table *make(void)
{
    struct hf_table *table = hf_table_new(columns, 4);
    hf_table_add(table, HF_PLAIN, "agent");
    hf_table_add(table, HF_PLAIN, "9 B");
    hf_table_add(table, HF_GREEN, "\xe6\xbc\xa2\xe5\xad\x97");
    hf_table_add(table, HF_PLAIN, "abc");
    hf_table_add(table, HF_PLAIN, "a much longer name than that");
    hf_table_add(table, HF_PLAIN, "12.3 MiB");
    hf_table_add(table, HF_PLAIN, "x\033[2Jy");
    hf_table_add(table, HF_PLAIN, "%s", "");
    return table;
}

/* What the table looks like; width 0: no terminal. Owns. */
static char *draw(size_t width, bool colour)
{
    char *text = NULL, number[24];
    size_t bytes;
    struct hf_pen pen = {.file = open_memstream(&text, &bytes), .terminal = width > 0, .colour = colour};
    HF_AUTO(table) struct hf_table *table = make();
    snprintf(number, sizeof(number), "%zu", width);
    ck_assert_int_eq(setenv("COLUMNS", number, 1), 0);
    hf_table_write(table, &pen, 0);
    fclose(pen.file);
    return text;
}

static void check_width(const char *text, size_t most)
{
    while (*text) {
        HF_AUTO(free) char *line = hf_strndup(text, strcspn(text, "\n"));
        ck_assert_msg(hf_text_width(line) <= most, "%zu columns: %s", hf_text_width(line), line);
        text += strlen(line) + 1;
    }
}

START_TEST(a_pipe_gets_everything_aligned_and_no_line_ends_in_spaces)
{
    HF_AUTO(free) char *text = draw(0, false);
    ck_assert_str_eq(text, "NAME                              SIZE  NOTE       HASH\n"
                           "agent                              9 B  \xe6\xbc\xa2\xe5\xad\x97       abc\n"
                           "a much longer name than that  12.3 MiB  x\\x1b[2Jy\n");
}
END_TEST

START_TEST(a_terminal_gets_what_fits)
{
    HF_AUTO(free) char *wide = draw(80, false);
    HF_AUTO(free) char *narrow = draw(40, false);
    HF_AUTO(free) char *narrowest = draw(20, false);
    ck_assert_ptr_nonnull(strstr(wide, "a much longer name than that"));
    check_width(narrow, 40);
    ck_assert_ptr_nonnull(strstr(narrow, "\xe2\x80\xa6"));
    ck_assert_ptr_nonnull(strstr(narrow, "HASH"));
    check_width(narrowest, 20);
    ck_assert_ptr_null(strstr(narrowest, "HASH"));
    ck_assert_ptr_null(strstr(narrowest, "NOTE"));
    ck_assert_ptr_nonnull(strstr(narrowest, "12.3 MiB"));
}
END_TEST

START_TEST(colours_do_not_move_columns)
{
    HF_AUTO(free) char *plain = draw(80, false);
    HF_AUTO(free) char *coloured = draw(80, true);
    ck_assert_ptr_nonnull(strstr(coloured, "\033[32m\xe6\xbc\xa2\xe5\xad\x97\033[0m"));
    char *to = coloured;
    for (const char *from = coloured; *from;) {
        if (*from == '\033')
            from += strcspn(from, "m") + 1;
        else
            *to++ = *from++;
    }
    *to = '\0';
    ck_assert_str_eq(coloured, plain);
}
END_TEST

HF_TEST_MAIN("table", a_pipe_gets_everything_aligned_and_no_line_ends_in_spaces, a_terminal_gets_what_fits,
             colours_do_not_move_columns);
