-- The first schema. Every key starts with the system: it is the unit of ordering, tenancy and sharding.

CREATE TABLE systems (
    id                      INTEGER PRIMARY KEY,
    name                    TEXT    NOT NULL UNIQUE,
    description             TEXT    NOT NULL DEFAULT '',
    sequence                INTEGER NOT NULL,           -- last one given out; gapless
    epoch                   INTEGER NOT NULL,           -- raised by every restore
    folded_sequence         INTEGER NOT NULL,           -- component_state_tracking holds every head up to here
    batch_id                INTEGER NOT NULL DEFAULT 0, -- random id of the last commit: settles unknown outcomes
    backup_interval_ms      INTEGER,                    -- NULL: the service's setting
    incremental_interval_ms INTEGER,
    max_retention_hours     INTEGER,
    created_at_ms           INTEGER NOT NULL,
    committed_at_ms         INTEGER NOT NULL            -- of the last sequence; never goes back
);

-- One row a component: its registration, its head (brought up to date lazily, see folded_sequence) and its health.
CREATE TABLE component_state_tracking (
    system_id             INTEGER NOT NULL,
    component_id          INTEGER NOT NULL,
    name                  TEXT    NOT NULL,
    kind                  TEXT    NOT NULL DEFAULT '',
    depends_on            TEXT    NOT NULL DEFAULT '[]',
    required_pointers     TEXT    NOT NULL DEFAULT '[]',
    heartbeat_interval_ms INTEGER NOT NULL DEFAULT 0,
    registered_at_ms      INTEGER NOT NULL DEFAULT 0,   -- 0: came into being with its first upload
    version               INTEGER NOT NULL DEFAULT 0,   -- 0: registered, no state yet
    sequence              INTEGER NOT NULL DEFAULT 0,
    hash                  BLOB,
    bytes                 INTEGER NOT NULL DEFAULT 0,
    content_type          TEXT    NOT NULL DEFAULT '',
    committed_at_ms       INTEGER NOT NULL DEFAULT 0,
    deleted               INTEGER NOT NULL DEFAULT 0,
    health                REAL,
    status                TEXT    NOT NULL DEFAULT '',
    metrics               TEXT    NOT NULL DEFAULT '{}',
    heartbeat_at_ms       INTEGER NOT NULL DEFAULT 0,
    last_activity_at_ms   INTEGER NOT NULL DEFAULT 0,
    created_at_ms         INTEGER NOT NULL,
    PRIMARY KEY (system_id, component_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX component_state_tracking_name ON component_state_tracking (system_id, name);

-- Every version. Rows are only ever added at the end; previous_sequence chains the versions of one component, so that
-- no second index has to be kept up to date inside the commit.
CREATE TABLE component_states (
    system_id         INTEGER NOT NULL,
    sequence          INTEGER NOT NULL,
    component_id      INTEGER NOT NULL,
    version           INTEGER NOT NULL,
    previous_sequence INTEGER NOT NULL,                 -- 0: none
    epoch             INTEGER NOT NULL,
    hash              BLOB    NOT NULL,
    bytes             INTEGER NOT NULL,
    content_type      TEXT    NOT NULL,
    committed_at_ms   INTEGER NOT NULL,
    event             TEXT,
    deleted           INTEGER NOT NULL,
    content           BLOB,                             -- NULL: in state_chunks, or deleted
    PRIMARY KEY (system_id, sequence)
);

-- Content above the inline limit, in pieces.
CREATE TABLE state_chunks (
    system_id   INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    chunk_index INTEGER NOT NULL,
    content     BLOB    NOT NULL,
    PRIMARY KEY (system_id, sequence, chunk_index)
);

CREATE TABLE system_state_snapshots (
    system_id         INTEGER NOT NULL,
    id                TEXT    NOT NULL,
    kind              TEXT    NOT NULL,
    trigger_name      TEXT    NOT NULL,
    label             TEXT    NOT NULL DEFAULT '',
    reason            TEXT    NOT NULL DEFAULT '',
    generation        TEXT    NOT NULL,                 -- id of the anchor
    parent            TEXT    NOT NULL DEFAULT '',
    sequence          INTEGER NOT NULL,
    epoch             INTEGER NOT NULL,
    root_hash         BLOB    NOT NULL,
    components        INTEGER NOT NULL,
    changed           INTEGER NOT NULL,
    deleted           INTEGER NOT NULL,
    state_bytes       INTEGER NOT NULL,
    file_bytes        INTEGER NOT NULL,
    file              TEXT    NOT NULL,                 -- relative to the directory of its kind
    cut_at_ms         INTEGER NOT NULL,
    completed_at_ms   INTEGER NOT NULL,
    duration_ms       INTEGER NOT NULL,
    state             TEXT    NOT NULL,                 -- complete | failed | damaged
    validation_status TEXT    NOT NULL DEFAULT 'pending',
    validated_at_ms   INTEGER NOT NULL DEFAULT 0,
    quality_score     REAL,
    pinned            INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (system_id, id)
);
CREATE INDEX system_state_snapshots_newest ON system_state_snapshots (system_id, cut_at_ms, id);

CREATE TABLE system_recovery_logs (
    system_id            INTEGER NOT NULL,
    id                   TEXT    NOT NULL,
    source               TEXT    NOT NULL,
    snapshot             TEXT    NOT NULL DEFAULT '',
    at_ms                INTEGER NOT NULL DEFAULT 0,
    status               TEXT    NOT NULL,
    reason               TEXT    NOT NULL DEFAULT '',
    epoch                INTEGER NOT NULL,
    sequence_before      INTEGER NOT NULL,
    sequence_after       INTEGER NOT NULL,
    data_loss_ms         INTEGER NOT NULL,
    data_loss_versions   INTEGER NOT NULL,
    data_loss_bytes      INTEGER NOT NULL,
    data_loss_components INTEGER NOT NULL,
    started_at_ms        INTEGER NOT NULL,
    completed_at_ms      INTEGER NOT NULL,
    detail               TEXT    NOT NULL,              -- JSON: waves, skipped, steps
    PRIMARY KEY (system_id, id)
);
CREATE INDEX system_recovery_logs_newest ON system_recovery_logs (system_id, started_at_ms, id);

CREATE TABLE state_validation_results (
    id            INTEGER PRIMARY KEY,
    system_id     INTEGER NOT NULL,
    snapshot      TEXT    NOT NULL,
    check_name    TEXT    NOT NULL,
    status        TEXT    NOT NULL,                     -- passed | failed | warning
    detail        TEXT    NOT NULL DEFAULT '',
    quality_score REAL    NOT NULL,
    checked_at_ms INTEGER NOT NULL
);
CREATE INDEX state_validation_results_snapshot ON state_validation_results (system_id, snapshot, id);

CREATE TABLE events (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    system_id INTEGER NOT NULL,                         -- 0: the service itself
    at_ms     INTEGER NOT NULL,
    severity  TEXT    NOT NULL,                         -- info | warning | error
    type      TEXT    NOT NULL,
    text      TEXT    NOT NULL,
    data      TEXT    NOT NULL DEFAULT '{}'
);
CREATE INDEX events_system ON events (system_id, id);

CREATE TABLE idempotency_keys (
    system_id     INTEGER NOT NULL,
    key           TEXT    NOT NULL,
    body_hash     BLOB    NOT NULL,
    answer        TEXT    NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (system_id, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at_ms);
