import { findFile } from './directories.js';

/** Tells the service what the components of this process have and how they are, and has it take snapshots. */
export class Backups {
  #client;
  #saver;
  #adapters;
  #settings;
  #protection;

  constructor(client, saver, adapters, settings, protection) {
    this.#client = client;
    this.#saver = saver;
    this.#adapters = adapters;
    this.#settings = settings;
    this.#protection = protection;
  }

  /** The receipt, when it is on disk. The state is asked for when nothing is left to wait for. */
  async saveOne(name, state, options) {
    await this.#protection.ensure();
    const value = state === undefined ? await this.#adapters.get(name).read() : state;
    return this.#saver.save(name, value, { ...options, now: true });
  }

  /** The receipts of all, changed or not; the first failure when all were tried. */
  async saveAll() {
    await this.#protection.ensure();
    const saves = [...this.#adapters].map(async ([name, adapter]) =>
      this.#saver.save(name, await adapter.read(), { now: true }),
    );
    const done = await Promise.allSettled(saves);
    const bad = done.find((result) => result.status === 'rejected');
    if (bad) throw bad.reason;
    return done.map((result) => result.value);
  }

  /** The snapshot, with its verdict when it was read back, and the path of its file when that is seen from here. */
  async take(kind, label) {
    const snapshot = await this.#client.snapshot({ kind, label });
    if (kind === 'full' && this.#settings.enableStateValidation) {
      snapshot.validation = await this.#client.validate(snapshot.id, { deep: false });
    }
    return { ...snapshot, path: findFile(snapshot, this.#settings) };
  }

  /** Says that the components are alive; the first failure when all were tried. */
  async beat() {
    const beats = [...this.#adapters].map(async ([name, adapter]) => this.#client.heartbeat(name, adapter.health()));
    const bad = (await Promise.allSettled(beats)).find((beat) => beat.status === 'rejected');
    if (bad) throw bad.reason;
  }
}
