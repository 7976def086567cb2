/** One thing at a time, for which others wait. */
export class Turn {
  #last = null;

  get taken() {
    return this.#last !== null;
  }

  /** Resolves when nobody has the turn. */
  async free() {
    while (this.#last) await this.#last;
  }

  /** Runs the action when those before are done; gives what it gives. */
  async take(action) {
    const before = this.#last;
    const done = (async () => {
      await before;
      return action();
    })();
    const over = done
      .catch(() => {})
      .then(() => {
        if (this.#last === over) this.#last = null;
      });
    this.#last = over;
    return done;
  }
}
