import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { Holdfast, Saver, SystemStatePersistence } from '../src/index.js';
import { sleep } from '../src/abort.js';
import { proxy, service } from './support/proxied.js';
import { refusal } from './support/proxy.js';
import { Service, collect, until } from './support/service.js';

/** A process with two components, and what it said. */
function newRun(system, options = {}) {
  const lines = [];
  const line = (text) => lines.push(text);
  const run = { lines, warnings: [], model: { weights: [0] }, agent: { step: 0 } };
  run.persistence = new SystemStatePersistence({
    url: service.url,
    system,
    logger: { info: line, warn: line, error: line },
    retry: { attempts: 3, minMs: 1, maxMs: 20 },
    ...options,
  });
  run.persistence.on('warning', (warning) => run.warnings.push(warning.code));
  run.persistence.registerComponent('agent', run.agent, { dependsOn: ['model'] });
  run.persistence.registerComponent('model', run.model);
  return run;
}

async function withClient(system, use) {
  const client = new Holdfast(service.url, { system });
  try {
    await use(client);
  } finally {
    client.close();
  }
}

test('before it is initialized it connects to nothing and its status is sensible', () => {
  const persistence = new SystemStatePersistence({ url: 'http://127.0.0.1:1', backupInterval: 60000 });
  const status = persistence.getSystemStatus();
  assert.ok(status.nextFullBackup - Date.now() > 0 && status.nextFullBackup - Date.now() <= 60000);
  assert.deepEqual([status.systemHealth.overallHealth, status.connected, status.fetchedAt], [0, false, null]);
});

test('a run gives its state to the next, in the order of the dependencies, and tells what was lost', async () => {
  const first = newRun('runs');
  await first.persistence.initialize();
  assert.deepEqual(first.lines, ['Attempting system state recovery...', 'No saved state was found; starting fresh']);
  Object.assign(first.agent, { step: 7 });
  first.model.weights = [1, 2];
  await first.persistence.shutdown();

  const second = newRun('runs');
  const order = [];
  second.persistence.registerComponent('model', {
    getState: () => second.model,
    setState: async (state) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      order.push('model');
      Object.assign(second.model, state);
    },
  });
  second.persistence.registerComponent('agent', {
    dependsOn: ['model'],
    getState: () => second.agent,
    setState: (state) => order.push('agent') && Object.assign(second.agent, state),
  });
  const [, [result]] = await Promise.all([second.persistence.initialize(), once(second.persistence, 'recovery')]);
  assert.deepEqual([second.agent, second.model, order], [{ step: 7 }, { weights: [1, 2] }, ['model', 'agent']]);
  assert.deepEqual([result.dataLoss, result.componentsRestored, result.success], [0, 2, true]);
  assert.deepEqual(second.lines, [
    'Attempting system state recovery...',
    '[x] System state recovered successfully!',
    'Data loss: 0 minutes',
    'Components restored: 2',
  ]);

  second.agent.step = 8; // lost: this run does not end in order
  await new Promise((resolve) => setTimeout(resolve, 5));
  const third = newRun('runs');
  const [, [worse]] = await Promise.all([third.persistence.initialize(), once(third.persistence, 'recovery')]);
  assert.ok(worse.dataLoss > 0, 'the run before took no final backup');
  assert.equal(third.agent.step, 7);
  await third.persistence.shutdown();
  await second.persistence.shutdown();
});

test('a heartbeat that is under way when it ends is no warning', async () => {
  const run = newRun('beats', { url: proxy.url, heartbeatInterval: 20 });
  await run.persistence.initialize();
  Object.assign(proxy, { requests: [], holds: 1 });
  await until(() => proxy.holds === 0);
  assert.match(proxy.requests[0], /heartbeat$/);
  await run.persistence.shutdown();
  proxy.cut();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(!run.warnings.includes('heartbeat'), run.lines.join('\n'));
});

test('the intervals become those of the system, and leave its other settings alone', () =>
  withClient('settings', async (client) => {
    await client.configure({ description: 'mine', maxRetentionHours: 5, incrementalIntervalMs: 1000 });
    const run = newRun('settings', { backupInterval: 7200000, incrementalSaveInterval: 60000 });
    await run.persistence.initialize();
    const info = await client.systemInfo();
    assert.deepEqual(
      [info.description, info.backupIntervalMs, info.incrementalIntervalMs, info.maxRetentionHours],
      ['mine', 7200000, 60000, 5],
    );
    const left = run.persistence.getSystemStatus().nextFullBackup - Date.now();
    assert.ok(left > 3600000 && left <= 7200000, `${left}`);
    await run.persistence.shutdown();
  }));

test('settings come from the environment, and wrong ones are refused', () => {
  process.env.PERSISTENCE_BACKUP_INTERVAL = '1800000';
  process.env.PERSISTENCE_VALIDATE_ON_RESTORE = 'false';
  try {
    const { options } = new SystemStatePersistence();
    assert.deepEqual(
      [options.backupInterval, options.validateOnRestore, options.maxBackupRetention],
      [1800000, false, 168],
    );
    assert.equal(new SystemStatePersistence({ backupInterval: 5 }).options.backupInterval, 5);
  } finally {
    delete process.env.PERSISTENCE_BACKUP_INTERVAL;
    delete process.env.PERSISTENCE_VALIDATE_ON_RESTORE;
  }
  assert.throws(() => new SystemStatePersistence({ backupInterval: 0 }), TypeError);
  assert.throws(() => new SystemStatePersistence({ backupInterval: '1h' }), TypeError);
  assert.throws(() => new SystemStatePersistence({ enableStateValidation: 1 }), TypeError);
});

test('what changed is saved in every interval, and only that', async () => {
  const run = newRun('intervals', { incrementalSaveInterval: 100, configureSystem: false });
  await run.persistence.initialize();
  await withClient('intervals', async (client) => {
    for (const step of [1, 2, 3]) {
      run.agent.step = step;
      await until(async () => (await client.loadIfAny('agent'))?.value.step === step);
    }
    assert.equal((await collect(client.history('model'))).length, 1);
  });
  await run.persistence.shutdown();
});

test('a restore to a named backup brings the components back and can be undone', async () => {
  const run = newRun('restore');
  await run.persistence.initialize();
  run.agent.step = 1;
  const backup = await run.persistence.saveFullBackup({ label: 'good' });
  assert.deepEqual([backup.kind, backup.label, backup.validation.status], ['full', 'good', 'valid']);
  run.agent.step = 2; // not saved: the restore does that first
  const back = await run.persistence.restoreSystemState(backup.id);
  assert.deepEqual(
    [run.agent.step, back.success, back.backupId, back.componentsRestored, back.versionsLost],
    [1, true, backup.id, 2, 1],
  );
  assert.ok(back.dataLoss >= 0 && back.recoveryId.startsWith('rec-'));
  await withClient('restore', async (client) => {
    assert.deepEqual(
      (await collect(client.history('agent'))).map(({ version }) => version),
      [3, 2, 1],
    );
    assert.equal((await client.load('agent', { version: 2 })).value.step, 2);
  });
  run.agent.step = 4;
  assert.equal((await run.persistence.saveComponentState('agent')).epoch, 2);
  await assert.rejects(run.persistence.restoreSystemState('full-20000101T000000Z-1'), { code: 'not_found' });
  const newest = await run.persistence.restoreSystemState();
  assert.equal(newest.success, true);
  await assert.rejects(run.persistence.restoreSystemState('latest', { maxAgeMs: 1 }), { code: 'precondition_failed' });
  await run.persistence.shutdown();
});

test('the path of a backup is told where its file is seen', async () => {
  const seen = newRun('directories', { backupDirectory: join(service.data, 'system-state-backups') });
  await seen.persistence.initialize();
  const { path, file } = await seen.persistence.saveFullBackup();
  assert.equal(path, join(service.data, 'system-state-backups', file));
  await seen.persistence.shutdown();
  const elsewhere = newRun('directories', { backupDirectory: '/nonexistent' });
  await elsewhere.persistence.initialize();
  assert.equal((await elsewhere.persistence.saveFullBackup()).path, null);
  await elsewhere.persistence.shutdown();
});

test('a recovery that fails is logged and told, the system starts fresh, and the past is kept', async () => {
  await withClient('unlucky', async (client) => {
    await client.save('agent', { step: 41 });
    const run = newRun('unlucky', { url: proxy.url });
    const failed = once(run.persistence, 'recovery-failed');
    proxy.answer = refusal('store_unavailable');
    proxy.refusals = 1e9;
    await run.persistence.initialize();
    assert.equal((await failed)[0].code, 'store_unavailable');
    assert.ok(run.warnings.includes('recovery_failed'));
    assert.match(run.lines.join('\n'), /System state recovery failed: .*\nStarting fresh/);
    assert.equal(run.persistence.getSystemStatus().connected, false);
    proxy.refusals = 0;
    await run.persistence.saveComponentState('agent');
    const [kept] = await collect(client.snapshots());
    assert.equal(kept.label, 'before a fresh start');
    assert.equal((await client.load('agent', { snapshot: kept.id })).value.step, 41);
    assert.equal((await client.load('agent')).value.step, 0);
    await run.persistence.shutdown();
  });
});

test('a component that cannot take its state starts fresh; the others recover, and its past is kept', async () => {
  await withClient('picky', async (client) => {
    await client.saveMany([
      { component: 'agent', state: { step: 5 } },
      { component: 'model', state: { weights: [9] } },
    ]);
    const run = newRun('picky');
    run.persistence.registerComponent('model', {
      getState: () => run.model,
      setState: () => {
        throw new Error('an older format');
      },
    });
    const [, [result]] = await Promise.all([run.persistence.initialize(), once(run.persistence, 'recovery')]);
    assert.deepEqual(
      [result.success, result.failed, result.componentsRestored, run.agent.step],
      [false, ['model'], 1, 5],
    );
    assert.ok(run.warnings.includes('component_not_restored'));
    await run.persistence.shutdown();
    const kept = (await collect(client.snapshots())).find(({ label }) => label === 'before a fresh start');
    assert.deepEqual((await client.load('model', { snapshot: kept.id })).value, { weights: [9] });
    assert.deepEqual((await client.load('model')).value, { weights: [0] });
  });
});

test('a backup that fails warns, and the next one is good', async () => {
  const run = newRun('away', { url: proxy.url });
  await run.persistence.initialize();
  await run.persistence.saveComponentState('model');
  await run.persistence.saveComponentState('agent');
  proxy.answer = refusal('shutting_down');
  proxy.refusals = 1e9;
  await assert.rejects(run.persistence.saveFullBackup(), { code: 'shutting_down' });
  assert.ok(run.warnings.includes('backup'));
  proxy.refusals = 0;
  assert.equal((await run.persistence.saveFullBackup()).state, 'complete');
  await run.persistence.shutdown();
});

test('a restore by someone else is never overwritten', async () => {
  const run = newRun('epoch');
  await run.persistence.initialize();
  run.agent.step = 1;
  const backup = await run.persistence.saveFullBackup();
  run.agent.step = 2;
  await run.persistence.saveChanges();
  await withClient('epoch', async (client) => {
    await client.restore({ snapshot: backup.id });
    run.agent.step = 3;
    const told = once(run.persistence, 'epoch');
    await assert.rejects(run.persistence.saveChanges(), { code: 'stale_epoch' });
    assert.equal((await told)[0].epoch, 2);
    assert.equal((await client.load('agent')).value.step, 1);
    await run.persistence.acceptRestore();
    assert.equal(run.agent.step, 1);
    run.agent.step = 10;
    await run.persistence.shutdown();
    assert.equal((await client.load('agent')).value.step, 10);
  });
});

test('nothing is saved over a state that is just being given back', async () => {
  let during = [];
  const slow = (run) => ({
    getState: () => run.agent,
    setState: async (state) => {
      run.agent.step += 100; // work that goes on meanwhile
      during.push(run.persistence.saveChanges(), run.persistence.saveComponentState('agent'));
      await assert.rejects(run.persistence.saveComponentState('agent', { step: 'of before' }), { code: 'stale_epoch' });
      await new Promise((resolve) => setTimeout(resolve, 50));
      Object.assign(run.agent, state);
    },
  });
  const run = newRun('turn', { incrementalSaveInterval: 5, configureSystem: false });
  run.persistence.registerComponent('agent', slow(run));
  run.agent.step = 1; // before the first interval can be over
  await run.persistence.initialize();
  const backup = await run.persistence.saveFullBackup();
  run.agent.step = 2;
  await run.persistence.restoreSystemState(backup.id);
  await Promise.all(during);
  await run.persistence.shutdown();

  during = [];
  const next = newRun('turn', { configureSystem: false });
  next.persistence.registerComponent('agent', slow(next));
  await next.persistence.initialize();
  await Promise.all(during);
  assert.equal(during.length, 2);
  await next.persistence.shutdown();
  await withClient('turn', async (client) => {
    const steps = [];
    for await (const { version } of client.history('agent')) {
      steps.push((await client.load('agent', { version })).value.step);
    }
    assert.ok(
      steps.every((step) => step === 1 || step === 2),
      `${steps}`,
    );
  });
});

test('a restore that breaks off on its way to the components leaves nothing to be overwritten', async () => {
  const run = newRun('broken', { url: proxy.url });
  await run.persistence.initialize();
  run.agent.step = 1;
  const backup = await run.persistence.saveFullBackup();
  run.agent.step = 2;
  let broken = false;
  run.persistence.client.bringUp = async () => {
    broken = true;
    throw new Error('the connection broke');
  };
  await assert.rejects(run.persistence.restoreSystemState(backup.id), { message: 'the connection broke' });
  delete run.persistence.client.bringUp;
  assert.equal(broken, true);
  run.agent.step = 3;
  await assert.rejects(run.persistence.saveChanges(), { code: 'stale_epoch' });
  await run.persistence.acceptRestore();
  assert.equal(run.agent.step, 1);
  await run.persistence.shutdown();
});

test('health that throws is a warning', async () => {
  const run = newRun('throwing');
  run.persistence.registerComponent('moody', {
    getState: () => 1,
    setState: () => {},
    getHealth: () => {
      throw new Error('not today');
    },
  });
  await run.persistence.initialize();
  assert.ok(run.warnings.includes('heartbeat'));
  await run.persistence.shutdown();
});

test('an agent without an operator recovers too, dependencies first', async () => {
  const guarded = new Service();
  const token = guarded.createToken('agent');
  await guarded.start();
  const newAgent = (order) => {
    const run = newRun('default', { url: guarded.url, token });
    for (const name of ['agent', 'model']) {
      run.persistence.registerComponent(name, {
        dependsOn: name === 'agent' ? ['model'] : [],
        getState: () => run[name],
        setState: (state) => {
          order.push(name);
          Object.assign(run[name], state);
        },
      });
    }
    return run;
  };
  const first = newAgent([]);
  await first.persistence.initialize();
  first.agent.step = 5;
  await first.persistence.shutdown();
  assert.ok(first.warnings.includes('backup'), 'it may not take the final backup');

  const order = [];
  const second = newAgent(order);
  const [, [result]] = await Promise.all([second.persistence.initialize(), once(second.persistence, 'recovery')]);
  assert.deepEqual([order, second.agent.step, result.componentsRestored], [['model', 'agent'], 5, 2]);
  assert.deepEqual([result.success, result.recoveryId], [true, null]);
  assert.ok(second.lines.includes('Components restored: 2'));
  await second.persistence.shutdown();
  await guarded.end();
});

test('components that come later are given their state, and those of other processes are left alone', async () => {
  await withClient('shared', async (client) => {
    await client.saveMany([
      { component: 'late', state: { here: true } },
      { component: 'foreign', state: 1 },
    ]);
    const run = newRun('shared');
    await run.persistence.initialize();
    const late = {};
    await run.persistence.registerComponent('late', late, { dependsOn: ['foreign'], kind: 'agent' });
    assert.deepEqual(late, { here: true });
    assert.deepEqual((await client.component('late')).dependsOn, ['foreign']);
    await run.persistence.restoreSystemState((await run.persistence.saveFullBackup()).id);
    const [recovery] = await collect(client.recoveries(), 1);
    const parts = recovery.waves.flat();
    assert.deepEqual(
      parts.filter((part) => part.status === 'pending').map((part) => part.component),
      ['foreign'],
    );
    await run.persistence.shutdown();
  });
});

test('a shutdown while the service is away ends in time and says so', async () => {
  const run = newRun('alone', { url: proxy.url, shutdownTimeout: 200 });
  await run.persistence.initialize();
  run.agent.step = 1;
  proxy.answer = refusal('overloaded');
  proxy.refusals = 1e9;
  await run.persistence.shutdown();
  proxy.refusals = 0;
  assert.ok(run.warnings.length > 0);
  assert.ok(
    run.lines.some((line) => /not everything was saved|was not saved|failed/.test(line)),
    run.lines.join('\n'),
  );
});

test('a process that has nothing left to do takes its final backup, and is not kept from ending', async () => {
  const program = `
    import { SystemStatePersistence } from '${new URL('../src/index.js', import.meta.url)}';
    const persistence = new SystemStatePersistence({ url: '${service.url}', system: 'short' });
    const agent = { step: 0 };
    persistence.registerComponent('agent', agent);
    await persistence.initialize();
    agent.step = 1;`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  await withClient('short', async (client) => {
    assert.equal((await client.load('agent')).value.step, 1);
    assert.match((await client.snapshotInfo()).label, /^final backup/);
  });
});

test('a component without methods is saved as it is, whatever its members are called, and comes back without what is newer', async () => {
  const engine = { component: 'engine', kind: 7, dependsOn: 'fuel', rpm: 5 };
  const known = { first: 1 };
  const list = [1, 2];
  const persistence = new SystemStatePersistence({ url: service.url, system: 'plain', logger: false });
  for (const [name, component] of Object.entries({ engine, known, list })) {
    persistence.registerComponent(name, component);
  }
  await persistence.initialize();
  const backup = await persistence.saveFullBackup();
  await withClient('plain', async (client) => {
    assert.deepEqual((await client.load('engine')).value, engine);
    assert.deepEqual((await client.load('list')).value, [1, 2]);
  });
  Object.assign(known, { first: 2, second: 2 });
  list.push(3);
  await persistence.restoreSystemState(backup.id);
  assert.deepEqual([known, list], [{ first: 1 }, [1, 2]]);
  await persistence.shutdown();

  const later = { first: 0, sinceThen: 'a default of the newer program' };
  const next = new SystemStatePersistence({ url: service.url, system: 'plain', logger: false });
  next.registerComponent('known', later);
  await next.initialize();
  assert.deepEqual(later, { first: 1, sinceThen: 'a default of the newer program' });
  await next.shutdown();
});

test('what hides its data is no component without getState and setState, and a description is known by its members', async () => {
  const persistence = new SystemStatePersistence({ url: 'http://127.0.0.1:1', logger: false });
  for (const hidden of [new Map([['a', 1]]), new Set(), new Date(), Buffer.from('x')]) {
    await assert.rejects(persistence.registerComponent('hidden', hidden), { name: 'TypeError' });
    await assert.rejects(persistence.registerComponent('hidden', { component: hidden }), { name: 'TypeError' });
  }
  await persistence.registerComponent('seen', { component: { step: 1 }, kind: 'agent', dependsOn: [] });
  await persistence.registerComponent('seen', Object.assign(new Map(), { getState: () => 1, setState() {} }));
});

test('times that are longer than a timer of Node can wait do not come at once', async () => {
  const long = 40 * 24 * 60 * 60 * 1000;
  const overflows = [];
  const listener = (warning) => warning.name === 'TimeoutOverflowWarning' && overflows.push(warning.message);
  process.on('warning', listener);
  try {
    const run = newRun('patient', {
      timeout: long,
      incrementalSaveInterval: long,
      heartbeatInterval: long,
      statusInterval: long,
      shutdownTimeout: long,
    });
    await run.persistence.initialize();
    const { client } = run.persistence;
    const saver = new Saver(client, { closeTimeoutMs: long });
    saver.every(long, 'now-and-then', () => 1);
    const events = client.events({ after: 0, idleTimeout: long });
    await events.next();
    await events.return();
    await saver.flush({ timeoutMs: long });
    await saver.close();
    await assert.rejects(sleep(long, AbortSignal.timeout(1)), { name: 'TimeoutError' });
    await run.persistence.shutdown();
    await new Promise((resolve) => setImmediate(resolve)); // warnings come a tick later
    assert.deepEqual(overflows, []);
  } finally {
    process.removeListener('warning', listener);
  }
});
