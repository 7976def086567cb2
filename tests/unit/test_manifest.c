#include "repository/manifest.h"

#include "core/auto.h"
#include "core/json.h"

#include <check.h>
#include <string.h>

static struct hf_manifest_header sample_header(void)
{
    return (struct hf_manifest_header){.system = "default",
                                       .id = "incremental-20261123T013000Z-90817",
                                       .kind = "incremental",
                                       .trigger = "event",
                                       .label = "line\nbreak, \"quotes\", é",
                                       .generation = "full-20261123T000000Z-1",
                                       .parent = "full-20261123T010000Z-90000",
                                       .sequence = HF_MANIFEST_NUMBER_MAX,
                                       .epoch = 2,
                                       .cut_at_ms = 1795397400123,
                                       .root_hash = {{1, 2, 3}},
                                       .components = 7,
                                       .changed = 3,
                                       .deleted = 1,
                                       .state_bytes = 4096,
                                       .description = "",
                                       .backup_interval_ms = -1,
                                       .incremental_interval_ms = 60000,
                                       .max_retention_hours = -1,
                                       .created_at_ms = 5};
}

static struct hf_manifest_entry sample_entry(void)
{
    return (struct hf_manifest_entry){.component = "agent-7:q.table",
                                      .version = 42,
                                      .sequence = 90817,
                                      .hash = {{0xff, 0x01}},
                                      .bytes = 1834,
                                      .content_type = "application/json; charset=utf-8",
                                      .committed_at_ms = 1795397400122,
                                      .component_kind = "agent",
                                      .depends_on = "[\"world-model\",\"clock\"]",
                                      .required_pointers = "[\"/qTable\"]",
                                      .heartbeat_interval_ms = 15000,
                                      .registered_at_ms = 11,
                                      .created_at_ms = 12,
                                      .blob_file = "full-20261123T013000Z-90817",
                                      .blob_offset = 4096,
                                      .blob_stored_bytes = 900};
}

/* The entry as a line, with the first occurrence of from replaced by to ("" and NULL: as it is). */
static char *entry_line_with(const char *from, const char *to)
{
    struct hf_manifest_entry entry = sample_entry();
    HF_AUTO(buf) struct hf_buf line;
    hf_buf_init(&line, 65536);
    ck_assert(hf_manifest_write_entry(&line, &entry));
    line.data[--line.bytes] = '\0';
    if (!from)
        return hf_strdup(line.data);
    char *at = strstr(line.data, from);
    ck_assert_msg(at != NULL, "the sample has no %s", from);
    return hf_format("%.*s%s%s", (int)(at - line.data), line.data, to, at + strlen(from));
}

static bool read_changed(const char *from, const char *to, struct hf_error *err)
{
    HF_AUTO(free) char *line = entry_line_with(from, to);
    HF_AUTO(arena) struct hf_arena arena;
    struct hf_manifest_entry entry;
    hf_arena_init(&arena);
    return hf_manifest_read_entry(line, strlen(line), &arena, &entry, err);
}

START_TEST(header_comes_back_as_it_was_written)
{
    struct hf_manifest_header in = sample_header(), out = {0};
    struct hf_error err = {0};
    HF_AUTO(buf) struct hf_buf line;
    HF_AUTO(arena) struct hf_arena arena;
    hf_buf_init(&line, 65536);
    hf_arena_init(&arena);
    ck_assert(hf_manifest_write_header(&line, &in));
    ck_assert_ptr_eq(memchr(line.data, '\n', line.bytes), line.data + line.bytes - 1);
    ck_assert_msg(hf_manifest_read_header(line.data, line.bytes - 1, &arena, &out, &err), "%s", err.text);
    ck_assert_str_eq(out.system, in.system);
    ck_assert_str_eq(out.id, in.id);
    ck_assert_str_eq(out.kind, in.kind);
    ck_assert_str_eq(out.trigger, in.trigger);
    ck_assert_str_eq(out.label, in.label);
    ck_assert_str_eq(out.generation, in.generation);
    ck_assert_str_eq(out.parent, in.parent);
    ck_assert_str_eq(out.description, in.description);
    ck_assert(hf_hash_equal(&out.root_hash, &in.root_hash));
    ck_assert_int_eq(out.sequence, in.sequence);
    ck_assert_int_eq(out.epoch, in.epoch);
    ck_assert_int_eq(out.cut_at_ms, in.cut_at_ms);
    ck_assert_int_eq(out.components, in.components);
    ck_assert_int_eq(out.changed, in.changed);
    ck_assert_int_eq(out.deleted, in.deleted);
    ck_assert_int_eq(out.state_bytes, in.state_bytes);
    ck_assert_int_eq(out.backup_interval_ms, in.backup_interval_ms);
    ck_assert_int_eq(out.incremental_interval_ms, in.incremental_interval_ms);
    ck_assert_int_eq(out.max_retention_hours, in.max_retention_hours);
    ck_assert_int_eq(out.created_at_ms, in.created_at_ms);
}
END_TEST

static void entry_comes_back(const struct hf_manifest_entry *in)
{
    struct hf_manifest_entry out = {0};
    struct hf_error err = {0};
    HF_AUTO(buf) struct hf_buf line;
    HF_AUTO(arena) struct hf_arena arena;
    hf_buf_init(&line, 65536);
    hf_arena_init(&arena);
    ck_assert(hf_manifest_write_entry(&line, in));
    ck_assert_ptr_eq(memchr(line.data, '\n', line.bytes), line.data + line.bytes - 1);
    ck_assert_msg(hf_manifest_read_entry(line.data, line.bytes - 1, &arena, &out, &err), "%s", err.text);
    ck_assert_str_eq(out.component, in->component);
    ck_assert_int_eq(out.version, in->version);
    ck_assert_int_eq(out.sequence, in->sequence);
    ck_assert(hf_hash_equal(&out.hash, &in->hash));
    ck_assert_int_eq(out.bytes, in->bytes);
    ck_assert_str_eq(out.content_type, in->content_type);
    ck_assert_int_eq(out.committed_at_ms, in->committed_at_ms);
    ck_assert_int_eq(out.deleted, in->deleted);
    ck_assert_str_eq(out.component_kind, in->component_kind);
    ck_assert_str_eq(out.depends_on, in->depends_on);
    ck_assert_str_eq(out.required_pointers, in->required_pointers);
    ck_assert_int_eq(out.heartbeat_interval_ms, in->heartbeat_interval_ms);
    ck_assert_int_eq(out.registered_at_ms, in->registered_at_ms);
    ck_assert_int_eq(out.created_at_ms, in->created_at_ms);
    ck_assert_str_eq(out.blob_file, in->blob_file);
    ck_assert_int_eq(out.blob_offset, in->blob_offset);
    ck_assert_int_eq(out.blob_stored_bytes, in->blob_stored_bytes);
}

START_TEST(entry_comes_back_as_it_was_written)
{
    struct hf_manifest_entry entry = sample_entry();
    entry_comes_back(&entry);
}
END_TEST

START_TEST(tombstone_and_bare_registration_come_back)
{
    struct hf_manifest_entry tombstone = sample_entry();
    tombstone.deleted = true;
    tombstone.hash = (struct hf_hash){{0}};
    tombstone.bytes = tombstone.blob_offset = tombstone.blob_stored_bytes = 0;
    tombstone.blob_file = tombstone.content_type = "";
    entry_comes_back(&tombstone);
    struct hf_manifest_entry bare = {.component = "a",
                                     .content_type = "",
                                     .component_kind = "",
                                     .depends_on = "[]",
                                     .required_pointers = "[]",
                                     .blob_file = ""};
    entry_comes_back(&bare);
}
END_TEST

START_TEST(damaged_lines_are_refused_with_what_is_wrong)
{
    static const struct {
        const char *from, *to, *says;
    } cases[] = {
        {"\"version\":42", "\"version\":-1", "version"},
        {"\"version\":42", "\"version\":4.2", "version"},
        {"\"version\":42", "\"version\":\"42\"", "version"},
        {"\"version\":42,", "", "version"},
        {"\"version\":42", "\"version\":9007199254740992", "version"},
        {"\"version\":42", "\"version\":9223372036854775807", "version"},
        {"\"committedAtMs\":", "\"committedAtMs\":253402300800000,\"x\":", "committedAtMs"},
        {"\"version\":42", "\"version\":42,\"surplus\":1", "does not know"},
        {"\"version\":42", "\"version\":42,\"version\":42", "not JSON"},
        {"agent-7:q.table", "../agent", "component"},
        {"agent-7:q.table", "a\\u0000b", "component"},
        {"agent-7:q.table", "", "component"},
        {"\"bytes\":1834", "\"bytes\":-5", "bytes"},
        {"\"bytes\":1834", "\"bytes\":871", "impossible length"},
        {"\"bytes\":1834", "\"bytes\":4294967297", "impossible length"},
        {"sha256:ff01", "sha256:fg01", "hash"},
        {"sha256:ff01", "sha256:f", "hash"},
        {"\"dependsOn\":[\"world-model\",\"clock\"]", "\"dependsOn\":\"[]\"", "dependsOn"},
        {"\"blobFile\":\"full-20261123T013000Z-90817\"", "\"blobFile\":\"a/b\"", "blobFile"},
        {"\"blobFile\":\"full-20261123T013000Z-90817\"", "\"blobFile\":\"\"", "where the state"},
        {"\"blobOffset\":4096", "\"blobOffset\":99999999999999999999", "not JSON"},
        {"{", "", "not JSON"},
        {"}", "}}", "not JSON"},
    };
    struct hf_error err = {0};
    ck_assert_msg(read_changed(NULL, NULL, &err), "%s", err.text);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_msg(!read_changed(cases[i].from, cases[i].to, &err), "%s was accepted", cases[i].to);
        ck_assert_int_eq(err.code, HF_DAMAGED);
        ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "\"%s\" lacks \"%s\"", err.text, cases[i].says);
    }
}
END_TEST

START_TEST(header_of_an_incremental_without_parent_is_refused)
{
    struct hf_manifest_header header = sample_header(), out;
    struct hf_error err = {0};
    HF_AUTO(buf) struct hf_buf line;
    HF_AUTO(arena) struct hf_arena arena;
    hf_buf_init(&line, 65536);
    hf_arena_init(&arena);
    header.parent = "";
    ck_assert(hf_manifest_write_header(&line, &header));
    ck_assert(!hf_manifest_read_header(line.data, line.bytes - 1, &arena, &out, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    hf_buf_reset(&line);
    header = sample_header();
    header.kind = "differential";
    ck_assert(hf_manifest_write_header(&line, &header));
    ck_assert(!hf_manifest_read_header(line.data, line.bytes - 1, &arena, &out, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
}
END_TEST

START_TEST(registration_that_is_not_an_array_is_not_written)
{
    static const char *const wrong[] = {"{}", "[\"a\"", "nonsense", "[]\n[]"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct hf_manifest_entry entry = sample_entry();
        HF_AUTO(buf) struct hf_buf line;
        hf_buf_init(&line, 65536);
        entry.depends_on = wrong[i];
        ck_assert_msg(!hf_manifest_write_entry(&line, &entry), "%s was written", wrong[i]);
    }
}
END_TEST

static char *header_line(const struct hf_manifest_header *header, size_t *bytes_out)
{
    struct hf_buf line;
    hf_buf_init(&line, 65536);
    ck_assert(hf_manifest_write_header(&line, header));
    return hf_buf_take(&line, bytes_out);
}

START_TEST(signature_comes_back_and_is_left_out_where_there_is_none)
{
    struct hf_manifest_header header = sample_header(), read;
    struct hf_error err;
    struct hf_arena arena;
    size_t bytes;
    hf_arena_init(&arena);
    HF_AUTO(free) char *bare = header_line(&header, &bytes);
    ck_assert_ptr_null(strstr(bare, "sign"));
    ck_assert_msg(hf_manifest_read_header(bare, bytes - 1, &arena, &read, &err), "%s", err.text);
    ck_assert_str_eq(read.signed_by, "");
    ck_assert_str_eq(read.signature, "");
    header.signed_by = "0a6ae005afb6089d";
    header.signature = "c2lnbmF0dXJl";
    HF_AUTO(free) char *line = header_line(&header, &bytes);
    ck_assert_msg(hf_manifest_read_header(line, bytes - 1, &arena, &read, &err), "%s", err.text);
    ck_assert_str_eq(read.signed_by, header.signed_by);
    ck_assert_str_eq(read.signature, header.signature);
    struct hf_manifest_header copy;
    hf_manifest_header_copy(&arena, &read, &copy);
    ck_assert_str_eq(copy.signature, header.signature);
    header.signature = "";
    HF_AUTO(free) char *half = header_line(&header, &bytes);
    ck_assert(!hf_manifest_read_header(half, bytes - 1, &arena, &read, &err));
    ck_assert_int_eq(err.code, HF_DAMAGED);
    ck_assert_ptr_nonnull(strstr(err.text, "signature"));
    hf_arena_done(&arena);
}
END_TEST

START_TEST(root_hash_depends_on_names_and_hashes_alone)
{
    struct hf_hash one, two, a, b, c;
    struct hf_hasher *hasher = hf_hasher_new();
    hf_hash_of("1", 1, &one);
    hf_hash_of("2", 1, &two);
    hf_root_hash_add(hasher, "x", &one);
    hf_root_hash_add(hasher, "y", &two);
    hf_hasher_finish(hasher, &a);
    hf_root_hash_add(hasher, "x", &two);
    hf_root_hash_add(hasher, "y", &one);
    hf_hasher_finish(hasher, &b);
    /* The definition itself: name, NUL, 32 bytes, for each. */
    hf_hasher_add(hasher, "x", 2);
    hf_hasher_add(hasher, one.bytes, HF_HASH_BYTES);
    hf_hasher_add(hasher, "y", 2);
    hf_hasher_add(hasher, two.bytes, HF_HASH_BYTES);
    hf_hasher_finish(hasher, &c);
    hf_hasher_free(hasher);
    ck_assert(hf_hash_equal(&a, &c));
    ck_assert(!hf_hash_equal(&a, &b));
}
END_TEST

#include "tests/support/check_main.h"
HF_TEST_MAIN("manifest", header_comes_back_as_it_was_written, entry_comes_back_as_it_was_written,
             tombstone_and_bare_registration_come_back, damaged_lines_are_refused_with_what_is_wrong,
             header_of_an_incremental_without_parent_is_refused, registration_that_is_not_an_array_is_not_written,
             signature_comes_back_and_is_left_out_where_there_is_none, root_hash_depends_on_names_and_hashes_alone);
