#include "store/shared.h"

#include "core/auto.h"
#include "store/rows.h"
#include "store/states.h"

#define SHARED_COLUMNS 10
#define HEIR_COLUMNS   4
#define HEIRS_AT_ONCE  512

struct heirs {
    struct hf_heir *list; /* owns */
    int64_t count, capacity;
};

/* The row that holds the content of another. */
struct holder {
    struct hf_state_row row;             /* 0: there is none */
    const struct hf_state_row *expected; /* the row that names it, as it has to be */
    bool fits;                           /* it is there, and both say what they have to */
};

struct own_states {
    hf_own_state_fn *each;
    void *context;
};

struct marking {
    struct hf_shared_row *rows;
    int count, next;
};

struct relatives {
    int64_t *ids;
    int count;
};

static void fill_row(struct hf_value *params, const struct hf_shared_row *row);
static bool mark_shared(void *context, const struct hf_state_row *row);
static bool add_heir(void *context, const struct hf_value *values, int count);
static bool give(struct hf_session *session, int64_t system_id, const struct heirs *heirs, struct hf_error *err);
static bool add_relative(void *context, const struct hf_value *values, int count);
static bool replace(struct hf_session *session, void *context, struct hf_error *err);
static bool read_holder(void *context, const struct hf_value *values, int count);
static bool list_heirs(struct hf_session *session, const struct hf_heirs_of *of, int64_t after, struct heirs *out,
                       struct hf_error *err);
static bool read_own(void *context, const struct hf_value *values, int count);

bool hf_shared_insert(struct hf_session *session, struct hf_shared_row *rows, int count, struct hf_error *err)
{
    if (!count)
        return true;
    HF_AUTO(free) struct hf_value *params = hf_alloc((size_t)count * SHARED_COLUMNS * sizeof(*params));
    for (int i = 0; i < count; i++)
        fill_row(params + (size_t)i * SHARED_COLUMNS, &rows[i]);
    int64_t inserted = 0;
    if (!hf_session_exec_many(session, HF_STMT_SHARED_INSERT, params, SHARED_COLUMNS, count, &inserted, err))
        return false;
    for (int i = 0; i < count; i++)
        rows[i].shared = inserted == count;
    if (inserted == count)
        return true;
    struct marking marking = {rows, count, 0};
    return hf_states_tail(session, rows[0].system_id, rows[0].sequence - 1, rows[count - 1].sequence, mark_shared,
                          &marking, err);
}

static void fill_row(struct hf_value *params, const struct hf_shared_row *row)
{
    *params++ = HF_INT(row->system_id);
    *params++ = HF_INT(row->sequence);
    *params++ = HF_INT(row->component_id);
    *params++ = HF_INT(row->version);
    *params++ = HF_INT(row->epoch);
    *params++ = HF_HASH(&row->hash);
    *params++ = hf_text_or(row->content_type, "");
    *params++ = HF_INT(row->committed_at_ms);
    *params++ = HF_INT(row->origin_system_id);
    *params = HF_INT(row->origin_sequence);
}

static bool mark_shared(void *context, const struct hf_state_row *row)
{
    struct marking *marking = context;
    while (marking->next < marking->count && marking->rows[marking->next].sequence < row->sequence)
        marking->next++;
    if (marking->next < marking->count && marking->rows[marking->next].sequence == row->sequence)
        marking->rows[marking->next].shared = true;
    return true;
}

bool hf_shared_give_all(struct hf_session *session, int64_t system_id, struct hf_error *err)
{
    const struct hf_heirs_of of = {.system_id = system_id};
    struct heirs heirs = {0};
    int64_t after = -1;
    bool ok;
    do {
        ok = list_heirs(session, &of, after, &heirs, err) && give(session, system_id, &heirs, err);
        if (heirs.count)
            after = heirs.list[heirs.count - 1].origin_sequence;
    } while (ok && heirs.count == HEIRS_AT_ONCE);
    free(heirs.list);
    return ok;
}

bool hf_shared_give_trimmed(struct hf_session *session, int64_t system_id, int64_t up_to, int64_t limit,
                            struct hf_error *err)
{
    const struct hf_heirs_of of = {.system_id = system_id, .trim = true, .up_to = up_to, .limit = limit};
    struct heirs heirs = {0};
    bool ok = list_heirs(session, &of, -1, &heirs, err) && give(session, system_id, &heirs, err);
    free(heirs.list);
    return ok;
}

/* Of all, HEIRS_AT_ONCE behind after. */
static bool list_heirs(struct hf_session *session, const struct hf_heirs_of *of, int64_t after, struct heirs *out,
                       struct hf_error *err)
{
    /* Most systems share nothing: one look at an index that is empty, before what a trim deletes is found out. */
    int64_t count = of->trim ? 1 : HEIRS_AT_ONCE;
    out->count = 0;
    if (!hf_session_run(session, HF_STMT_HEIRS_LIST, add_heir, out, NULL, err, HF_INT(of->system_id), HF_INT(after),
                        HF_INT(count)))
        return false;
    if (!of->trim || !out->count)
        return true;
    out->count = 0;
    return hf_session_run(session, HF_STMT_HEIRS_TRIMMED, add_heir, out, NULL, err, HF_INT(of->system_id),
                          HF_INT(of->up_to), HF_INT(of->limit));
}

bool hf_shared_list_heirs(struct hf_session *session, const struct hf_heirs_of *of, hf_heir_fn *each, void *context,
                          struct hf_error *err)
{
    struct heirs heirs = {0};
    int64_t after = -1;
    bool ok, more;
    do {
        ok = list_heirs(session, of, after, &heirs, err);
        more = ok && !of->trim && heirs.count == HEIRS_AT_ONCE;
        for (int64_t i = 0; ok && i < heirs.count; i++) {
            after = heirs.list[i].origin_sequence;
            if (!each(context, &heirs.list[i])) {
                more = false;
                break;
            }
        }
    } while (more);
    free(heirs.list);
    return ok;
}

static bool add_heir(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct heirs *heirs = context;
    if (heirs->count == heirs->capacity) {
        heirs->capacity = heirs->capacity ? heirs->capacity * 2 : 64;
        heirs->list = hf_realloc(heirs->list, (size_t)heirs->capacity * sizeof(heirs->list[0]));
    }
    heirs->list[heirs->count++] =
        (struct hf_heir){hf_value_int(&values[0]), hf_value_int(&values[1]), hf_value_int(&values[2])};
    return true;
}

static bool give(struct hf_session *session, int64_t system_id, const struct heirs *heirs, struct hf_error *err)
{
    static const enum hf_statement steps[] = {HF_STMT_HEIR_TAKE, HF_STMT_HEIR_CHUNKS, HF_STMT_HEIR_FOLLOW};
    struct hf_value params[HEIRS_AT_ONCE * HEIR_COLUMNS];
    for (int64_t first = 0; first < heirs->count; first += HEIRS_AT_ONCE) {
        int count = 0;
        for (; count < HEIRS_AT_ONCE && first + count < heirs->count; count++) {
            const struct hf_heir *heir = &heirs->list[first + count];
            struct hf_value *next = params + (size_t)count * HEIR_COLUMNS;
            next[0] = HF_INT(heir->system_id);
            next[1] = HF_INT(heir->sequence);
            next[2] = HF_INT(system_id);
            next[3] = HF_INT(heir->origin_sequence);
        }
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
            if (!hf_session_exec_many(session, steps[i], params, HEIR_COLUMNS, count, NULL, err))
                return false;
    }
    return true;
}

bool hf_shared_join_family(struct hf_session *session, int64_t system_id, int64_t origin_system_id, int64_t family,
                           struct hf_error *err)
{
    return hf_session_run(session, HF_STMT_FAMILY_JOIN, NULL, NULL, NULL, err, HF_INT(system_id),
                          HF_INT(origin_system_id), HF_INT(family));
}

bool hf_shared_relatives(struct hf_session *session, int64_t system_id, int limit, int64_t *ids_out, int *count_out,
                         struct hf_error *err)
{
    struct relatives relatives = {ids_out, 0};
    if (!hf_session_run(session, HF_STMT_RELATIVES, add_relative, &relatives, NULL, err, HF_INT(system_id),
                        HF_INT(limit)))
        return false;
    *count_out = relatives.count;
    return true;
}

static bool add_relative(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct relatives *relatives = context;
    relatives->ids[relatives->count++] = hf_value_int(&values[0]);
    return true;
}

bool hf_shared_replace(struct hf_session *session, const struct hf_state_row *row, struct hf_error *err)
{
    struct hf_state_row replaced = *row;
    return hf_session_transaction(session, replace, &replaced, err);
}

static bool replace(struct hf_session *session, void *context, struct hf_error *err)
{
    const struct hf_state_row *row = context;
    struct holder holder = {.row = {.bytes = row->bytes, .content = row->content}, .expected = row};
    if (!hf_session_run(session, HF_STMT_HOLDER_GET, read_holder, &holder, NULL, err, HF_INT(row->system_id),
                        HF_INT(row->sequence)))
        return false;
    if (holder.fits)
        return hf_states_set_content(session, &holder.row, err);
    const struct hf_value follow[] = {HF_INT(row->system_id), HF_INT(row->sequence), HF_INT(holder.row.system_id),
                                      HF_INT(holder.row.sequence)};
    return hf_states_replace(session, row, err) &&
           (!holder.row.system_id ||
            hf_session_exec_many(session, HF_STMT_HEIR_FOLLOW, follow, HEIR_COLUMNS, 1, NULL, err));
}

/* A row that says another hash itself has lost more than its content: what it named is left alone then. One that says
 * anything else that is not so would stay wrong with its content written elsewhere: it does not fit. */
static bool read_holder(void *context, const struct hf_value *values, int count)
{
    (void)count;
    struct holder *holder = context;
    const struct hf_state_row *expected = holder->expected;
    struct hf_columns columns = {values};
    struct hf_hash named, held;
    int64_t system_id = hf_columns_int(&columns), sequence = hf_columns_int(&columns);
    hf_columns_hash(&columns, &named);
    if (!hf_hash_equal(&named, &expected->hash))
        return false;
    holder->row.system_id = system_id;
    holder->row.sequence = sequence;
    int64_t component_id = hf_columns_int(&columns), version = hf_columns_int(&columns);
    int64_t bytes = hf_columns_optional_int(&columns);
    hf_columns_hash(&columns, &held);
    int64_t held_bytes = hf_columns_optional_int(&columns);
    holder->fits = component_id == expected->component_id && version == expected->version && bytes == expected->bytes &&
                   hf_hash_equal(&held, &named) && held_bytes == expected->bytes;
    return false;
}

bool hf_shared_list_own(struct hf_session *session, int64_t system_id, hf_own_state_fn *each, void *context,
                        struct hf_error *err)
{
    struct own_states own = {each, context};
    return hf_session_run(session, HF_STMT_STATES_OWN, read_own, &own, NULL, err, HF_INT(system_id));
}

static bool read_own(void *context, const struct hf_value *values, int count)
{
    (void)count;
    const struct own_states *own = context;
    struct hf_columns columns = {values};
    struct hf_hash hash;
    int64_t sequence = hf_columns_int(&columns);
    hf_columns_hash(&columns, &hash);
    return own->each(own->context, sequence, &hash);
}
