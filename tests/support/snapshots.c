#include "tests/support/snapshots.h"

#include "core/auto.h"

#include <check.h>
#include <string.h>

static size_t state_bytes(const struct hf_test_state *state);
static struct hf_hash whole_root_hash(const struct hf_test_snapshot *snapshot);
static bool add_state(struct hf_snapshot_writer *writer, const struct hf_test_snapshot *snapshot,
                      const struct hf_test_state *state, struct hf_blob_index *index, struct hf_error *err);

struct hf_repository *hf_test_repository(const char *directory)
{
    HF_AUTO(free) char *full = hf_format("%s/full", directory);
    HF_AUTO(free) char *incremental = hf_format("%s/incremental", directory);
    struct hf_repository *repository = NULL;
    struct hf_error err = {0};
    ck_assert_msg(hf_repository_open(&repository, full, incremental, &err), "%s", err.text);
    return repository;
}

char *hf_test_snapshot_path(const char *directory, const struct hf_test_snapshot *snapshot)
{
    return hf_format("%s/%s/" HF_TEST_SYSTEM "/%s.snapshot", directory, snapshot->parent ? "incremental" : "full",
                     snapshot->id);
}

struct hf_manifest_header hf_test_header(const struct hf_test_snapshot *snapshot)
{
    return (struct hf_manifest_header){.system = HF_TEST_SYSTEM,
                                       .id = snapshot->id,
                                       .kind = snapshot->parent ? "incremental" : "full",
                                       .trigger = "manual",
                                       .label = "before \"the\" change",
                                       .generation = snapshot->generation,
                                       .parent = snapshot->parent ? snapshot->parent : "",
                                       .sequence = snapshot->sequence,
                                       .epoch = 3,
                                       .cut_at_ms = 1795399200123,
                                       .root_hash = whole_root_hash(snapshot),
                                       .components = snapshot->count,
                                       .description = "für Tests",
                                       .backup_interval_ms = -1,
                                       .incremental_interval_ms = 300000,
                                       .max_retention_hours = -1,
                                       .created_at_ms = 1795390000000};
}

bool hf_test_try_snapshot(struct hf_repository *repository, const struct hf_test_snapshot *snapshot,
                          struct hf_blob_index *index, int64_t *file_bytes_out, struct hf_error *err)
{
    struct hf_manifest_header header = hf_test_header(snapshot);
    struct hf_snapshot_writer *writer = NULL;
    if (!hf_snapshot_writer_new(&writer, repository, &header, err))
        return false;
    bool ok = true;
    for (int i = 0; ok && i < snapshot->count; i++)
        ok = add_state(writer, snapshot, &snapshot->states[i], index, err);
    HF_AUTO(free) char *file = NULL;
    ok = ok && hf_snapshot_writer_finish(writer, &header, &file, file_bytes_out, err);
    hf_snapshot_writer_free(writer);
    return ok;
}

int64_t hf_test_write_snapshot(struct hf_repository *repository, const struct hf_test_snapshot *snapshot,
                               struct hf_blob_index *index)
{
    struct hf_error err = {0};
    int64_t file_bytes = 0;
    ck_assert_msg(hf_test_try_snapshot(repository, snapshot, index, &file_bytes, &err), "%s", err.text);
    return file_bytes;
}

char *hf_test_read_file(const char *path, size_t *bytes_out)
{
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    long bytes = ftell(file);
    ck_assert_int_ge(bytes, 0);
    rewind(file);
    char *data = hf_alloc((size_t)bytes + 1);
    ck_assert_uint_eq(fread(data, 1, (size_t)bytes, file), (size_t)bytes);
    fclose(file);
    *bytes_out = (size_t)bytes;
    return data;
}

void hf_test_write_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, bytes, file), bytes);
    ck_assert_int_eq(fclose(file), 0);
}

static size_t state_bytes(const struct hf_test_state *state)
{
    if (!state->text)
        return 0;
    return state->bytes ? state->bytes : strlen(state->text);
}

static struct hf_hash whole_root_hash(const struct hf_test_snapshot *snapshot)
{
    const struct hf_test_state *states = snapshot->whole ? snapshot->whole : snapshot->states;
    int count = snapshot->whole ? snapshot->whole_count : snapshot->count;
    struct hf_hasher *hasher = hf_hasher_new();
    for (int i = 0; i < count; i++) {
        struct hf_hash hash;
        if (!states[i].text || states[i].deleted)
            continue;
        hf_hash_of(states[i].text, state_bytes(&states[i]), &hash);
        hf_root_hash_add(hasher, states[i].component, &hash);
    }
    struct hf_hash root_hash;
    hf_hasher_finish(hasher, &root_hash);
    hf_hasher_free(hasher);
    return root_hash;
}

static bool add_state(struct hf_snapshot_writer *writer, const struct hf_test_snapshot *snapshot,
                      const struct hf_test_state *state, struct hf_blob_index *index, struct hf_error *err)
{
    struct hf_manifest_entry entry = {.component = state->component,
                                      .version = state->version ? state->version : state->text != NULL,
                                      .sequence = snapshot->sequence,
                                      .bytes = (int64_t)state_bytes(state),
                                      .content_type = state->text ? "application/json" : "",
                                      .committed_at_ms = 1795399100000,
                                      .deleted = state->deleted,
                                      .component_kind = "agent",
                                      .depends_on = state->depends_on ? state->depends_on : "[]",
                                      .required_pointers = "[\"/q~1table\"]",
                                      .heartbeat_interval_ms = 5000,
                                      .registered_at_ms = 1795390000001,
                                      .created_at_ms = 1795390000002,
                                      .blob_file = ""};
    struct hf_blob_place place;
    if (!state->text || state->deleted)
        return hf_snapshot_writer_add_entry(writer, &entry, err);
    hf_hash_of(state->text, state_bytes(state), &entry.hash);
    if (index && hf_blob_index_find(index, &entry.hash, &place)) {
        entry.blob_file = place.file;
        entry.blob_offset = place.offset;
        entry.blob_stored_bytes = place.stored_bytes;
    } else if (!hf_snapshot_writer_add_blob(writer, &entry.hash, state->text, state_bytes(state), &entry.blob_offset,
                                            &entry.blob_stored_bytes, err)) {
        return false;
    } else if (index) {
        hf_blob_index_add(index, &entry.hash, snapshot->id, entry.blob_offset, entry.blob_stored_bytes);
    }
    return hf_snapshot_writer_add_entry(writer, &entry, err);
}
