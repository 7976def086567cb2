/** Never run: the compiler has to agree with each line, or to refuse those that are marked. */
import { Holdfast, HoldfastError, Saver, SystemStatePersistence, encodeState } from 'holdfast-client';
import type { LoadedState, PersistenceStatus, Receipt, ServiceEvent } from 'holdfast-client';
import { SystemStatePersistence as Core } from 'holdfast-client/src/core/SystemStatePersistence.js';

const client: Holdfast = await Holdfast.connect('http://127.0.0.1:8080', { system: 'default', retry: { attempts: 2 } });
const receipt: Receipt = await client.save('agent', { step: 1 }, { ifMatch: '"1-0000000000000000"', epoch: 1 });
const state: LoadedState<{ step: number }> = await client.load<{ step: number }>('agent', { at: new Date() });
const step: number = state.value.step;
for await (const { id } of client.snapshots({ limit: 10 })) await client.validate(id, { deep: true });
for await (const event of client.events({ after: 0 })) {
  const heard: ServiceEvent = event;
  console.log(heard.type, receipt.version, step);
}
await client.hydrate((component, loaded) => (loaded ? 'restored' : { status: 'fresh', detail: component }));
await client.apply(await client.planRestore({ snapshot: 'latest' }), { force: true });
const epoch: number | null = client.epoch;
await client.save('agent', { step: epoch }, { epoch: null });
await client.deleteSystem({ force: true });
await client.saveMany([{ component: 'agent', state: 1, ifNoneMatch: '*', event: 'begin' }]);
const bytes: number = (await client.call('GET', 'drills', { query: { limit: 1 } })).body.length;
console.log(bytes);
if (new HoldfastError('closed', '') instanceof Error) encodeState('x', 'text/plain').bytes.length.toFixed();

const saver = new Saver(client, { policy: 'drop-oldest' });
saver.on('epoch', ({ epoch }) => saver.resume(epoch ?? 1));
saver.every(1000, 'agent', async () => ({ step: 1 }))();

const persistence: Core = new SystemStatePersistence({ backupInterval: 1000, logger: false });
persistence.registerComponent(
  'agent',
  { getState: () => 1, setState: (value: number) => value },
  { dependsOn: ['model'] },
);
persistence.on('warning', ({ code, text }) => console.log(code, text));
const status: PersistenceStatus = persistence.getSystemStatus();
console.log(`${status.nextFullBackup - Date.now()} ${status.systemHealth.overallHealth * 100}`);

// @ts-expect-error no such policy
new Saver(client, { policy: 'hope' });
// @ts-expect-error a version is a number
await client.load('agent', { version: 'latest' });
// @ts-expect-error no such option
new SystemStatePersistence({ backupIntervall: 1000 });
// @ts-expect-error what comes back is a promise
const early: Receipt = client.save('agent', 1);
