-- Restore drills: a snapshot restored into a scratch database, compared and timed, again and again.
CREATE TABLE restore_drills (
    system_id     INTEGER NOT NULL,
    id            TEXT    NOT NULL,
    snapshot      TEXT    NOT NULL DEFAULT '', -- '': there was none
    sequence      INTEGER NOT NULL DEFAULT 0,  -- of that snapshot
    started_at_ms INTEGER NOT NULL,
    duration_ms   INTEGER NOT NULL,            -- of the restore; 0: it did not get so far
    components    INTEGER NOT NULL,            -- restored and found equal
    bytes         INTEGER NOT NULL,
    status        TEXT    NOT NULL,            -- passed | failed | inconclusive | skipped
    detail        TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (system_id, started_at_ms, id)
) WITHOUT ROWID;
