/* What is the matter with a snapshot file: its ends, whose it is, and every record between them. */
#include "repository/record_reader.h"
#include "repository/repair_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILLER_BYTES_MAX (INT64_C(64) << 20)

/* The walk from record to record. */
struct walk {
    struct hf_examination *examination;
    struct hf_snapshot_file *file;
    struct hf_record_reader *reader;
    int64_t offset;
    size_t next; /* the first claim that is not behind offset */
    int64_t records;
    bool gap; /* bytes that nothing of this file tells the meaning of */
};

struct adding {
    const char *id;
    struct hf_repair_claims *claims;
};

static hf_entry_fn add_foreign_claim;
static bool open_target(const struct hf_repair_target *target, struct hf_examination *out, struct hf_error *err);
static bool examine_with_outline(const struct hf_repair_target *target, struct hf_examination *out, bool *used_out,
                                 struct hf_error *err);
static bool has_sound_ends(const struct hf_snapshot_file *file, struct hf_error *err);
static bool identify(const struct hf_repair_target *target, struct hf_examination *out);
static bool examine_records(const struct hf_repair_target *target, struct hf_examination *out, struct hf_error *err);
static void plan_fillers(struct hf_examination *out);
static bool walk_records(struct hf_examination *out, bool *gap_out, struct hf_error *err);
static bool walk_claimed(struct walk *walk, const struct hf_repair_claim *claim, struct hf_error *err);
static bool walk_unclaimed(struct walk *walk, struct hf_error *err);
static bool is_sound(struct walk *walk, const struct hf_repair_claim *claim, struct hf_format_record *record,
                     bool *head_out, bool *sound_out, struct hf_error *err);
static int64_t next_boundary(const struct walk *walk);
static void add_damage(struct walk *walk, const struct hf_repair_damage *damage, const struct hf_error *why);
static void skip_contradictions(struct walk *walk);
static bool add_foreign_claims(const struct hf_repair_target *target, struct hf_examination *out, bool *all_out,
                               struct hf_error *err);
static bool add_claims_of(struct hf_snapshot_file *file, const struct hf_examination *out, struct adding *adding);

bool hf_repair_examine(const struct hf_repair_target *target, struct hf_examination *out, struct hf_error *err)
{
    *out = (struct hf_examination){0};
    if (!open_target(target, out, err))
        return false;
    if (out->missing) {
        hf_repair_note(out->what, "there is no snapshot file %s", target->name);
        return true;
    }
    if (hf_outline_recognise(target->path, target->repository->keys, &out->identity)) {
        out->is_outline = true;
        out->foreign = !identify(target, out);
        hf_repair_note(out->what, "snapshot file %s: it is an outline, without contents", target->name);
        return true;
    }
    bool used = false;
    if (!examine_with_outline(target, out, &used, err))
        return false;
    if (used)
        return true;
    bool found = hf_repair_find_ends(target, out->file, &out->claims, &out->ends_damaged, out->what, err);
    if (!found && err->code != HF_DAMAGED)
        return false;
    out->usable = found;
    out->identity = out->file->header;
    out->foreign = !identify(target, out);
    if (!out->usable || out->foreign)
        return true;
    return examine_records(target, out, err);
}

void hf_examination_done(struct hf_examination *examination)
{
    hf_snapshot_file_close(examination->file);
    free(examination->claims.items);
    free(examination->damages);
    *examination = (struct hf_examination){0};
}

static bool open_target(const struct hf_repair_target *target, struct hf_examination *out, struct hf_error *err)
{
    struct stat status;
    int fd = open(target->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        out->missing = true;
        return true;
    }
    if (fd < 0)
        return hf_error_errno(err, errno, "snapshot file %s cannot be opened", target->path);
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return hf_error_set(err, HF_IO, "%s is not a regular file", target->path);
    }
    out->file = hf_alloc(sizeof(*out->file));
    *out->file = (struct hf_snapshot_file){.fd = fd,
                                           .keys = target->repository->keys,
                                           .name = hf_strdup(target->name),
                                           .bytes = status.st_size};
    return true;
}

/* Where its own ends or its manifest are not sound, and nothing says that it is another snapshot's. */
static bool examine_with_outline(const struct hf_repair_target *target, struct hf_examination *out, bool *used_out,
                                 struct hf_error *err)
{
    struct hf_format_header header;
    unsigned char head[HF_FORMAT_HEADER_BYTES_MAX];
    size_t header_bytes, bytes = out->file->bytes < (int64_t)sizeof(head) ? (size_t)out->file->bytes : sizeof(head);
    struct hf_error why;
    if (has_sound_ends(out->file, &why) || why.code != HF_DAMAGED)
        return true; /* all else is looked at with care later */
    if (!hf_snapshot_file_read(out->file, head, bytes, 0, err))
        return false;
    if (hf_format_decode_header(head, bytes, &header, &header_bytes, err)) {
        out->identity = header;
        char what[sizeof(out->what)] = "";
        memcpy(what, out->what, sizeof(what));
        bool own = identify(target, out);
        memcpy(out->what, what, sizeof(what)); /* told when it is looked at as a whole */
        if (!own)
            return true;
    }
    hf_repair_note(out->what, "%s", why.text);
    if (!hf_repair_use_outline(target, out, used_out, err))
        return false;
    if (!*used_out)
        out->what[0] = '\0';
    return true;
}

static bool has_sound_ends(const struct hf_snapshot_file *file, struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *again = NULL;
    return hf_snapshot_file_check_fd(&again, file->fd, file->keys, file->name, err);
}

bool hf_repair_use_outline(const struct hf_repair_target *target, struct hf_examination *examination, bool *used_out,
                           struct hf_error *err)
{
    HF_AUTO(snapshot_file) struct hf_snapshot_file *outline = NULL;
    HF_AUTO(arena) struct hf_arena arena;
    struct hf_manifest_header header;
    struct adding adding = {.id = target->id, .claims = &examination->claims};
    bool in_the_way = examination->foreign || examination->is_outline;
    *used_out = false;
    hf_arena_init(&arena);
    if (!hf_outline_open(&outline, target->repository, target->system, target->full ? "full" : "incremental",
                         target->id, err))
        return err->code == HF_NOT_FOUND || err->code == HF_DAMAGED;
    if (outline->header.full != target->full)
        return true;
    examination->claims.count = 0;
    if (!hf_snapshot_file_read_manifest(outline, &arena, &header, add_foreign_claim, &adding, err))
        return err->code == HF_DAMAGED;
    hf_repair_sort_claims(&examination->claims);
    if (in_the_way && !hf_repair_make_room(target, examination, err))
        return false;
    if (!in_the_way && examination->file) {
        hf_outline_use_contents(outline, examination->file->fd);
        examination->file->fd = -1;
    }
    hf_snapshot_file_close(examination->file);
    examination->file = outline;
    outline = NULL;
    examination->identity = examination->file->header;
    examination->missing = examination->foreign = examination->is_outline = false;
    examination->usable = examination->ends_damaged = *used_out = true;
    return examine_records(target, examination, err);
}

/* False for another snapshot's file. Of one that does not say whose it is, the best is hoped. */
static bool identify(const struct hf_repair_target *target, struct hf_examination *out)
{
    const struct hf_format_header *header = &out->identity;
    if (!header->id[0])
        return true;
    if (strcmp(header->system, target->system) != 0 || strcmp(header->id, target->id) != 0) {
        hf_repair_note(out->what, "snapshot file %s: it is the file of %s/%s under another name", target->name,
                       header->system, header->id);
        return false;
    }
    if (target->repository->roots_count > 1 && header->full != target->full) {
        hf_repair_note(out->what, "snapshot file %s: it lies in the directory of the other kind", target->name);
        return false;
    }
    return true;
}

static bool examine_records(const struct hf_repair_target *target, struct hf_examination *out, struct hf_error *err)
{
    bool gap = false;
    posix_fadvise(out->file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (!walk_records(out, &gap, err))
        return false;
    if (!gap)
        return true;
    /* Other files of the generation may know what lies there. */
    bool all = false;
    out->damages_count = 0;
    out->hopeless = false;
    if (!add_foreign_claims(target, out, &all, err) || !walk_records(out, &gap, err))
        return false;
    if (gap && all && !out->hopeless)
        plan_fillers(out);
    return true;
}

/* Nothing of the generation refers to what was there: the file is whole for everyone when the next record can be found.
 * The number of blobs becomes what it is then. */
static void plan_fillers(struct hf_examination *out)
{
    struct hf_snapshot_file *file = out->file;
    int64_t extra = file->seal ? HF_SEAL_EXTRA_BYTES : 0;
    for (size_t i = 0; i < out->damages_count; i++) {
        struct hf_repair_damage *damage = &out->damages[i];
        int64_t stored_bytes = damage->end - damage->offset - file->record_bytes;
        if (!damage->known && (stored_bytes < extra || stored_bytes - extra > FILLER_BYTES_MAX))
            return;
    }
    for (size_t i = 0; i < out->damages_count; i++) {
        struct hf_repair_damage *damage = &out->damages[i];
        if (damage->known || damage->end == damage->offset)
            continue;
        damage->known = damage->filler = true;
        damage->stored_bytes = damage->end - damage->offset - file->record_bytes;
        damage->bytes = damage->stored_bytes - extra;
        HF_AUTO(free) unsigned char *zeros = hf_alloc((size_t)damage->bytes + 1);
        hf_hash_of(zeros, (size_t)damage->bytes, &damage->hash);
    }
    file->footer.blobs = out->records;
}

static bool walk_records(struct hf_examination *out, bool *gap_out, struct hf_error *err)
{
    HF_AUTO(record_reader) struct hf_record_reader *reader = hf_record_reader_new(NULL, NULL);
    struct hf_snapshot_file *file = out->file;
    struct walk walk = {.examination = out, .file = file, .reader = reader, .offset = file->header_bytes};
    hf_record_reader_use(reader, file, HF_RECORD_READER_AHEAD);
    bool ok = true;
    while (ok && walk.offset < file->footer.manifest_offset) {
        skip_contradictions(&walk);
        const struct hf_repair_claim *claim = walk.next < out->claims.count ? &out->claims.items[walk.next] : NULL;
        ok = claim && claim->offset == walk.offset ? walk_claimed(&walk, claim, err) : walk_unclaimed(&walk, err);
        walk.records++;
    }
    out->bytes_read += hf_record_reader_bytes(reader) + file->footer.manifest_stored_bytes;
    *gap_out = walk.gap;
    out->records = walk.records;
    if (!ok)
        return false;
    walk.offset = INT64_MAX;
    skip_contradictions(&walk);
    if (file->footer.blobs < 0)
        file->footer.blobs = walk.records;
    if (walk.records != file->footer.blobs && !walk.gap && !out->hopeless) {
        out->hopeless = true;
        hf_repair_note(out->what, "snapshot file %s has %lld blobs and was written with %lld", file->name,
                       (long long)walk.records, (long long)file->footer.blobs);
    }
    return true;
}

/* Entries that point into the middle of a record, or past them all: what they mean is nowhere. */
static void skip_contradictions(struct walk *walk)
{
    const struct hf_repair_claims *claims = &walk->examination->claims;
    for (; walk->next < claims->count && claims->items[walk->next].offset < walk->offset; walk->next++) {
        const struct hf_repair_claim *claim = &claims->items[walk->next];
        struct hf_repair_damage damage = {.offset = claim->offset, .end = claim->offset, .hash = claim->hash};
        struct hf_error why;
        hf_error_set(&why, HF_DAMAGED, "snapshot file %s: no blob starts at offset %lld, where the manifest has one",
                     walk->file->name, (long long)claim->offset);
        walk->examination->hopeless = true;
        add_damage(walk, &damage, &why);
    }
}

static bool walk_claimed(struct walk *walk, const struct hf_repair_claim *claim, struct hf_error *err)
{
    const struct hf_repair_claims *claims = &walk->examination->claims;
    int64_t end = claim->offset + walk->file->record_bytes;
    struct hf_format_record record;
    bool head, sound;
    if (claim->stored_bytes > walk->file->footer.manifest_offset - end) {
        walk->next++; /* it cannot be there at all */
        struct hf_repair_damage lost = {.offset = claim->offset, .end = claim->offset, .hash = claim->hash};
        hf_error_set(err, HF_DAMAGED, "snapshot file %s: the blob at offset %lld reaches past the blobs",
                     walk->file->name, (long long)claim->offset);
        walk->examination->hopeless = true;
        add_damage(walk, &lost, err);
        return walk_unclaimed(walk, err);
    }
    end += claim->stored_bytes;
    if (!is_sound(walk, claim, &record, &head, &sound, err))
        return false;
    if (!sound) {
        struct hf_repair_damage damage = {.offset = claim->offset,
                                          .end = end,
                                          .known = true,
                                          .hash = claim->hash,
                                          .bytes = claim->bytes,
                                          .stored_bytes = claim->stored_bytes};
        add_damage(walk, &damage, err);
    }
    walk->offset = end;
    for (const struct hf_repair_claim *first = claim; walk->next < claims->count; walk->next++) {
        const struct hf_repair_claim *same = &claims->items[walk->next];
        if (same->offset != first->offset || !hf_hash_equal(&same->hash, &first->hash))
            break; /* another content at the same place: behind the record's end it counts as a contradiction */
    }
    return true;
}

/* A content that no entry of this snapshot has, or nothing that can be recognised. */
static bool walk_unclaimed(struct walk *walk, struct hf_error *err)
{
    struct hf_format_record record = {0};
    bool head, sound;
    int64_t boundary = next_boundary(walk), offset = walk->offset;
    if (!is_sound(walk, NULL, &record, &head, &sound, err))
        return false;
    int64_t end = head ? offset + walk->file->record_bytes + record.stored_bytes : boundary;
    bool known = head && (sound || end == boundary);
    if (head && !known && end < boundary) { /* its length is right when something sensible follows */
        struct hf_format_record follower;
        struct hf_error ignored;
        known = hf_record_reader_head(walk->reader, end, &follower, &ignored);
    }
    if (!sound) {
        struct hf_repair_damage damage = {.offset = offset, .end = known ? end : boundary, .known = known};
        if (known) {
            damage.hash = record.hash;
            damage.bytes = record.bytes;
            damage.stored_bytes = record.stored_bytes;
        }
        walk->gap = walk->gap || !known;
        add_damage(walk, &damage, err);
        end = damage.end;
    }
    walk->offset = end;
    return true;
}

/* *head_out: the head alone makes sense. Not sound: err says why. False: it could not be read. */
static bool is_sound(struct walk *walk, const struct hf_repair_claim *claim, struct hf_format_record *record,
                     bool *head_out, bool *sound_out, struct hf_error *err)
{
    struct hf_blob *blob = NULL;
    err->code = HF_DAMAGED;
    *head_out = hf_record_reader_head(walk->reader, walk->offset, record, err);
    *sound_out = *head_out;
    if (*head_out && claim &&
        (!hf_hash_equal(&record->hash, &claim->hash) || record->bytes != claim->bytes ||
         record->stored_bytes != claim->stored_bytes)) {
        hf_error_set(err, HF_DAMAGED, "snapshot file %s: the blob at offset %lld is not the one of the manifest",
                     walk->file->name, (long long)walk->offset);
        *sound_out = false;
    }
    *sound_out = *sound_out && hf_record_reader_content(walk->reader, walk->offset, record, &blob, err);
    return *sound_out || err->code == HF_DAMAGED;
}

static int64_t next_boundary(const struct walk *walk)
{
    const struct hf_repair_claims *claims = &walk->examination->claims;
    int64_t end = walk->file->footer.manifest_offset;
    for (size_t i = walk->next; i < claims->count; i++) {
        if (claims->items[i].offset > walk->offset)
            return claims->items[i].offset < end ? claims->items[i].offset : end;
    }
    return end;
}

static void add_damage(struct walk *walk, const struct hf_repair_damage *damage, const struct hf_error *why)
{
    struct hf_examination *out = walk->examination;
    if (out->damages_count == out->damages_capacity) {
        out->damages_capacity = out->damages_capacity ? 2 * out->damages_capacity : 16;
        out->damages = hf_realloc(out->damages, out->damages_capacity * sizeof(*out->damages));
    }
    out->damages[out->damages_count++] = *damage;
    hf_repair_note(out->what, "%s", why->text);
}

/* *all_out false: a manifest could be read neither from its file nor from its outline. */
static bool add_foreign_claims(const struct hf_repair_target *target, struct hf_examination *out, bool *all_out,
                               struct hf_error *err)
{
    struct hf_repository *repository = target->repository;
    struct adding adding = {target->id, &out->claims};
    *all_out = true;
    for (int root = 0; root < repository->roots_count; root++) {
        HF_AUTO(place_list) struct hf_place_list ids = {0};
        if (!hf_place_list_ids(repository, root, target->system, &ids, err))
            return false;
        for (size_t i = 0; i < ids.count; i++) {
            HF_AUTO(snapshot_file) struct hf_snapshot_file *file = NULL;
            HF_AUTO(snapshot_file) struct hf_snapshot_file *outline = NULL;
            const char *kind = root == HF_ROOT_FULL ? "full" : "incremental";
            struct hf_error ignored;
            if (strcmp(ids.items[i], target->id) == 0)
                continue;
            /* One that cannot be read says nothing, whatever the reason. */
            bool read = (hf_snapshot_file_open(&file, repository, target->system, kind, ids.items[i], &ignored) &&
                         add_claims_of(file, out, &adding)) ||
                        (hf_outline_open(&outline, repository, target->system, NULL, ids.items[i], &ignored) &&
                         add_claims_of(outline, out, &adding));
            *all_out = *all_out && read;
        }
    }
    hf_repair_sort_claims(&out->claims);
    return true;
}

static bool add_claims_of(struct hf_snapshot_file *file, const struct hf_examination *out, struct adding *adding)
{
    HF_AUTO(arena) struct hf_arena arena;
    struct hf_manifest_header header;
    struct hf_error ignored;
    hf_arena_init(&arena);
    return strcmp(file->header.generation, out->identity.generation) != 0 ||
           hf_snapshot_file_read_manifest(file, &arena, &header, add_foreign_claim, adding, &ignored);
}

static bool add_foreign_claim(void *context, const struct hf_manifest_entry *entry, struct hf_error *err)
{
    (void)err;
    struct adding *adding = context;
    if (hf_manifest_entry_is_present(entry) && strcmp(entry->blob_file, adding->id) == 0)
        hf_repair_add_claim(adding->claims, entry);
    return true;
}
