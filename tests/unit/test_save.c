/* Batches: conditions in arrival order, versions and sequences, all or nothing, and nothing left of a failed commit. */
#include "core/auto.h"
#include "engine/batch.h"

#include "tests/support/check_main.h"

#include <string.h>

static struct hf_catalog *catalog;
static struct hf_batch batch;

static void open_batch(void)
{
    catalog = hf_catalog_new(1 << 20);
    hf_batch_init(&batch);
    hf_batch_begin(&batch);
}

static void close_batch(void)
{
    hf_batch_done(&batch);
    hf_catalog_free(catalog);
}

struct upload {
    struct hf_write write;
    struct hf_save_item items[4];
};

static struct upload *upload(struct upload *up, const char *component, const char *text)
{
    struct hf_save_item *item = &up->items[up->write.item_count++];
    item->component = component;
    item->content_type = "application/json";
    if (text) {
        item->body = hf_blob_copy(text, strlen(text));
        hf_hash_of(text, strlen(text), &item->hash);
    } else {
        item->delete_it = true;
    }
    up->write.system = "s";
    up->write.state_epoch = -1;
    up->write.items = up->items;
    return up;
}

static bool add(struct upload *up)
{
    hf_batch_add(&batch, catalog, &up->write);
    return up->write.ok;
}

static void release(struct upload *up)
{
    for (int i = 0; i < up->write.item_count; i++)
        hf_blob_unref(up->items[i].body);
}

static void commit(void)
{
    hf_batch_publish(&batch, catalog);
    hf_batch_begin(&batch);
}

START_TEST(versions_count_changes_and_sequences_have_no_gaps)
{
    open_batch();
    struct upload a = {0}, b = {0}, again = {0}, changed = {0};
    ck_assert(add(upload(&a, "a", "1")));
    ck_assert(add(upload(&b, "b", "1")));
    ck_assert(add(upload(&again, "a", "1")));
    ck_assert(add(upload(&changed, "a", "2")));
    ck_assert(a.items[0].created && !a.items[0].unchanged);
    ck_assert(again.items[0].unchanged);
    ck_assert_int_eq(again.items[0].version, 1);
    ck_assert_int_eq(again.items[0].sequence, a.items[0].sequence);
    ck_assert_int_eq(changed.items[0].version, 2);
    ck_assert_int_eq(a.items[0].sequence, 1);
    ck_assert_int_eq(b.items[0].sequence, 2);
    ck_assert_int_eq(changed.items[0].sequence, 3);
    ck_assert_int_eq(batch.count, 3);
    ck_assert_int_eq(batch.states[2].previous_sequence, 1);
    commit();
    struct hf_head head;
    ck_assert(hf_catalog_read_head(catalog, "s", "a", &head, NULL, NULL));
    ck_assert_int_eq(head.version, 2);
    release(&a), release(&b), release(&again), release(&changed);
    close_batch();
}
END_TEST

START_TEST(conditions_see_what_is_earlier_in_the_same_batch)
{
    open_batch();
    struct upload first = {0}, create = {0}, match = {0}, stale = {0};
    ck_assert(add(upload(&first, "a", "1")));
    upload(&create, "a", "2")->items[0].if_none_match_any = true;
    ck_assert(!add(&create));
    ck_assert_int_eq(create.write.error.code, HF_PRECONDITION);
    char etag[HF_ETAG_BYTES];
    snprintf(etag, sizeof etag, "%s", create.write.current_etag);
    upload(&match, "a", "3")->items[0].if_match = etag;
    ck_assert(add(&match));
    upload(&stale, "a", "4")->items[0].if_match = etag;
    ck_assert(!add(&stale));
    ck_assert_int_eq(stale.write.error.code, HF_PRECONDITION);
    ck_assert_int_eq(batch.count, 2);
    release(&first), release(&create), release(&match), release(&stale);
    close_batch();
}
END_TEST

START_TEST(one_failed_condition_leaves_nothing_of_its_write)
{
    open_batch();
    struct upload up = {0};
    upload(&up, "a", "1");
    upload(&up, "b", "1");
    upload(&up, "c", NULL); /* there is nothing to delete */
    ck_assert(!add(&up));
    ck_assert_int_eq(up.write.error.code, HF_NOT_FOUND);
    ck_assert_int_eq(up.write.failed_item, 2);
    ck_assert_int_eq(batch.count, 0);
    struct hf_system_info info;
    ck_assert(!hf_catalog_read_system(catalog, "s", &info));
    release(&up);
    close_batch();
}
END_TEST

START_TEST(an_abandoned_batch_leaves_the_heads_and_no_new_names)
{
    open_batch();
    struct upload kept = {0}, lost = {0}, fresh = {0}, other = {0}, after = {0};
    add(upload(&kept, "a", "1"));
    commit();
    ck_assert(add(upload(&lost, "a", "2")));
    ck_assert(add(upload(&fresh, "b", "1")));
    upload(&other, "c", "1")->write.system = "t";
    ck_assert(add(&other));
    hf_batch_abandon(&batch, catalog);
    hf_batch_begin(&batch);
    struct hf_head head;
    struct hf_system_info info;
    ck_assert(hf_catalog_read_head(catalog, "s", "a", &head, NULL, NULL));
    ck_assert_int_eq(head.version, 1);
    ck_assert(!hf_catalog_read_head(catalog, "s", "b", &head, NULL, NULL));
    ck_assert(!hf_catalog_read_system(catalog, "t", &info));
    ck_assert(add(upload(&after, "b", "2")));
    ck_assert_int_eq(after.items[0].version, 1);
    ck_assert_int_eq(after.items[0].sequence, 2);
    release(&kept), release(&lost), release(&fresh), release(&other), release(&after);
    close_batch();
}
END_TEST

START_TEST(a_deletion_is_a_version_and_a_later_upload_counts_on)
{
    open_batch();
    struct upload first = {0}, gone = {0}, twice = {0}, back = {0};
    add(upload(&first, "a", "1"));
    ck_assert(add(upload(&gone, "a", NULL)));
    ck_assert_int_eq(gone.items[0].version, 2);
    ck_assert(!add(upload(&twice, "a", NULL)));
    ck_assert(add(upload(&back, "a", "1"))); /* the same content as before the deletion is a change all the same */
    ck_assert(!back.items[0].unchanged);
    ck_assert_int_eq(back.items[0].version, 3);
    release(&first), release(&back);
    close_batch();
}
END_TEST

START_TEST(the_same_content_is_written_again_when_what_is_stored_is_damaged)
{
    open_batch();
    struct upload first = {0}, again = {0}, twice = {0}, after = {0};
    add(upload(&first, "a", "1"));
    commit();
    hf_catalog_mark_damaged(catalog, "s", "a", true);
    ck_assert(add(upload(&again, "a", "1")));
    ck_assert(!again.items[0].unchanged);
    ck_assert(!again.items[0].created);
    ck_assert_int_eq(again.items[0].version, 2);
    ck_assert(add(upload(&twice, "a", "1"))); /* in the same batch: whole by then */
    ck_assert(twice.items[0].unchanged);
    commit();
    ck_assert(add(upload(&after, "a", "1")));
    ck_assert(after.items[0].unchanged);
    ck_assert_int_eq(after.items[0].version, 2);
    release(&first), release(&again), release(&twice), release(&after);
    close_batch();
}
END_TEST

START_TEST(an_epoch_from_before_a_restore_is_refused)
{
    open_batch();
    struct upload first = {0}, stale = {0}, right = {0}, future = {0};
    add(upload(&first, "a", "1"));
    commit();
    hf_catalog_lock(catalog);
    hf_catalog_find_system_locked(catalog, "s")->epoch = 3;
    hf_catalog_unlock(catalog);
    upload(&stale, "a", "2")->write.state_epoch = 2;
    ck_assert(!add(&stale));
    ck_assert_int_eq(stale.write.error.code, HF_STALE_EPOCH);
    upload(&future, "a", "2")->write.state_epoch = 4;
    ck_assert(!add(&future));
    ck_assert_int_eq(future.write.error.code, HF_CONFLICT);
    upload(&right, "a", "2")->write.state_epoch = 3;
    ck_assert(add(&right));
    release(&first), release(&stale), release(&right), release(&future);
    close_batch();
}
END_TEST

/* As writer/number; takes the body. */
static bool put_as(uint64_t writer, int64_t number, const char *component, const char *text, struct upload *up)
{
    *up = (struct upload){.write.order = {writer, number}};
    bool ok = add(upload(up, component, text));
    ck_assert(ok || up->write.error.code == (text ? HF_SUPERSEDED : HF_NOT_FOUND));
    return ok;
}

START_TEST(the_writes_of_a_writer_happen_in_their_order)
{
    struct upload up[14];
    int n = 0;
    open_batch();
    ck_assert(put_as(1, 5, "a", "5", &up[n++]));
    ck_assert(!put_as(1, 4, "a", "4", &up[n++])); /* within one batch … */
    ck_assert(put_as(1, 5, "a", "5", &up[n++]));
    ck_assert(put_as(1, 4, "b", "4", &up[n++]));
    commit();
    ck_assert(!put_as(1, 4, "a", "4", &up[n++])); /* … and after it */
    ck_assert_ptr_nonnull(strstr(up[n - 1].write.error.text, "component a"));
    ck_assert(put_as(0, 0, "a", "x", &up[n++]));
    ck_assert(!put_as(1, 4, "a", "4", &up[n++]));
    ck_assert(put_as(1, 7, "a", NULL, &up[n++]));
    commit();
    ck_assert(!put_as(1, 6, "a", "6", &up[n++])); /* also where there is no state any more */
    ck_assert(put_as(2, 1, "a", "1", &up[n++]));
    ck_assert(!put_as(2, 0, "a", "0", &up[n++]));
    ck_assert(put_as(1, 6, "a", "6", &up[n++])); /* one writer is remembered */
    for (int i = 0; i < n; i++)
        release(&up[i]);
    close_batch();
}
END_TEST

/* What it deleted before it arrived must not arrive after that. */
START_TEST(a_deletion_that_finds_nothing_counts_in_the_order_of_its_writer)
{
    struct upload up[12];
    int n = 0;
    open_batch();
    ck_assert(!put_as(1, 5, "a", NULL, &up[n++])); /* nor is there a system */
    ck_assert_int_eq(up[n - 1].write.error.code, HF_NOT_FOUND);
    ck_assert(!put_as(1, 4, "a", "4", &up[n++]));
    ck_assert_int_eq(up[n - 1].write.error.code, HF_SUPERSEDED);
    ck_assert(!put_as(1, 3, "a", NULL, &up[n++])); /* a late one changes nothing */
    ck_assert(!put_as(1, 4, "a", "4", &up[n++]));
    ck_assert(put_as(1, 4, "b", "4", &up[n++]));
    commit();
    ck_assert(!put_as(1, 4, "a", "4", &up[n++]));
    ck_assert(put_as(1, 6, "a", "6", &up[n++]));
    ck_assert(put_as(1, 7, "a", NULL, &up[n++]));
    commit();
    ck_assert(!put_as(1, 9, "a", NULL, &up[n++])); /* where there was something once */
    ck_assert(!put_as(1, 8, "a", "8", &up[n++]));
    ck_assert(put_as(2, 1, "a", "1", &up[n++])); /* one writer is remembered */
    for (int i = 0; i < n; i++)
        release(&up[i]);
    close_batch();
}
END_TEST

START_TEST(an_unchanged_write_counts_in_the_order_of_its_writer)
{
    struct upload first, same, late;
    open_batch();
    ck_assert(put_as(1, 1, "a", "1", &first));
    commit();
    ck_assert(put_as(1, 3, "a", "1", &same));
    ck_assert(same.items[0].unchanged);
    ck_assert(!put_as(1, 2, "a", "2", &late));
    commit();
    release(&late);
    ck_assert(!put_as(1, 2, "a", "2", &late));
    release(&first), release(&same), release(&late);
    close_batch();
}
END_TEST

START_TEST(a_batch_with_one_superseded_item_writes_nothing_and_names_it)
{
    struct upload newer, late = {.write.order = {1, 1}}, b;
    open_batch();
    ck_assert(put_as(1, 2, "b", "2", &newer));
    upload(&late, "a", "1");
    ck_assert(!add(upload(&late, "b", "1")));
    ck_assert_int_eq(late.write.error.code, HF_SUPERSEDED);
    ck_assert_int_eq(late.write.failed_item, 1);
    commit();
    ck_assert_int_eq(hf_catalog_find_system_locked(catalog, "s")->sequence, 1);
    ck_assert(put_as(1, 1, "a", "1", &b)); /* the refused write left nothing at its other component */
    release(&newer), release(&late), release(&b);
    close_batch();
}
END_TEST

START_TEST(a_condition_that_fails_is_told_before_the_order)
{
    struct upload newer, late = {.write.order = {1, 1}};
    open_batch();
    ck_assert(put_as(1, 2, "a", "2", &newer));
    upload(&late, "a", "1")->items[0].if_match = "\"7-0000000000000000\"";
    ck_assert(!add(&late));
    ck_assert_int_eq(late.write.error.code, HF_PRECONDITION);
    release(&newer), release(&late);
    close_batch();
}
END_TEST

START_TEST(a_failed_commit_leaves_no_number_behind)
{
    struct upload first, failed[3], again, fresh;
    open_batch();
    ck_assert(put_as(1, 1, "a", "1", &first));
    commit();
    ck_assert(put_as(1, 3, "a", "3", &failed[0]));
    ck_assert(put_as(2, 9, "a", "9", &failed[1]));
    ck_assert(put_as(1, 3, "new", "3", &failed[2]));
    hf_batch_abandon(&batch, catalog);
    hf_batch_begin(&batch);
    ck_assert(put_as(1, 2, "a", "2", &again));
    ck_assert(put_as(1, 2, "new", "2", &fresh));
    release(&again);
    ck_assert(!put_as(1, 1, "a", "1", &again));
    release(&first), release(&failed[0]), release(&failed[1]), release(&failed[2]), release(&again), release(&fresh);
    close_batch();
}
END_TEST

START_TEST(entity_tags_match_strongly_and_in_lists)
{
    struct hf_head head = {.version = 42};
    hf_hash_of("x", 1, &head.hash);
    char etag[HF_ETAG_BYTES], list[200], weak[HF_ETAG_BYTES + 2];
    hf_etag_format(&head, etag);
    ck_assert_str_eq(etag, "\"42-2d711642b726b044\"");
    snprintf(list, sizeof list, "\"1-0000000000000000\" , %s,\"x\"", etag);
    snprintf(weak, sizeof weak, "W/%s", etag);
    ck_assert(hf_etag_matches(etag, &head));
    ck_assert(hf_etag_matches(list, &head));
    ck_assert(hf_etag_matches("*", &head));
    ck_assert(!hf_etag_matches(weak, &head));
    ck_assert(!hf_etag_matches("\"42\"", &head));
    ck_assert(!hf_etag_matches("", &head));
}
END_TEST

START_TEST(no_entity_tag_from_before_a_restore_matches_after_it)
{
    struct hf_head before = {.version = 42, .epoch = 1}, after = {.version = 42, .epoch = 2};
    char etag[HF_ETAG_BYTES];
    hf_etag_format(&before, etag);
    ck_assert_str_eq(etag, "\"42-0000000000000000\"");
    ck_assert(!hf_etag_matches(etag, &after));
    hf_etag_format(&after, etag);
    ck_assert_str_eq(etag, "\"42-0000000000000000-2\"");
    ck_assert(hf_etag_matches(etag, &after));
    after.epoch = 3;
    ck_assert(!hf_etag_matches(etag, &after));
    after = (struct hf_head){.version = INT64_MAX, .epoch = INT64_MAX};
    hf_etag_format(&after, etag); /* the longest there is */
    ck_assert(hf_etag_matches(etag, &after));
}
END_TEST

HF_TEST_MAIN("save", versions_count_changes_and_sequences_have_no_gaps,
             conditions_see_what_is_earlier_in_the_same_batch, one_failed_condition_leaves_nothing_of_its_write,
             an_abandoned_batch_leaves_the_heads_and_no_new_names, a_deletion_is_a_version_and_a_later_upload_counts_on,
             the_same_content_is_written_again_when_what_is_stored_is_damaged,
             an_epoch_from_before_a_restore_is_refused, the_writes_of_a_writer_happen_in_their_order,
             a_deletion_that_finds_nothing_counts_in_the_order_of_its_writer,
             an_unchanged_write_counts_in_the_order_of_its_writer,
             a_batch_with_one_superseded_item_writes_nothing_and_names_it,
             a_condition_that_fails_is_told_before_the_order, a_failed_commit_leaves_no_number_behind,
             entity_tags_match_strongly_and_in_lists, no_entity_tag_from_before_a_restore_matches_after_it);
