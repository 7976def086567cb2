/** What the first users wrote runs unchanged: their snippets, their commands, the lines they expect. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Holdfast } from '../src/index.js';
import { SystemStatePersistence } from '../src/core/SystemStatePersistence.js';
import { Service, collect, until } from './support/service.js';

/** All of it, to its last line. */
const STATUS = /SYSTEM STATUS:[^]*System Health: .*\n/;

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Asks for a backup, reads how the system is, restores a backup by its id. */
const OPERATIONS = `
// Force a full backup
await orchestrator.statePersistence.saveFullBackup();

// Check system persistence status
const status = orchestrator.statePersistence.getSystemStatus();
console.log(\`Next backup in: \${status.nextFullBackup - Date.now()}ms\`);
console.log(\`System health: \${status.systemHealth.overallHealth * 100}%\`);

// Restore from specific backup
await orchestrator.statePersistence.restoreSystemState('backup_id_here');
`;

/** Makes one with every option. */
const CONFIGURATION = `
new SystemStatePersistence({
    backupInterval: 60 * 60 * 1000,        // 1 hour full backups
    incrementalSaveInterval: 5 * 60 * 1000, // 5 minute incrementals
    maxBackupRetention: 168,                // 7 days retention
    enableStateValidation: true,            // Validate on restore
    validateOnRestore: true,                // Always validate
    backupDirectory: './data/system-state-backups',
    incrementalDirectory: './data/incremental-state'
})
`;

let service;

before(async () => {
  service = await Service.start();
  process.env.HOLDFAST_URL = service.url;
});
after(async () => {
  delete process.env.HOLDFAST_URL;
  await service.end();
});

function newEnvironment(system, more = {}) {
  return { ...process.env, HOLDFAST_URL: service.url, HOLDFAST_SYSTEM: system, ...more };
}

test('the snippet of manual operations runs', async () => {
  const statePersistence = new SystemStatePersistence({ system: 'snippet', logger: false });
  const agent = { memory: 1 };
  statePersistence.registerComponent('agent', agent);
  await statePersistence.initialize();
  const backup = await statePersistence.saveFullBackup();
  agent.memory = 2;
  const lines = [];
  const AsyncFunction = (async () => {}).constructor;
  const run = (snippet) =>
    new AsyncFunction('orchestrator', 'console', snippet)({ statePersistence }, { log: (line) => lines.push(line) });
  await run(OPERATIONS.replace('backup_id_here', backup.id)); // the id is for the reader to fill in
  assert.equal(agent.memory, 1);
  assert.match(lines[0], /^Next backup in: [1-9]\d*ms$/);
  assert.equal(lines[1], 'System health: 100%');
  await assert.rejects(run(OPERATIONS), { name: 'HoldfastError' }, 'there is no backup of that name');
  await statePersistence.shutdown();
});

test('the snippet of the configuration makes one that works', async () => {
  process.env.HOLDFAST_SYSTEM = 'configured';
  try {
    const persistence = new Function('SystemStatePersistence', `return ${CONFIGURATION.trim()}`)(
      SystemStatePersistence,
    );
    assert.ok(persistence instanceof SystemStatePersistence);
    const { options } = persistence;
    assert.deepEqual(
      [options.maxBackupRetention, options.backupDirectory, options.incrementalDirectory],
      [168, './data/system-state-backups', './data/incremental-state'],
    );
    persistence.registerComponent('agent', { memory: 1 });
    await persistence.initialize();
    await persistence.shutdown();
    const client = new Holdfast();
    const info = await client.systemInfo();
    assert.deepEqual(
      [info.backupIntervalMs, info.incrementalIntervalMs, info.maxRetentionHours],
      [3600000, 300000, 168],
    );
    assert.equal((await collect(client.snapshots())).length, 1);
    client.close();
  } finally {
    delete process.env.HOLDFAST_SYSTEM;
  }
});

test('node startfullsyndicate.js starts, ends with a final backup, and recovers', async () => {
  const run = () => {
    const child = spawn(process.execPath, ['startfullsyndicate.js'], {
      cwd: ROOT,
      env: newEnvironment('syndicate', { SYNDICATE_STEP_MS: '2' }),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child.text = '';
    child.stdout.setEncoding('utf8').on('data', (part) => {
      child.text += part;
    });
    child.ended = once(child, 'close'); // not before all of its text is here
    return child;
  };
  const first = run();
  await until(() => STATUS.test(first.text));
  assert.match(first.text, /Step 8: Initializing State Persistence System\.\.\.\n/);
  assert.match(first.text, /\[x\] State Persistence System operational with hourly backups\n/);
  assert.match(first.text, /Active Agents: 1\n {3}Total Judgments: 50\n/);
  assert.match(first.text, /Next Backup: 60 minutes\n {3}System Health: 100\.0%\n/);
  first.kill('SIGINT');
  assert.deepEqual(await first.ended, [0, null]);
  assert.match(first.text, /\[x\] Final backup complete\n$/);

  const client = new Holdfast(service.url, { system: 'syndicate' });
  const saved = (await client.load('central-nervous-system')).value;
  assert.equal(saved.judgments.length, Math.min(100, saved.total));
  const second = run();
  await until(() => STATUS.test(second.text));
  assert.match(
    second.text,
    new RegExp(
      [
        'Attempting system state recovery...',
        '\\[x\\] System state recovered successfully!',
        'Data loss: 0 minutes',
        'Components restored: 8\n',
      ].join('\n'),
    ),
  );
  const total = Number(/Total Judgments: ([\d,]+)/.exec(second.text)[1].replace(',', ''));
  assert.ok(total > saved.total, `${total} after ${saved.total}`);
  second.kill('SIGKILL');
  await second.ended;
  client.close();
});

test('node tests/persistence-system-test.js passes its eight proofs', async () => {
  const child = spawn(process.execPath, ['tests/persistence-system-test.js'], {
    cwd: ROOT,
    env: newEnvironment('default'),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part) => {
    text += part;
  });
  const [status] = await once(child, 'close');
  assert.match(text, /^STARTING PERSISTENCE SYSTEM TEST SUITE\n/);
  assert.match(text, /\[x\] Passed: 8\n\[ \] Failed: 0\nALL PERSISTENCE TESTS PASSED!\n$/);
  assert.equal(status, 0);
});
