import { existsSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Where a snapshot lies. The files belong to the service, which may run elsewhere and has directories of its own
 * (--backup-directory, --incremental-directory): the options say where this process expects to see them, and change
 * nothing. The path is null when there is no such file here.
 */
export function findFile(snapshot, settings) {
  const directory = snapshot.kind === 'full' ? settings.backupDirectory : settings.incrementalDirectory;
  const path = join(directory, snapshot.file);
  return existsSync(path) ? path : null;
}
