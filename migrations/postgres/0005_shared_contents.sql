-- The rows of a fork have no content of their own: they name the row that holds it (never one that names another).
ALTER TABLE component_states ADD COLUMN origin_system_id BIGINT; -- NULL: own content
ALTER TABLE component_states ADD COLUMN origin_sequence BIGINT;
CREATE INDEX component_states_origin ON component_states (origin_system_id, origin_sequence, system_id, sequence)
    WHERE origin_system_id IS NOT NULL;
