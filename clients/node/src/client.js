import { randomUUID } from 'node:crypto';
import { checkDone } from './answers.js';
import { orNull } from './errors.js';
import { followEvents } from './events.js';
import { bringUpWaves, hydrate } from './hydrate.js';
import { loadState } from './loading.js';
import { Order } from './order.js';
import { itemsOf } from './pages.js';
import { saveState, saveStates } from './saving.js';
import { encodeState } from './state.js';
import { Transport } from './transport.js';

const DEFAULT_URL = 'http://127.0.0.1:8080';
const DEFAULT_SYSTEM = 'default';

/** Calls that are answered when they are done, however long that takes. */
const NO_TIMEOUT = 0;

/**
 * One system of a holdfast service. Any number of calls may be under way.
 *
 * Each call takes a `signal` to give up and a `timeout` (ms, of one attempt). Calls that may be done twice are sent
 * again when the connection is lost or the service answers 503; the others only when it is certain that nothing was
 * done. All failures are HoldfastError.
 *
 * The writes of one client to a component take effect in the order of the calls: one that arrives after a newer one is
 * stored, and be it long after its call was given up, changes nothing (`superseded`).
 */
export class Holdfast {
  #transport;
  #order = new Order();

  /**
   * That of the states which the process lives on: null until hydrate() or bringUp() gave them, or it is set. From then
   * on it is sent with every write that names no other (`epoch`; null: none), so that what was done before somebody
   * restored the system is refused (stale_epoch) and never undoes that. The way on is to hydrate again.
   *
   * @type {number | null}
   */
  epoch = null;

  /**
   * Connects to nothing yet.
   *
   * @param {string} [url] else HOLDFAST_URL, else http://127.0.0.1:8080
   * @param {object} [options] token (else HOLDFAST_TOKEN), system (else HOLDFAST_SYSTEM, else `default`), timeout,
   *     retry ({attempts, minMs, maxMs, totalMs} or false), tls (options of node:tls: ca, cert, key)
   */
  constructor(url, options = {}) {
    this.system = options.system ?? (process.env.HOLDFAST_SYSTEM || DEFAULT_SYSTEM);
    this.#transport = new Transport(url ?? (process.env.HOLDFAST_URL || DEFAULT_URL), {
      ...options,
      token: options.token ?? process.env.HOLDFAST_TOKEN,
    });
  }

  /** A client of a service that answered and takes the token; waits for one that is just starting. */
  static async connect(url, options = {}) {
    const client = new Holdfast(url, options);
    try {
      await client.systemIfAny({ signal: options.signal });
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  get url() {
    return this.#transport.url;
  }

  /** Ends the connections that are kept. Calls under way break off (`closed`), those that wait to try again too. */
  close() {
    this.#transport.close();
  }

  // ---- components and their states ----

  /** Registers a component: kind, dependsOn, heartbeatIntervalMs, requiredPointers. Replaces what was registered. */
  register(component, registration = {}, options = {}) {
    const { kind, dependsOn, heartbeatIntervalMs, requiredPointers } = registration;
    const json = { kind, dependsOn, heartbeatIntervalMs, requiredPointers };
    return this.#json('PUT', ['components', component], { json, safe: true, ...options });
  }

  /**
   * Saves a state; resolves with the receipt when it is on disk.
   *
   * @param {object} [options] ifMatch (an ETag; else precondition_failed), ifNoneMatch ('*'), epoch (stale_epoch if the
   *     system was restored since), event, eventSnapshot, contentType
   */
  save(component, state, options = {}) {
    return this.saveEncoded(component, encodeState(state, options.contentType), options);
  }

  /** The same for what encodeState() made. */
  saveEncoded(component, encoded, options = {}) {
    const path = this.#path('components', component, 'state');
    return saveState(this.#transport, path, encoded, this.#asWrite(options));
  }

  /** Saves the states of many components ({component, state, contentType, ifMatch, ifNoneMatch, event}), all or none. */
  saveMany(items, options = {}) {
    return saveStates(this.#transport, this.#path('states'), items, this.#asWrite(options));
  }

  /**
   * Reads a state, the present one or of a moment: version, at, sequence or snapshot. Its bytes are held against the
   * digest that the service promises.
   */
  load(component, options = {}) {
    return loadState(this.#transport, this.#path('components', component, 'state'), component, options);
  }

  /** The same; null when there is none. */
  loadIfAny(component, options) {
    return orNull(this.load(component, options));
  }

  /** Says that a component is alive, and how it is: health (0 to 1), status, metrics. */
  async heartbeat(component, { health, status, metrics } = {}, options = {}) {
    const json = { health, status, metrics };
    const call = { json, safe: true, check: checkDone, ...options };
    await this.#send('POST', ['components', component, 'heartbeat'], call);
  }

  component(component, options = {}) {
    return this.#json('GET', ['components', component], options);
  }

  /** All components of the system, or those of a kind or health. */
  components({ kind, health, ...options } = {}) {
    return this.#items(['components'], 'components', { kind, health }, options);
  }

  /** The versions of a state, newest first, as far back as history is kept. */
  history(component, options = {}) {
    return this.#items(['components', component, 'versions'], 'versions', {}, options);
  }

  async deleteComponent(component, { ifMatch, ...options } = {}) {
    const { epoch, order, ...rest } = this.#asWrite(options);
    const headers = { 'If-Match': ifMatch, 'State-Epoch': epoch, 'State-Order': order };
    await this.#send('DELETE', ['components', component], { headers, check: checkDone, ...rest });
  }

  // ---- snapshots ----

  /** Takes a snapshot: kind ('full' or 'incremental'), label. */
  snapshot({ kind = 'full', label, ...options } = {}) {
    return this.#json('POST', ['snapshots'], { json: { kind, label }, timeout: NO_TIMEOUT, ...options });
  }

  /** The snapshots, newest first; kind, before. */
  snapshots({ kind, before, ...options } = {}) {
    return this.#items(['snapshots'], 'snapshots', { kind, before }, options);
  }

  /** Looks at a snapshot; `latest` is the newest complete one. */
  snapshotInfo(id = 'latest', options = {}) {
    return this.#json('GET', ['snapshots', id], options);
  }

  /** Sets label or pinned of a snapshot; a pinned one never expires. */
  changeSnapshot(id, { label, pinned }, options = {}) {
    const call = { json: { label, pinned }, safe: true, timeout: NO_TIMEOUT, ...options };
    return this.#json('PATCH', ['snapshots', id], call);
  }

  /** Reads a snapshot back and heals what it can; the verdict is in `status`, also when it is damaged. */
  validate(id = 'latest', { deep, ...options } = {}) {
    const call = { json: { deep }, safe: true, timeout: NO_TIMEOUT, ...options };
    return this.#json('POST', ['snapshots', id, 'validate'], call);
  }

  // ---- recoveries ----

  /**
   * Restores: from a snapshot ({snapshot: id or 'latest'}) or a moment ({at}); components, includeDependencies,
   * maxAgeMs, salvage, reason. With dryRun it is a plan, which apply() carries out.
   *
   * All attempts of a call have one key, so that it is done once. With an `idempotencyKey` of your own the same call may be
   * made again within a day, by any process, and gets what it did the first time; so it is with apply and startRecovery.
   */
  restore(request = {}, options = {}) {
    const { snapshot, at, components, includeDependencies, maxAgeMs, dryRun, salvage, reason } = request;
    const json = {
      source: at === undefined ? 'snapshot' : 'at',
      snapshot: at === undefined ? (snapshot ?? 'latest') : snapshot,
      at,
      components,
      includeDependencies,
      maxAgeMs,
      dryRun,
      salvage,
      reason,
    };
    return this.#recover(['recoveries'], json, options);
  }

  /** What a restore would bring back, and lose. Changes nothing. */
  planRestore(request = {}, options = {}) {
    return this.restore({ ...request, dryRun: true }, options);
  }

  /** Carries a plan out, as it was planned; plan_changed if the system moved on since, unless `force`. */
  apply(plan, { force, reason, ...options } = {}) {
    const id = typeof plan === 'string' ? plan : plan.id;
    return this.#recover(['recoveries', id, 'apply'], { force, reason }, options);
  }

  /** Opens a recovery with the source `head`: a start from the present states. */
  startRecovery({ reason, components, includeDependencies, signal, idempotencyKey } = {}) {
    const json = { source: 'head', reason, components, includeDependencies };
    return this.#recover(['recoveries'], json, { signal, idempotencyKey });
  }

  recovery(id, options = {}) {
    return this.#json('GET', ['recoveries', id], options);
  }

  recoveries(options = {}) {
    return this.#items(['recoveries'], 'recoveries', {}, options);
  }

  /** Reports how a component came up: status (restored, failed, fresh), detail, durationMs. */
  report(recovery, component, { status, detail, durationMs }, options = {}) {
    const json = { status, detail, durationMs };
    return this.#json('PUT', ['recoveries', recovery, 'components', component], { json, safe: true, ...options });
  }

  /** Brings the system up from its present states, in dependency order (hydrate.js), and takes its epoch over. */
  async hydrate(bringUp, options = {}) {
    return this.#takeEpoch(await hydrate(this, bringUp, options));
  }

  /** Gives the states of a restore to their components and reports, wave by wave; takes its epoch over. */
  async bringUp(recovery, bringUp, options = {}) {
    return this.#takeEpoch(await bringUpWaves(this, recovery, bringUp, options));
  }

  /**
   * What changed between two moments, each 'now', a snapshot id or 'latest', a sequence or a time. With `component`,
   * that one and its patch; else `changes` has all that differ.
   */
  async diff(from, to = undefined, { component, ...options } = {}) {
    const read = (cursor) => {
      const query = { from, to, component, cursor };
      return this.#json('GET', ['diff'], { query, timeout: NO_TIMEOUT, ...options });
    };
    const whole = await read();
    if (component !== undefined) return whole;
    for (let cursor = whole.nextCursor; cursor;) {
      const page = await read(cursor);
      whole.changes.push(...page.changes);
      cursor = page.nextCursor;
    }
    return { ...whole, nextCursor: null };
  }

  /** Makes a new system of a past of this one ({at}, {sequence}, {snapshot}) or of its present, and describes it. */
  fork(name, { at, sequence, snapshot, description, ...options } = {}) {
    const json = { name, description, from: { system: this.system, at, sequence, snapshot } };
    return this.#transport.json(callOf('POST', ['v1', 'systems'], { json, timeout: NO_TIMEOUT, ...options }));
  }

  // ---- the system ----

  systemInfo(options = {}) {
    return this.#json('GET', [], options);
  }

  /** The same; null while there is no such system. */
  systemIfAny(options = {}) {
    return orNull(this.systemInfo(options));
  }

  /** Creates the system, or sets description, backupIntervalMs, incrementalIntervalMs, maxRetentionHours. */
  configure(settings = {}, options = {}) {
    return this.#json('PUT', [], { json: settings, safe: true, ...options });
  }

  /**
   * Deletes the system with all its states, history and snapshots. `force`: also where what others share with it is
   * damaged, and not every place that may have a copy could be searched.
   */
  async deleteSystem({ force, ...options } = {}) {
    const query = { confirm: this.system, force };
    const call = { query, check: checkDone, timeout: NO_TIMEOUT, ...options };
    await this.#send('DELETE', [], call);
  }

  status(options = {}) {
    return this.#json('GET', ['status'], options);
  }

  /** The events of the system as they happen, from now or after an id ({after}); see events.js. */
  events(options = {}) {
    return followEvents(this.#transport, this.system, options);
  }

  /**
   * Sends anything else of the interface, with the client's token, retries and errors.
   *
   * @param {string} method
   * @param {string} path '/v1/status', or what lies below the system: 'snapshots/latest/archive'
   * @param {object} [options] query, headers, json or body (bytes); safe: may be sent again though it may have been done
   *     (GET and HEAD always may)
   * @returns {Promise<{status: number, headers: object, body: Buffer}>}
   */
  async call(method, path, options = {}) {
    const parts = path.split('/').filter((part) => part !== '');
    const whole = path.startsWith('/') ? parts : this.#path(...parts);
    const { status, headers, body } = await this.#transport.send(callOf(method, whole, options));
    return { status, headers, body };
  }

  #asWrite({ epoch = this.epoch, ...options }) {
    return { ...options, epoch, order: this.#order.next() };
  }

  /** Only when all was given: a process that did not come back must not write as one that did. */
  #takeEpoch(result) {
    this.epoch = result.recovery.epoch;
    return result;
  }

  #recover(rest, json, { idempotencyKey, ...options }) {
    const headers = { 'Idempotency-Key': idempotencyKey ?? randomUUID() };
    return this.#json('POST', rest, { json, headers, safe: true, timeout: NO_TIMEOUT, ...options });
  }

  #path(...rest) {
    return ['v1', 'systems', this.system, ...rest];
  }

  #send(method, rest, options) {
    return this.#transport.send(callOf(method, this.#path(...rest), options));
  }

  #json(method, rest, options) {
    return this.#transport.json(callOf(method, this.#path(...rest), options));
  }

  #items(rest, member, query, { limit, ...options }) {
    return itemsOf((cursor) => this.#json('GET', rest, { query: { ...query, cursor, limit }, ...options }), member);
  }
}

function callOf(method, path, { timeout, ...rest }) {
  return { method, path, timeoutMs: timeout, ...rest };
}
