import { EventEmitter } from 'node:events';
import { Holdfast } from '../client.js';
import { HoldfastError } from '../errors.js';
import { Saver } from '../saver.js';
import { within } from '../within.js';
import { adapterOf } from './adapter.js';
import { Backups } from './backups.js';
import { finalLabel } from './lastRun.js';
import { loggerOf } from './log.js';
import { Protection } from './protection.js';
import { recoverPresent, refuseDamaged, takeAllPresent, takePresent, takeRestored, tellRecovery } from './recover.js';
import { configureSystem, settingsOf } from './settings.js';
import { StatusCopy } from './statusCopy.js';
import { Timers } from './timers.js';
import { Turn } from './turn.js';

/**
 * Keeps the states of the components of this process in a holdfast service: gives them back at the start, saves them
 * every incrementalSaveInterval when they changed, on demand, and a last time at shutdown(). The snapshots are the
 * service's work; the intervals that are given here become the system's.
 *
 * Events: `backup` (a snapshot), `recovery` (a result), `recovery-failed` (an error), `warning` ({code, text, error}),
 * `epoch` (the system was restored by others: nothing is saved until restoreSystemState() or acceptRestore()),
 * `initialized`, `shutdown`.
 */
export class SystemStatePersistence extends EventEmitter {
  #client;
  #saver;
  #status;
  #log;
  #settings;
  #systemSettings;
  #adapters = new Map();
  #timers = new Timers();
  #initializing = null;
  #ending = null;
  #protection;
  #backups;
  /** Taken while states are given back: what a component had before must not be saved over what it is to be given. */
  #giving = new Turn();
  #exit = () => this.shutdown().catch(() => {});

  /** Connects to nothing yet. @param {object} [options] see SystemStatePersistence.d.ts */
  constructor(options = {}) {
    super();
    const { values, system } = settingsOf(options);
    this.#settings = values;
    this.#systemSettings = system;
    this.#log = loggerOf(options.logger);
    this.#client = options.client ?? new Holdfast(options.url, options);
    this.#saver = new Saver(this.#client, { ...options.saver, flushOnExit: false });
    this.#listenToSaver();
    this.#protection = new Protection(this.#client, this.#log, (...warning) => this.#warn(...warning));
    this.#backups = new Backups(this.#client, this.#saver, this.#adapters, values, this.#protection);
    this.#status = new StatusCopy(this.#client, values, (text) => this.#warn('service', text));
  }

  get options() {
    return this.#settings;
  }

  get client() {
    return this.#client;
  }

  /**
   * Adds a component: an object with getState and setState, or whose own data are its state; `dependsOn` names what
   * has to be there before it. Before initialize() it is only noted; after, it is registered and given its saved state.
   */
  async registerComponent(name, component, more = {}) {
    const adapter = adapterOf(component, more);
    if (this.#initializing) {
      await this.#initializing;
      await this.#register(name, adapter);
      const state = await takePresent(this.#client, name, adapter);
      if (state) this.#saver.remember(state);
    }
    this.#adapters.set(name, adapter);
  }

  /**
   * Sets the system's intervals, registers the components, recovers, and begins to save. Never rejects because the
   * service is away or the recovery fails: that is logged and told by events, and the system starts fresh.
   */
  initialize() {
    this.#initializing ??= this.#initialize();
    return this.#initializing;
  }

  /** Saves what changed, then takes a full snapshot, and with enableStateValidation reads it back. Resolves with it. */
  saveFullBackup({ label } = {}) {
    return this.#backup('full', label);
  }

  /** Saves what changed, then takes an incremental snapshot. */
  saveIncrementalBackup({ label } = {}) {
    return this.#backup('incremental', label);
  }

  /** Saves one component now, after something significant; resolves with the receipt when it is on disk. */
  async saveComponentState(name, state = undefined, { event, eventSnapshot, contentType } = {}) {
    if (state === undefined && !this.#adapters.has(name)) throw new TypeError(`no component ${name} is registered`);
    if (state !== undefined && this.#giving.taken) {
      throw new HoldfastError('stale_epoch', `states are being given back; ${name} was of before`);
    }
    await this.#giving.free();
    const receipt = await this.#backups.saveOne(name, state, { event, eventSnapshot, contentType });
    this.#status.refreshIfOld();
    return receipt;
  }

  /** Saves every component that changed; resolves with the receipts when all are on disk. */
  async saveChanges() {
    await this.#giving.free();
    return this.#backups.saveAll();
  }

  /** How the system is, without waiting: a copy that is asked for in the background (`fetchedAt`, `connected`). */
  getSystemStatus() {
    return { ...this.#status.read(), componentsRegistered: this.#adapters.size, pendingSaves: this.#saver.pending };
  }

  /**
   * Brings the system back to a snapshot, by default the newest that is at most recoveryMaxAge old, and gives the
   * states to the components, dependencies first. What they had is saved before, so that this can be undone.
   *
   * @param {string} [backupId]
   * @throws {HoldfastError} data_damaged, not_found, precondition_failed (too old): nothing was changed then
   */
  restoreSystemState(backupId = 'latest', options = {}) {
    return this.#giving.take(() => this.#restore(backupId, options));
  }

  async #restore(backupId, { reason = 'asked for by the process', maxAgeMs }) {
    const began = Date.now();
    const latest = backupId === 'latest';
    await this.#attempt('save_failed', 'not everything could be saved before the restore', async () => {
      await within(this.#settings.shutdownTimeout, this.#backups.saveAll());
      await this.#saver.flush({ timeoutMs: this.#settings.shutdownTimeout });
    });
    if (this.#settings.validateOnRestore && !latest) await refuseDamaged(this.#client, backupId);
    const recovery = await this.#client.restore({
      snapshot: backupId,
      reason,
      maxAgeMs: maxAgeMs ?? (latest ? this.#settings.recoveryMaxAge : undefined),
    });
    const result = await takeRestored(this.#client, this.#adapters, recovery);
    this.#saver.resume(recovery.epoch); // not before: where it broke off, old states must stay refused
    this.#accept(result);
    const summary = { success: result.failed.length === 0, ...result, durationMs: Date.now() - began };
    this.#tellRecovery(summary);
    await this.#status.refresh();
    return summary;
  }

  /** After the event `epoch`: takes over the states that another one's restore brought back, and goes on from them. */
  acceptRestore() {
    return this.#giving.take(() => this.#acceptRestore());
  }

  async #acceptRestore() {
    const { epoch } = await this.#client.systemInfo();
    const states = await takeAllPresent(this.#client, this.#adapters);
    this.#saver.resume(epoch);
    this.#client.epoch = epoch;
    for (const state of states) this.#saver.remember(state);
  }

  /** Saves what changed, takes the final backup, and ends. What could not be saved within shutdownTimeout is told. */
  shutdown() {
    this.#ending ??= this.#shutdown();
    return this.#ending;
  }

  async #initialize() {
    if (this.#settings.configureSystem) {
      await this.#attempt('system_settings', 'the settings of the system were not changed', () =>
        configureSystem(this.#client, this.#systemSettings),
      );
    }
    for (const [name, adapter] of this.#adapters) {
      await this.#attempt('registration', `${name} was not registered`, () => this.#register(name, adapter));
    }
    await this.#giving.take(() => this.#recover());
    this.#timers.every(this.#settings.incrementalSaveInterval, () =>
      this.#attempt('backup', 'saving failed; it is tried again in the next interval', () => this.saveChanges()),
    );
    if (this.#settings.heartbeatInterval > 0) {
      await this.#beat();
      this.#timers.every(this.#settings.heartbeatInterval, () => this.#beat());
    }
    await this.#status.refresh();
    this.#status.start();
    process.once('beforeExit', this.#exit);
    this.emit('initialized', this.getSystemStatus());
    return this;
  }

  #register(name, adapter) {
    const { heartbeatInterval: heartbeatIntervalMs } = this.#settings;
    return this.#client.register(name, { ...adapter.registration, heartbeatIntervalMs });
  }

  async #recover() {
    this.#log.info('Attempting system state recovery...');
    try {
      const result = await recoverPresent(this.#client, this.#adapters);
      if (result.reports.length === 0) {
        this.#log.info('No saved state was found; starting fresh');
        this.emit('recovery', { success: true, ...result });
        return;
      }
      this.#accept(result);
      if (result.componentsRestored === 0) {
        throw new HoldfastError('recovery_failed', `no component took its state: ${result.failed.join(', ')}`);
      }
      this.#tellRecovery({ success: result.failed.length === 0, ...result });
    } catch (error) {
      this.#protection.need();
      this.#log.error(`System state recovery failed: ${error.message}`);
      this.#log.warn('Starting fresh; what was saved before stays in the service');
      this.emit('recovery-failed', error);
      this.#warn('recovery_failed', 'the system started without its saved state', error);
    }
  }

  /** Notes what was given out as saved, and that what a component could not take must not be overwritten unseen. */
  #accept(result) {
    for (const state of result.states) this.#saver.remember(state);
    for (const { component, status, error } of result.reports) {
      if (status !== 'failed') continue;
      this.#protection.need();
      this.#warn('component_not_restored', `${component} could not take its state and starts fresh`, error);
    }
  }

  #tellRecovery(result) {
    tellRecovery(this.#log, result);
    this.emit('recovery', result);
  }

  async #backup(kind, label) {
    try {
      await this.saveChanges();
      const snapshot = await this.#backups.take(kind, label);
      this.emit('backup', snapshot);
      if (snapshot.validation.status === 'damaged') this.#warn('backup_damaged', `${snapshot.id} proved damaged`);
      await this.#status.refresh();
      return snapshot;
    } catch (error) {
      this.#warn('backup', `the ${kind} backup failed`, error);
      throw error;
    }
  }

  #beat() {
    return this.#attempt('heartbeat', 'a heartbeat was not taken', async () => {
      try {
        await this.#backups.beat();
      } catch (error) {
        if (!(this.#ending && error.code === 'closed')) throw error;
      }
    });
  }

  #listenToSaver() {
    this.#saver.on('retrying', ({ component, error }) => {
      this.#warn('save_delayed', `saving ${component} is delayed`, error);
    });
    this.#saver.on('failed', ({ component, error }) => this.#warn('save_failed', `${component} was not saved`, error));
    this.#saver.on('epoch', (change) => {
      this.#warn('epoch', 'someone else restored the system; nothing is saved until acceptRestore()', change.error);
      this.emit('epoch', change);
    });
  }

  async #attempt(code, text, action) {
    try {
      await action();
    } catch (error) {
      this.#warn(code, text, error);
    }
  }

  #warn(code, text, error) {
    const line = error ? `${text}: ${error.message}` : text;
    this.#log.warn(`Warning: ${line}`);
    this.emit('warning', { code, text: line, error: error ?? null });
  }

  async #shutdown() {
    await this.#initializing;
    process.removeListener('beforeExit', this.#exit);
    this.#timers.stop();
    this.#status.stop();
    const names = [...this.#adapters.keys()];
    const backup = names.length > 0 ? this.saveFullBackup({ label: finalLabel(names) }) : Promise.resolve();
    const told = backup.catch(() => {}); // by a warning
    await within(this.#settings.shutdownTimeout, told);
    await this.#attempt('final_backup', 'not everything was saved', () => this.#saver.close({ timeoutMs: 1 }));
    this.#client.close();
    this.emit('shutdown');
  }
}
