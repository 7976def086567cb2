import { hashOf } from '../digest.js';

/** Marks the snapshot that a run takes when it ends in order. Processes that share a system have each their own. */
export function finalLabel(names) {
  return `final backup of ${names.length} components, ${hashOf(names.slice().sort().join('\n')).slice(7, 19)}`;
}

const SNAPSHOTS_LOOKED_AT = 50;

/**
 * How much of what the run before did may be lost, in ms: 0 when it ended with its final backup; else the time since
 * the newest of its states was saved, which is the most it can be. What had been acknowledged is never lost.
 *
 * @param {Holdfast} client
 * @param {object[]} components those of the service that belong to this process
 * @param {string} label of its final backup
 */
export async function lossSinceLastRun(client, components, label) {
  const savedAt = Math.max(...components.map((component) => Date.parse(component.committedAt)));
  const [final, run] = await Promise.all([
    first(client.snapshots({ limit: SNAPSHOTS_LOOKED_AT }), (snapshot) => snapshot.label === label),
    first(client.recoveries({ limit: 1 }), (recovery) => recovery.source === 'head'),
  ]);
  const endedAt = final ? Date.parse(final.cutAt) : -Infinity;
  const beganAt = run ? Date.parse(run.startedAt) : -Infinity;
  return endedAt >= savedAt && endedAt >= beganAt ? 0 : Math.max(0, Date.now() - savedAt);
}

/** The first that is wanted among the newest, or null. */
async function first(items, wanted) {
  let left = SNAPSHOTS_LOOKED_AT;
  for await (const item of items) {
    if (wanted(item)) return item;
    left -= 1;
    if (left === 0) return null;
  }
  return null;
}
