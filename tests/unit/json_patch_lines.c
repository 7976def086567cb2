/* Patches values that come as lines of JSON on standard input, for test_json_patch_suite.py: each line is an object,
 * and each is answered with a line.
 *
 *     {"doc":V, "patch":P}          -> {"doc":V} or {"error":CODE,"untouched":BOOL}
 *     {"doc":V, "merge":P}          -> {"doc":V}
 *     {"from":V, "to":V}            -> {"patch":P, "doc":V, "same":BOOL} */
#include "core/json_exact.h"
#include "core/json_merge.h"
#include "core/json_patch.h"

#include <string.h>

static json_t *apply(const json_t *line, const json_t *patch)
{
    struct hf_error err = {0};
    json_t *document = json_incref(json_object_get(line, "doc"));
    HF_AUTO(json) json_t *before = json_deep_copy(document), *patch_before = json_deep_copy(patch);
    bool ok = hf_json_patch_apply(patch, &document, &err);
    bool untouched = hf_json_same(patch, patch_before, NULL) &&
                     hf_json_same(json_object_get(line, "doc"), before, NULL) &&
                     (ok || document == json_object_get(line, "doc"));
    if (ok)
        return json_pack("{so sb}", "doc", document, "untouched", untouched);
    json_decref(document);
    return json_pack("{ss ss sb}", "error", hf_code_name(err.code), "text", err.text, "untouched", untouched);
}

static json_t *diff(const json_t *line)
{
    struct hf_error err = {0};
    json_t *from = json_object_get(line, "from"), *to = json_object_get(line, "to"), *document = json_incref(from);
    json_t *patch = hf_json_patch_diff(from, to);
    bool same = hf_json_patch_apply(patch, &document, &err) && hf_json_same(document, to, NULL);
    return json_pack("{so so sb}", "patch", patch, "doc", document, "same", same);
}

static json_t *answer(const json_t *line)
{
    const json_t *patch = json_object_get(line, "patch"), *merge = json_object_get(line, "merge");
    if (patch)
        return apply(line, patch);
    if (merge)
        return json_pack("{so}", "doc", hf_json_merge(json_object_get(line, "doc"), merge));
    return diff(line);
}

int main(void)
{
    HF_AUTO(free) char *text = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    hf_json_init();
    while ((bytes = getline(&text, &capacity, stdin)) > 0) {
        struct hf_error err;
        HF_AUTO(buf) struct hf_buf out;
        HF_AUTO(json) json_t *line = hf_json_parse_exact(text, (size_t)bytes, &err);
        HF_AUTO(json) json_t *reply = line ? answer(line) : json_pack("{ss}", "error", "unreadable");
        hf_buf_init(&out, 64 * 1024 * 1024);
        if (!hf_json_write(&out, reply) || puts(out.data) < 0 || fflush(stdout) != 0)
            return 1;
    }
    return 0;
}
