#include "core/arena.h"

#include "core/auto.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "tests/support/check_main.h"

START_TEST(allocations_are_zeroed_aligned_and_apart)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    unsigned char *pieces[500];
    for (size_t i = 0; i < 500; i++) {
        size_t bytes = i * 7 % 300;
        pieces[i] = hf_arena_alloc(&arena, bytes);
        ck_assert_uint_eq((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        for (size_t j = 0; j < bytes; j++)
            ck_assert_uint_eq(pieces[i][j], 0);
        memset(pieces[i], (int)(i % 255 + 1), bytes);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t j = 0; j < i * 7 % 300; j++)
            ck_assert_uint_eq(pieces[i][j], i % 255 + 1);
}
END_TEST

START_TEST(one_large_allocation_does_not_waste_the_room_of_the_block_in_use)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    hf_arena_alloc(&arena, 16);
    char *large = hf_arena_alloc(&arena, 1000000);
    memset(large, 1, 1000000);
    size_t before = arena.bytes_total;
    ck_assert_uint_ge(before, 1000000);
    for (int i = 0; i < 100; i++)
        hf_arena_alloc(&arena, 16);
    ck_assert_uint_eq(arena.bytes_total, before);
}
END_TEST

START_TEST(copies_are_terminated_and_their_own)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    char source[] = "agent-7";
    char *copy = hf_arena_strdup(&arena, source);
    char *part = hf_arena_strndup(&arena, source, 5);
    char *whole = hf_arena_strndup(&arena, source, 50);
    source[0] = 'X';
    ck_assert_str_eq(copy, "agent-7");
    ck_assert_str_eq(part, "agent");
    ck_assert_str_eq(whole, "agent-7");
}
END_TEST

START_TEST(a_formatted_text_may_be_longer_than_a_block)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    ck_assert_str_eq(hf_arena_format(&arena, "%s-%d", "a", 12), "a-12");
    char *text = hf_arena_format(&arena, "%*d", 9000, 5);
    ck_assert_uint_eq(strlen(text), 9000);
    ck_assert_int_eq(text[8999], '5');
}
END_TEST

START_TEST(a_finished_arena_is_empty_and_usable)
{
    struct hf_arena arena;
    hf_arena_init(&arena);
    hf_arena_alloc(&arena, 10000);
    hf_arena_done(&arena);
    ck_assert_ptr_null(arena.blocks);
    ck_assert_uint_eq(arena.bytes_total, 0);
    ck_assert_ptr_nonnull(hf_arena_alloc(&arena, 0));
    hf_arena_done(&arena);
}
END_TEST

HF_TEST_MAIN("arena", allocations_are_zeroed_aligned_and_apart,
             one_large_allocation_does_not_waste_the_room_of_the_block_in_use, copies_are_terminated_and_their_own,
             a_formatted_text_may_be_longer_than_a_block, a_finished_arena_is_empty_and_usable);
