#include "repository/manifest.h"

#include "core/json.h"
#include "repository/format.h"

#include <string.h>

enum field_type {
    FIELD_TEXT,
    FIELD_NAME,        /* of a system or component */
    FIELD_ID,          /* of a snapshot */
    FIELD_OPTIONAL_ID, /* "" allowed */
    FIELD_ARRAY,       /* held as its JSON text */
    FIELD_NUMBER,
    FIELD_TIME, /* a number too, in milliseconds */
    FIELD_BOOL,
    FIELD_HASH,
};

/* One row a field: writing, reading and checking are all made from it. */
struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    int64_t min;   /* FIELD_NUMBER, FIELD_TIME */
    bool optional; /* left out, and meant when it is left out, where it is "", [], 0 or false: a third less to parse */
};

#define H(field) offsetof(struct hf_manifest_header, field)
#define E(field) offsetof(struct hf_manifest_entry, field)

static const struct field header_fields[] = {
    {"system", FIELD_NAME, H(system), 0},
    {"id", FIELD_ID, H(id), 0},
    {"kind", FIELD_TEXT, H(kind), 0},
    {"trigger", FIELD_TEXT, H(trigger), 0},
    {"label", FIELD_TEXT, H(label), 0},
    {"generation", FIELD_ID, H(generation), 0},
    {"parent", FIELD_OPTIONAL_ID, H(parent), 0},
    {"sequence", FIELD_NUMBER, H(sequence), 0},
    {"epoch", FIELD_NUMBER, H(epoch), 0},
    {"cutAtMs", FIELD_TIME, H(cut_at_ms), 0},
    {"rootHash", FIELD_HASH, H(root_hash), 0},
    {"components", FIELD_NUMBER, H(components), 0},
    {"changed", FIELD_NUMBER, H(changed), 0},
    {"deleted", FIELD_NUMBER, H(deleted), 0},
    {"stateBytes", FIELD_NUMBER, H(state_bytes), 0},
    {"description", FIELD_TEXT, H(description), 0},
    {"backupIntervalMs", FIELD_NUMBER, H(backup_interval_ms), -1},
    {"incrementalIntervalMs", FIELD_NUMBER, H(incremental_interval_ms), -1},
    {"maxRetentionHours", FIELD_NUMBER, H(max_retention_hours), -1},
    {"createdAtMs", FIELD_TIME, H(created_at_ms), -1},
    {"signedBy", FIELD_TEXT, H(signed_by), 0, true},
    {"signature", FIELD_TEXT, H(signature), 0, true},
};

static const struct field entry_fields[] = {
    {"component", FIELD_NAME, E(component), 0},
    {"version", FIELD_NUMBER, E(version), 0},
    {"sequence", FIELD_NUMBER, E(sequence), 0},
    {"hash", FIELD_HASH, E(hash), 0},
    {"bytes", FIELD_NUMBER, E(bytes), 0},
    {"contentType", FIELD_TEXT, E(content_type), 0},
    {"committedAtMs", FIELD_TIME, E(committed_at_ms), -1},
    {"deleted", FIELD_BOOL, E(deleted), 0, true},
    {"kind", FIELD_TEXT, E(component_kind), 0, true},
    {"dependsOn", FIELD_ARRAY, E(depends_on), 0, true},
    {"requiredPointers", FIELD_ARRAY, E(required_pointers), 0, true},
    {"heartbeatIntervalMs", FIELD_NUMBER, E(heartbeat_interval_ms), -1, true},
    {"registeredAtMs", FIELD_TIME, E(registered_at_ms), -1, true},
    {"createdAtMs", FIELD_TIME, E(created_at_ms), -1},
    {"blobFile", FIELD_OPTIONAL_ID, E(blob_file), 0},
    {"blobOffset", FIELD_NUMBER, E(blob_offset), 0},
    {"blobStoredBytes", FIELD_NUMBER, E(blob_stored_bytes), 0},
};

#define HEADER_FIELDS (sizeof(header_fields) / sizeof(header_fields[0]))
#define ENTRY_FIELDS  (sizeof(entry_fields) / sizeof(entry_fields[0]))

static bool write_line(struct hf_buf *out, const struct field *fields, size_t count, const void *from);
static bool is_number(const struct field *field);
static bool in_bounds(const struct field *field, int64_t number);
static bool is_default(const struct field *field, const char *at);
static void set_default(const struct field *field, char *at);
static bool write_value(struct hf_buf *out, const struct field *field, const char *at);
static bool write_array(struct hf_buf *out, const char *text);
static bool read_line(const char *line, size_t bytes, const struct field *fields, size_t count, struct hf_arena *arena,
                      void *into, struct hf_error *err);
static bool read_value(const json_t *value, const struct field *field, struct hf_arena *arena, char *at);
static bool read_text(const json_t *value, enum field_type type, struct hf_arena *arena, const char **out);
static bool check_entry(const struct hf_manifest_entry *entry, struct hf_error *err);

bool hf_manifest_write_header(struct hf_buf *out, const struct hf_manifest_header *header)
{
    return write_line(out, header_fields, HEADER_FIELDS, header);
}

bool hf_manifest_write_entry(struct hf_buf *out, const struct hf_manifest_entry *entry)
{
    return write_line(out, entry_fields, ENTRY_FIELDS, entry);
}

bool hf_manifest_read_header(const char *line, size_t bytes, struct hf_arena *arena, struct hf_manifest_header *out,
                             struct hf_error *err)
{
    struct hf_manifest_header header = {0};
    if (!read_line(line, bytes, header_fields, HEADER_FIELDS, arena, &header, err))
        return false;
    bool full = strcmp(header.kind, "full") == 0;
    if (!full && strcmp(header.kind, "incremental") != 0)
        return hf_error_set(err, HF_DAMAGED, "the manifest's kind is neither full nor incremental");
    if (!full && !header.parent[0])
        return hf_error_set(err, HF_DAMAGED, "the manifest is of an incremental but names no parent");
    if (!header.signed_by[0] != !header.signature[0])
        return hf_error_set(err, HF_DAMAGED, "the manifest has half a signature: key and value belong together");
    *out = header;
    return true;
}

bool hf_manifest_read_entry(const char *line, size_t bytes, struct hf_arena *arena, struct hf_manifest_entry *out,
                            struct hf_error *err)
{
    struct hf_manifest_entry entry = {0};
    if (!read_line(line, bytes, entry_fields, ENTRY_FIELDS, arena, &entry, err) || !check_entry(&entry, err))
        return false;
    *out = entry;
    return true;
}

static const char *copy_text(struct hf_arena *arena, const char *text)
{
    return hf_arena_strdup(arena, text ? text : "");
}

void hf_manifest_header_copy(struct hf_arena *arena, const struct hf_manifest_header *from,
                             struct hf_manifest_header *to)
{
    *to = *from;
    to->system = hf_arena_strdup(arena, from->system);
    to->id = hf_arena_strdup(arena, from->id);
    to->kind = strcmp(from->kind, "full") == 0 ? "full" : "incremental";
    to->trigger = copy_text(arena, from->trigger);
    to->label = copy_text(arena, from->label);
    to->generation = copy_text(arena, from->generation);
    to->parent = copy_text(arena, from->parent);
    to->description = copy_text(arena, from->description);
    to->signed_by = copy_text(arena, from->signed_by);
    to->signature = copy_text(arena, from->signature);
}

void hf_root_hash_add(struct hf_hasher *hasher, const char *component, const struct hf_hash *hash)
{
    unsigned char pair[HF_NAME_MAX + 1 + HF_HASH_BYTES];
    size_t name_bytes = strlen(component) + 1;
    HF_ASSERT(name_bytes <= HF_NAME_MAX + 1);
    memcpy(pair, component, name_bytes);
    memcpy(pair + name_bytes, hash->bytes, HF_HASH_BYTES);
    hf_hasher_add(hasher, pair, name_bytes + HF_HASH_BYTES);
}

static bool write_line(struct hf_buf *out, const struct field *fields, size_t count, const void *from)
{
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        const char *at = (const char *)from + fields[i].offset;
        if (fields[i].optional && is_default(&fields[i], at))
            continue;
        ok = hf_buf_add_text(out, i ? ",\"" : "{\"") && hf_buf_add_text(out, fields[i].name) &&
             hf_buf_add_text(out, "\":") && write_value(out, &fields[i], at);
    }
    return ok && hf_buf_add_text(out, "}\n");
}

static bool is_number(const struct field *field)
{
    return field->type == FIELD_NUMBER || field->type == FIELD_TIME;
}

static bool in_bounds(const struct field *field, int64_t number)
{
    return number >= field->min &&
           number <= (field->type == FIELD_TIME ? HF_MANIFEST_TIME_MAX_MS : HF_MANIFEST_NUMBER_MAX);
}

static bool is_default(const struct field *field, const char *at)
{
    if (is_number(field))
        return *(const int64_t *)(const void *)at == 0;
    if (field->type == FIELD_BOOL)
        return !*(const bool *)at;
    const char *text = *(const char *const *)(const void *)at;
    return !text || !text[0] || (field->type == FIELD_ARRAY && strcmp(text, "[]") == 0);
}

static bool write_value(struct hf_buf *out, const struct field *field, const char *at)
{
    switch (field->type) {
    case FIELD_NUMBER:
    case FIELD_TIME: {
        int64_t number = *(const int64_t *)(const void *)at;
        if (!in_bounds(field, number)) /* what the reader would refuse is not written */
            return false;
        return number < 0 ? hf_buf_add_text(out, "-1") : hf_buf_add_u64(out, (uint64_t)number);
    }
    case FIELD_BOOL:
        return hf_buf_add_text(out, *(const bool *)at ? "true" : "false");
    case FIELD_HASH: {
        char label[HF_HASH_LABEL];
        hf_hash_label((const struct hf_hash *)(const void *)at, label);
        return hf_buf_add_char(out, '"') && hf_buf_add_text(out, label) && hf_buf_add_char(out, '"');
    }
    default: {
        const char *text = *(const char *const *)(const void *)at;
        if (field->type == FIELD_ARRAY)
            return write_array(out, text);
        return hf_buf_add_json_string(out, text ? text : "", text ? strlen(text) : 0);
    }
    }
}

/* A text that is not an array would make the whole snapshot unreadable, so it is parsed before it is trusted. */
static bool write_array(struct hf_buf *out, const char *text)
{
    if (!text || !text[0] || strcmp(text, "[]") == 0)
        return hf_buf_add_text(out, "[]");
    struct hf_error ignored;
    HF_AUTO(json) json_t *value = hf_json_parse(text, strlen(text), &ignored);
    if (!json_is_array(value))
        return false;
    HF_AUTO(free) char *compact = hf_json_text(value); /* on one line, whatever it came as */
    return hf_buf_add_text(out, compact);
}

static bool read_line(const char *line, size_t bytes, const struct field *fields, size_t count, struct hf_arena *arena,
                      void *into, struct hf_error *err)
{
    struct hf_error why;
    HF_AUTO(json) json_t *object = hf_json_parse(line, bytes, &why);
    if (!object)
        return hf_error_set(err, HF_DAMAGED, "a manifest line is not JSON: %s", why.text);
    if (!json_is_object(object))
        return hf_error_set(err, HF_DAMAGED, "a manifest line is not a JSON object");
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(object, fields[i].name);
        if (!value && fields[i].optional) {
            set_default(&fields[i], (char *)into + fields[i].offset);
            continue;
        }
        found++;
        if (!value)
            return hf_error_set(err, HF_DAMAGED, "a manifest line lacks the field %s", fields[i].name);
        if (!read_value(value, &fields[i], arena, (char *)into + fields[i].offset))
            return hf_error_set(err, HF_DAMAGED, "a manifest line holds an impossible %s", fields[i].name);
    }
    if (json_object_size(object) != found) /* duplicates are refused by the parser, so more means unknown */
        return hf_error_set(err, HF_DAMAGED, "a manifest line has a field that this version does not know");
    return true;
}

/* The struct is zeroed, so that only texts need one. */
static void set_default(const struct field *field, char *at)
{
    if (field->type == FIELD_ARRAY)
        *(const char **)(void *)at = "[]";
    else if (!is_number(field) && field->type != FIELD_BOOL)
        *(const char **)(void *)at = "";
}

static bool read_value(const json_t *value, const struct field *field, struct hf_arena *arena, char *at)
{
    switch (field->type) {
    case FIELD_NUMBER:
    case FIELD_TIME:
        if (!json_is_integer(value) || !in_bounds(field, json_integer_value(value)))
            return false;
        *(int64_t *)(void *)at = json_integer_value(value);
        return true;
    case FIELD_BOOL:
        *(bool *)at = json_is_true(value);
        return json_is_boolean(value);
    case FIELD_HASH:
        return json_is_string(value) && json_string_length(value) == HF_HASH_LABEL - 1 &&
               hf_hash_parse(json_string_value(value), (struct hf_hash *)(void *)at);
    default:
        return read_text(value, field->type, arena, (const char **)(void *)at);
    }
}

static bool read_text(const json_t *value, enum field_type type, struct hf_arena *arena, const char **out)
{
    if (type == FIELD_ARRAY) {
        if (!json_is_array(value))
            return false;
        if (json_array_size(value) == 0) {
            *out = "[]";
            return true;
        }
        HF_AUTO(free) char *text = hf_json_text(value);
        *out = hf_arena_strdup(arena, text);
        return true;
    }
    if (!json_is_string(value))
        return false;
    const char *text = json_string_value(value);
    size_t bytes = json_string_length(value);
    if (strlen(text) != bytes) /* an escaped NUL */
        return false;
    if (type == FIELD_NAME && !hf_name_is_valid(text, bytes))
        return false;
    if ((type == FIELD_ID || (type == FIELD_OPTIONAL_ID && bytes > 0)) && !hf_format_id_is_valid(text))
        return false;
    *out = bytes == 0 ? "" : hf_arena_strndup(arena, text, bytes);
    return true;
}

static bool check_entry(const struct hf_manifest_entry *entry, struct hf_error *err)
{
    if (!hf_manifest_entry_is_present(entry))
        return true;
    if (!entry->blob_file[0])
        return hf_error_set(err, HF_DAMAGED, "the manifest does not say where the state of %s lies", entry->component);
    if (entry->bytes > HF_FORMAT_BLOB_BYTES_MAX || entry->blob_stored_bytes > entry->bytes + HF_FORMAT_SEAL_BYTES)
        return hf_error_set(err, HF_DAMAGED, "the manifest gives the state of %s an impossible length",
                            entry->component);
    return true;
}
