import { throwIfAborted } from './abort.js';

const AT_A_TIME = 8;
const DETAIL_BYTES_MAX = 1024;

/**
 * Brings a system up from its present states: opens a recovery with the source `head`, gives each component its state,
 * wave by wave in the order of the dependencies, and reports how it came up and how long that took.
 *
 * @param {Holdfast} client
 * @param {(component: string, state: object | null, context: object) => any} bringUp gets the state as `load` gives it,
 *     null when there is none; may be async. Its answer is the report: nothing or 'restored'; 'fresh' when it starts
 *     anew; or {status, detail}. What it throws is reported as failed, and the others go on.
 * @param {object} options reason, signal; components: these only, each must have a state; includeDependencies: and what
 *     they need; concurrency within a wave; stopOnFailure: what comes in later waves is reported as failed without being
 *     asked
 * @returns {Promise<object>} the recovery as it stands at the end, and the reports
 */
export async function hydrate(client, bringUp, options = {}) {
  const recovery = await client.startRecovery(options);
  return bringUpWaves(client, recovery, bringUp, { ...options, components: undefined }); // it has no others
}

/** The same for a recovery that is there already: the waves of a restore. Of `components` only these are brought up. */
export async function bringUpWaves(client, recovery, bringUp, options = {}) {
  const reports = [];
  for (let wave = 0; wave < recovery.waves.length; wave += 1) {
    const failed = reports.filter((report) => report.status === 'failed').map((report) => report.component);
    const context = { recovery, wave, failed, signal: options.signal };
    const parts = recovery.waves[wave].filter((part) => options.components?.includes(part.component) ?? true);
    const worker = async () => {
      for (let part = parts.shift(); part; part = parts.shift()) {
        throwIfAborted(options.signal);
        reports.push(await bringUpOne(client, part, bringUp, options, context));
      }
    };
    await Promise.all(Array.from({ length: Math.min(options.concurrency ?? AT_A_TIME, parts.length) }, worker));
  }
  const after = reports.length > 0 ? await client.recovery(recovery.id, { signal: options.signal }) : recovery;
  return summarize(after, reports);
}

async function bringUpOne(client, part, bringUp, options, context) {
  const began = performance.now();
  const outcome =
    options.stopOnFailure && context.failed.length > 0
      ? { status: 'failed', detail: `not tried: ${context.failed.join(', ')} failed` }
      : await tryOne(client, part, bringUp, context);
  throwIfAborted(options.signal);
  const report = { ...outcome, durationMs: Math.round(performance.now() - began) };
  await client.report(context.recovery.id, part.component, report, { signal: options.signal });
  return { component: part.component, wave: context.wave, ...report };
}

async function tryOne(client, part, bringUp, context) {
  try {
    const state = await loadPart(client, part, context.signal);
    return asReport(await bringUp(part.component, state, context), state);
  } catch (error) {
    return { status: 'failed', detail: shorten(String(error?.message ?? error)), error };
  }
}

/** The version that the recovery means, if it is kept: others may have written since. */
async function loadPart(client, part, signal) {
  const wanted = part.restoredVersion ?? part.version;
  const present = await client.loadIfAny(part.component, { signal });
  if (!present || present.version === wanted) return present;
  return (await client.loadIfAny(part.component, { version: wanted, signal })) ?? present;
}

function asReport(answer, state) {
  const { status, detail } = typeof answer === 'string' ? { status: answer } : (answer ?? {});
  return { status: status ?? (state ? 'restored' : 'fresh'), ...(detail ? { detail: shorten(detail) } : {}) };
}

function shorten(text) {
  let short = text.slice(0, DETAIL_BYTES_MAX);
  while (Buffer.byteLength(short) > DETAIL_BYTES_MAX) short = short.slice(0, -1);
  return short;
}

function summarize(recovery, reports) {
  const named = (status) => reports.filter((report) => report.status === status).map((report) => report.component);
  return { recovery, reports, restored: named('restored'), fresh: named('fresh'), failed: named('failed') };
}
