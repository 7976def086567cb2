#include "store/shared.h"

#include "core/auto.h"
#include "store/rows.h"
#include "store/states.h"

#define SHARED_COLUMNS 10
#define HEIR_COLUMNS   4
#define HEIRS_AT_ONCE  512

struct heir {
    int64_t origin_sequence;
    int64_t system_id, sequence;
};

struct heirs {
    struct heir *list; /* owns */
    int64_t count, capacity;
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
    struct heirs heirs = {0};
    int64_t after = -1;
    bool ok;
    do {
        heirs.count = 0;
        ok = hf_session_run(session, HF_STMT_HEIRS_LIST, add_heir, &heirs, NULL, err, HF_INT(system_id), HF_INT(after),
                            HF_INT(HEIRS_AT_ONCE)) &&
             give(session, system_id, &heirs, err);
        if (heirs.count)
            after = heirs.list[heirs.count - 1].origin_sequence;
    } while (ok && heirs.count == HEIRS_AT_ONCE);
    free(heirs.list);
    return ok;
}

bool hf_shared_give_trimmed(struct hf_session *session, int64_t system_id, int64_t up_to, int64_t limit,
                            struct hf_error *err)
{
    /* Most systems share nothing: one look at an index that is empty, before what a trim deletes is found out. */
    struct heirs heirs = {0};
    bool ok = hf_session_run(session, HF_STMT_HEIRS_LIST, add_heir, &heirs, NULL, err, HF_INT(system_id), HF_INT(-1),
                             HF_INT(1));
    if (ok && heirs.count) {
        heirs.count = 0;
        ok = hf_session_run(session, HF_STMT_HEIRS_TRIMMED, add_heir, &heirs, NULL, err, HF_INT(system_id),
                            HF_INT(up_to), HF_INT(limit)) &&
             give(session, system_id, &heirs, err);
    }
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
        (struct heir){hf_value_int(&values[0]), hf_value_int(&values[1]), hf_value_int(&values[2])};
    return true;
}

static bool give(struct hf_session *session, int64_t system_id, const struct heirs *heirs, struct hf_error *err)
{
    static const enum hf_statement steps[] = {HF_STMT_HEIR_TAKE, HF_STMT_HEIR_CHUNKS, HF_STMT_HEIR_FOLLOW};
    struct hf_value params[HEIRS_AT_ONCE * HEIR_COLUMNS];
    for (int64_t first = 0; first < heirs->count; first += HEIRS_AT_ONCE) {
        int count = 0;
        for (; count < HEIRS_AT_ONCE && first + count < heirs->count; count++) {
            const struct heir *heir = &heirs->list[first + count];
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
