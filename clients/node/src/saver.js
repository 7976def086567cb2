import { EventEmitter } from 'node:events';
import { throwIfAborted } from './abort.js';
import { HoldfastError } from './errors.js';
import { PendingStates } from './queue.js';
import { backoff } from './retry.js';
import { Schedule } from './schedule.js';
import { encodeState } from './state.js';
import { timerMs } from './timer.js';
import { Waiting } from './waiting.js';
import { within } from './within.js';

const DEFAULTS = Object.freeze({
  coalesceMs: 50,
  maxQueued: 1024,
  maxQueuedBytes: 64 * 1024 * 1024,
  policy: 'block',
  concurrency: 4,
  retryMinMs: 500,
  retryMaxMs: 15000,
  closeTimeoutMs: 15000,
  flushOnExit: true,
  epoch: null,
});
const POLICIES = ['block', 'drop-oldest', 'fail'];

/** Milliseconds of a clock that nobody sets: set back, it would hold up all that waits for a time. */
const now = () => performance.now();

/**
 * Saves for a process that has better things to do: a bounded queue, one state a component. Rapid saves of a component
 * become one, what did not change is not sent, and while the service is away, or something else answers in its place,
 * what waits stays and is tried again. States of a component are saved in the order in which they were given; never two
 * of one component at a time.
 *
 * It sends the epoch that it began with. When the system was restored since, nothing more is sent: the event `epoch`
 * tells, and saves are refused with stale_epoch until resume() says that the process has the restored states. So a
 * restore is never overwritten unseen.
 *
 * A process does not end while somebody waits for a receipt, for room, or for flush(). Has it nothing else to do, what
 * is queued is saved at once; what cannot be saved within closeTimeoutMs then is given up, and the saver closes.
 *
 * Events: `saved` (receipt), `failed` ({component, error}), `retrying` ({component, error, inMs}),
 * `dropped` ({component}), `epoch` ({epoch, error}).
 */
export class Saver extends EventEmitter {
  #client;
  #options;
  #queue;
  #saved = new Map();
  #sending = new Set();
  #room = new Waiting();
  #line = new Set();
  #idle = new Waiting();
  #schedule;
  #timer;
  #failures = 0;
  #pausedUntil = 0;
  #askedPauseUntil = 0;
  #epoch;
  #fence = null;
  #closing = null;
  #closed = false;
  #gaveUp = false;
  #flushing = 0;
  #asksLast = true;
  #generation = 0;
  #stop = new AbortController();
  #beforeExit;

  /** @param {Holdfast} client @param {object} [options] see DEFAULTS; policy: block, drop-oldest or fail */
  constructor(client, options = {}) {
    super();
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    this.#options = { ...DEFAULTS, ...Object.fromEntries(given) };
    if (!POLICIES.includes(this.#options.policy)) throw new TypeError(`policy is one of ${POLICIES.join(', ')}`);
    this.#client = client;
    this.#epoch = this.#options.epoch ?? client.epoch ?? null;
    this.#queue = new PendingStates(this.#options.maxQueued, this.#options.maxQueuedBytes);
    this.#schedule = new Schedule(
      (component, state) => this.#accept(this.#makeEntry(component, state, {}), {}),
      (component, error) => this.#tell('failed', { component, error }),
    );
    this.#beforeExit = () => this.#saveBeforeExit().catch(() => {});
    if (this.#options.flushOnExit) process.on('beforeExit', this.#beforeExit);
  }

  /** The epoch that is sent; null until the first receipt told it. */
  get epoch() {
    return this.#epoch;
  }

  /** How many states wait or are on their way. */
  get pending() {
    return this.#queue.size + this.#sending.size;
  }

  /**
   * Saves a state; resolves with the receipt when it, or a later one of the component, is on disk, and at once when
   * nothing changed. Rejects when the service refuses it, it was dropped, or the saver closed before it was saved.
   *
   * @param {object} [options] contentType, event, eventSnapshot; force: also if nothing changed; now: do not wait for
   *     more; signal: ends the waiting for room, not what is in the queue
   */
  async save(component, state, options = {}) {
    const entry = this.#makeEntry(component, state, options);
    const outcome = new Promise((resolve, reject) => entry.waiters.push({ resolve, reject }));
    this.#asksLast = true;
    outcome.catch(() => {}); // the caller hears of it by the promise that is returned, if room is found at all
    return (await this.#accept(entry, options)) ?? outcome;
  }

  /** The same for those who do not wait: resolves when there is room; events tell what became of it. */
  async enqueue(component, state, options = {}) {
    this.#asksLast = true;
    await this.#accept(this.#makeEntry(component, state, options), options);
  }

  /** Saves what `produce` (may be async) gives, again and again, and a last time at close(). Returns how to end it. */
  every(intervalMs, component, produce) {
    this.#asksLast = true;
    return this.#schedule.add(intervalMs, component, produce);
  }

  /**
   * Takes a loaded state or a receipt for saved, so that the same content is not sent once more. One of another epoch
   * is not taken: what else the process has is not of that one.
   */
  remember(receipt) {
    this.#epoch ??= receipt.epoch;
    if (receipt.epoch === this.#epoch) this.#saved.set(receipt.component, receipt);
  }

  /** Goes on after a restore, in the epoch whose states the process now has. What waits is from before: refused. */
  resume(epoch) {
    for (const entry of this.#queue.takeAll()) this.#fail(entry, fromBefore());
    this.#generation += 1;
    this.#saved.clear();
    this.#epoch = epoch;
    this.#fence = null;
    this.#room.wake();
    this.#pump();
  }

  /**
   * Resolves when nothing waits and nothing is on its way; rejects with not_saved after timeoutMs, or when the saver
   * closes before.
   */
  async flush({ timeoutMs = 0, signal } = {}) {
    throwIfAborted(signal);
    this.#flushing += 1;
    this.#pump();
    try {
      const tooLate = () =>
        new HoldfastError('not_saved', `${this.pending} states could not be saved within ${timeoutMs} ms`);
      if (this.pending > 0 && !this.#closed) {
        await this.#idle.wait({ signal, timeoutMs, tooLate });
        if (this.#gaveUp) throw new HoldfastError('not_saved', 'the saver closed before everything was saved');
      }
    } finally {
      this.#flushing -= 1;
      this.#holdProcess();
    }
  }

  /**
   * Saves what the callbacks of every() give, then what waits, then accepts no more. What is not saved within
   * timeoutMs is given up: its savers are told, and not_saved names the components.
   */
  close({ timeoutMs = this.#options.closeTimeoutMs } = {}) {
    this.#closing ??= this.#closeNow(timeoutMs);
    return this.#closing;
  }

  async #closeNow(timeoutMs) {
    const until = now() + timeoutMs;
    process.removeListener('beforeExit', this.#beforeExit);
    try {
      await within(timeoutMs, this.#schedule.end()); // a queue that stays full must not keep the process
      await this.flush({ timeoutMs: Math.max(1, until - now()) });
    } finally {
      this.#closed = true;
      clearTimeout(this.#timer);
      this.#stop.abort();
      const left = this.#queue.takeAll();
      this.#gaveUp = left.length + this.#sending.size > 0;
      for (const entry of left) this.#fail(entry, new HoldfastError('not_saved', 'closed before it was saved'));
      this.#room.wake();
      this.#idle.wake();
    }
  }

  /**
   * The process has nothing else to do, but may yet go on: another listener may give it work. The callbacks of every()
   * are asked once; again only if the process did more meanwhile, or it would never end.
   */
  async #saveBeforeExit() {
    if (this.#closing || (!this.#asksLast && this.pending === 0)) return;
    const timeoutMs = this.#options.closeTimeoutMs;
    const until = now() + timeoutMs;
    const round = this.#asksLast ? this.#schedule.round() : Promise.resolve();
    try {
      await within(timeoutMs, round);
      this.#asksLast = false; // what a callback saved itself is no reason to ask it again
      await this.flush({ timeoutMs: Math.max(1, until - now()) });
    } catch {
      await this.close({ timeoutMs: 1 });
    }
  }

  #makeEntry(component, state, { contentType, event, eventSnapshot, force = false, now: atOnce = false }) {
    const options = { ...(event !== undefined && { event }), ...(eventSnapshot !== undefined && { eventSnapshot }) };
    const readyAt = now() + (atOnce ? 0 : this.#options.coalesceMs);
    const generation = this.#generation;
    return { component, encoded: encodeState(state, contentType), options, force, waiters: [], readyAt, generation };
  }

  /** Puts an entry into the queue, as the policy says; gives a receipt when there is nothing to save. */
  async #accept(entry, { signal }) {
    try {
      return await this.#enter(entry, signal);
    } finally {
      if (this.#line.delete(entry)) this.#room.wake();
    }
  }

  /** First come, first served: a small state must not slip by an older one of its component, which then replaced it. */
  async #enter(entry, signal) {
    for (;;) {
      throwIfAborted(signal);
      if (this.#closed) throw new HoldfastError('closed', 'the saver is closed');
      if (this.#fence) throw this.#fence;
      if (entry.generation !== this.#generation) throw fromBefore();
      const first = this.#line.size === 0 || this.#line.values().next().value === entry;
      const busy = !first || this.#sending.has(entry.component) || this.#queue.has(entry.component);
      const same = busy ? null : this.#unchanged(entry);
      if (same) return same;
      if (first && this.#queue.offer(entry)) break;
      if (this.#options.policy === 'fail') {
        throw new HoldfastError('queue_full', `${this.#queue.size} states wait already`, { retryable: true });
      }
      if (this.#options.policy === 'block') {
        this.#line.add(entry);
        const room = this.#room.wait({ signal });
        this.#holdProcess();
        await room;
      } else this.#dropOldest(entry.component);
    }
    this.#pump();
    return undefined;
  }

  #unchanged(entry) {
    const saved = this.#saved.get(entry.component);
    return !entry.force && saved?.hash === entry.encoded.hash ? { ...saved, unchanged: true } : null;
  }

  /** Not what waits of the same component: that one becomes the newer one. */
  #dropOldest(component) {
    const oldest = this.#queue.take((entry) => entry.component !== component);
    for (const waiter of oldest.waiters) waiter.reject(new HoldfastError('dropped', 'newer states needed its room'));
    this.#tell('dropped', { component: oldest.component });
  }

  /** Sends what is due, as much at a time as is allowed, and comes back when more is. */
  #pump() {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const free = (entry) => !this.#sending.has(entry.component);
    while (this.#sending.size < this.#options.concurrency && now() >= this.#pausedUntil) {
      const due = this.#flushing > 0 ? Infinity : now();
      const entry = this.#queue.take((candidate) => free(candidate) && candidate.readyAt <= due);
      if (!entry) break;
      this.#send(entry);
      this.#room.wake();
    }
    if (this.pending === 0) this.#idle.wake();
    if (this.#sending.size >= this.#options.concurrency) return;
    const at = Math.max(this.#pausedUntil, this.#queue.nextAt(free));
    if (!Number.isFinite(at)) return;
    this.#timer = setTimeout(() => this.#pump(), timerMs(Math.max(0, at - now())));
    this.#holdProcess();
  }

  /** A process that has nothing else to do saves at once, and ends; not while somebody in it waits for us. */
  #holdProcess() {
    const awaited = this.#flushing > 0 || this.#room.size > 0 || this.#queue.awaited;
    if (awaited || !this.#options.flushOnExit) this.#timer?.ref();
    else this.#timer?.unref();
  }

  async #send(entry) {
    const epoch = this.#epoch;
    this.#sending.add(entry.component);
    try {
      this.#settle(entry, this.#unchanged(entry) ?? (await this.#store(entry, epoch)));
    } catch (error) {
      this.#handleFailure(entry, error, epoch);
    } finally {
      this.#sending.delete(entry.component);
      this.#pump();
    }
  }

  /** From now on the service may hold this state, answer or not: what it had before is no longer known to be there. */
  #store({ component, encoded, options }, epoch) {
    this.#saved.delete(component);
    return this.#client.saveEncoded(component, encoded, { ...options, epoch, signal: this.#stop.signal });
  }

  #settle(entry, receipt) {
    this.#failures = 0;
    this.#pausedUntil = this.#askedPauseUntil;
    if (!receipt.superseded) this.remember(receipt);
    for (const waiter of entry.waiters) waiter.resolve(receipt);
    this.#tell('saved', receipt);
  }

  #handleFailure(entry, error, epoch) {
    if (this.#closed) return this.#fail(entry, new HoldfastError('not_saved', 'closed on its way', { cause: error }));
    if (error.code === 'stale_epoch' && epoch === this.#epoch) return this.#raiseFence(entry, error);
    if (error.code === 'superseded') return this.#settle(entry, this.#noReceipt(entry));
    if (!isPassing(error)) return this.#fail(entry, error);
    if (entry.generation !== this.#generation) return this.#fail(entry, fromBefore());
    this.#failures += 1;
    const ownMs = backoff(this.#failures, { minMs: this.#options.retryMinMs, maxMs: this.#options.retryMaxMs });
    const askedMs = error.retryAfterMs ?? 0;
    const inMs = Math.max(ownMs, askedMs);
    this.#pausedUntil = Math.max(this.#askedPauseUntil, now() + inMs);
    if (askedMs > 0) this.#askedPauseUntil = Math.max(this.#askedPauseUntil, now() + askedMs);
    this.#queue.giveBack(entry);
    this.#tell('retrying', { component: entry.component, error, inMs });
  }

  /** A later write of the same client is stored, one that did not come this way: nothing is known of it. */
  #noReceipt({ component }) {
    this.#saved.delete(component);
    return {
      system: this.#client.system,
      component,
      version: 0,
      sequence: 0,
      epoch: this.#epoch ?? 0,
      hash: '',
      bytes: 0,
      unchanged: false,
      durability: 'database',
      committedAt: null,
      nextIncrementalBackup: null,
      superseded: true,
    };
  }

  #raiseFence(entry, error) {
    const first = !this.#fence;
    this.#fence = error;
    for (const refused of [entry, ...this.#queue.takeAll()]) this.#fail(refused, error);
    this.#room.wake();
    if (first) this.#tell('epoch', { epoch: error.epoch ?? null, error });
  }

  #fail(entry, error) {
    for (const waiter of entry.waiters) waiter.reject(error);
    this.#tell('failed', { component: entry.component, error });
  }

  /** What a listener throws is its own failure, and none of the save. */
  #tell(event, about) {
    try {
      this.emit(event, about);
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }
}

/** An answer that is not the service's says nothing about the state; a refusal by the service does. */
function isPassing(error) {
  return error instanceof HoldfastError && (error.retryable || (error.status > 0 && !error.fromService));
}

function fromBefore() {
  return new HoldfastError('stale_epoch', 'it was given before the system was restored');
}
