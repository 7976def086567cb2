#include "api/auth_file.h"

#include "core/auto.h"
#include "core/clock.h"
#include "core/id.h"
#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#define FILE_BYTES_MAX (4 * 1024 * 1024)

static bool read_file(const char *path, struct hf_buf *out, struct stat *seen_out, struct hf_error *err);
static bool parse_lines(struct hf_token_table *table, char *text, struct hf_error *err);
static bool parse_line(struct hf_token *out, const char *line, size_t bytes, struct hf_error *err);
static bool check_fields(const char *id, const char *hash, const char *role, const char *system, struct hf_token *out,
                         struct hf_error *err);
static int compare_tokens(const void *a, const void *b);
static char *token_line(const char *id, const char *token, const char *role, const char *system,
                        const char *component_prefix, const char *description);
static bool append_durably(const char *path, const char *line, struct hf_error *err);
static bool write_line(int fd, const char *line);
static bool sync_directory_of(const char *path);

struct hf_token_table *hf_token_table_read(const char *path, struct stat *seen_out, struct hf_error *err)
{
    HF_AUTO(buf) struct hf_buf text;
    hf_buf_init(&text, FILE_BYTES_MAX);
    if (!read_file(path, &text, seen_out, err))
        return NULL;
    struct hf_token_table *table = hf_alloc(sizeof(*table));
    if (text.data && !parse_lines(table, text.data, err)) {
        hf_token_table_free(table);
        hf_error_wrap(err, "tokens file %s", path);
        return NULL;
    }
    return table;
}

void hf_token_table_free(struct hf_token_table *table)
{
    if (!table)
        return;
    for (int i = 0; i < table->count; i++) {
        free((char *)table->tokens[i].principal.system);
        free((char *)table->tokens[i].principal.component_prefix);
    }
    free(table->tokens);
    free(table);
}

const struct hf_token *hf_token_table_find(const struct hf_token_table *table, const char *id)
{
    struct hf_token key = {0};
    size_t bytes = strlen(id);
    if (bytes >= sizeof(key.principal.id) || table->count == 0)
        return NULL;
    memcpy(key.principal.id, id, bytes);
    return bsearch(&key, table->tokens, (size_t)table->count, sizeof(key), compare_tokens);
}

bool hf_auth_create_token(const char *path, const char *role, const char *system, const char *component_prefix,
                          const char *description, char token_out[96], struct hf_error *err)
{
    enum hf_role parsed;
    if (!hf_role_parse(role, &parsed))
        return hf_error_set(err, HF_CONFIG, "the role \"%.40s\" is unknown; use viewer, agent or operator", role);
    if (system && !hf_name_is_valid(system, strlen(system)))
        return hf_error_set(err, HF_CONFIG, "\"%.140s\" is not a valid system name", system);
    if (component_prefix && !hf_name_is_valid(component_prefix, strlen(component_prefix)))
        return hf_error_set(err, HF_CONFIG, "\"%.140s\" is not the start of a valid component name", component_prefix);

    char id[24], first[24], second[24], token[96];
    hf_id_random("t", id, sizeof(id));
    id[13] = '\0'; /* 12 random characters: enough to never meet twice, short enough to read out */
    hf_id_random("", first, sizeof(first));
    hf_id_random("", second, sizeof(second));
    snprintf(token, sizeof(token), "hft_%s_%s%s", id, first, second);
    HF_AUTO(free) char *line = token_line(id, token, role, system, component_prefix, description);
    if (!append_durably(path, line, err))
        return false;
    memcpy(token_out, token, sizeof(token));
    return true;
}

static bool read_file(const char *path, struct hf_buf *out, struct stat *seen_out, struct hf_error *err)
{
    HF_AUTO(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, seen_out) != 0) {
        hf_error_errno(err, errno, "tokens file %s cannot be read", path);
        err->code = HF_CONFIG;
        return false;
    }
    for (;;) {
        char chunk[4096];
        ssize_t bytes = read(fd, chunk, sizeof(chunk));
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0) {
            hf_error_errno(err, errno, "tokens file %s cannot be read", path);
            err->code = HF_CONFIG;
            return false;
        }
        if (bytes == 0)
            return true;
        if (!hf_buf_add(out, chunk, (size_t)bytes))
            return hf_error_set(err, HF_CONFIG, "tokens file %s is larger than %d bytes", path, FILE_BYTES_MAX);
    }
}

static bool parse_lines(struct hf_token_table *table, char *text, struct hf_error *err)
{
    int capacity = 0;
    int line_number = 0;
    while (*text) {
        size_t bytes = strcspn(text, "\n");
        const char *line = text;
        text += bytes + (text[bytes] == '\n');
        line_number++;
        if (strspn(line, " \t\r") >= bytes)
            continue;
        if (table->count == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            table->tokens = hf_realloc(table->tokens, (size_t)capacity * sizeof(*table->tokens));
        }
        if (!parse_line(&table->tokens[table->count], line, bytes, err))
            return hf_error_wrap(err, "line %d", line_number);
        table->count++;
    }
    if (table->count == 0)
        return true;
    qsort(table->tokens, (size_t)table->count, sizeof(*table->tokens), compare_tokens);
    for (int i = 1; i < table->count; i++)
        if (compare_tokens(&table->tokens[i - 1], &table->tokens[i]) == 0)
            return hf_error_set(err, HF_CONFIG, "the id %s is there twice", table->tokens[i].principal.id);
    return true;
}

static bool parse_line(struct hf_token *out, const char *line, size_t bytes, struct hf_error *err)
{
    static const char *const fields[] = {"id",          "hash",      "role", "system", "componentPrefix",
                                         "description", "createdAt", NULL};
    const char *id = NULL, *hash = NULL, *role = NULL, *system = NULL, *prefix = NULL, *ignored = NULL;
    HF_AUTO(json) json_t *row = hf_json_parse(line, bytes, err);
    bool ok = row && hf_json_only_fields(row, fields, err) && hf_json_get_text(row, "id", &id, err) &&
              hf_json_get_text(row, "hash", &hash, err) && hf_json_get_text(row, "role", &role, err) &&
              hf_json_get_text(row, "system", &system, err) && hf_json_get_text(row, "componentPrefix", &prefix, err) &&
              hf_json_get_text(row, "description", &ignored, err) &&
              hf_json_get_text(row, "createdAt", &ignored, err) && check_fields(id, hash, role, system, out, err);
    if (!ok) {
        err->code = HF_CONFIG;
        return false;
    }
    out->principal.system = system ? hf_strdup(system) : NULL;
    out->principal.component_prefix = prefix && *prefix ? hf_strdup(prefix) : NULL;
    return true;
}

static bool check_fields(const char *id, const char *hash, const char *role, const char *system, struct hf_token *out,
                         struct hf_error *err)
{
    memset(out, 0, sizeof(*out));
    size_t id_bytes = id ? strlen(id) : 0;
    if (id_bytes == 0 || id_bytes >= sizeof(out->principal.id) || strchr(id, '_'))
        return hf_error_set(err, HF_CONFIG, "id must have 1 to 23 characters and no underscore");
    if (!hash || !hf_hash_parse(hash, &out->hash))
        return hf_error_set(err, HF_CONFIG, "hash must be sha256: and 64 hex digits");
    if (!role || !hf_role_parse(role, &out->principal.role))
        return hf_error_set(err, HF_CONFIG, "role must be viewer, agent or operator");
    if (system && !hf_name_is_valid(system, strlen(system)))
        return hf_error_set(err, HF_CONFIG, "system is not a valid name");
    memcpy(out->principal.id, id, id_bytes);
    return true;
}

static int compare_tokens(const void *a, const void *b)
{
    const struct hf_token *left = a, *right = b;
    return strcmp(left->principal.id, right->principal.id);
}

static char *token_line(const char *id, const char *token, const char *role, const char *system,
                        const char *component_prefix, const char *description)
{
    struct hf_hash hash;
    char label[HF_HASH_LABEL];
    hf_hash_of(token, strlen(token), &hash);
    hf_hash_label(&hash, label);
    HF_AUTO(json) json_t *row = json_pack("{s:s, s:s, s:s}", "id", id, "hash", label, "role", role);
    HF_ASSERT(row);
    if (system)
        json_object_set_new(row, "system", json_string(system));
    if (component_prefix)
        json_object_set_new(row, "componentPrefix", json_string(component_prefix));
    if (description)
        json_object_set_new(row, "description", json_string(description));
    hf_json_set_time(row, "createdAt", hf_clock_now_ms());
    HF_AUTO(free) char *text = hf_json_text(row);
    return hf_format("%s\n", text);
}

/* The lock keeps two commands from mixing their lines; the directory is synced because the file may be new. */
static bool append_durably(const char *path, const char *line, struct hf_error *err)
{
    HF_AUTO(close) int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return hf_error_errno(err, errno, "tokens file %s cannot be opened", path);
    if (flock(fd, LOCK_EX) != 0)
        return hf_error_errno(err, errno, "tokens file %s cannot be locked", path);
    char last = '\n';
    off_t end = lseek(fd, 0, SEEK_END);
    if (end > 0 && pread(fd, &last, 1, end - 1) != 1)
        return hf_error_errno(err, errno, "tokens file %s cannot be read", path);
    HF_AUTO(free) char *whole = hf_format("%s%s", last == '\n' ? "" : "\n", line);
    if (!write_line(fd, whole) || fsync(fd) != 0 || !sync_directory_of(path))
        return hf_error_errno(err, errno, "tokens file %s cannot be written", path);
    return true;
}

static bool write_line(int fd, const char *line)
{
    size_t left = strlen(line);
    while (left > 0) {
        ssize_t bytes = write(fd, line, left);
        if (bytes < 0 && errno == EINTR)
            continue;
        if (bytes < 0)
            return false;
        line += bytes;
        left -= (size_t)bytes;
    }
    return true;
}

static bool sync_directory_of(const char *path)
{
    HF_AUTO(free) char *copy = hf_strdup(path);
    HF_AUTO(close) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0;
}
