import { HoldfastError } from '../errors.js';
import { finalLabel, lossSinceLastRun } from './lastRun.js';
import { minutes, plural } from './log.js';
import { inOrder } from './order.js';

/**
 * Gives the present states of the service to the components of this process, dependencies first.
 *
 * @param {Holdfast} client
 * @param {Map<string, object>} adapters by the names of the components
 * @returns {Promise<object>} dataLoss (ms), componentsRestored, restored, fresh, failed, states (as they were loaded)
 * @throws {HoldfastError} when the service cannot be asked
 */
export async function recoverPresent(client, adapters) {
  const began = Date.now();
  const saved = await savedComponents(client, adapters);
  if (saved.length === 0) return { ...nothing(), durationMs: Date.now() - began };
  const dataLoss = await lossSinceLastRun(client, saved, finalLabel([...adapters.keys()]));
  const states = [];
  const outcome = await bringUpPresent(client, saved, giveTo(adapters, states));
  return { ...resultOf(outcome, states), dataLoss, durationMs: Date.now() - began };
}

/** By a recovery, which the service keeps a report of; without one where the token does not allow it. */
async function bringUpPresent(client, saved, bringUp) {
  try {
    const components = saved.map((component) => component.name);
    return await client.hydrate(bringUp, { reason: 'start of the process', components });
  } catch (error) {
    if (error.code !== 'forbidden') throw error;
  }
  const outcome = { recovery: null, reports: [], restored: [], fresh: [], failed: [] };
  for (const { name } of inOrder(saved)) {
    const report = await bringUpAlone(client, name, bringUp);
    outcome.reports.push(report);
    outcome[report.status].push(name);
  }
  return outcome;
}

async function bringUpAlone(client, component, bringUp) {
  const state = await client.loadIfAny(component);
  try {
    return { component, ...(await bringUp(component, state)) };
  } catch (error) {
    return { component, status: 'failed', detail: String(error?.message ?? error), error };
  }
}

/** Gives the states of a restore that was done to the components of this process. */
export async function takeRestored(client, adapters, recovery) {
  const states = [];
  const outcome = await client.bringUp(recovery, giveTo(adapters, states), { components: [...adapters.keys()] });
  const { dataLoss, removed, skipped } = recovery;
  return { ...resultOf(outcome, states), dataLoss: dataLoss.ms, versionsLost: dataLoss.versions, removed, skipped };
}

/** Gives the components their present states, and gives these back; for after the restore of another one. */
export async function takeAllPresent(client, adapters) {
  const states = [];
  for (const [name, adapter] of adapters) {
    const state = await takePresent(client, name, adapter);
    if (state) states.push(state);
  }
  return states;
}

/** Gives one component its present state, if it has one. */
export async function takePresent(client, name, adapter) {
  const state = await client.loadIfAny(name);
  if (state) await adapter.write(state.value);
  return state;
}

/** Throws data_damaged when a backup is not whole and could not be healed. */
export async function refuseDamaged(client, backupId) {
  const verdict = await client.validate(backupId);
  if (verdict.status !== 'damaged') return;
  const lost = plural(verdict.lost.length, 'state');
  throw new HoldfastError('data_damaged', `${backupId} is damaged: ${lost} of it cannot be had any more`);
}

export function tellRecovery(log, result) {
  log.info(result.success ? '[x] System state recovered successfully!' : '[ ] System state recovered in part');
  log.info(`Data loss: ${minutes(result.dataLoss)}`);
  log.info(`Components restored: ${result.componentsRestored}`);
}

function giveTo(adapters, states) {
  return async (name, state) => {
    if (!state) return { status: 'fresh', detail: 'there was no state' };
    await adapters.get(name).write(state.value);
    states.push(state);
    return { status: 'restored' };
  };
}

async function savedComponents(client, adapters) {
  if (!(await client.systemIfAny())) return [];
  const saved = [];
  for await (const component of client.components({ limit: 1000 })) {
    if (component.version > 0 && adapters.has(component.name)) saved.push(component);
  }
  return saved;
}

function resultOf(outcome, states) {
  return {
    recoveryId: outcome.recovery?.id ?? null,
    backupId: outcome.recovery?.snapshot ?? null,
    componentsRestored: outcome.restored.length,
    restored: outcome.restored,
    fresh: outcome.fresh,
    failed: outcome.failed,
    reports: outcome.reports,
    states,
  };
}

function nothing() {
  const lists = { restored: [], fresh: [], failed: [], reports: [], states: [] };
  return { recoveryId: null, backupId: null, dataLoss: 0, componentsRestored: 0, ...lists };
}
