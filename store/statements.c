#include "store/statements.h"

#include <stddef.h>

/* Columns, in the order in which the row modules bind and read them. */
#define SYSTEM_COLUMNS                                                                                                 \
    "id, name, description, sequence, epoch, folded_sequence, batch_id, backup_interval_ms, incremental_interval_ms, " \
    "max_retention_hours, created_at_ms, committed_at_ms"
#define COMPONENT_COLUMNS                                                                                              \
    "system_id, component_id, name, kind, depends_on, required_pointers, heartbeat_interval_ms, registered_at_ms, "    \
    "version, sequence, hash, bytes, content_type, committed_at_ms, deleted, health, status, metrics, "                \
    "heartbeat_at_ms, last_activity_at_ms, created_at_ms"
#define STATE_COLUMNS                                                                                                  \
    "sequence, component_id, version, previous_sequence, epoch, hash, bytes, content_type, committed_at_ms, event, "   \
    "deleted"
#define STATE_COLUMNS_OF_S                                                                                             \
    "s.sequence, s.component_id, s.version, s.previous_sequence, s.epoch, s.hash, s.bytes, s.content_type, "           \
    "s.committed_at_ms, s.event, s.deleted"
#define SHARED_COLUMNS                                                                                                 \
    "system_id, sequence, component_id, version, previous_sequence, epoch, hash, bytes, content_type, "                \
    "committed_at_ms, deleted, origin_system_id, origin_sequence"
#define SNAPSHOT_COLUMNS                                                                                               \
    "system_id, id, kind, trigger_name, label, reason, generation, parent, sequence, epoch, root_hash, components, "   \
    "changed, deleted, state_bytes, file_bytes, file, cut_at_ms, completed_at_ms, duration_ms, state, "                \
    "validation_status, validated_at_ms, quality_score, pinned"
#define RECOVERY_COLUMNS                                                                                               \
    "system_id, id, source, snapshot, at_ms, status, reason, epoch, sequence_before, sequence_after, data_loss_ms, "   \
    "data_loss_versions, data_loss_bytes, data_loss_components, started_at_ms, completed_at_ms, detail"
#define RECOVERY_COMPONENT_COLUMNS "component, wave, status, detail, duration_ms, reported_at_ms"
#define VALIDATION_COLUMNS         "system_id, snapshot, check_name, status, detail, quality_score, checked_at_ms, data"
#define DRILL_COLUMNS              "system_id, id, snapshot, sequence, started_at_ms, duration_ms, components, bytes, status, detail"
#define EVENT_COLUMNS              "system_id, at_ms, severity, type, text, data"

#define P4  "$1, $2, $3, $4"
#define P6  P4 ", $5, $6"
#define P7  P6 ", $7"
#define P8  P7 ", $8"
#define P10 P8 ", $9, $10"
#define P12 P8 ", $9, $10, $11, $12"
#define P13 P12 ", $13"
#define P17 P13 ", $14, $15, $16, $17"
#define P21 P17 ", $18, $19, $20, $21"
#define P25 P21 ", $22, $23, $24, $25"

/* The versions of one component from sequence $2 back along the chain, as long as the condition on walk holds. The
 * chain only ever leads to smaller sequences; a damaged one must not send us round in circles. */
#define WALK_BACK_WHILE(condition)                                                                                     \
    "WITH RECURSIVE walk(" STATE_COLUMNS ") AS (SELECT " STATE_COLUMNS " FROM component_states"                        \
    " WHERE system_id = $1 AND sequence = $2 UNION ALL SELECT " STATE_COLUMNS_OF_S                                     \
    " FROM walk JOIN component_states AS s ON s.system_id = $1 AND s.sequence = walk.previous_sequence"                \
    " WHERE s.sequence < walk.sequence AND " condition ") "

/* Rows that a newer version at or before $2 has superseded: the newer one, n, names the one before it. Neither a
 * component's newest version nor the one that was current at $2 can be among them. */
#define SUPERSEDED                                                                                                     \
    "FROM component_states AS n JOIN component_states AS s ON s.system_id = n.system_id"                               \
    " AND s.sequence = n.previous_sequence WHERE n.system_id = $1 AND n.sequence <= $2"

/* Of each row of system $1 that others name as the holder of their content, the first of those others. */
#define FIRST_HEIRS                                                                                                    \
    "SELECT h.origin_sequence, h.system_id, h.sequence FROM component_states AS h WHERE h.origin_system_id = $1"       \
    " AND NOT EXISTS (SELECT 1 FROM component_states AS e WHERE e.origin_system_id = h.origin_system_id"               \
    " AND e.origin_sequence = h.origin_sequence AND (e.system_id, e.sequence) < (h.system_id, h.sequence))"
#define HEIRS                                                                                                          \
    "unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS u(system_id, sequence, origin_system_id,"       \
    " origin_sequence)"

/* Deletes by pieces of $2 rows, so that even a large system goes in calls of bounded length. */
#define DELETE_SOME(table, key)                                                                                        \
    "DELETE FROM " table " WHERE system_id = $1 AND " key " IN (SELECT " key " FROM " table                            \
    " WHERE system_id = $1 ORDER BY " key " LIMIT $2)"

const struct hf_statement_row hf_statements[HF_STMT_COUNT] = {
    [HF_STMT_SYSTEM_INSERT] = {"system_insert", "ittiiiiiiiii", false,
                               "INSERT INTO systems (" SYSTEM_COLUMNS ") VALUES (" P12 ")", NULL},
    [HF_STMT_SYSTEMS_LIST] = {"systems_list", "", false, "SELECT " SYSTEM_COLUMNS " FROM systems ORDER BY id", NULL},
    [HF_STMT_SYSTEM_GET] = {"system_get", "i", false, "SELECT " SYSTEM_COLUMNS " FROM systems WHERE id = $1", NULL},
    [HF_STMT_SYSTEM_ADVANCE] = {"system_advance", "iiiiii", false,
                                "UPDATE systems SET sequence = $3, epoch = $4, batch_id = $5, committed_at_ms = $6"
                                " WHERE id = $1 AND sequence = $2",
                                NULL},
    [HF_STMT_SYSTEM_OUTCOME] = {"system_outcome", "i", false,
                                "SELECT sequence, epoch, batch_id FROM systems WHERE id = $1", NULL},
    [HF_STMT_SYSTEM_SET_SETTINGS] = {"system_set_settings", "itiii", false,
                                     "UPDATE systems SET description = $2, backup_interval_ms = $3,"
                                     " incremental_interval_ms = $4, max_retention_hours = $5 WHERE id = $1",
                                     NULL},
    [HF_STMT_SYSTEM_SET_FOLDED] = {"system_set_folded", "ii", false,
                                   "UPDATE systems SET folded_sequence = $2 WHERE id = $1", NULL},
    [HF_STMT_SYSTEM_REVEAL] = {"system_reveal", "ittiii", false,
                               "UPDATE systems SET name = $2, description = $3, sequence = $4, folded_sequence = $4,"
                               " batch_id = $5, created_at_ms = $6, committed_at_ms = $6 WHERE id = $1",
                               NULL},
    [HF_STMT_SYSTEM_DELETE] = {"system_delete", "i", false, "DELETE FROM systems WHERE id = $1", NULL},
    [HF_STMT_SYSTEM_DELETE_COMPONENTS] = {"system_delete_components", "ii", false,
                                          DELETE_SOME("component_state_tracking", "component_id"), NULL},
    [HF_STMT_SYSTEM_DELETE_STATES] = {"system_delete_states", "ii", false, DELETE_SOME("component_states", "sequence"),
                                      NULL},
    [HF_STMT_SYSTEM_DELETE_CHUNKS] = {"system_delete_chunks", "ii", false, DELETE_SOME("state_chunks", "sequence"),
                                      NULL},
    [HF_STMT_SYSTEM_DELETE_SNAPSHOTS] = {"system_delete_snapshots", "ii", false,
                                         DELETE_SOME("system_state_snapshots", "id"), NULL},
    [HF_STMT_SYSTEM_DELETE_RECOVERIES] = {"system_delete_recoveries", "ii", false,
                                          DELETE_SOME("system_recovery_logs", "id"), NULL},
    [HF_STMT_SYSTEM_DELETE_RECOVERY_COMPONENTS] = {"system_delete_recovery_components", "ii", false,
                                                   DELETE_SOME("recovery_components", "recovery_id"), NULL},
    [HF_STMT_SYSTEM_DELETE_VALIDATIONS] = {"system_delete_validations", "ii", false,
                                           DELETE_SOME("state_validation_results", "id"), NULL},
    [HF_STMT_SYSTEM_DELETE_EVENTS] = {"system_delete_events", "ii", false, DELETE_SOME("events", "id"), NULL},
    [HF_STMT_SYSTEM_DELETE_DRILLS] = {"system_delete_drills", "ii", false, DELETE_SOME("restore_drills", "id"), NULL},
    [HF_STMT_SYSTEM_DELETE_KEYS] = {"system_delete_keys", "ii", false, DELETE_SOME("idempotency_keys", "key"), NULL},

    [HF_STMT_COMPONENTS_INSERT] =
        {"components_insert", "iittttiiiibitiirttiii", true,
         "INSERT INTO component_state_tracking (" COMPONENT_COLUMNS ") SELECT * FROM unnest($1::bigint[], $2::bigint[],"
         " $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],"
         " $11::bytea[], $12::bigint[], $13::text[], $14::bigint[], $15::bigint[], $16::double precision[],"
         " $17::text[], $18::text[], $19::bigint[], $20::bigint[], $21::bigint[])",
         "INSERT INTO component_state_tracking (" COMPONENT_COLUMNS ") VALUES (" P21 ")"},
    [HF_STMT_COMPONENTS_LIST] = {"components_list", "i", false,
                                 "SELECT " COMPONENT_COLUMNS " FROM component_state_tracking WHERE system_id = $1"
                                 " ORDER BY component_id",
                                 NULL},
    [HF_STMT_COMPONENTS_FOLD] =
        {"components_fold", "iiiibitiirttii", true,
         "UPDATE component_state_tracking AS c SET version = u.version, sequence = u.sequence, hash = u.hash,"
         " bytes = u.bytes, content_type = u.content_type, committed_at_ms = u.committed_at_ms, deleted = u.deleted,"
         " health = u.health, status = u.status, metrics = u.metrics, heartbeat_at_ms = u.heartbeat_at_ms,"
         " last_activity_at_ms = u.last_activity_at_ms FROM unnest($1::bigint[], $2::bigint[], $3::bigint[],"
         " $4::bigint[], $5::bytea[], $6::bigint[], $7::text[], $8::bigint[], $9::bigint[], $10::double precision[],"
         " $11::text[], $12::text[], $13::bigint[], $14::bigint[]) AS u(system_id, component_id, version, sequence,"
         " hash, bytes, content_type, committed_at_ms, deleted, health, status, metrics, heartbeat_at_ms,"
         " last_activity_at_ms) WHERE c.system_id = u.system_id AND c.component_id = u.component_id",
         "UPDATE component_state_tracking SET version = $3, sequence = $4, hash = $5, bytes = $6, content_type = $7,"
         " committed_at_ms = $8, deleted = $9, health = $10, status = $11, metrics = $12, heartbeat_at_ms = $13,"
         " last_activity_at_ms = $14 WHERE system_id = $1 AND component_id = $2"},
    [HF_STMT_COMPONENT_REGISTER] = {"component_register", "iitttii", false,
                                    "UPDATE component_state_tracking SET kind = $3, depends_on = $4,"
                                    " required_pointers = $5, heartbeat_interval_ms = $6, registered_at_ms = $7"
                                    " WHERE system_id = $1 AND component_id = $2",
                                    NULL},
    [HF_STMT_COMPONENT_FORGET] = {"component_forget", "ii", false,
                                  "DELETE FROM component_state_tracking WHERE system_id = $1 AND component_id = $2"
                                  " AND version = 0",
                                  NULL},

    [HF_STMT_COMPONENT_RENAME] = {"component_rename", "iit", false,
                                  "UPDATE component_state_tracking SET name = $3"
                                  " WHERE system_id = $1 AND component_id = $2",
                                  NULL},
    /* By primary keys: as many look-ups as there are components. */
    [HF_STMT_COMPONENTS_DISAGREEING] =
        {"components_disagreeing", "i", false,
         "SELECT c.component_id, CASE WHEN s.component_id = c.component_id THEN s.sequence ELSE 0 END"
         " FROM component_state_tracking AS c LEFT JOIN component_states AS s ON s.system_id = c.system_id"
         " AND s.sequence = c.sequence WHERE c.system_id = $1 AND (c.version <> 0 OR c.sequence <> 0)"
         " AND (s.sequence IS NULL OR s.component_id <> c.component_id OR s.version <> c.version"
         " OR s.bytes <> c.bytes OR s.deleted <> c.deleted OR c.hash IS NULL OR s.hash <> c.hash"
         " OR s.content_type <> c.content_type)",
         NULL},
    [HF_STMT_COMPONENTS_PASSED_OVER] =
        {"components_passed_over", "iiii", false,
         "SELECT n.component_id, n.newest FROM (SELECT component_id, CAST(max(sequence) AS bigint) AS newest"
         " FROM component_states WHERE system_id = $1 AND sequence > $2 AND sequence <= $3 GROUP BY component_id) AS n"
         " LEFT JOIN component_state_tracking AS c ON c.system_id = $1 AND c.component_id = n.component_id"
         " WHERE c.component_id IS NULL OR (n.newest <= $4 AND c.sequence <> n.newest)",
         NULL},

    [HF_STMT_STATES_INSERT] =
        {"states_insert", "iiiiiibitiitb", true,
         "INSERT INTO component_states (system_id, sequence, component_id, version, previous_sequence, epoch, hash,"
         " bytes, content_type, committed_at_ms, deleted, event, content) SELECT * FROM unnest($1::bigint[],"
         " $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bigint[],"
         " $9::text[], $10::bigint[], $11::bigint[], $12::text[], $13::bytea[])",
         "INSERT INTO component_states (system_id, sequence, component_id, version, previous_sequence, epoch, hash,"
         " bytes, content_type, committed_at_ms, deleted, event, content) VALUES (" P13 ")"},
    [HF_STMT_CHUNKS_INSERT] = {"chunks_insert", "iiib", true,
                               "INSERT INTO state_chunks (system_id, sequence, chunk_index, content)"
                               " SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[])",
                               "INSERT INTO state_chunks (system_id, sequence, chunk_index, content) VALUES (" P4 ")"},
    [HF_STMT_STATES_TAIL] = {"states_tail", "iii", false,
                             "SELECT " STATE_COLUMNS " FROM component_states WHERE system_id = $1 AND sequence > $2"
                             " AND sequence <= $3 ORDER BY sequence",
                             NULL},
    [HF_STMT_STATE_GET] = {"state_get", "ii", false,
                           "SELECT " STATE_COLUMNS_OF_S ", coalesce(s.content, o.content),"
                           " coalesce(s.origin_system_id, s.system_id), coalesce(s.origin_sequence, s.sequence)"
                           " FROM component_states AS s LEFT JOIN component_states AS o"
                           " ON o.system_id = s.origin_system_id AND o.sequence = s.origin_sequence"
                           " WHERE s.system_id = $1 AND s.sequence = $2",
                           NULL},
    [HF_STMT_CHUNKS_GET] = {"chunks_get", "ii", false,
                            "SELECT content FROM state_chunks WHERE system_id = $1 AND sequence = $2"
                            " ORDER BY chunk_index",
                            NULL},
    [HF_STMT_STATE_WALK_VERSION] = {"state_walk_version", "iii", false,
                                    WALK_BACK_WHILE("walk.version > $3") "SELECT " STATE_COLUMNS
                                                                         " FROM walk WHERE version = $3",
                                    NULL},
    [HF_STMT_STATE_WALK_SEQUENCE] = {"state_walk_sequence", "iii", false,
                                     WALK_BACK_WHILE("walk.sequence > $3") "SELECT " STATE_COLUMNS
                                                                           " FROM walk WHERE sequence <= $3",
                                     NULL},
    /* Versions are consecutive along the chain, so that counting them needs no column of its own. */
    [HF_STMT_STATE_WALK_LIST] =
        {"state_walk_list", "iii", false,
         WALK_BACK_WHILE("s.version > (SELECT version FROM component_states WHERE system_id = $1 AND sequence = $2)"
                         " - $3") "SELECT " STATE_COLUMNS " FROM walk ORDER BY sequence DESC LIMIT $3",
         NULL},
    /* Of a component's rows only the first after $2 names one at or before $2: so no grouping and no second index, and
     * the work grows with what was written since, not with all of history. */
    [HF_STMT_STATES_REPLACED] =
        {"states_replaced", "iii", false,
         "SELECT " STATE_COLUMNS_OF_S ", n.component_id, n.version, n.previous_sequence FROM component_states AS n"
         " LEFT JOIN component_states AS s ON s.system_id = n.system_id AND s.sequence = n.previous_sequence"
         " AND s.component_id = n.component_id WHERE n.system_id = $1 AND n.sequence > $2 AND n.sequence <= $3 AND "
         "n.previous_sequence <= $2",
         NULL},
    [HF_STMT_STATE_BEFORE] = {"state_before", "ii", false,
                              "SELECT sequence, committed_at_ms FROM component_states WHERE system_id = $1"
                              " AND sequence <= $2 ORDER BY sequence DESC LIMIT 1",
                              NULL},
    [HF_STMT_STATE_AFTER] = {"state_after", "ii", false,
                             "SELECT sequence, committed_at_ms FROM component_states WHERE system_id = $1"
                             " AND sequence > $2 ORDER BY sequence LIMIT 1",
                             NULL},
    [HF_STMT_STATES_OLDEST] = {"states_oldest", "i", false,
                               "SELECT sequence, committed_at_ms FROM component_states WHERE system_id = $1"
                               " ORDER BY sequence LIMIT 1",
                               NULL},
    [HF_STMT_STATE_PREVIOUS] = {"state_previous", "iii", false,
                                "SELECT sequence FROM component_states WHERE system_id = $1 AND component_id = $2"
                                " AND sequence < $3 ORDER BY sequence DESC LIMIT 1",
                                NULL},
    [HF_STMT_STATES_OF_HASH] = {"states_of_hash", "ibi", false,
                                "SELECT sequence FROM component_states WHERE system_id = $1 AND hash = $2"
                                " AND deleted = 0 ORDER BY sequence DESC LIMIT $3",
                                NULL},
    [HF_STMT_STATES_OWN] = {"states_own", "i", false,
                            "SELECT sequence, hash FROM component_states WHERE system_id = $1 AND deleted = 0"
                            " AND origin_system_id IS NULL",
                            NULL},
    [HF_STMT_STATE_DELETE] = {"state_delete", "ii", false,
                              "DELETE FROM component_states WHERE system_id = $1 AND sequence = $2", NULL},
    [HF_STMT_STATES_TRIM] =
        {"states_trim", "iii", false,
         "DELETE FROM component_states WHERE system_id = $1 AND sequence IN (SELECT s.sequence " SUPERSEDED
         " ORDER BY n.sequence LIMIT $3) RETURNING sequence, bytes",
         NULL},
    [HF_STMT_CHUNKS_TRIM] = {"chunks_trim", "ii", false,
                             "DELETE FROM state_chunks WHERE system_id = $1 AND sequence = $2", NULL},
    [HF_STMT_STATES_FLOOR] = {"states_floor", "i", false,
                              "SELECT sequence, committed_at_ms FROM component_states AS n WHERE system_id = $1"
                              " AND version > 1 AND NOT EXISTS (SELECT 1 FROM component_states AS s"
                              " WHERE s.system_id = n.system_id AND s.sequence = n.previous_sequence)"
                              " ORDER BY sequence DESC LIMIT 1",
                              NULL},
    [HF_STMT_STATES_USAGE] = {"states_usage", "ii", false,
                              "SELECT CAST(count(*) AS bigint), CAST(coalesce(sum(CASE WHEN s.origin_system_id IS NULL"
                              " THEN s.bytes ELSE 0 END), 0) AS bigint) " SUPERSEDED,
                              NULL},
    [HF_STMT_SHARED_INSERT] =
        {"shared_insert", "iiiiibtiii", true,
         "INSERT INTO component_states (" SHARED_COLUMNS ") SELECT u.system_id, u.sequence, u.component_id, u.version,"
         " 0, u.epoch, s.hash, s.bytes, u.content_type, u.committed_at_ms, 0, coalesce(s.origin_system_id, "
         "s.system_id),"
         " coalesce(s.origin_sequence, s.sequence) FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[],"
         " $5::bigint[], $6::bytea[], $7::text[], $8::bigint[], $9::bigint[], $10::bigint[]) AS u(system_id, sequence,"
         " component_id, version, epoch, hash, content_type, committed_at_ms, origin_system_id, origin_sequence)"
         " JOIN component_states AS s ON s.system_id = u.origin_system_id AND s.sequence = u.origin_sequence"
         " AND s.hash = u.hash AND s.deleted = 0",
         "INSERT INTO component_states (" SHARED_COLUMNS ") SELECT $1, $2, $3, $4, 0, $5, s.hash, s.bytes, $7, $8, 0,"
         " coalesce(s.origin_system_id, s.system_id), coalesce(s.origin_sequence, s.sequence)"
         " FROM component_states AS s WHERE s.system_id = $9 AND s.sequence = $10 AND s.hash = $6 AND s.deleted = 0"},
    [HF_STMT_HEIRS_LIST] = {"heirs_list", "iii", false,
                            FIRST_HEIRS " AND h.origin_sequence > $2 ORDER BY h.origin_sequence LIMIT $3", NULL},
    [HF_STMT_HEIRS_TRIMMED] = {"heirs_trimmed", "iii", false,
                               FIRST_HEIRS " AND h.origin_sequence IN (SELECT s.sequence " SUPERSEDED
                                           " ORDER BY n.sequence LIMIT $3)",
                               NULL},
    [HF_STMT_RELATIVES] = {"relatives", "ii", false,
                           "SELECT r.id FROM systems AS s JOIN systems AS r ON r.family = s.family AND r.id <> s.id"
                           " WHERE s.id = $1 ORDER BY r.id LIMIT $2",
                           NULL},
    [HF_STMT_FAMILY_JOIN] = {"family_join", "iii", false,
                             "UPDATE systems SET family = coalesce((SELECT o.family FROM systems AS o WHERE o.id = $2),"
                             " $3) WHERE id IN ($1, $2)",
                             NULL},
    [HF_STMT_HOLDER_GET] = {"holder_get", "ii", false,
                            "SELECT s.origin_system_id, s.origin_sequence, s.hash, s.component_id, s.version, s.bytes,"
                            " o.hash, o.bytes FROM component_states AS s LEFT JOIN component_states AS o"
                            " ON o.system_id = s.origin_system_id AND o.sequence = s.origin_sequence AND o.deleted = 0"
                            " WHERE s.system_id = $1 AND s.sequence = $2 AND s.origin_system_id IS NOT NULL"
                            " AND s.deleted = 0",
                            NULL},
    [HF_STMT_STATE_SET_CONTENT] = {"state_set_content", "iib", false,
                                   "UPDATE component_states SET content = $3 WHERE system_id = $1 AND sequence = $2",
                                   NULL},
    [HF_STMT_HEIR_TAKE] =
        {"heir_take", "iiii", true,
         "UPDATE component_states AS h SET content = o.content, origin_system_id = NULL, origin_sequence = NULL"
         " FROM " HEIRS " LEFT JOIN component_states AS o ON o.system_id = u.origin_system_id"
         " AND o.sequence = u.origin_sequence WHERE h.system_id = u.system_id AND h.sequence = u.sequence",
         "UPDATE component_states SET content = (SELECT o.content FROM component_states AS o WHERE o.system_id = $3"
         " AND o.sequence = $4), origin_system_id = NULL, origin_sequence = NULL WHERE system_id = $1"
         " AND sequence = $2"},
    [HF_STMT_HEIR_CHUNKS] =
        {"heir_chunks", "iiii", true,
         "UPDATE state_chunks AS c SET system_id = u.system_id, sequence = u.sequence FROM " HEIRS
         " WHERE c.system_id = u.origin_system_id AND c.sequence = u.origin_sequence",
         "UPDATE state_chunks SET system_id = $1, sequence = $2 WHERE system_id = $3 AND sequence = $4"},
    [HF_STMT_HEIR_FOLLOW] =
        {"heir_follow", "iiii", true,
         "UPDATE component_states AS h SET origin_system_id = u.system_id, origin_sequence = u.sequence FROM " HEIRS
         " WHERE h.origin_system_id = u.origin_system_id AND h.origin_sequence = u.origin_sequence",
         "UPDATE component_states SET origin_system_id = $1, origin_sequence = $2 WHERE origin_system_id = $3"
         " AND origin_sequence = $4"},

    [HF_STMT_SNAPSHOT_INSERT] = {"snapshot_insert", "itttttttiibiiiiitiiittiri", false,
                                 "INSERT INTO system_state_snapshots (" SNAPSHOT_COLUMNS ") VALUES (" P25 ")", NULL},
    [HF_STMT_SNAPSHOT_GET] = {"snapshot_get", "it", false,
                              "SELECT " SNAPSHOT_COLUMNS " FROM system_state_snapshots WHERE system_id = $1"
                              " AND id = $2",
                              NULL},
    [HF_STMT_SNAPSHOTS_LIST] = {"snapshots_list", "ititi", false,
                                "SELECT " SNAPSHOT_COLUMNS " FROM system_state_snapshots WHERE system_id = $1"
                                " AND ($2 IS NULL OR kind = $2) AND (cut_at_ms, id) < ($3, $4)"
                                " ORDER BY cut_at_ms DESC, id DESC LIMIT $5",
                                NULL},
    [HF_STMT_SNAPSHOT_LATEST] = {"snapshot_latest", "it", false,
                                 "SELECT " SNAPSHOT_COLUMNS " FROM system_state_snapshots WHERE system_id = $1"
                                 " AND trigger_name <> 'import'"
                                 " AND ($2 IS NULL OR kind = $2) AND state = 'complete'"
                                 " ORDER BY cut_at_ms DESC, id DESC LIMIT 1",
                                 NULL},
    [HF_STMT_SNAPSHOT_UPDATE] = {"snapshot_update", "itti", false,
                                 "UPDATE system_state_snapshots SET label = $3, pinned = $4 WHERE system_id = $1"
                                 " AND id = $2",
                                 NULL},
    [HF_STMT_SNAPSHOT_SET_STATE] = {"snapshot_set_state", "itttir", false,
                                    "UPDATE system_state_snapshots SET state = $3, validation_status = $4,"
                                    " validated_at_ms = $5, quality_score = $6 WHERE system_id = $1 AND id = $2",
                                    NULL},
    [HF_STMT_SNAPSHOT_DELETE] = {"snapshot_delete", "it", false,
                                 "DELETE FROM system_state_snapshots WHERE system_id = $1 AND id = $2", NULL},

    [HF_STMT_RECOVERY_INSERT] = {"recovery_insert", "itttittiiiiiiiiit", false,
                                 "INSERT INTO system_recovery_logs (" RECOVERY_COLUMNS ") VALUES (" P17 ")", NULL},
    [HF_STMT_RECOVERY_GET] = {"recovery_get", "it", false,
                              "SELECT " RECOVERY_COLUMNS " FROM system_recovery_logs WHERE system_id = $1 AND id = $2",
                              NULL},
    [HF_STMT_RECOVERIES_LIST] = {"recoveries_list", "iiti", false,
                                 "SELECT " RECOVERY_COLUMNS " FROM system_recovery_logs WHERE system_id = $1"
                                 " AND (started_at_ms, id) < ($2, $3) ORDER BY started_at_ms DESC, id DESC LIMIT $4",
                                 NULL},
    [HF_STMT_RECOVERY_UPDATE] = {"recovery_update", "ittttiiiiiiiiitt", false,
                                 "UPDATE system_recovery_logs SET snapshot = $3, status = $4, reason = $5, epoch = $6,"
                                 " sequence_before = $7, sequence_after = $8, data_loss_ms = $9,"
                                 " data_loss_versions = $10, data_loss_bytes = $11, data_loss_components = $12,"
                                 " started_at_ms = $13, completed_at_ms = $14, detail = $15"
                                 " WHERE system_id = $1 AND id = $2 AND status = $16",
                                 NULL},
    [HF_STMT_RECOVERIES_TRIM] =
        {"recoveries_trim", "iii", false,
         "DELETE FROM system_recovery_logs WHERE system_id = $1 AND id IN (SELECT r.id FROM system_recovery_logs AS r"
         " WHERE r.system_id = $1 AND r.started_at_ms < $2 AND EXISTS (SELECT 1 FROM system_recovery_logs AS newer"
         " WHERE newer.system_id = $1 AND (newer.started_at_ms, newer.id) > (r.started_at_ms, r.id))"
         " AND NOT EXISTS (SELECT 1 FROM recovery_components AS c WHERE c.system_id = $1 AND c.recovery_id = r.id)"
         " ORDER BY r.started_at_ms, r.id LIMIT $3)",
         NULL},

    [HF_STMT_RECOVERY_COMPONENTS_INSERT] =
        {"recovery_components_insert", "itti", true,
         "INSERT INTO recovery_components (system_id, recovery_id, component, wave)"
         " SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])",
         "INSERT INTO recovery_components (system_id, recovery_id, component, wave) VALUES (" P4 ")"},
    [HF_STMT_RECOVERY_COMPONENTS_LIST] = {"recovery_components_list", "it", false,
                                          "SELECT " RECOVERY_COMPONENT_COLUMNS " FROM recovery_components"
                                          " WHERE system_id = $1 AND recovery_id = $2 ORDER BY wave, component",
                                          NULL},
    [HF_STMT_RECOVERY_COMPONENT_GET] = {"recovery_component_get", "itt", false,
                                        "SELECT " RECOVERY_COMPONENT_COLUMNS " FROM recovery_components"
                                        " WHERE system_id = $1 AND recovery_id = $2 AND component = $3",
                                        NULL},
    [HF_STMT_RECOVERY_COMPONENT_REPORT] = {"recovery_component_report", "ittttii", false,
                                           "UPDATE recovery_components SET status = $4, detail = $5, duration_ms = $6,"
                                           " reported_at_ms = $7"
                                           " WHERE system_id = $1 AND recovery_id = $2 AND component = $3",
                                           NULL},
    /* The status is written out: an index holds these rows alone. */
    [HF_STMT_RECOVERY_COMPONENTS_PENDING] =
        {"recovery_components_pending", "iti", false,
         "SELECT component FROM recovery_components WHERE system_id = $1"
         " AND recovery_id = $2 AND status = 'pending' ORDER BY component LIMIT $3",
         /* Its planner would walk through all that have reported. */
         "SELECT component FROM recovery_components"
         " INDEXED BY recovery_components_pending WHERE system_id = $1"
         " AND recovery_id = $2 AND status = 'pending' ORDER BY component LIMIT $3"},
    [HF_STMT_RECOVERY_COMPONENTS_FAILED] = {"recovery_components_failed", "iti", false,
                                            "SELECT component FROM recovery_components WHERE system_id = $1"
                                            " AND recovery_id = $2 AND status = 'failed' ORDER BY component LIMIT $3",
                                            NULL},
    [HF_STMT_RECOVERY_COMPONENTS_COUNT] = {"recovery_components_count", "it", false,
                                           "SELECT status, CAST(count(*) AS bigint) FROM recovery_components"
                                           " WHERE system_id = $1 AND recovery_id = $2 GROUP BY status",
                                           NULL},
    [HF_STMT_RECOVERY_COMPONENTS_TRIM] =
        {"recovery_components_trim", "iii", false,
         "DELETE FROM recovery_components WHERE system_id = $1 AND (recovery_id, component) IN (SELECT c.recovery_id,"
         " c.component FROM system_recovery_logs AS r JOIN recovery_components AS c ON c.system_id = r.system_id"
         " AND c.recovery_id = r.id WHERE r.system_id = $1 AND r.started_at_ms < $2 AND EXISTS (SELECT 1"
         " FROM system_recovery_logs AS newer WHERE newer.system_id = $1"
         " AND (newer.started_at_ms, newer.id) > (r.started_at_ms, r.id)) LIMIT $3)",
         NULL},
    [HF_STMT_RECOVERY_WAITING_GET] = {"recovery_waiting_get", "it", false,
                                      "SELECT status, started_at_ms, reporting_since_ms FROM system_recovery_logs"
                                      " WHERE system_id = $1 AND id = $2",
                                      NULL},
    [HF_STMT_RECOVERY_WAITING_BEGIN] = {"recovery_waiting_begin", "iti", false,
                                        "UPDATE system_recovery_logs SET reporting_since_ms = $3 WHERE system_id = $1"
                                        " AND id = $2",
                                        NULL},
    [HF_STMT_RECOVERY_WAITING_END] = {"recovery_waiting_end", "itti", false,
                                      "UPDATE system_recovery_logs SET status = $3, completed_at_ms = $4,"
                                      " reporting_since_ms = 0 WHERE system_id = $1 AND id = $2"
                                      " AND status IN ('pending', 'applied')",
                                      NULL},
    [HF_STMT_RECOVERY_WAITING_OVERDUE] = {"recovery_waiting_overdue", "ii", false,
                                          "SELECT system_id, id FROM system_recovery_logs WHERE reporting_since_ms > 0"
                                          " AND reporting_since_ms <= $1 ORDER BY reporting_since_ms LIMIT $2",
                                          NULL},

    [HF_STMT_VALIDATION_INSERT] = {"validation_insert", "ittttrit", false,
                                   "INSERT INTO state_validation_results (" VALIDATION_COLUMNS ") VALUES (" P8 ")",
                                   NULL},
    [HF_STMT_VALIDATIONS_LIST] = {"validations_list", "it", false,
                                  "SELECT " VALIDATION_COLUMNS " FROM state_validation_results WHERE system_id = $1"
                                  " AND snapshot = $2 ORDER BY id",
                                  NULL},
    [HF_STMT_VALIDATIONS_FORGET] =
        {"validations_forget", "iti", false,
         "DELETE FROM state_validation_results WHERE system_id = $1 AND snapshot = $2 AND checked_at_ms < (SELECT"
         " min(recent.checked_at_ms) FROM (SELECT DISTINCT checked_at_ms FROM state_validation_results"
         " WHERE system_id = $1 AND snapshot = $2 ORDER BY checked_at_ms DESC LIMIT $3) AS recent)",
         NULL},
    [HF_STMT_VALIDATIONS_TRIM] =
        {"validations_trim", "iii", false,
         "DELETE FROM state_validation_results WHERE id IN (SELECT v.id FROM state_validation_results AS v"
         " WHERE v.system_id = $1 AND v.checked_at_ms < $2 AND NOT EXISTS (SELECT 1 FROM system_state_snapshots AS s"
         " WHERE s.system_id = v.system_id AND s.id = v.snapshot) LIMIT $3)",
         NULL},
    [HF_STMT_EVENT_INSERT] = {"event_insert", "iitttt", true,
                              "INSERT INTO events (" EVENT_COLUMNS ") SELECT * FROM unnest($1::bigint[], $2::bigint[],"
                              " $3::text[], $4::text[], $5::text[], $6::text[])",
                              "INSERT INTO events (" EVENT_COLUMNS ") VALUES (" P6 ")"},
    [HF_STMT_EVENTS_LIST] = {"events_list", "itii", false,
                             "SELECT id, " EVENT_COLUMNS " FROM events WHERE system_id = $1"
                             " AND ($2 IS NULL OR severity = $2) AND id > $3 ORDER BY id LIMIT $4",
                             NULL},
    [HF_STMT_EVENTS_LIST_NEWEST] = {"events_list_newest", "itiii", false,
                                    "SELECT id, " EVENT_COLUMNS " FROM events WHERE system_id = $1"
                                    " AND ($2 IS NULL OR severity = $2) AND id > $3 AND id < $4 ORDER BY id DESC"
                                    " LIMIT $5",
                                    NULL},
    [HF_STMT_EVENTS_NEWEST] = {"events_newest", "", false, "SELECT max(id) FROM events", NULL},
    /* Looks at the oldest $2 rows only: ids grow with time, and the table has no index on time. */
    [HF_STMT_EVENTS_TRIM] = {"events_trim", "ii", false,
                             "DELETE FROM events WHERE id IN (SELECT id FROM (SELECT id, at_ms FROM events ORDER BY id"
                             " LIMIT $2) AS oldest WHERE at_ms < $1)",
                             NULL},
    [HF_STMT_KEY_INSERT] = {"key_insert", "itbti", false,
                            "INSERT INTO idempotency_keys (system_id, key, body_hash, answer, created_at_ms)"
                            " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (system_id, key) DO UPDATE SET"
                            " body_hash = excluded.body_hash, answer = excluded.answer,"
                            " created_at_ms = excluded.created_at_ms",
                            NULL},
    [HF_STMT_KEY_GET] = {"key_get", "it", false,
                         "SELECT body_hash, answer, created_at_ms FROM idempotency_keys WHERE system_id = $1"
                         " AND key = $2",
                         NULL},
    [HF_STMT_KEYS_TRIM] = {"keys_trim", "ii", false,
                           "DELETE FROM idempotency_keys WHERE (system_id, key) IN (SELECT system_id, key"
                           " FROM idempotency_keys WHERE created_at_ms < $1 ORDER BY created_at_ms LIMIT $2)",
                           NULL},

    [HF_STMT_DRILL_INSERT] = {"drill_insert", "ittiiiiitt", false,
                              "INSERT INTO restore_drills (" DRILL_COLUMNS ") SELECT " P10
                              " WHERE EXISTS (SELECT 1 FROM systems WHERE id = $1)",
                              NULL},
    [HF_STMT_DRILLS_LIST] = {"drills_list", "iiti", false,
                             "SELECT " DRILL_COLUMNS " FROM restore_drills WHERE system_id = $1"
                             " AND (started_at_ms, id) < ($2, $3) ORDER BY started_at_ms DESC, id DESC LIMIT $4",
                             NULL},
    [HF_STMT_DRILLS_NEWEST] = {"drills_newest", "t", false,
                               "SELECT " DRILL_COLUMNS " FROM restore_drills AS d WHERE ($1 IS NULL OR status = $1)"
                               " AND NOT EXISTS (SELECT 1 FROM restore_drills AS newer"
                               " WHERE newer.system_id = d.system_id AND ($1 IS NULL OR newer.status = $1)"
                               " AND (newer.started_at_ms, newer.id) > (d.started_at_ms, d.id))",
                               NULL},
    [HF_STMT_DRILLS_TRIM] =
        {"drills_trim", "iii", false,
         "DELETE FROM restore_drills WHERE system_id = $1 AND id IN (SELECT d.id FROM restore_drills AS d"
         " WHERE d.system_id = $1 AND d.started_at_ms < $2 AND EXISTS (SELECT 1 FROM restore_drills AS newer"
         " WHERE newer.system_id = $1 AND (newer.started_at_ms, newer.id) > (d.started_at_ms, d.id)"
         " AND (d.status <> 'passed' OR newer.status = 'passed')) ORDER BY d.started_at_ms, d.id LIMIT $3)",
         NULL},
};
