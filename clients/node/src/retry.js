import { sleep, throwIfAborted } from './abort.js';

/** How often, and for how long in all, a call is tried again. */
export const DEFAULT_RETRY = Object.freeze({ attempts: 8, minMs: 100, maxMs: 5000, totalMs: 30000 });

/**
 * Calls `attempt` until it succeeds, fails for good, or the policy is used up; then throws the last failure.
 *
 * Between two attempts it waits twice as long each time, by chance up to half of that less: many clients that lost
 * the same service must not come back in step. A Retry-After is a lower bound; one beyond what is left of the time
 * ends the matter at once.
 *
 * The failure that is thrown says in `attempts` how often it was tried, and in `uncertain` whether the outcome of an
 * attempt before the last is unknown.
 *
 * @template T
 * @param {(attempt: number) => Promise<T>} attempt
 * @param {object} options policy; mayRepeat(error); lasting: the work may take longer than all tries should, which
 *     are counted from the first failure; signal
 * @returns {Promise<T>}
 */
export async function withRetries(attempt, { policy, mayRepeat, lasting = false, signal }) {
  let giveUpAt = Date.now() + policy.totalMs;
  let uncertain = false;
  for (let number = 1; ; number += 1) {
    throwIfAborted(signal);
    try {
      return await attempt(number);
    } catch (error) {
      if (signal?.aborted) throw error;
      if (lasting && number === 1) giveUpAt = Date.now() + policy.totalMs;
      const pauseMs = Math.max(backoff(number, policy), error.retryAfterMs ?? 0);
      if (number >= policy.attempts || !mayRepeat(error) || Date.now() + pauseMs > giveUpAt) {
        if (error.name === 'HoldfastError') Object.assign(error, { attempts: number, uncertain });
        throw error;
      }
      uncertain ||= error.outcomeUnknown;
      await sleep(pauseMs, signal);
    }
  }
}

/** The pause after the attempt with this number, counted from 1. */
export function backoff(number, { minMs, maxMs }) {
  const whole = Math.min(maxMs, minMs * 2 ** Math.min(number - 1, 30));
  return whole / 2 + Math.random() * (whole / 2);
}
