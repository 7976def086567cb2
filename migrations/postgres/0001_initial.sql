-- The first schema; tables and columns are those of SQLite's. Every key starts with the system: it is the unit of
-- ordering, tenancy and sharding. Texts that order rows compare byte by byte, as they do there. The two tables whose
-- rows are updated in place leave room for it on their pages.

CREATE TABLE systems (
    id                      bigint PRIMARY KEY,
    name                    text COLLATE "C" NOT NULL UNIQUE,
    description             text NOT NULL DEFAULT '',
    sequence                bigint NOT NULL, -- last one given out; gapless
    epoch                   bigint NOT NULL, -- raised by every restore
    folded_sequence         bigint NOT NULL, -- component_state_tracking holds every head up to here
    batch_id                bigint NOT NULL DEFAULT 0, -- random id of the last commit: settles unknown outcomes
    backup_interval_ms      bigint, -- NULL: the service's setting
    incremental_interval_ms bigint,
    max_retention_hours     bigint,
    created_at_ms           bigint NOT NULL,
    committed_at_ms         bigint NOT NULL -- of the last sequence; never goes back
) WITH (fillfactor = 70);

-- One row a component: its registration, its head (brought up to date lazily, see folded_sequence) and its health.
CREATE TABLE component_state_tracking (
    system_id             bigint NOT NULL,
    component_id          bigint NOT NULL,
    name                  text COLLATE "C" NOT NULL,
    kind                  text NOT NULL DEFAULT '',
    depends_on            text NOT NULL DEFAULT '[]',
    required_pointers     text NOT NULL DEFAULT '[]',
    heartbeat_interval_ms bigint NOT NULL DEFAULT 0,
    registered_at_ms      bigint NOT NULL DEFAULT 0, -- 0: came into being with its first upload
    version               bigint NOT NULL DEFAULT 0, -- 0: registered, no state yet
    sequence              bigint NOT NULL DEFAULT 0,
    hash                  bytea,
    bytes                 bigint NOT NULL DEFAULT 0,
    content_type          text NOT NULL DEFAULT '',
    committed_at_ms       bigint NOT NULL DEFAULT 0,
    deleted               bigint NOT NULL DEFAULT 0,
    health                double precision,
    status                text NOT NULL DEFAULT '',
    metrics               text NOT NULL DEFAULT '{}',
    heartbeat_at_ms       bigint NOT NULL DEFAULT 0,
    last_activity_at_ms   bigint NOT NULL DEFAULT 0,
    created_at_ms         bigint NOT NULL,
    PRIMARY KEY (system_id, component_id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX component_state_tracking_name ON component_state_tracking (system_id, name);

-- Every version. Rows are only ever added at the end; previous_sequence chains the versions of one component, so that
-- no second index has to be kept up to date inside the commit.
CREATE TABLE component_states (
    system_id         bigint NOT NULL,
    sequence          bigint NOT NULL,
    component_id      bigint NOT NULL,
    version           bigint NOT NULL,
    previous_sequence bigint NOT NULL, -- 0: none
    epoch             bigint NOT NULL,
    hash              bytea NOT NULL,
    bytes             bigint NOT NULL,
    content_type      text NOT NULL,
    committed_at_ms   bigint NOT NULL,
    event             text,
    deleted           bigint NOT NULL,
    content           bytea, -- NULL: in state_chunks, or deleted
    PRIMARY KEY (system_id, sequence)
);
ALTER TABLE component_states ALTER content SET STORAGE EXTERNAL; -- no time for compression inside the commit

-- Content above the inline limit, in pieces.
CREATE TABLE state_chunks (
    system_id   bigint NOT NULL,
    sequence    bigint NOT NULL,
    chunk_index bigint NOT NULL,
    content     bytea NOT NULL,
    PRIMARY KEY (system_id, sequence, chunk_index)
);
ALTER TABLE state_chunks ALTER content SET STORAGE EXTERNAL;

CREATE TABLE system_state_snapshots (
    system_id         bigint NOT NULL,
    id                text COLLATE "C" NOT NULL,
    kind              text NOT NULL,
    trigger_name      text NOT NULL,
    label             text NOT NULL DEFAULT '',
    reason            text NOT NULL DEFAULT '',
    generation        text NOT NULL, -- id of the anchor
    parent            text NOT NULL DEFAULT '',
    sequence          bigint NOT NULL,
    epoch             bigint NOT NULL,
    root_hash         bytea NOT NULL,
    components        bigint NOT NULL,
    changed           bigint NOT NULL,
    deleted           bigint NOT NULL,
    state_bytes       bigint NOT NULL,
    file_bytes        bigint NOT NULL,
    file              text NOT NULL, -- relative to the directory of its kind
    cut_at_ms         bigint NOT NULL,
    completed_at_ms   bigint NOT NULL,
    duration_ms       bigint NOT NULL,
    state             text NOT NULL, -- complete | failed | damaged
    validation_status text NOT NULL DEFAULT 'pending',
    validated_at_ms   bigint NOT NULL DEFAULT 0,
    quality_score     double precision,
    pinned            bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (system_id, id)
);
CREATE INDEX system_state_snapshots_newest ON system_state_snapshots (system_id, cut_at_ms, id);

CREATE TABLE system_recovery_logs (
    system_id            bigint NOT NULL,
    id                   text COLLATE "C" NOT NULL,
    source               text NOT NULL,
    snapshot             text NOT NULL DEFAULT '',
    at_ms                bigint NOT NULL DEFAULT 0,
    status               text NOT NULL,
    reason               text NOT NULL DEFAULT '',
    epoch                bigint NOT NULL,
    sequence_before      bigint NOT NULL,
    sequence_after       bigint NOT NULL,
    data_loss_ms         bigint NOT NULL,
    data_loss_versions   bigint NOT NULL,
    data_loss_bytes      bigint NOT NULL,
    data_loss_components bigint NOT NULL,
    started_at_ms        bigint NOT NULL,
    completed_at_ms      bigint NOT NULL,
    detail               text NOT NULL, -- JSON: waves, skipped, steps
    PRIMARY KEY (system_id, id)
);
CREATE INDEX system_recovery_logs_newest ON system_recovery_logs (system_id, started_at_ms, id);

CREATE TABLE state_validation_results (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system_id     bigint NOT NULL,
    snapshot      text NOT NULL,
    check_name    text NOT NULL,
    status        text NOT NULL, -- passed | failed | warning
    detail        text NOT NULL DEFAULT '',
    quality_score double precision NOT NULL,
    checked_at_ms bigint NOT NULL
);
CREATE INDEX state_validation_results_snapshot ON state_validation_results (system_id, snapshot, id);

CREATE TABLE events (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system_id bigint NOT NULL, -- 0: the service itself
    at_ms     bigint NOT NULL,
    severity  text NOT NULL, -- info | warning | error
    type      text NOT NULL,
    text      text NOT NULL,
    data      text NOT NULL DEFAULT '{}'
);
CREATE INDEX events_system ON events (system_id, id);

CREATE TABLE idempotency_keys (
    system_id     bigint NOT NULL,
    key           text COLLATE "C" NOT NULL,
    body_hash     bytea NOT NULL,
    answer        text NOT NULL,
    created_at_ms bigint NOT NULL,
    PRIMARY KEY (system_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at_ms);
