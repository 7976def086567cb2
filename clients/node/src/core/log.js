const SILENT = Object.freeze({ info() {}, warn() {}, error() {} });

/** Where lines go: a logger with info, warn and error; the console by default; false means nowhere. */
export function loggerOf(logger) {
  if (logger === false || logger === null) return SILENT;
  if (logger === undefined) return { info: console.log, warn: console.warn, error: console.error };
  return logger;
}

export function plural(count, word) {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

/** Whole minutes as the lines of the status tell them. */
export function minutes(ms) {
  return plural(Math.round(ms / 60000), 'minute');
}
