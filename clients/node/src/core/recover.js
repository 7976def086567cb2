import { finalLabel, lossSinceLastRun } from './lastRun.js';

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
  const components = saved.map((component) => component.name);
  const states = [];
  const outcome = await client.hydrate(giveTo(adapters, states), { reason: 'start of the process', components });
  return { ...resultOf(outcome, states), dataLoss, durationMs: Date.now() - began };
}

/** Gives the states of a restore that was done to the components of this process. */
export async function takeRestored(client, adapters, recovery) {
  const states = [];
  const outcome = await client.bringUp(recovery, giveTo(adapters, states), { components: [...adapters.keys()] });
  return { ...resultOf(outcome, states), dataLoss: recovery.dataLoss.ms };
}

/** Gives one component its present state, if it has one. */
export async function takePresent(client, name, adapter) {
  const state = await client.loadIfAny(name);
  if (state) await adapter.write(state.value);
  return state;
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
  if (!await client.systemIfAny()) return [];
  const saved = [];
  for await (const component of client.components({ limit: 1000 })) {
    if (component.version > 0 && adapters.has(component.name)) saved.push(component);
  }
  return saved;
}

function resultOf(outcome, states) {
  return {
    recoveryId: outcome.recovery.id,
    backupId: outcome.recovery.snapshot,
    componentsRestored: outcome.restored.length,
    restored: outcome.restored, fresh: outcome.fresh, failed: outcome.failed, reports: outcome.reports, states,
  };
}

function nothing() {
  const lists = { restored: [], fresh: [], failed: [], reports: [], states: [] };
  return { recoveryId: null, backupId: null, dataLoss: 0, componentsRestored: 0, ...lists };
}
