import { timerMs } from './timer.js';

/** Calls back again and again for the states of components, and once more at the end. Never keeps a process alive. */
export class Schedule {
  #jobs = new Set();
  #take;
  #tellFailure;

  /** @param {(component, state) => Promise} take @param {(component, error) => void} tellFailure */
  constructor(take, tellFailure) {
    this.#take = take;
    this.#tellFailure = tellFailure;
  }

  /** Begins; returns a function that ends it. A round that is still under way when the next is due is not doubled. */
  add(intervalMs, component, produce) {
    if (!(intervalMs > 0)) throw new TypeError('the interval must be more than 0 ms');
    const job = { component, produce, running: null };
    job.timer = setInterval(() => this.#run(job), timerMs(intervalMs));
    job.timer.unref();
    this.#jobs.add(job);
    return () => {
      clearInterval(job.timer);
      this.#jobs.delete(job);
    };
  }

  /** One round of all of them now; they go on. */
  async round() {
    await Promise.all([...this.#jobs].map((job) => this.#run(job)));
  }

  /** Ends all of them, each with one last round. */
  async end() {
    const jobs = [...this.#jobs];
    this.#jobs.clear();
    await Promise.all(
      jobs.map(async (job) => {
        clearInterval(job.timer);
        await job.running;
        await this.#run(job);
      }),
    );
  }

  #run(job) {
    job.running ??= this.#produce(job).finally(() => {
      job.running = null;
    });
    return job.running;
  }

  async #produce(job) {
    try {
      await this.#take(job.component, await job.produce());
    } catch (error) {
      this.#tellFailure(job.component, error);
    }
  }
}
