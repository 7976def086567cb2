/**
 * What waits to be saved: one entry a component, oldest first, bounded in number and in bytes. A newer state of a
 * component takes the place of the one that waits (its age stays), and whoever waits for the older one waits for it.
 *
 * An entry: component, encoded ({bytes, …}), options, force, waiters ([{resolve, reject}]), readyAt (ms), generation.
 */
export class PendingStates {
  #entries = new Map();
  #bytes = 0;
  #maxCount;
  #maxBytes;

  constructor(maxCount, maxBytes) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
  }

  get size() {
    return this.#entries.size;
  }

  get bytes() {
    return this.#bytes;
  }

  /** Whether somebody waits for the receipt of one of them. */
  get awaited() {
    for (const entry of this.#entries.values()) if (entry.waiters.length > 0) return true;
    return false;
  }

  has(component) {
    return this.#entries.has(component);
  }

  /** False when there is no room. One entry always has room in an empty queue, however large it is. */
  offer(entry) {
    const before = this.#entries.get(entry.component);
    const bytes = this.#bytes - (before?.encoded.bytes.length ?? 0) + entry.encoded.bytes.length;
    const count = this.#entries.size + (before ? 0 : 1);
    if (count > 1 && (count > this.#maxCount || bytes > this.#maxBytes)) return false;
    this.#put(before ? merge(before, entry) : entry, bytes);
    return true;
  }

  /** Brings an entry that could not be saved back, in front of the others; never refused, as it was here before. */
  giveBack(entry) {
    const newer = this.#entries.get(entry.component);
    if (newer) {
      this.#entries.set(entry.component, merge(entry, newer));
      return;
    }
    this.#bytes += entry.encoded.bytes.length;
    this.#entries = new Map([[entry.component, entry], ...this.#entries]);
  }

  /** Takes the oldest entry out for which `allow` says yes; null when there is none. */
  take(allow) {
    for (const entry of this.#entries.values()) {
      if (!allow(entry)) continue;
      this.#entries.delete(entry.component);
      this.#bytes -= entry.encoded.bytes.length;
      return entry;
    }
    return null;
  }

  takeAll() {
    const all = [...this.#entries.values()];
    this.#entries.clear();
    this.#bytes = 0;
    return all;
  }

  /** When the first entry that `allow` lets pass may be sent (ms); Infinity when there is none. */
  nextAt(allow) {
    let at = Infinity;
    for (const entry of this.#entries.values()) if (allow(entry)) at = Math.min(at, entry.readyAt);
    return at;
  }

  #put(entry, bytes) {
    this.#entries.set(entry.component, entry);
    this.#bytes = bytes;
  }
}

function merge(before, after) {
  return {
    ...after,
    options: { ...before.options, ...after.options },
    force: before.force || after.force,
    waiters: [...before.waiters, ...after.waiters],
    readyAt: before.readyAt,
  };
}
