import { timerMs } from '../timer.js';

const REFRESHED_AFTER_MS = 1000;

/**
 * A copy of the service's status that can be read without waiting. It is asked for in the background, never twice at
 * a time; while the service does not answer, the last one stays and says by `connected` that it is old.
 */
export class StatusCopy {
  #client;
  #settings;
  #copy = null;
  #fetchedAt = null;
  #connected = false;
  #asking = null;
  #timer;
  #onWarning;
  #warned = new Set();

  constructor(client, settings, onWarning) {
    this.#client = client;
    this.#settings = settings;
    this.#onWarning = onWarning;
  }

  /** Begins to ask every statusInterval; does not keep the process alive. */
  start() {
    this.#timer = setInterval(() => this.refresh(), timerMs(this.#settings.statusInterval));
    this.#timer.unref();
  }

  stop() {
    clearInterval(this.#timer);
  }

  /** Never rejects. */
  refresh() {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  /** The same, not more than once a second, for those who call often. */
  refreshIfOld() {
    if (Date.now() - (this.#fetchedAt ?? 0) >= REFRESHED_AFTER_MS) this.refresh();
  }

  /** The newest copy; before the first, what is known without the service: nothing is known to be healthy. */
  read() {
    const now = Date.now();
    const copy = this.#copy ?? {
      status: 'unknown',
      systemHealth: { overallHealth: 0, healthy: 0, stale: 0, failed: 0 },
      nextFullBackup: now + this.#settings.backupInterval,
      nextIncrementalBackup: now + this.#settings.incrementalSaveInterval,
      lastFullBackup: null,
      lastIncrementalBackup: null,
      components: 0,
      activeAgents: 0,
      metricTotals: {},
      warnings: [],
    };
    return {
      ...copy,
      nextFullBackup: Math.max(copy.nextFullBackup, now),
      nextIncrementalBackup: Math.max(copy.nextIncrementalBackup, now),
      connected: this.#connected,
      fetchedAt: this.#fetchedAt,
    };
  }

  async #ask() {
    try {
      this.#copy = await this.#client.status();
      this.#fetchedAt = Date.now();
      this.#connected = true;
      this.#tellNewWarnings(this.#copy.warnings);
    } catch (error) {
      this.#connected = error.code === 'not_found'; // it answered: the system comes into being with its first state
    }
  }

  #tellNewWarnings(warnings) {
    for (const text of warnings) if (!this.#warned.has(text)) this.#onWarning(text);
    this.#warned = new Set(warnings);
  }
}
