/* Validations that clients ask for. However many ask, one thread a system works on them: who asks for what is under way
 * or waits its turn already gets the same verdict, others wait, and past a few they are refused. Nobody waits on a
 * thread of his own. */
#ifndef HF_ENGINE_VALIDATION_ASK_H
#define HF_ENGINE_VALIDATION_ASK_H

#include "engine/validation.h"

#define HF_VALIDATIONS_WAITING_MAX 2 /* of a system, besides the one under way */

/* Who wants to know; the caller's, until told. */
struct hf_validation_asker {
    /* Called once. result NULL: there is no verdict, and err says why. Both are valid during the call. On the thread
     * of whoever works on the system's validations, which holds no lock. */
    void (*tell)(struct hf_validation_asker *asker, const struct hf_validation *result, const struct hf_error *err);
    struct hf_validation_asker *next;
};

/* False: refused (HF_OVERLOADED: enough wait already; HF_NOT_FOUND: no such system). True: the asker is told, once,
 * perhaps before this returns. The calling thread may be kept for this and the validations that others ask for
 * meanwhile. HF_SHUTTING_DOWN is told after hf_engine_break_off. id is a snapshot's, not "latest". */
HF_MUST_USE bool hf_validation_ask(struct hf_engine *engine, const char *system, const char *id, bool deep,
                                   struct hf_validation_asker *asker, struct hf_error *err);

#endif
