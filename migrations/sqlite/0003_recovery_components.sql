-- What the clients of a system report about a recovery: one row a component. reporting_since_ms is when a recovery began
-- to wait for reports; 0: it does not wait for any.
CREATE TABLE recovery_components (
    system_id      INTEGER NOT NULL,
    recovery_id    TEXT    NOT NULL,
    component      TEXT    NOT NULL,
    wave           INTEGER NOT NULL,
    status         TEXT    NOT NULL DEFAULT 'pending',  -- pending | restored | failed | fresh
    detail         TEXT    NOT NULL DEFAULT '',
    duration_ms    INTEGER,                             -- NULL: not told
    reported_at_ms INTEGER NOT NULL DEFAULT 0,          -- 0: not reported
    PRIMARY KEY (system_id, recovery_id, component)
) WITHOUT ROWID;
-- Whether anybody is waited for is asked with every report.
CREATE INDEX recovery_components_pending ON recovery_components (system_id, recovery_id, component)
    WHERE status = 'pending';

ALTER TABLE system_recovery_logs ADD COLUMN reporting_since_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX system_recovery_logs_reporting ON system_recovery_logs (reporting_since_ms) WHERE reporting_since_ms > 0;
