-- What a check found, for programs: the summary of a run, the components that are lost. Status may be healed or skipped
-- too from here on.
ALTER TABLE state_validation_results ADD COLUMN data text NOT NULL DEFAULT '{}';
