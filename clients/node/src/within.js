import { timerMs } from './timer.js';

/** Waits for the promise, but no longer than `ms`; rejects if it does in this time. */
export async function within(ms, promise) {
  let timer;
  const enough = new Promise((resolve) => {
    timer = setTimeout(resolve, timerMs(ms));
  });
  try {
    await Promise.race([promise, enough]);
  } finally {
    clearTimeout(timer);
  }
}
