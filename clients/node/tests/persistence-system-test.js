#!/usr/bin/env node
/**
 * Eight proofs that the running service (HOLDFAST_URL) keeps and gives back what it should, in a system of its own
 * that is deleted afterwards:
 *
 *     node tests/persistence-system-test.js
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Holdfast } from '../src/client.js';
import { SystemStatePersistence } from '../src/core/SystemStatePersistence.js';

const system = `persistence-test-${randomUUID().slice(0, 8)}`;

function newRun(log = []) {
  const line = (text) => log.push(text);
  const run = {
    log,
    model: { weights: [] },
    agent: { memory: {}, qTable: {} },
    persistence: new SystemStatePersistence({ system, logger: { info: line, warn: line, error: line } }),
  };
  run.persistence.registerComponent('agent', run.agent, { dependsOn: ['model'] });
  run.persistence.registerComponent('model', run.model);
  return run;
}

let run = newRun();
let backup;

const proofs = {
  'a system without a past starts fresh': async () => {
    await run.persistence.initialize();
    assert.ok(
      run.log.some((line) => /starting fresh/.test(line)),
      run.log.join('\n'),
    );
  },
  'a state is on disk when its save resolves': async () => {
    Object.assign(run.agent, { memory: { trades: 3 }, qTable: { low: [0.1, 0.9] } });
    const receipt = await run.persistence.saveComponentState('agent', undefined, { event: 'large-reward' });
    const kept = await run.persistence.client.load('agent');
    assert.equal(kept.hash, receipt.hash);
    assert.deepEqual(kept.value, run.agent);
  },
  'a full backup holds every component and reads back well': async () => {
    run.model.weights = [1, 2, 3];
    backup = await run.persistence.saveFullBackup();
    assert.equal(backup.components, 2);
    assert.equal(backup.validation.status, 'valid');
  },
  'an incremental backup holds what changed': async () => {
    run.model.weights = [4, 5, 6];
    const incremental = await run.persistence.saveIncrementalBackup();
    assert.deepEqual([incremental.kind, incremental.changed], ['incremental', 1]);
  },
  'the status tells the next backup and the health': async () => {
    const status = run.persistence.getSystemStatus();
    assert.ok(status.connected && status.nextFullBackup > Date.now());
    assert.ok(status.systemHealth.overallHealth > 0 && status.systemHealth.overallHealth <= 1);
  },
  'an older backup is restored, and says what that lost': async () => {
    const result = await run.persistence.restoreSystemState(backup.id);
    assert.deepEqual(run.model.weights, [1, 2, 3]);
    assert.deepEqual([result.componentsRestored, result.versionsLost], [2, 1]);
  },
  'a shutdown loses nothing': async () => {
    run.agent.memory.trades = 4;
    await run.persistence.shutdown();
    run = newRun();
    await run.persistence.initialize();
    assert.equal(run.agent.memory.trades, 4);
    assert.ok(run.log.includes('Data loss: 0 minutes'), run.log.join('\n'));
  },
  'a process from before a restore cannot overwrite it': async () => {
    const other = new Holdfast(undefined, { system });
    await other.restore({ snapshot: backup.id });
    other.close();
    run.agent.memory.trades = 5;
    await assert.rejects(run.persistence.saveComponentState('agent'), { code: 'stale_epoch' });
    await run.persistence.acceptRestore();
    assert.equal(run.agent.memory.trades, 3);
  },
};

async function main() {
  console.log('STARTING PERSISTENCE SYSTEM TEST SUITE');
  let passed = 0;
  let failed = 0;
  for (const [name, proof] of Object.entries(proofs)) {
    try {
      await proof();
      passed += 1;
      console.log(`[x] ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`[ ] ${name}: ${error.message}`);
    }
  }
  await cleanUp();
  console.log(`[x] Passed: ${passed}`);
  console.log(`[ ] Failed: ${failed}`);
  console.log(failed === 0 ? 'ALL PERSISTENCE TESTS PASSED!' : 'SOME PERSISTENCE TESTS FAILED');
  process.exitCode = failed === 0 ? 0 : 1;
}

async function cleanUp() {
  await run.persistence.shutdown();
  const client = new Holdfast(undefined, { system, retry: false });
  await client.deleteSystem().catch((error) => console.log(`${system} was not deleted: ${error.message}`));
  client.close();
}

await main();
