/* What a system holds for others (store/shared.h) goes to them when it goes itself. Nobody may have read it for long:
 * it is looked at before, while all that could heal it is still there. */
#ifndef HF_ENGINE_BEQUEST_H
#define HF_ENGINE_BEQUEST_H

#include "engine/engine.h"
#include "store/shared.h"

/* Reads every content that would be handed on, heals what is damaged where its heirs find it, and tells in an event
 * (state.damaged, naming the components) what no copy is left of: that goes on as it is. Takes as long as reading does.
 * name as the system is called. False: the database is away, or something is damaged and a place that may have a copy
 * of it could not be searched: nothing may be deleted now (the code of the reason; the text names the places). With
 * give_up the latter goes on as it is, too, and the event says where nobody could look. Not from a loop thread, nor
 * from the committer's. */
HF_MUST_USE bool hf_bequest_check(struct hf_engine *engine, const char *name, const struct hf_heirs_of *of,
                                  bool give_up, struct hf_error *err);

#endif
