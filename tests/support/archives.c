#include "tests/support/archives.h"

#include "core/auto.h"

#include <check.h>
#include <string.h>

static const struct hf_test_state states[] = {
    {"alpha", "{\"a\":1}", 0, 1, false, NULL},
    {"beta", "state of beta", 0, 2, false, "[\"alpha\"]"},
    {"empty", "", 0, 3, false, NULL},
    {"gone", "", 0, 2, true, NULL},
    {"twin", "state of beta", 0, 1, false, NULL},
    {"waiting", NULL, 0, 0, false, "[\"beta\",\"alpha\"]"},
    {"zz.z:z-z", "a name of signs", 0, 7, false, NULL},
};
const struct hf_test_snapshot hf_test_archived = {
    .id = "full-1", .generation = "full-1", .sequence = 9, .states = states, .count = HF_TEST_COUNT(states)};

/* ---- two ends in memory ---- */

bool hf_test_source_read(void *context, void *out, size_t bytes_max, size_t *got_out, struct hf_error *err)
{
    struct hf_test_source *source = context;
    if (source->fails_at && source->at >= source->fails_at)
        return hf_error_set(err, HF_OVERLOADED, "the client was too slow");
    size_t left = source->bytes - source->at, bytes = bytes_max < source->step ? bytes_max : source->step;
    if (bytes > left)
        bytes = left;
    memcpy(out, source->data + source->at, bytes);
    source->at += bytes;
    *got_out = bytes;
    return true;
}

bool hf_test_write_buf(void *context, const void *data, size_t bytes, struct hf_error *err)
{
    return hf_buf_add(context, data, bytes) || hf_error_set(err, HF_OVERLOADED, "the client is gone");
}

void hf_test_write_archive(struct hf_repository *repository, const char *id, bool zstd, struct hf_buf *out)
{
    struct hf_chain *chain = NULL;
    struct hf_error err = {0};
    ck_assert_msg(hf_chain_load(&chain, repository, HF_TEST_SYSTEM, id, &err), "%s", err.text);
    ck_assert_msg(hf_archive_write(chain, zstd, NULL, &(struct hf_writer){hf_test_write_buf, out}, &err), "%s",
                  err.text);
    hf_chain_free(chain);
}

const struct hf_archive_limits hf_test_roomy = {64 * HF_TEST_MIB, 16 * HF_TEST_MIB, 16 * HF_TEST_MIB};

/* Reads an archive into a new snapshot full-9 of system copy; false and err when it is refused. */
bool hf_test_take_in(struct hf_repository *repository, const char *data, size_t bytes, size_t step,
                     const struct hf_archive_limits *limits, struct hf_error *err)
{
    struct hf_test_source source = {data, bytes, 0, step, 0};
    const struct hf_reader reader = {hf_test_source_read, &source};
    struct hf_archive *archive = NULL;
    if (!hf_archive_open(&archive, &reader, limits, err))
        return false;
    struct hf_manifest_header header = *hf_archive_header(archive);
    header.system = "copy";
    header.id = header.generation = "full-9";
    header.kind = "full";
    header.trigger = "import";
    header.parent = "";
    struct hf_snapshot_writer *writer = NULL;
    struct hf_error failure;
    ck_assert_msg(hf_snapshot_writer_new(&writer, repository, &header, &failure), "%s", failure.text);
    HF_AUTO(free) char *file = NULL;
    int64_t file_bytes;
    bool ok = hf_archive_read(archive, writer, err);
    if (ok)
        ck_assert_msg(hf_snapshot_writer_finish(writer, &header, &file, &file_bytes, &failure), "%s", failure.text);
    hf_snapshot_writer_free(writer);
    hf_archive_free(archive);
    return ok;
}

void hf_test_forget_copy(struct hf_repository *repository)
{
    struct hf_error err;
    int64_t freed;
    ck_assert(hf_repository_delete(repository, "copy", "full", "full-9", &freed, &err));
}

/* The copy is what the snapshot of this id is: entries (without tombstones) and contents. */
void hf_test_assert_copy_is(struct hf_repository *repository, const char *id)
{
    struct hf_chain *copy = NULL, *original = NULL;
    struct hf_error err = {0};
    ck_assert_msg(hf_chain_load(&copy, repository, "copy", "full-9", &err), "%s", err.text);
    ck_assert(hf_chain_load(&original, repository, HF_TEST_SYSTEM, id, &err));
    ck_assert(hf_hash_equal(&hf_chain_header(copy)->root_hash, &hf_chain_header(original)->root_hash));
    ck_assert_int_eq(hf_chain_header(copy)->sequence, hf_chain_header(original)->sequence);
    ck_assert_int_eq(hf_chain_header(copy)->epoch, hf_chain_header(original)->epoch);
    ck_assert_int_eq(hf_chain_header(copy)->cut_at_ms, hf_chain_header(original)->cut_at_ms);
    ck_assert_str_eq(hf_chain_header(copy)->label, hf_chain_header(original)->label);
    int64_t next = 0;
    for (int64_t i = 0; i < hf_chain_count(original); i++) {
        const struct hf_manifest_entry *then = hf_chain_entry(original, i);
        if (then->deleted)
            continue;
        ck_assert_int_lt(next, hf_chain_count(copy));
        const struct hf_manifest_entry *now = hf_chain_entry(copy, next++);
        ck_assert_str_eq(now->component, then->component);
        ck_assert_int_eq(now->version, then->version);
        ck_assert_int_eq(now->sequence, then->version ? then->sequence : 0);
        ck_assert_int_eq(now->committed_at_ms, then->version ? then->committed_at_ms : 0);
        ck_assert_int_eq(now->created_at_ms, then->created_at_ms);
        ck_assert_int_eq(now->registered_at_ms, then->registered_at_ms);
        ck_assert_str_eq(now->content_type, then->version ? then->content_type : "");
        ck_assert_str_eq(now->component_kind, then->component_kind);
        ck_assert_str_eq(now->depends_on, then->depends_on);
        ck_assert_str_eq(now->required_pointers, then->required_pointers);
        if (!hf_manifest_entry_is_present(then))
            continue;
        HF_AUTO(blob) struct hf_blob *content = NULL;
        ck_assert_msg(hf_chain_read(copy, now, &content, &err), "%s", err.text);
        ck_assert(hf_hash_equal(&now->hash, &then->hash));
    }
    ck_assert_int_eq(next, hf_chain_count(copy));
    hf_chain_free(copy);
    hf_chain_free(original);
}

/* ---- tars, block by block ---- */

int64_t hf_test_tar_number(const char *field, size_t bytes)
{
    int64_t value = 0;
    for (size_t i = 0; i < bytes && field[i] >= '0' && field[i] <= '7'; i++)
        value = value * 8 + (field[i] - '0');
    return value;
}

/* Members as they stand in a plain tar without extensions; data is borrowed from text. */
void hf_test_tar_parse(const char *text, size_t bytes, struct hf_test_tar *out)
{
    *out = (struct hf_test_tar){0};
    for (size_t at = 0; at + HF_TEST_TAR_BLOCK <= bytes && text[at];) {
        const char *head = text + at;
        ck_assert_int_lt(out->count, HF_TEST_TAR_MEMBERS_MAX);
        size_t length = (size_t)hf_test_tar_number(head + 124, 12);
        ck_assert_uint_le(at + HF_TEST_TAR_BLOCK + length, bytes);
        out->members[out->count++] =
            (struct hf_test_member){head, head[156], head + HF_TEST_TAR_BLOCK, length, NULL, -1};
        at += HF_TEST_TAR_BLOCK + (length + HF_TEST_TAR_BLOCK - 1) / HF_TEST_TAR_BLOCK * HF_TEST_TAR_BLOCK;
    }
    out->manifest = hf_strndup(out->members[0].data, out->members[0].bytes);
}

void hf_test_tar_add(struct hf_buf *out, const struct hf_test_member *member)
{
    static const char zeros[HF_TEST_TAR_BLOCK];
    char head[HF_TEST_TAR_BLOCK] = {0};
    memcpy(head, member->name, strlen(member->name));
    int64_t claims = member->claims >= 0 ? member->claims : (int64_t)member->bytes;
    memcpy(head + 100, "0000640", 8);
    memcpy(head + 108, "0000000", 8);
    memcpy(head + 116, "0000000", 8);
    snprintf(head + 124, 12, "%011llo", (long long)claims);
    memcpy(head + 136, "00000000000", 12);
    head[156] = member->type;
    if (member->link)
        memcpy(head + 157, member->link, strlen(member->link));
    memcpy(head + 257, "ustar\00000", 8);
    memset(head + 148, ' ', 8);
    unsigned sum = 0;
    for (int i = 0; i < HF_TEST_TAR_BLOCK; i++)
        sum += (unsigned char)head[i];
    snprintf(head + 148, 8, "%06o", sum);
    ck_assert(hf_buf_add(out, head, HF_TEST_TAR_BLOCK) && hf_buf_add(out, member->data, member->bytes) &&
              hf_buf_add(out, zeros, (HF_TEST_TAR_BLOCK - member->bytes % HF_TEST_TAR_BLOCK) % HF_TEST_TAR_BLOCK));
}

void hf_test_tar_build(struct hf_test_tar *tar, struct hf_buf *out)
{
    tar->members[0].data = tar->manifest;
    tar->members[0].bytes = strlen(tar->manifest);
    for (int i = 0; i < tar->count; i++) {
        if (tar->members[i].name)
            hf_test_tar_add(out, &tar->members[i]);
    }
    static const char end[2 * HF_TEST_TAR_BLOCK];
    ck_assert(hf_buf_add(out, end, sizeof(end)));
}

void hf_test_tar_insert(struct hf_test_tar *tar, int at, struct hf_test_member member)
{
    memmove(&tar->members[at + 1], &tar->members[at], (size_t)(tar->count - at) * sizeof(tar->members[0]));
    tar->members[at] = member;
    tar->count++;
}

void hf_test_tar_swap(struct hf_test_tar *tar, const char *from, const char *to)
{
    char *at = strstr(tar->manifest, from);
    ck_assert_msg(at != NULL, "the manifest has no %s", from);
    char *changed = hf_format("%.*s%s%s", (int)(at - tar->manifest), tar->manifest, to, at + strlen(from));
    free(tar->manifest);
    tar->manifest = changed;
}
