/** The most that a timer of Node can wait, some 24 days: one that is told more fires at once, again and again. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** As long as asked, or as long as a timer can wait. */
export function timerMs(ms) {
  return Math.min(ms, TIMER_MS_MAX);
}
