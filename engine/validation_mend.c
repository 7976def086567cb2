/* What a reader does that meets a damaged snapshot: it has it mended, now or later, and reads on. */
#include "engine/snapshot_private.h"
#include "engine/validation.h"

#include "core/clock.h"
#include "core/log.h"
#include "repository/repository.h"

#include <string.h>

#define LOOK_AGAIN_MS 60000 /* what was found damaged less long ago is not examined again for each reader */

static bool is_due(struct hf_engine *engine, const char *system, const char *id);
static bool load_chain(struct hf_engine *engine, const char *system, const char *id, struct hf_chain **out,
                       struct hf_error *err);

bool hf_validation_mend(struct hf_engine *engine, const char *system, const char *id)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_validation result;
    struct hf_error err;
    if (!is_due(engine, system, id))
        return false;
    if (hf_validation_run(engine, system, id, true, 0, &arena, &result, &err))
        return strcmp(result.status, "damaged") != 0;
    hf_log(HF_LOG_WARNING, "snapshot_not_mended", err.text, HF_LOG_TEXT("system", system), HF_LOG_TEXT("snapshot", id));
    return false;
}

void hf_validation_mend_later(struct hf_engine *engine, const char *system, const char *id)
{
    if (is_due(engine, system, id) && !hf_snapshot_queue_validation(engine, system, id))
        hf_log(HF_LOG_WARNING, "snapshot_not_mended", "too many snapshots and validations wait; the scrub comes to it",
               HF_LOG_TEXT("system", system), HF_LOG_TEXT("snapshot", id));
}

static bool is_due(struct hf_engine *engine, const char *system, const char *id)
{
    HF_AUTO(arena) struct hf_arena arena;
    hf_arena_init(&arena);
    struct hf_snapshot_row row;
    struct hf_error ignored;
    if (!hf_snapshot_find(engine, system, id, &arena, &row, &ignored))
        return false;
    return strcmp(row.validation_status, "damaged") != 0 || hf_clock_now_ms() - row.validated_at_ms > LOOK_AGAIN_MS;
}

bool hf_validation_load_chain(struct hf_engine *engine, const char *system, const char *id, struct hf_chain **out,
                              struct hf_error *err)
{
    struct hf_chain *chain = NULL;
    int verdict;
    if (!load_chain(engine, system, id, &chain, err))
        return false;
    if (!hf_repository_check_signature(engine->repository, chain, &verdict, err)) {
        hf_chain_free(chain);
        hf_validation_mend_later(engine, system, id); /* so that it is known to be refused */
        return false;
    }
    *out = chain;
    return true;
}

static bool load_chain(struct hf_engine *engine, const char *system, const char *id, struct hf_chain **out,
                       struct hf_error *err)
{
    if (hf_chain_load(out, engine->repository, system, id, err))
        return true;
    if (err->code == HF_NOT_FOUND) /* its row is there */
        hf_error_set(err, HF_DAMAGED, "the file of snapshot %s is missing", id);
    if (err->code != HF_DAMAGED)
        return false;
    struct hf_error again;
    if (hf_validation_mend(engine, system, id) && hf_chain_load(out, engine->repository, system, id, &again))
        return true;
    bool whole = false;
    char why[480];
    struct hf_chain *chain = NULL;
    if (!hf_chain_salvage(&chain, engine->repository, system, id, &whole, why, &again))
        return false;
    if (!whole) {
        hf_chain_free(chain);
        return false;
    }
    *out = chain;
    return true;
}
