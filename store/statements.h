/* Every SQL statement, as one row: name, parameter types, PostgreSQL text, SQLite text (NULL where both read the
 * same). Types: i bigint, r double precision, t text, b bytea; a row marked MANY takes arrays in PostgreSQL.
 * Parameters are $1, $2, … in both engines. The rows are in statements.c. */
#ifndef HF_STORE_STATEMENTS_H
#define HF_STORE_STATEMENTS_H

#include <stdbool.h>

enum hf_statement {
    /* systems */
    HF_STMT_SYSTEM_INSERT,
    HF_STMT_SYSTEMS_LIST,
    HF_STMT_SYSTEM_GET,     /* by id */
    HF_STMT_SYSTEM_ADVANCE, /* sequence and batch_id, only where the old sequence still holds */
    HF_STMT_SYSTEM_OUTCOME, /* sequence, epoch, batch_id by id */
    HF_STMT_SYSTEM_SET_SETTINGS,
    HF_STMT_SYSTEM_SET_FOLDED,
    HF_STMT_SYSTEM_REVEAL, /* everything that a fork learns when it is complete */
    HF_STMT_SYSTEM_DELETE,
    HF_STMT_SYSTEM_DELETE_COMPONENTS, /* this and the next ones: by pieces of at most $2 rows */
    HF_STMT_SYSTEM_DELETE_STATES,
    HF_STMT_SYSTEM_DELETE_CHUNKS,
    HF_STMT_SYSTEM_DELETE_SNAPSHOTS,
    HF_STMT_SYSTEM_DELETE_RECOVERIES,
    HF_STMT_SYSTEM_DELETE_RECOVERY_COMPONENTS, /* by whole recoveries */
    HF_STMT_SYSTEM_DELETE_VALIDATIONS,
    HF_STMT_SYSTEM_DELETE_EVENTS,
    HF_STMT_SYSTEM_DELETE_KEYS,
    HF_STMT_SYSTEM_DELETE_DRILLS,
    /* components */
    HF_STMT_COMPONENTS_INSERT, /* MANY */
    HF_STMT_COMPONENTS_LIST,
    HF_STMT_COMPONENTS_FOLD, /* MANY: head and health columns */
    HF_STMT_COMPONENT_REGISTER,
    HF_STMT_COMPONENT_FORGET, /* only one that never had a state */
    HF_STMT_COMPONENT_RENAME,
    HF_STMT_COMPONENTS_DISAGREEING, /* heads that are not what their row of component_states says */
    HF_STMT_COMPONENTS_PASSED_OVER, /* heads that are not the newest row, or that are not there */
    /* states */
    HF_STMT_STATES_INSERT, /* MANY */
    HF_STMT_CHUNKS_INSERT, /* MANY */
    HF_STMT_STATES_TAIL,   /* metadata of rows after a sequence, in order */
    HF_STMT_STATE_GET,     /* by system, sequence, with content, and whose chunks they would be */
    HF_STMT_CHUNKS_GET,
    HF_STMT_STATE_WALK_VERSION,  /* the row of one version, walking back from a sequence */
    HF_STMT_STATE_WALK_SEQUENCE, /* the newest row at or before a sequence, walking back */
    HF_STMT_STATE_WALK_LIST,     /* up to n rows, newest first, walking back */
    HF_STMT_STATES_REPLACED,     /* what the rows after a sequence took the place of, as it was then */
    HF_STMT_STATE_BEFORE,        /* sequence and time of the newest row at or before a sequence */
    HF_STMT_STATE_AFTER,         /* sequence and time of the oldest row behind a sequence */
    HF_STMT_STATES_OLDEST,       /* sequence and time of the oldest row kept */
    HF_STMT_STATE_PREVIOUS,      /* sequence of a component's newest row below a sequence */
    HF_STMT_STATES_OF_HASH,      /* sequences of the rows with a content, newest first; looks at all of the system's */
    HF_STMT_STATES_OWN,          /* sequence and hash of all rows that hold a content of their own */
    HF_STMT_STATE_DELETE,        /* one row, without its chunks */
    HF_STMT_STATES_TRIM,         /* delete superseded rows up to a sequence; returns sequence and bytes of each */
    HF_STMT_CHUNKS_TRIM,         /* of one row */
    HF_STMT_STATES_FLOOR,        /* the newest row whose predecessor is no longer kept */
    HF_STMT_STATES_USAGE,        /* count and own bytes of the rows up to a sequence that a trim would delete */
    /* contents shared between systems; an heir names another row as the one that holds its content */
    HF_STMT_SHARED_INSERT, /* MANY: only rows whose origin holds that hash */
    HF_STMT_HEIRS_LIST,    /* the first heir of each of a system's rows after a sequence; at most $3 */
    HF_STMT_HEIRS_TRIMMED, /* the same, of the rows that a trim would delete */
    HF_STMT_HEIR_TAKE,     /* MANY: the heir gets the content, and names nobody any more */
    HF_STMT_HEIR_CHUNKS,   /* MANY: the same with chunks */
    HF_STMT_HEIR_FOLLOW,   /* MANY: the other heirs name the first */
    HF_STMT_RELATIVES,     /* the others of a system's family; at most $2 */
    HF_STMT_FAMILY_JOIN,   /* $1 gets the family of $2, which gets $3 if it has none */
    HF_STMT_HOLDER_GET, /* a row and the one that holds its content: that one's hash and bytes are NULL if it is gone */
    HF_STMT_STATE_SET_CONTENT,
    /* snapshots */
    HF_STMT_SNAPSHOT_INSERT,
    HF_STMT_SNAPSHOT_GET,
    HF_STMT_SNAPSHOTS_LIST,
    HF_STMT_SNAPSHOT_LATEST,
    HF_STMT_SNAPSHOT_UPDATE,    /* label, pinned */
    HF_STMT_SNAPSHOT_SET_STATE, /* state and validation columns */
    HF_STMT_SNAPSHOT_DELETE,
    /* recoveries */
    HF_STMT_RECOVERY_INSERT,
    HF_STMT_RECOVERY_GET,
    HF_STMT_RECOVERIES_LIST,
    HF_STMT_RECOVERY_UPDATE, /* only where the old status still holds */
    HF_STMT_RECOVERIES_TRIM, /* older than a moment, never the newest, without components; at most $3 */
    /* what clients report about a recovery */
    HF_STMT_RECOVERY_COMPONENTS_INSERT, /* MANY */
    HF_STMT_RECOVERY_COMPONENTS_LIST,
    HF_STMT_RECOVERY_COMPONENT_GET,
    HF_STMT_RECOVERY_COMPONENT_REPORT,
    HF_STMT_RECOVERY_COMPONENTS_PENDING, /* the first names */
    HF_STMT_RECOVERY_COMPONENTS_FAILED,
    HF_STMT_RECOVERY_COMPONENTS_COUNT, /* by status */
    HF_STMT_RECOVERY_COMPONENTS_TRIM,  /* of recoveries that may go; at most $3 */
    HF_STMT_RECOVERY_WAITING_GET,
    HF_STMT_RECOVERY_WAITING_BEGIN,
    HF_STMT_RECOVERY_WAITING_END, /* only where it is pending or applied */
    HF_STMT_RECOVERY_WAITING_OVERDUE,
    /* validations, events, keys */
    HF_STMT_VALIDATION_INSERT,
    HF_STMT_VALIDATIONS_LIST,
    HF_STMT_VALIDATIONS_FORGET, /* of one snapshot: all but those of the newest $3 runs */
    HF_STMT_VALIDATIONS_TRIM,   /* older than a moment, of snapshots that are gone; at most $3 */
    HF_STMT_EVENT_INSERT,       /* MANY */
    HF_STMT_EVENTS_LIST,
    HF_STMT_EVENTS_LIST_NEWEST,
    HF_STMT_EVENTS_NEWEST, /* the greatest id, of all systems */
    HF_STMT_EVENTS_TRIM,
    HF_STMT_KEY_INSERT,
    HF_STMT_KEY_GET,
    HF_STMT_KEYS_TRIM,
    /* drills */
    HF_STMT_DRILL_INSERT, /* only while there is the system */
    HF_STMT_DRILLS_LIST,
    HF_STMT_DRILLS_NEWEST, /* of every system; $1 a status, or NULL */
    HF_STMT_DRILLS_TRIM,   /* older than a moment, never the newest, nor the newest that passed; at most $3 */
    HF_STMT_COUNT
};

struct hf_statement_row {
    const char *name;
    const char *params; /* one letter a parameter */
    bool many;
    const char *postgres;
    const char *sqlite; /* NULL: the same text */
};
extern const struct hf_statement_row hf_statements[HF_STMT_COUNT];

#endif
