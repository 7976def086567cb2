/** What would be published is what is meant, and says what it has. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as everything from '../src/index.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));

function filesBelow(folder) {
  return readdirSync(`${ROOT}${folder}`, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(`${folder}/${entry.name}`) : [`${folder}/${entry.name}`],
  );
}

test('npm packs the sources, their types, the examples, and nothing else', () => {
  const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts', '--offline'], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [pack] = JSON.parse(output);
  assert.deepEqual(
    pack.files.map((file) => file.path).sort(),
    [
      'LICENSE',
      'README.md',
      'package.json',
      'startfullsyndicate.js',
      ...filesBelow('src'),
      ...filesBelow('examples'),
    ].sort(),
  );
  assert.equal(`${pack.name}-${pack.version}`, 'holdfast-client-0.1.0');
  assert.ok(!pack.files.some((file) => /test|support/.test(file.path)));
});

test('the package depends on nothing, and its licence is that of the service', () => {
  assert.deepEqual(
    [manifest.dependencies, manifest.peerDependencies, manifest.license],
    [undefined, undefined, 'Apache-2.0'],
  );
  assert.equal(readFileSync(`${ROOT}LICENSE`, 'utf8'), readFileSync(`${ROOT}../../LICENSE`, 'utf8'));
  for (const file of filesBelow('src').filter((name) => name.endsWith('.js'))) {
    for (const [, from] of readFileSync(`${ROOT}${file}`, 'utf8').matchAll(/from '([^']+)'/g)) {
      assert.match(from, /^(node:|\.)/, `${file} imports ${from}`);
    }
  }
});

test('every way in of the exports map is there, by the name of the package', async () => {
  assert.equal((await import('holdfast-client')).Holdfast, everything.Holdfast);
  const core = await import('holdfast-client/src/core/SystemStatePersistence.js');
  assert.equal(core.SystemStatePersistence, everything.SystemStatePersistence);
  for (const target of Object.values(manifest.exports).flatMap((value) =>
    Object.values(typeof value === 'string' ? { value } : value),
  )) {
    readFileSync(`${ROOT}${target}`);
  }
});

test('every name that is exported has a type, and every public method too', () => {
  const types =
    readFileSync(`${ROOT}src/index.d.ts`, 'utf8') + readFileSync(`${ROOT}src/core/SystemStatePersistence.d.ts`, 'utf8');
  const declared = new Set([...types.matchAll(/^export (?:class|function|const) (\w+)/gm)].map(([, name]) => name));
  assert.deepEqual(Object.keys(everything).sort(), [...declared].sort());
  for (const [name, value] of Object.entries(everything)) {
    if (!/^class /.test(String(value))) continue;
    const body = new RegExp(`^export class ${name} [^]*?^}`, 'm').exec(types)[0];
    const members = [...Object.getOwnPropertyNames(value.prototype), ...(name === 'Holdfast' ? ['connect'] : [])];
    for (const member of members) assert.match(body, new RegExp(`\\b${member}[(<:]`), `${name}.${member} has no type`);
  }
});
