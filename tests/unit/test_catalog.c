/* The catalogue: heads, listings in order, the bounded cache, dependency cycles. */
#include "core/auto.h"
#include "core/clock.h"
#include "engine/catalog_write.h"

#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

static struct hf_catalog *catalog;
static struct hf_system *sys;

static void open_catalog(int64_t cache_bytes)
{
    catalog = hf_catalog_new(cache_bytes);
    sys = hf_catalog_add_system_locked(catalog, "s", 0, 1);
    sys->stored = true;
}

static struct hf_component *add(const char *name)
{
    struct hf_component *component = hf_catalog_add_component_locked(sys, name, 0, 1);
    component->stored = true;
    return component;
}

static void set(struct hf_component *component, int64_t sequence, struct hf_blob *body)
{
    struct hf_head head = {.version = component->head.version + 1,
                           .sequence = sequence,
                           .bytes = body ? (int64_t)body->bytes : 0,
                           .content_type = "application/json",
                           .committed_at_ms = sequence,
                           .deleted = body == NULL};
    hf_catalog_set_head_locked(catalog, sys, component, &head, body);
}

static struct hf_blob *blob_of(size_t bytes)
{
    struct hf_blob *blob = hf_blob_new(bytes);
    memset(blob->data, 'x', bytes);
    blob->bytes = bytes;
    return blob;
}

START_TEST(components_are_listed_in_byte_order_whatever_order_they_came_in)
{
    open_catalog(1 << 20);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    for (int i = 0; i < 500; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%03d", (i * 7919) % 500);
        add(name);
        if (i % 97 == 0) { /* listings in between merge what came so far */
            int count;
            bool found;
            hf_catalog_list_components(catalog, "s", "", 10, &arena, &count, &found);
        }
    }
    char after[16] = "";
    for (int i = 0; i < 500; i += 50) {
        int count;
        bool found;
        struct hf_component_info *page = hf_catalog_list_components(catalog, "s", after, 50, &arena, &count, &found);
        ck_assert(found);
        ck_assert_int_eq(count, 50);
        for (int k = 0; k < 50; k++) {
            char expected[16];
            snprintf(expected, sizeof expected, "c%03d", i + k);
            ck_assert_str_eq(page[k].name, expected);
        }
        snprintf(after, sizeof after, "%s", page[49].name);
    }
    hf_catalog_free(catalog);
}
END_TEST

START_TEST(counts_follow_uploads_and_deletions)
{
    open_catalog(1 << 20);
    HF_AUTO(blob) struct hf_blob *body = blob_of(100);
    struct hf_component *a = add("a"), *b = add("b");
    set(a, 1, body);
    set(b, 2, body);
    set(a, 3, body);
    struct hf_system_info info;
    ck_assert(hf_catalog_read_system(catalog, "s", &info));
    ck_assert_int_eq(info.components, 2);
    ck_assert_int_eq(info.state_bytes, 200);
    set(a, 4, NULL);
    ck_assert(hf_catalog_read_system(catalog, "s", &info));
    ck_assert_int_eq(info.components, 1);
    ck_assert_int_eq(info.state_bytes, 100);
    hf_catalog_free(catalog);
}
END_TEST

START_TEST(the_cache_stays_within_its_bytes_and_keeps_what_is_read)
{
    open_catalog(64 * 1024);
    struct hf_component *hot = add("hot");
    HF_AUTO(blob) struct hf_blob *body = blob_of(1000);
    set(hot, 1, body);
    int64_t cached = 0;
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        HF_AUTO(blob) struct hf_blob *other = blob_of(1000);
        set(add(name), i + 2, other);
        struct hf_head head;
        struct hf_blob *got = NULL;
        ck_assert(hf_catalog_read_head(catalog, "s", "hot", &head, NULL, &got));
        ck_assert_msg(got == body, "what is read all the time was evicted after %d others", i);
        hf_blob_unref(got);
    }
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%d", i);
        struct hf_component *component = hf_catalog_find_component_locked(sys, name);
        cached += component->body ? (int64_t)component->body->capacity : 0;
    }
    ck_assert_int_gt(cached, 0);
    ck_assert_int_le(cached, 64 * 1024);
    hf_catalog_free(catalog);
}
END_TEST

START_TEST(a_body_offered_late_is_not_kept_for_a_newer_head)
{
    open_catalog(1 << 20);
    struct hf_component *component = add("a");
    HF_AUTO(blob) struct hf_blob *old = blob_of(10);
    set(component, 1, NULL);
    component->head.deleted = false;
    component->head.sequence = 5;
    hf_catalog_offer_body(catalog, "s", "a", 4, old);
    ck_assert_ptr_null(component->body);
    hf_catalog_offer_body(catalog, "s", "a", 5, old);
    ck_assert_ptr_eq(component->body, old);
    hf_catalog_free(catalog);
}
END_TEST

static void depend(const char *name, int count, const char *const *on)
{
    struct hf_component *component = hf_catalog_find_component_locked(sys, name);
    struct hf_registration registration = {.kind = "agent",
                                           .depends_on = on,
                                           .depends_on_count = count,
                                           .depends_on_json = "[]",
                                           .required_pointers_json = "[]",
                                           .registered_at_ms = 1};
    hf_catalog_set_registration_locked(sys, component ? component : add(name), &registration);
}

START_TEST(a_cycle_is_found_and_named)
{
    open_catalog(1 << 20);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    depend("a", 1, (const char *[]){"b"});
    depend("b", 2, (const char *[]){"x", "c"});
    depend("x", 0, NULL);
    const char *on_a[] = {"a"}, *on_self[] = {"d"}, *on_x[] = {"x"};
    ck_assert_str_eq(hf_catalog_find_cycle(catalog, "s", "c", on_a, 1, &arena), "c -> a -> b -> c");
    ck_assert_str_eq(hf_catalog_find_cycle(catalog, "s", "d", on_self, 1, &arena), "d -> d");
    ck_assert_ptr_null(hf_catalog_find_cycle(catalog, "s", "c", on_x, 1, &arena));
    ck_assert_ptr_null(hf_catalog_find_cycle(catalog, "other", "c", on_a, 1, &arena));
    hf_catalog_free(catalog);
}
END_TEST

START_TEST(a_chain_of_100000_dependencies_is_walked_without_deep_recursion)
{
    open_catalog(1 << 20);
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    for (int i = 0; i < 100000; i++) {
        char name[16], next[16];
        snprintf(name, sizeof name, "n%d", i);
        snprintf(next, sizeof next, "n%d", i + 1);
        depend(name, 1, (const char *[]){next});
    }
    const char *first[] = {"n0"};
    ck_assert_ptr_nonnull(hf_catalog_find_cycle(catalog, "s", "n100000", first, 1, &arena));
    ck_assert_ptr_null(hf_catalog_find_cycle(catalog, "s", "elsewhere", first, 1, &arena));
    hf_catalog_free(catalog);
}
END_TEST

START_TEST(what_waits_for_its_first_commit_is_nobodys_yet)
{
    open_catalog(1 << 20);
    hf_catalog_add_component_locked(sys, "unborn", 0, 1);
    hf_catalog_add_system_locked(catalog, "unborn", 0, 1);
    struct hf_head head;
    struct hf_system_info info;
    ck_assert(!hf_catalog_read_head(catalog, "s", "unborn", &head, NULL, NULL));
    ck_assert(!hf_catalog_read_system(catalog, "unborn", &info));
    hf_catalog_free(catalog);
}
END_TEST

START_TEST(the_number_of_a_forgotten_component_is_not_given_again)
{
    open_catalog(1 << 20);
    add("a");
    int64_t forgotten = add("b")->id;
    hf_catalog_forget_component_locked(sys, hf_catalog_find_component_locked(sys, "b"));
    struct hf_component *unborn = hf_catalog_add_component_locked(sys, "c", 0, 1);
    hf_catalog_drop_component_locked(sys, unborn);
    ck_assert_int_gt(add("d")->id, forgotten);
    hf_catalog_free(catalog);
}
END_TEST

START_TEST(names_survive_removal_of_their_neighbours_in_the_table)
{
    struct thing {
        char *name;
    } things[2000];
    struct hf_name_table table = {0};
    for (int i = 0; i < 2000; i++) {
        things[i].name = hf_format("name-%d", i);
        hf_name_table_add(&table, &things[i]);
    }
    for (int i = 0; i < 2000; i += 3)
        hf_name_table_remove(&table, &things[i]);
    for (int i = 0; i < 2000; i++)
        ck_assert_ptr_eq(hf_name_table_find(&table, things[i].name), i % 3 ? &things[i] : NULL);
    for (int i = 0; i < 2000; i++)
        free(things[i].name);
    hf_name_table_done(&table);
}
END_TEST

HF_TEST_MAIN("catalog", components_are_listed_in_byte_order_whatever_order_they_came_in,
             counts_follow_uploads_and_deletions, the_cache_stays_within_its_bytes_and_keeps_what_is_read,
             a_body_offered_late_is_not_kept_for_a_newer_head, a_cycle_is_found_and_named,
             a_chain_of_100000_dependencies_is_walked_without_deep_recursion,
             the_number_of_a_forgotten_component_is_not_given_again, what_waits_for_its_first_commit_is_nobodys_yet,
             names_survive_removal_of_their_neighbours_in_the_table);
