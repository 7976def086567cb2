/* Reading the manifest.json of an archive: the text is cut into its entries while it comes, each is parsed alone, and
 * what is left, the header, is parsed at the end. Whoever made it is not trusted. */
#include "repository/archive_private.h"

#include "core/clock.h"
#include "core/json.h"

#include <string.h>

#define HEAD_BYTES_MAX         ((size_t)256 * 1024)
#define ELEMENT_BYTES_MAX      (HF_FORMAT_LINE_BYTES_MAX + HEAD_BYTES_MAX)
#define LABEL_BYTES_MAX        1023
#define WORD_BYTES_MAX         31
#define CONTENT_TYPE_BYTES_MAX 255
#define LIST_MAX               4096 /* dependencies, pointers */

static bool feed_byte(struct hf_archive_manifest *manifest, char c, struct hf_error *err);
static bool opens_entries(const struct hf_buf *head);
static bool end_element(struct hf_archive_manifest *manifest, struct hf_error *err);
static bool is_blank(const struct hf_buf *buf);
static bool add_entry(struct hf_archive_manifest *manifest, const struct hf_manifest_entry *entry,
                      struct hf_error *err);
static bool check_counts(const struct hf_archive_manifest *manifest, struct hf_error *err);
static bool read_state_fields(const json_t *object, struct hf_arena *arena, struct hf_manifest_entry *entry,
                              struct hf_error *err);
static bool read_registration(const json_t *object, struct hf_arena *arena, struct hf_manifest_entry *entry,
                              struct hf_error *err);
static bool read_text(const json_t *object, const char *name, size_t bytes_max, struct hf_arena *arena,
                      const char **out, struct hf_error *err);
static bool read_count(const json_t *object, const char *name, int64_t min, int64_t *out, struct hf_error *err);
static bool read_time(const json_t *object, const char *name, int64_t *out, struct hf_error *err);
static bool read_hash(const json_t *object, const char *name, struct hf_hash *out, struct hf_error *err);
static bool read_list(const json_t *object, const char *name, bool names, struct hf_arena *arena, const char **out,
                      struct hf_error *err);
static bool content_type_is_valid(const char *text);

void hf_archive_manifest_init(struct hf_archive_manifest *manifest)
{
    *manifest = (struct hf_archive_manifest){0};
    hf_arena_init(&manifest->arena);
    hf_buf_init(&manifest->head, HEAD_BYTES_MAX);
    hf_buf_init(&manifest->element, ELEMENT_BYTES_MAX);
}

void hf_archive_manifest_done(struct hf_archive_manifest *manifest)
{
    free(manifest->entries);
    hf_buf_done(&manifest->head);
    hf_buf_done(&manifest->element);
    hf_arena_done(&manifest->arena);
}

bool hf_archive_manifest_feed(struct hf_archive_manifest *manifest, const char *data, size_t bytes,
                              struct hf_error *err)
{
    for (size_t i = 0; i < bytes; i++) {
        if (!feed_byte(manifest, data[i], err))
            return false;
    }
    return true;
}

/* Finds where elements of "entries" begin and end; whether what is between is JSON is for the parser to say. */
static bool feed_byte(struct hf_archive_manifest *manifest, char c, struct hf_error *err)
{
    struct hf_buf *into = manifest->in_entries ? &manifest->element : &manifest->head;
    if (manifest->in_string) {
        manifest->in_string = manifest->escaped || c != '"';
        manifest->escaped = !manifest->escaped && c == '\\';
    } else if (manifest->in_entries && manifest->depth == 2 && (c == ',' || c == ']')) {
        if (!(c == ']' && !manifest->after_comma && is_blank(&manifest->element)) && !end_element(manifest, err))
            return false;
        hf_buf_reset(&manifest->element);
        manifest->after_comma = c == ',';
        if (c == ',')
            return true;
        manifest->in_entries = false;
        manifest->depth = 1;
        into = &manifest->head;
    } else if (c == '"') {
        manifest->in_string = true;
    } else if (c == '{' || c == '[') {
        manifest->in_entries |= c == '[' && manifest->depth == 1 && opens_entries(&manifest->head);
        manifest->depth++;
    } else if (c == '}' || c == ']') {
        manifest->depth--;
        if (manifest->depth < (manifest->in_entries ? 2 : 0))
            return hf_error_set(err, HF_INVALID_REQUEST, "%s: its brackets do not match", HF_ARCHIVE_MANIFEST);
    }
    if (hf_buf_add_char(into, c))
        return true;
    return hf_error_set(err, HF_INVALID_REQUEST, "%s: %s is longer than %zu bytes", HF_ARCHIVE_MANIFEST,
                        manifest->in_entries ? "an entry" : "what surrounds the entries", into->bytes_max);
}

static bool opens_entries(const struct hf_buf *head)
{
    static const char key[] = "\"entries\"";
    size_t end = head->bytes;
    while (end > 0 && strchr(" \t\r\n", head->data[end - 1]))
        end--;
    if (end == 0 || head->data[--end] != ':')
        return false;
    while (end > 0 && strchr(" \t\r\n", head->data[end - 1]))
        end--;
    return end >= strlen(key) && memcmp(head->data + end - strlen(key), key, strlen(key)) == 0;
}

static bool end_element(struct hf_archive_manifest *manifest, struct hf_error *err)
{
    struct hf_manifest_entry entry;
    return hf_archive_read_entry(manifest->element.data ? manifest->element.data : "", manifest->element.bytes,
                                 &manifest->arena, &entry, err)
               ? add_entry(manifest, &entry, err)
               : hf_error_wrap(err, "%s: entry %lld", HF_ARCHIVE_MANIFEST, (long long)manifest->count + 1);
}

static bool is_blank(const struct hf_buf *buf)
{
    return buf->bytes == 0 || strspn(buf->data, " \t\r\n") == buf->bytes;
}

static bool add_entry(struct hf_archive_manifest *manifest, const struct hf_manifest_entry *entry, struct hf_error *err)
{
    if (manifest->count > 0 && strcmp(manifest->entries[manifest->count - 1].component, entry->component) >= 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "%s: component %s is given twice or not in the order of names",
                            HF_ARCHIVE_MANIFEST, entry->component);
    if (manifest->count == HF_ARCHIVE_ENTRIES_MAX)
        return hf_error_set(err, HF_BODY_TOO_LARGE, "%s has more than %d entries", HF_ARCHIVE_MANIFEST,
                            HF_ARCHIVE_ENTRIES_MAX);
    if (manifest->count == manifest->capacity) {
        manifest->capacity = manifest->capacity ? manifest->capacity * 2 : 64;
        manifest->entries = hf_realloc(manifest->entries, (size_t)manifest->capacity * sizeof(manifest->entries[0]));
    }
    manifest->entries[manifest->count++] = *entry;
    return true;
}

bool hf_archive_manifest_finish(struct hf_archive_manifest *manifest, struct hf_error *err)
{
    if (!hf_archive_read_header(manifest->head.data ? manifest->head.data : "", manifest->head.bytes, &manifest->arena,
                                &manifest->header, &manifest->salvaged, err) ||
        !check_counts(manifest, err))
        return hf_error_wrap(err, "%s", HF_ARCHIVE_MANIFEST);
    return true;
}

static bool check_counts(const struct hf_archive_manifest *manifest, struct hf_error *err)
{
    const struct hf_manifest_header *header = &manifest->header;
    int64_t components = 0, bytes = 0;
    struct hf_hash root_hash;
    struct hf_hasher *hasher = hf_hasher_new();
    bool in_time = true;
    for (int64_t i = 0; i < manifest->count; i++) {
        const struct hf_manifest_entry *entry = &manifest->entries[i];
        if (!hf_manifest_entry_is_present(entry))
            continue;
        hf_root_hash_add(hasher, entry->component, &entry->hash);
        components++;
        bytes += entry->bytes; /* at most HF_FORMAT_BLOB_BYTES_MAX each, and entries are few enough */
        in_time &= entry->sequence <= header->sequence;
    }
    hf_hasher_finish(hasher, &root_hash);
    hf_hasher_free(hasher);
    if (!hf_hash_equal(&root_hash, &header->root_hash))
        return hf_error_set(err, HF_INVALID_REQUEST, "the entries do not have the root hash that it names");
    if (components != header->components || bytes != header->state_bytes)
        return hf_error_set(err, HF_INVALID_REQUEST, "it speaks of %lld components and %lld bytes, but lists others",
                            (long long)header->components, (long long)header->state_bytes);
    return in_time || hf_error_set(err, HF_INVALID_REQUEST, "an entry is newer than the snapshot's sequence");
}

struct hf_manifest_entry *hf_archive_manifest_find(const struct hf_archive_manifest *manifest, const char *component)
{
    int64_t low = 0, high = manifest->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strcmp(manifest->entries[middle].component, component);
        if (order == 0)
            return &manifest->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool hf_archive_read_header(const char *text, size_t bytes, struct hf_arena *arena, struct hf_manifest_header *out,
                            bool *salvaged_out, struct hf_error *err)
{
    static const char *const fields[] = {"format",   "version",   "system",     "id",         "kind",
                                         "trigger",  "label",     "generation", "sequence",   "epoch",
                                         "cutAt",    "rootHash",  "components", "stateBytes", "createdAt",
                                         "signedBy", "signature", "entries",    "salvaged",   "originalRootHash",
                                         NULL};
    HF_AUTO(json) json_t *object = hf_json_parse(text, bytes, err);
    if (!object || !hf_json_only_fields(object, fields, err))
        return false;
    struct hf_manifest_header header = {.backup_interval_ms = -1,
                                        .incremental_interval_ms = -1,
                                        .max_retention_hours = -1,
                                        .parent = "",
                                        .description = ""};
    const char *format;
    int64_t version;
    if (!read_text(object, "format", WORD_BYTES_MAX, arena, &format, err) ||
        !read_count(object, "version", 1, &version, err))
        return false;
    if (strcmp(format, HF_ARCHIVE_FORMAT) != 0 || version != HF_ARCHIVE_VERSION)
        return hf_error_set(err, HF_INVALID_REQUEST,
                            "it is of format %s version %lld; this service reads %s version %d", format,
                            (long long)version, HF_ARCHIVE_FORMAT, HF_ARCHIVE_VERSION);
    bool is_signed = json_object_get(object, "signature") != NULL;
    if (!read_text(object, "system", HF_NAME_MAX, arena, &header.system, err) ||
        !read_text(object, "id", HF_SNAPSHOT_ID_MAX, arena, &header.id, err) ||
        !read_text(object, "kind", WORD_BYTES_MAX, arena, &header.kind, err) ||
        !read_text(object, "trigger", WORD_BYTES_MAX, arena, &header.trigger, err) ||
        !read_text(object, "label", LABEL_BYTES_MAX, arena, &header.label, err) ||
        !read_text(object, "generation", HF_SNAPSHOT_ID_MAX, arena, &header.generation, err) ||
        !read_count(object, "sequence", 0, &header.sequence, err) ||
        !read_count(object, "epoch", 0, &header.epoch, err) || !read_time(object, "cutAt", &header.cut_at_ms, err) ||
        !read_hash(object, "rootHash", &header.root_hash, err) ||
        !read_count(object, "components", 0, &header.components, err) ||
        !read_count(object, "stateBytes", 0, &header.state_bytes, err) ||
        !read_time(object, "createdAt", &header.created_at_ms, err))
        return false;
    const json_t *salvaged = json_object_get(object, "salvaged");
    struct hf_hash original;
    if ((salvaged || json_object_get(object, "originalRootHash")) &&
        (!json_is_true(salvaged) || is_signed || !read_hash(object, "originalRootHash", &original, err)))
        return hf_error_set(
            err, HF_INVALID_REQUEST,
            "\"salvaged\" is true and comes with \"originalRootHash\" and no signature, or is left out");
    header.signed_by = header.signature = "";
    if (is_signed && (!read_text(object, "signedBy", WORD_BYTES_MAX, arena, &header.signed_by, err) ||
                      !read_text(object, "signature", HEAD_BYTES_MAX, arena, &header.signature, err)))
        return false;
    if (!hf_name_is_valid(header.system, strlen(header.system)) || !hf_format_id_is_valid(header.id) ||
        !hf_format_id_is_valid(header.generation))
        return hf_error_set(err, HF_INVALID_REQUEST, "its system, id or generation is no valid name");
    if (strcmp(header.kind, "full") != 0 && strcmp(header.kind, "incremental") != 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "its kind is neither full nor incremental");
    if (!json_is_array(json_object_get(object, "entries")))
        return hf_error_set(err, HF_INVALID_REQUEST, "it has no array \"entries\"");
    header.changed = header.components;
    *salvaged_out = salvaged != NULL;
    *out = header;
    return true;
}

bool hf_archive_read_entry(const char *text, size_t bytes, struct hf_arena *arena, struct hf_manifest_entry *out,
                           struct hf_error *err)
{
    static const char *const with_state[] = {"component",
                                             "version",
                                             "sequence",
                                             "hash",
                                             "bytes",
                                             "contentType",
                                             "committedAt",
                                             "createdAt",
                                             "kind",
                                             "dependsOn",
                                             "requiredPointers",
                                             "heartbeatIntervalMs",
                                             "registeredAt",
                                             "file",
                                             NULL};
    static const char *const without[] = {"component", "version",          "createdAt",           "kind",
                                          "dependsOn", "requiredPointers", "heartbeatIntervalMs", "registeredAt",
                                          NULL};
    HF_AUTO(json) json_t *object = hf_json_parse(text, bytes, err);
    if (!object)
        return false;
    if (!json_is_object(object))
        return hf_error_set(err, HF_INVALID_REQUEST, "it is no object");
    struct hf_manifest_entry entry = {.content_type = "", .blob_file = "", .blob_offset = -1};
    if (!read_text(object, "component", HF_NAME_MAX, arena, &entry.component, err) ||
        !read_count(object, "version", 0, &entry.version, err) ||
        !hf_json_only_fields(object, entry.version > 0 ? with_state : without, err))
        return false;
    if (!hf_name_is_valid(entry.component, strlen(entry.component)))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"component\" is no valid name");
    if ((entry.version > 0 && !read_state_fields(object, arena, &entry, err)) ||
        !read_registration(object, arena, &entry, err))
        return hf_error_wrap(err, "component %s", entry.component);
    *out = entry;
    return true;
}

static bool read_state_fields(const json_t *object, struct hf_arena *arena, struct hf_manifest_entry *entry,
                              struct hf_error *err)
{
    const char *file;
    if (!read_count(object, "sequence", 1, &entry->sequence, err) || !read_hash(object, "hash", &entry->hash, err) ||
        !read_count(object, "bytes", 0, &entry->bytes, err) ||
        !read_text(object, "contentType", CONTENT_TYPE_BYTES_MAX, arena, &entry->content_type, err) ||
        !read_time(object, "committedAt", &entry->committed_at_ms, err) ||
        !read_text(object, "file", sizeof(HF_ARCHIVE_STATES) + HF_NAME_MAX, arena, &file, err))
        return false;
    if (entry->bytes > HF_FORMAT_BLOB_BYTES_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST, "its state is too large for a snapshot file");
    if (!content_type_is_valid(entry->content_type)) /* it will be sent as a header one day */
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"contentType\" is no media type");
    if (strncmp(file, HF_ARCHIVE_STATES, strlen(HF_ARCHIVE_STATES)) != 0 ||
        strcmp(file + strlen(HF_ARCHIVE_STATES), entry->component) != 0)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"file\" is not %s%s", HF_ARCHIVE_STATES, entry->component);
    return true;
}

static bool read_registration(const json_t *object, struct hf_arena *arena, struct hf_manifest_entry *entry,
                              struct hf_error *err)
{
    return read_time(object, "createdAt", &entry->created_at_ms, err) &&
           read_text(object, "kind", HF_NAME_MAX, arena, &entry->component_kind, err) &&
           read_list(object, "dependsOn", true, arena, &entry->depends_on, err) &&
           read_list(object, "requiredPointers", false, arena, &entry->required_pointers, err) &&
           read_count(object, "heartbeatIntervalMs", -1, &entry->heartbeat_interval_ms, err) &&
           read_time(object, "registeredAt", &entry->registered_at_ms, err);
}

static bool read_text(const json_t *object, const char *name, size_t bytes_max, struct hf_arena *arena,
                      const char **out, struct hf_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" is missing or no text", name);
    if (json_string_length(value) > bytes_max)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" is longer than %zu bytes", name, bytes_max);
    *out = json_string_length(value) ? hf_arena_strdup(arena, json_string_value(value)) : "";
    return true;
}

static bool read_count(const json_t *object, const char *name, int64_t min, int64_t *out, struct hf_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < min)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" is missing or no number of at least %lld", name,
                            (long long)min);
    if (json_integer_value(value) > HF_MANIFEST_NUMBER_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" is greater than %lld", name,
                            (long long)HF_MANIFEST_NUMBER_MAX);
    *out = json_integer_value(value);
    return true;
}

/* null: not known. Times before 1970 mean as little. */
static bool read_time(const json_t *object, const char *name, int64_t *out, struct hf_error *err)
{
    const json_t *value = json_object_get(object, name);
    *out = 0;
    if (json_is_null(value))
        return true;
    if (!json_is_string(value) || !hf_time_parse(json_string_value(value), out))
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" is missing or no RFC 3339 time", name);
    if (*out > HF_MANIFEST_TIME_MAX_MS)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" is later than the year 9999", name);
    if (*out < 0)
        *out = 0;
    return true;
}

static bool read_hash(const json_t *object, const char *name, struct hf_hash *out, struct hf_error *err)
{
    const json_t *value = json_object_get(object, name);
    if (json_is_string(value) && json_string_length(value) == HF_HASH_LABEL - 1 &&
        hf_hash_parse(json_string_value(value), out))
        return true;
    return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" is missing or no \"sha256:…\"", name);
}

/* Names of components, or JSON pointers; held as their JSON text. */
static bool read_list(const json_t *object, const char *name, bool names, struct hf_arena *arena, const char **out,
                      struct hf_error *err)
{
    const json_t *value = json_object_get(object, name), *item;
    size_t index;
    bool good = json_is_array(value) && json_array_size(value) <= LIST_MAX;
    if (good) {
        json_array_foreach(value, index, item)
        {
            const char *text = json_is_string(item) ? json_string_value(item) : NULL;
            good &= text && strlen(text) == json_string_length(item) &&
                    (names ? hf_name_is_valid(text, strlen(text)) : !text[0] || text[0] == '/');
        }
    }
    if (!good)
        return hf_error_set(err, HF_INVALID_REQUEST, "field \"%s\" is missing or no array of %s", name,
                            names ? "names" : "JSON pointers");
    HF_AUTO(free) char *text = hf_json_text(value);
    *out = json_array_size(value) ? hf_arena_strdup(arena, text) : "[]";
    return true;
}

static bool content_type_is_valid(const char *text)
{
    const char *slash = strchr(text, '/');
    if (!slash || slash == text || !slash[1])
        return false;
    for (const char *c = text; *c; c++) {
        if (*c < ' ' || *c > '~')
            return false;
    }
    return true;
}
