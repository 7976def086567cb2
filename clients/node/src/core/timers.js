import { timerMs } from '../timer.js';

/** Repeated jobs that never keep a process alive, ended together. */
export class Timers {
  #timers = [];

  every(intervalMs, job) {
    const timer = setInterval(job, timerMs(intervalMs));
    timer.unref();
    this.#timers.push(timer);
  }

  stop() {
    for (const timer of this.#timers) clearInterval(timer);
  }
}
