/* Applies operations to a document that shares all of its values with the old one at first: a container is copied, one
 * level deep, when it is changed and somebody else holds it too. So the old document stays whole until the end, and
 * "copy" takes no memory. jansson counts the holders. */
#include "core/json_patch.h"

#include "core/json_exact.h"
#include "core/json_pointer.h"

#include <string.h>

#define WORK_MAX          100000000 /* values visited or copied; a second or two */
#define MOVED_AT_ONCE     16        /* elements of an array that move aside for the price of one visit */
#define REAL_INTEGERS_END 9223372036854775808.0

struct patching {
    json_t *root; /* owns */
    int64_t work_left;
    size_t index; /* of the operation */
    const char *name;
    struct hf_error *err;
};

/* One operation, read. */
struct operation {
    struct hf_json_pointer path, from;
    json_t *value; /* borrows */
};

typedef bool operation_fn(struct patching *p, const struct operation *operation);
static operation_fn op_add, op_remove, op_replace, op_move, op_copy, op_test;

static const struct operation_kind {
    const char *name;
    operation_fn *run;
    bool has_value, has_from;
} kinds[] = {
    {"add", op_add, true, false},   {"remove", op_remove, false, false}, {"replace", op_replace, true, false},
    {"move", op_move, false, true}, {"copy", op_copy, false, true},      {"test", op_test, true, false},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static bool check_patch(const json_t *patch, struct hf_error *err);
static const struct operation_kind *kind_of(const json_t *object);
static bool run_operation(struct patching *p, const json_t *object);
static bool read_operation(const json_t *object, const struct operation_kind *kind, struct operation *out,
                           struct hf_error *err);
static bool read_pointer(const json_t *object, const char *member, struct hf_json_pointer *out, struct hf_error *err);
static bool fail(const struct patching *p, enum hf_code code, const char *what);
static bool work(struct patching *p, size_t amount);
static bool put(struct patching *p, const struct hf_json_pointer *path, json_t *value, bool replace);
static bool put_element(struct patching *p, json_t *array, const char *token, json_t *value, bool replace);
static bool drop(struct patching *p, const struct hf_json_pointer *path);
static json_t *open_parent(struct patching *p, const struct hf_json_pointer *path);
static bool own(struct patching *p, json_t *container, json_t **copy_out);
static bool fits(struct patching *p, const json_t *value, int levels);
static bool equal(const json_t *a, const json_t *b);
static bool equal_numbers(const json_t *a, const json_t *b);

bool hf_json_patch_apply(const json_t *patch, json_t **document_inout, struct hf_error *err)
{
    if (!check_patch(patch, err))
        return false;
    struct patching p = {.root = json_incref(*document_inout), .work_left = WORK_MAX, .err = err};
    bool ok = true;
    for (; ok && p.index < json_array_size(patch); p.index++)
        ok = run_operation(&p, json_array_get(patch, p.index));
    json_decref(ok ? *document_inout : p.root);
    if (ok)
        *document_inout = p.root;
    return ok;
}

/* All of it before anything is tried: a malformed patch is malformed whatever the document. */
static bool check_patch(const json_t *patch, struct hf_error *err)
{
    if (!json_is_array(patch))
        return hf_error_set(err, HF_INVALID_REQUEST, "a JSON patch is an array of operations");
    if (json_array_size(patch) > HF_JSON_PATCH_OPERATIONS_MAX)
        return hf_error_set(err, HF_INVALID_REQUEST, "a JSON patch can have %d operations, this one has %zu",
                            HF_JSON_PATCH_OPERATIONS_MAX, json_array_size(patch));
    for (size_t i = 0; i < json_array_size(patch); i++) {
        const json_t *object = json_array_get(patch, i);
        if (!json_is_object(object))
            return hf_error_set(err, HF_INVALID_REQUEST, "operation %zu is not an object", i);
        const struct operation_kind *kind = kind_of(object);
        if (!kind)
            return hf_error_set(
                err, HF_INVALID_REQUEST,
                "operation %zu: \"op\" must be one of \"add\", \"remove\", \"replace\", \"move\", \"copy\", \"test\"",
                i);
        struct operation operation;
        bool ok = read_operation(object, kind, &operation, err);
        hf_json_pointer_done(&operation.path);
        hf_json_pointer_done(&operation.from);
        if (!ok)
            return hf_error_wrap(err, "operation %zu (%s)", i, kind->name);
    }
    return true;
}

static const struct operation_kind *kind_of(const json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "op"));
    for (size_t i = 0; name && i < KIND_COUNT; i++)
        if (strcmp(name, kinds[i].name) == 0)
            return &kinds[i];
    return NULL;
}

static bool run_operation(struct patching *p, const json_t *object)
{
    const struct operation_kind *kind = kind_of(object);
    struct operation operation;
    p->name = kind->name;
    bool ok = read_operation(object, kind, &operation, p->err) &&
              work(p, 1 + (size_t)operation.path.count + (size_t)operation.from.count) && kind->run(p, &operation);
    hf_json_pointer_done(&operation.path);
    hf_json_pointer_done(&operation.from);
    return ok;
}

/* Members that an operation does not know are ignored, as the standard wants it. */
static bool read_operation(const json_t *object, const struct operation_kind *kind, struct operation *out,
                           struct hf_error *err)
{
    *out = (struct operation){.value = json_object_get(object, "value")};
    if (!read_pointer(object, "path", &out->path, err))
        return false;
    if (kind->has_value && !out->value)
        return hf_error_set(err, HF_INVALID_REQUEST, "member \"value\" is missing");
    if (!kind->has_from)
        return true;
    if (!read_pointer(object, "from", &out->from, err))
        return false;
    if (kind->run != op_move || out->from.count >= out->path.count)
        return true;
    for (int i = 0; i < out->from.count; i++)
        if (strcmp(out->from.tokens[i], out->path.tokens[i]) != 0)
            return true;
    return hf_error_set(err, HF_INVALID_REQUEST, "a value cannot be moved into itself: \"from\" is a part of \"path\"");
}

static bool read_pointer(const json_t *object, const char *member, struct hf_json_pointer *out, struct hf_error *err)
{
    const json_t *text = json_object_get(object, member);
    if (!json_is_string(text))
        return hf_error_set(err, HF_INVALID_REQUEST, "member \"%s\" must be a string", member);
    return hf_json_pointer_parse(out, json_string_value(text), json_string_length(text), err) ||
           hf_error_wrap(err, "member \"%s\"", member);
}

static bool fail(const struct patching *p, enum hf_code code, const char *what)
{
    return hf_error_set(p->err, code, "operation %zu (%s): %s", p->index, p->name, what);
}

static bool work(struct patching *p, size_t amount)
{
    p->work_left -= amount < WORK_MAX ? (int64_t)amount : WORK_MAX + 1;
    return p->work_left >= 0 ||
           fail(p, HF_BODY_TOO_LARGE, "the patch has to move or copy too many values; send the changed whole instead");
}

static bool op_add(struct patching *p, const struct operation *operation)
{
    return fits(p, operation->value, operation->path.count) &&
           put(p, &operation->path, json_incref(operation->value), false);
}

static bool op_remove(struct patching *p, const struct operation *operation)
{
    return drop(p, &operation->path);
}

static bool op_replace(struct patching *p, const struct operation *operation)
{
    return fits(p, operation->value, operation->path.count) &&
           put(p, &operation->path, json_incref(operation->value), true);
}

static bool op_move(struct patching *p, const struct operation *operation)
{
    json_t *value = hf_json_pointer_get(p->root, &operation->from, operation->from.count);
    if (!value)
        return fail(p, HF_CONFLICT, "there is nothing at \"from\"");
    if (operation->from.count == 0) /* to itself: anything else was refused */
        return true;
    /* Where it does not go deeper it need not be looked through: large values move cheaply. */
    if (operation->path.count > operation->from.count && !fits(p, value, operation->path.count))
        return false;
    HF_AUTO(json) json_t *held = json_incref(value);
    return drop(p, &operation->from) && put(p, &operation->path, json_incref(held), false);
}

static bool op_copy(struct patching *p, const struct operation *operation)
{
    json_t *value = hf_json_pointer_get(p->root, &operation->from, operation->from.count);
    if (!value)
        return fail(p, HF_CONFLICT, "there is nothing at \"from\"");
    return fits(p, value, operation->path.count) && put(p, &operation->path, json_incref(value), false);
}

static bool op_test(struct patching *p, const struct operation *operation)
{
    const json_t *value = hf_json_pointer_get(p->root, &operation->path, operation->path.count);
    if (!value)
        return fail(p, HF_PRECONDITION, "there is nothing at \"path\"");
    return equal(value, operation->value) || fail(p, HF_PRECONDITION, "another value is at \"path\"");
}

/* Takes value. */
static bool put(struct patching *p, const struct hf_json_pointer *path, json_t *value, bool replace)
{
    HF_AUTO(json) json_t *mine = value;
    if (path->count == 0) {
        json_decref(p->root);
        p->root = mine;
        mine = NULL;
        return true;
    }
    json_t *parent = open_parent(p, path);
    const char *token = path->tokens[path->count - 1];
    if (!parent)
        return false;
    if (json_is_array(parent))
        return put_element(p, parent, token, value, replace);
    if (!json_is_object(parent))
        return fail(p, HF_CONFLICT, "the parent of \"path\" is neither an object nor an array");
    if (replace && !json_object_get(parent, token))
        return fail(p, HF_CONFLICT, "there is nothing at \"path\"");
    return json_object_set(parent, token, value) == 0 || fail(p, HF_OVERLOADED, "there is not enough memory");
}

static bool put_element(struct patching *p, json_t *array, const char *token, json_t *value, bool replace)
{
    size_t index = 0, count = json_array_size(array);
    if (!replace && strcmp(token, "-") == 0)
        index = count;
    else if (!hf_json_token_index(token, &index) || index > count || (replace && index == count))
        return fail(p, HF_CONFLICT, "\"path\" names no place in the array");
    bool ok;
    if (replace)
        ok = json_array_set(array, index, value) == 0;
    else if (work(p, (count - index) / MOVED_AT_ONCE))
        ok = json_array_insert(array, index, value) == 0;
    else
        return false;
    return ok || fail(p, HF_OVERLOADED, "there is not enough memory");
}

static bool drop(struct patching *p, const struct hf_json_pointer *path)
{
    if (path->count == 0)
        return fail(p, HF_CONFLICT, "the whole document cannot be removed");
    json_t *parent = open_parent(p, path);
    const char *token = path->tokens[path->count - 1];
    size_t index;
    if (!parent)
        return false;
    if (json_is_object(parent))
        return json_object_del(parent, token) == 0 || fail(p, HF_CONFLICT, "there is nothing to remove");
    if (!json_is_array(parent) || !hf_json_token_index(token, &index) || index >= json_array_size(parent))
        return fail(p, HF_CONFLICT, "there is nothing to remove");
    if (!work(p, (json_array_size(parent) - index) / MOVED_AT_ONCE))
        return false;
    return json_array_remove(parent, index) == 0 || fail(p, HF_OVERLOADED, "there is not enough memory");
}

/* The container that holds the last token, with nobody but this document holding it or what leads to it. */
static json_t *open_parent(struct patching *p, const struct hf_json_pointer *path)
{
    json_t *copy, *at;
    if (!own(p, p->root, &copy))
        return NULL;
    if (copy) {
        json_decref(p->root);
        p->root = copy;
    }
    at = p->root;
    for (int i = 0; i + 1 < path->count; i++) {
        size_t index;
        json_t *child = hf_json_token_get(at, path->tokens[i]);
        if (!child) {
            fail(p, HF_CONFLICT, "the way to its place ends before it");
            return NULL;
        }
        if (!own(p, child, &copy))
            return NULL;
        int failed = 0;
        if (copy && json_is_object(at))
            failed = json_object_set_new(at, path->tokens[i], copy);
        else if (copy && hf_json_token_index(path->tokens[i], &index))
            failed = json_array_set_new(at, index, copy);
        HF_ASSERT(!failed); /* they replace, so they take no memory */
        at = copy ? copy : child;
    }
    return at;
}

/* *copy_out is to take the container's place; NULL: it need not. */
static bool own(struct patching *p, json_t *container, json_t **copy_out)
{
    *copy_out = NULL;
    size_t count = json_is_object(container) ? json_object_size(container) : json_array_size(container);
    if (container->refcount == 1 || (!json_is_object(container) && !json_is_array(container)))
        return true;
    if (!work(p, 1 + count))
        return false;
    *copy_out = json_copy(container);
    return *copy_out || fail(p, HF_OVERLOADED, "there is not enough memory");
}

/* May value stand below so many containers? A document nested too deep could be stored and never be read again. */
static bool fits(struct patching *p, const json_t *value, int levels)
{
    if (!work(p, 1))
        return false;
    if (levels >= HF_JSON_DEPTH_MAX)
        return fail(p, HF_CONFLICT, "the result would be nested too deep");
    for (size_t i = 0; i < json_array_size(value); i++)
        if (!fits(p, json_array_get(value, i), levels + 1))
            return false;
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)value, name, member)
    {
        if (!fits(p, member, levels + 1))
            return false;
    }
    return true;
}

/* RFC 6902 section 4.6. Looks at no more values than b, which comes from the patch, has. */
static bool equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return equal_numbers(a, b);
    if (json_is_array(a) && json_is_array(b)) {
        size_t count = json_array_size(a);
        for (size_t i = 0; count == json_array_size(b) && i < count; i++)
            if (!equal(json_array_get(a, i), json_array_get(b, i)))
                return false;
        return count == json_array_size(b);
    }
    if (!json_is_object(a) || !json_is_object(b))
        return json_equal(a, b);
    if (json_object_size(a) != json_object_size(b))
        return false;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)b, name, value)
    {
        const json_t *other = json_object_get(a, name);
        if (!other || !equal(other, value))
            return false;
    }
    return true;
}

static bool equal_numbers(const json_t *a, const json_t *b)
{
    if (json_typeof(a) == json_typeof(b))
        return json_equal(a, b);
    const json_t *integer = json_is_integer(a) ? a : b;
    double real = json_real_value(json_is_integer(a) ? b : a);
    if (!(real >= -REAL_INTEGERS_END && real < REAL_INTEGERS_END))
        return false;
    return (double)(json_int_t)real == real && (json_int_t)real == json_integer_value(integer);
}
