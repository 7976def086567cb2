const HOUR_MS = 60 * 60 * 1000;

/** option, variable of the environment, default, setting of the system in the service. */
const ROWS = [
  ['backupInterval', 'PERSISTENCE_BACKUP_INTERVAL', HOUR_MS, 'backupIntervalMs'],
  ['incrementalSaveInterval', 'PERSISTENCE_INCREMENTAL_INTERVAL', 5 * 60 * 1000, 'incrementalIntervalMs'],
  ['maxBackupRetention', 'PERSISTENCE_MAX_RETENTION', 168, 'maxRetentionHours'],
  ['enableStateValidation', 'PERSISTENCE_ENABLE_STATE_VALIDATION', true, null],
  ['validateOnRestore', 'PERSISTENCE_VALIDATE_ON_RESTORE', true, null],
  ['backupDirectory', 'PERSISTENCE_BACKUP_DIRECTORY', './data/system-state-backups', null],
  ['incrementalDirectory', 'PERSISTENCE_INCREMENTAL_DIRECTORY', './data/incremental-state', null],
  ['recoveryMaxAge', 'PERSISTENCE_RECOVERY_MAX_AGE', 2 * HOUR_MS, null],
  ['heartbeatInterval', null, 30000, null],
  ['statusInterval', null, 15000, null],
  ['shutdownTimeout', null, 15000, null],
  ['configureSystem', null, true, null],
];

/**
 * The options with what was left out: from the environment, else the default. `system` holds what was really asked for
 * of the service's settings, by an option or the environment; a default asks for nothing.
 *
 * @throws {TypeError} for a number that is none, or below 1 (0 is allowed for heartbeatInterval: none are sent)
 */
export function settingsOf(options, environment = process.env) {
  const values = {};
  const system = {};
  for (const [option, variable, fallback, setting] of ROWS) {
    const given = options[option] ?? fromEnvironment(environment, variable, fallback);
    values[option] = checked(option, given ?? fallback, fallback);
    if (setting && given !== undefined) system[setting] = values[option];
  }
  return { values: Object.freeze(values), system };
}

function fromEnvironment(environment, variable, fallback) {
  const text = variable ? environment[variable] : undefined;
  if (text === undefined || text === '') return undefined;
  if (typeof fallback === 'boolean') return text !== 'false';
  return typeof fallback === 'number' ? Number(text) : text;
}

function checked(option, value, fallback) {
  if (typeof value !== typeof fallback) throw new TypeError(`${option} must be a ${typeof fallback}, not ${value}`);
  const least = option === 'heartbeatInterval' ? 0 : 1;
  if (typeof value === 'number' && !(value >= least)) {
    throw new TypeError(`${option} must be at least ${least}, not ${value}`);
  }
  return value;
}

/** Makes the intervals that were asked for the system's, and leaves its other settings as they are. */
export async function configureSystem(client, asked) {
  if (Object.keys(asked).length === 0) return;
  const { description, backupIntervalMs, incrementalIntervalMs, maxRetentionHours } =
    (await client.systemIfAny()) ?? {};
  const present = { description, backupIntervalMs, incrementalIntervalMs, maxRetentionHours };
  const differs = Object.keys(asked).some((key) => asked[key] !== present[key]);
  if (differs) await client.configure({ ...present, ...asked });
}
