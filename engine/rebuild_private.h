/* What the parts of a rebuild share: rebuild.c (opening, setting aside, going through the systems),
 * rebuild_system.c (one system from its files) and rebuild_mend.c (mending them first). Not for others. */
#ifndef HF_ENGINE_REBUILD_PRIVATE_H
#define HF_ENGINE_REBUILD_PRIVATE_H

#include "core/arena.h"
#include "core/auto.h"
#include "core/buf.h"
#include "engine/engine.h"
#include "engine/rebuild.h"
#include "engine/rebuild_rescue.h"

#include <string.h>

/* One snapshot file; texts in the arena of the rebuild. */
struct hf_rebuild_file {
    struct hf_manifest_header header; /* of a damaged one: system, id, kind, and what the id says */
    const char *file;
    int64_t file_bytes;
    const char *damage; /* NULL: sound so far */
    bool mended;        /* or nothing better was found */
};

struct hf_rebuild {
    struct hf_engine *engine;
    struct hf_session *session; /* the only one there is */
    const char *why;            /* "the database was missing", … */
    struct hf_rescue *rescue;   /* the damaged database; NULL: none that can be read */
    struct hf_arena arena;
    struct hf_rebuild_file *files; /* by system; owns */
    int64_t file_count, file_capacity;
    int64_t last_system_id;
    int64_t rebuilt;
};

/* Came from elsewhere, perhaps from another system: never what a system is rebuilt from. */
static inline bool hf_rebuild_file_is_import(const struct hf_rebuild_file *file)
{
    return strcmp(file->header.trigger, "import") == 0;
}

/* Files of one system, newest first; all are imports, or none. Brings it back, or starts it fresh above what the files
 * say. An I/O error that stays is HF_IO and nothing is decided. */
HF_MUST_USE bool hf_rebuild_system(struct hf_rebuild *rebuild, struct hf_rebuild_file *files, int64_t count,
                                   struct hf_error *err);

/* A system of which no snapshot file is left, from the damaged database alone. */
HF_MUST_USE bool hf_rebuild_rescued_system(struct hf_rebuild *rebuild, const struct hf_system_row *old,
                                           struct hf_error *err);

/* Mends a damaged one, and those that it builds on, each once; its header and damage are read again. True: it is worth
 * another try. */
bool hf_rebuild_mend(struct hf_rebuild *rebuild, struct hf_rebuild_file *files, int64_t count, int64_t index,
                     int64_t system_id);

#endif
