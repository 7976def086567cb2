-- Systems that were forked from one another are a family, whatever they share today: each may have a copy of what another
-- lost. Those that are there get the least id of all that share with them, over any number of steps.
ALTER TABLE systems ADD COLUMN family INTEGER; -- NULL: never forked, nor a fork
CREATE INDEX systems_family ON systems (family) WHERE family IS NOT NULL;
WITH RECURSIVE shares(a, b) AS (
    SELECT DISTINCT system_id, origin_system_id FROM component_states WHERE origin_system_id IS NOT NULL
), steps(a, b) AS (
    SELECT a, b FROM shares UNION SELECT b, a FROM shares
), reached(a, b) AS (
    SELECT a, b FROM steps UNION SELECT reached.a, steps.b FROM reached JOIN steps ON steps.a = reached.b
)
UPDATE systems SET family = first.id FROM (SELECT a, min(b) AS id FROM reached GROUP BY a) AS first
WHERE first.a = systems.id;
