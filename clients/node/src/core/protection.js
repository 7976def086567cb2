const LABEL = 'before a fresh start';

/**
 * Keeps what nobody took over. A process that starts fresh although there are saved states would soon save over them:
 * before its first save a snapshot is taken, from which they can be restored.
 */
export class Protection {
  #client;
  #log;
  #warn;
  #needed = false;
  #taking = null;

  constructor(client, log, warn) {
    this.#client = client;
    this.#log = log;
    this.#warn = warn;
  }

  need() {
    this.#needed = true;
  }

  /** To be awaited before each save. Never rejects; it is tried again when the service was only away. */
  ensure() {
    if (!this.#needed) return undefined;
    this.#taking ??= this.#take().finally(() => {
      this.#taking = null;
    });
    return this.#taking;
  }

  async #take() {
    try {
      const kept = await this.#client.snapshot({ label: LABEL });
      this.#log.warn(`The states from before this fresh start are in ${kept.id}`);
      this.#needed = false;
    } catch (error) {
      if (error.status === 404) {
        this.#needed = false; // there is no system, and nothing to keep
        return;
      }
      this.#needed = error.retryable === true;
      this.#warn('backup', 'the states from before this fresh start are in the history alone', error);
    }
  }
}
