-- What the clients of a system report about a recovery: one row a component. reporting_since_ms is when a recovery began
-- to wait for reports; 0: it does not wait for any.
CREATE TABLE recovery_components (
    system_id      bigint NOT NULL,
    recovery_id    text COLLATE "C" NOT NULL,
    component      text COLLATE "C" NOT NULL,
    wave           bigint NOT NULL,
    status         text NOT NULL DEFAULT 'pending', -- pending | restored | failed | fresh
    detail         text NOT NULL DEFAULT '',
    duration_ms    bigint, -- NULL: not told
    reported_at_ms bigint NOT NULL DEFAULT 0, -- 0: not reported
    PRIMARY KEY (system_id, recovery_id, component)
);
-- Whether anybody is waited for is asked with every report.
CREATE INDEX recovery_components_pending ON recovery_components (system_id, recovery_id, component)
    WHERE status = 'pending';

ALTER TABLE system_recovery_logs ADD COLUMN reporting_since_ms bigint NOT NULL DEFAULT 0;
CREATE INDEX system_recovery_logs_reporting ON system_recovery_logs (reporting_since_ms) WHERE reporting_since_ms > 0;
