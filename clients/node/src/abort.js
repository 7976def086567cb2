import { setMaxListeners } from 'node:events';
import { timerMs } from './timer.js';

/** Throws the signal's reason if it was aborted. */
export function throwIfAborted(signal) {
  if (signal?.aborted) throw abortReason(signal);
}

export function abortReason(signal) {
  return signal.reason ?? new DOMException('This operation was aborted', 'AbortError');
}

/**
 * Calls `listener` once when the signal is aborted; returns a function that ends that. One signal may watch over any
 * number of calls, so Node is told not to take their listeners for a leak.
 */
export function onAbort(signal, listener) {
  if (!signal) return () => {};
  setMaxListeners(0, signal);
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

/** A signal that is aborted with the first of these, and `end`, after which it is no longer. */
export function firstOf(...signals) {
  const control = new AbortController();
  const given = signals.filter(Boolean);
  const forget = given.map((signal) => onAbort(signal, () => control.abort(abortReason(signal))));
  const aborted = given.find((signal) => signal.aborted);
  if (aborted) control.abort(abortReason(aborted));
  return { signal: control.signal, end: () => forget.forEach((end) => end()) };
}

/**
 * Waits; rejects with the signal's reason when it is aborted meanwhile.
 *
 * @param {number} ms
 * @param {AbortSignal} [signal]
 */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortReason(signal));
    const forget = onAbort(signal, () => {
      clearTimeout(timer);
      reject(abortReason(signal));
    });
    const timer = setTimeout(() => {
      forget();
      resolve();
    }, timerMs(ms));
  });
}
