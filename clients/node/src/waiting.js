import { abortReason, onAbort } from './abort.js';
import { timerMs } from './timer.js';

/** Those who wait for one thing, woken together. */
export class Waiting {
  #wakers = new Set();

  get size() {
    return this.#wakers.size;
  }

  /**
   * Resolves with the next wake().
   *
   * @param {object} [options] signal, whose reason is thrown; timeoutMs (0: none), after which `tooLate()` is thrown
   */
  wait({ signal, timeoutMs = 0, tooLate } = {}) {
    return new Promise((resolve, reject) => {
      let timer;
      const finish = (settle, value) => {
        clearTimeout(timer);
        forget();
        this.#wakers.delete(wake);
        settle(value);
      };
      const wake = () => finish(resolve);
      const forget = onAbort(signal, () => finish(reject, abortReason(signal)));
      if (timeoutMs > 0) timer = setTimeout(() => finish(reject, tooLate()), timerMs(timeoutMs));
      this.#wakers.add(wake);
    });
  }

  wake() {
    for (const wake of [...this.#wakers]) wake();
  }
}
