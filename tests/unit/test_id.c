#include "core/id.h"

#include <string.h>

#include "tests/support/check_main.h"

START_TEST(names_of_the_documented_form_are_valid)
{
    static const char *const names[] = {"a", "Z", "7", "agent-7", "world.model_v2:main", "a..", "0-"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_msg(hf_name_is_valid(names[i], strlen(names[i])), "%s", names[i]);
}
END_TEST

START_TEST(other_names_are_not_valid)
{
    static const char *const names[] = {"",    ".a",  "-a", "_a",  ":a",       "..",        "a/b",  "a b",
                                        "a\n", "a%2", "a?", "a\\", "\xc3\xa4", "a\xc3\xa4", "a\x7f"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_msg(!hf_name_is_valid(names[i], strlen(names[i])), "%s", names[i]);
    ck_assert(!hf_name_is_valid("a\0b", 3));
    ck_assert(!hf_name_is_valid("a\0", 2));
}
END_TEST

START_TEST(a_name_has_at_most_its_maximum_of_characters)
{
    char name[HF_NAME_MAX + 1];
    memset(name, 'n', sizeof(name));
    ck_assert(hf_name_is_valid(name, HF_NAME_MAX));
    ck_assert(!hf_name_is_valid(name, HF_NAME_MAX + 1));
}
END_TEST

START_TEST(random_ids_have_their_form_and_differ)
{
    enum { COUNT = 500 };
    char ids[COUNT][25];
    for (int i = 0; i < COUNT; i++) {
        hf_id_random("rec-", ids[i], sizeof(ids[i]));
        ck_assert_uint_eq(strlen(ids[i]), 24);
        ck_assert_int_eq(strncmp(ids[i], "rec-", 4), 0);
        ck_assert_uint_eq(strspn(ids[i] + 4, "0123456789abcdefghijklmnopqrstuvwxyz"), 20);
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(ids[i], ids[j]);
    }
}
END_TEST

START_TEST(every_character_of_the_alphabet_occurs_in_random_ids)
{
    bool seen[256] = {false};
    for (int i = 0; i < 1000; i++) {
        char id[21];
        hf_id_random("", id, sizeof(id));
        for (int j = 0; j < 20; j++)
            seen[(unsigned char)id[j]] = true;
    }
    for (const char *c = "0123456789abcdefghijklmnopqrstuvwxyz"; *c; c++)
        ck_assert_msg(seen[(unsigned char)*c], "%c", *c);
}
END_TEST

START_TEST(random_bytes_fill_exactly_what_is_asked)
{
    unsigned char bytes[4096 + 1] = {0};
    hf_random_bytes(bytes, 4096);
    int zeros = 0;
    for (int i = 0; i < 4096; i++)
        zeros += bytes[i] == 0;
    ck_assert_int_lt(zeros, 200);
    ck_assert_uint_eq(bytes[4096], 0);
}
END_TEST

HF_TEST_MAIN("id", names_of_the_documented_form_are_valid, other_names_are_not_valid,
             a_name_has_at_most_its_maximum_of_characters, random_ids_have_their_form_and_differ,
             every_character_of_the_alphabet_occurs_in_random_ids, random_bytes_fill_exactly_what_is_asked);
