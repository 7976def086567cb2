#include "core/json_pointer.h"

#include "core/json_exact.h"

#include <string.h>

static bool check(const char *text, size_t bytes, int *count_out, struct hf_error *err);

bool hf_json_pointer_parse(struct hf_json_pointer *out, const char *text, size_t bytes, struct hf_error *err)
{
    int count;
    *out = (struct hf_json_pointer){0};
    if (!check(text, bytes, &count, err))
        return false;
    if (count == 0)
        return true;
    char *to = out->text = hf_alloc(bytes + 1);
    out->tokens = hf_alloc((size_t)count * sizeof(*out->tokens));
    for (const char *from = text; from < text + bytes; from++) {
        if (*from == '/') {
            *to++ = '\0'; /* ends the token before; the first slash becomes a byte that nothing points to */
            out->tokens[out->count++] = to;
        } else if (*from == '~') {
            *to++ = *++from == '0' ? '~' : '/';
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return true;
}

void hf_json_pointer_done(struct hf_json_pointer *pointer)
{
    free(pointer->text);
    free(pointer->tokens);
    *pointer = (struct hf_json_pointer){0};
}

bool hf_json_token_index(const char *token, size_t *out)
{
    size_t digits = strspn(token, "0123456789");
    if (digits == 0 || digits > 18 || token[digits] || (token[0] == '0' && digits > 1))
        return false;
    *out = (size_t)strtoull(token, NULL, 10);
    return true;
}

json_t *hf_json_token_get(const json_t *container, const char *token)
{
    size_t index;
    if (json_is_object(container))
        return json_object_get(container, token);
    return json_is_array(container) && hf_json_token_index(token, &index) ? json_array_get(container, index) : NULL;
}

json_t *hf_json_pointer_get(const json_t *document, const struct hf_json_pointer *pointer, int count)
{
    json_t *value = (json_t *)document;
    for (int i = 0; value && i < count; i++)
        value = hf_json_token_get(value, pointer->tokens[i]);
    return value;
}

bool hf_json_pointer_add(struct hf_buf *path, const char *token)
{
    hf_buf_add_char(path, '/');
    for (;;) {
        size_t plain = strcspn(token, "~/");
        hf_buf_add(path, token, plain);
        token += plain;
        if (!*token)
            return !path->failed;
        hf_buf_add_text(path, *token++ == '~' ? "~0" : "~1");
    }
}

static bool check(const char *text, size_t bytes, int *count_out, struct hf_error *err)
{
    *count_out = 0;
    if (bytes > 0 && text[0] != '/')
        return hf_error_set(err, HF_INVALID_REQUEST, "a JSON pointer is empty or starts with /");
    if (memchr(text, '\0', bytes))
        return hf_error_set(err, HF_INVALID_REQUEST, "a JSON pointer cannot hold the character U+0000");
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '/' && ++*count_out > HF_JSON_DEPTH_MAX)
            return hf_error_set(err, HF_INVALID_REQUEST, "the JSON pointer has more than %d parts", HF_JSON_DEPTH_MAX);
        if (text[i] == '~' && (i + 1 == bytes || (text[i + 1] != '0' && text[i + 1] != '1')))
            return hf_error_set(err, HF_INVALID_REQUEST, "~ in a JSON pointer must be followed by 0 or 1");
    }
    return true;
}
