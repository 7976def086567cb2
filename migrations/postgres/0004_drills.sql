-- Restore drills: a snapshot restored into a scratch database, compared and timed, again and again.
CREATE TABLE restore_drills (
    system_id     bigint NOT NULL,
    id            text COLLATE "C" NOT NULL,
    snapshot      text NOT NULL DEFAULT '', -- '': there was none
    sequence      bigint NOT NULL DEFAULT 0, -- of that snapshot
    started_at_ms bigint NOT NULL,
    duration_ms   bigint NOT NULL, -- of the restore; 0: it did not get so far
    components    bigint NOT NULL, -- restored and found equal
    bytes         bigint NOT NULL,
    status        text NOT NULL, -- passed | failed | inconclusive | skipped
    detail        text NOT NULL DEFAULT '',
    PRIMARY KEY (system_id, started_at_ms, id)
);
