// `hawser gateway --config`: the examples, each kind of file, signals.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { formatKey, generateKey } from '../../src/token/index.js';
import { connect } from '../../src/transport/client.js';
import { hawserHere } from '../cli/in-process.js';
import { jsonLines, RunningCommand, temporaryFolder } from '../cli/support.js';
import { begin, GatewayProcess, lastEvent, tokensFor } from './gateway-process.js';

const folder = temporaryFolder();
const root = fileURLToPath(new URL('../../', import.meta.url));
const key = formatKey(generateKey({ id: 1 }));
const otherKey = formatKey(generateKey({ id: 2 }));

/** What every configuration here has: nothing of another test is in its way. */
const common = {
  keys: [key],
  listeners: [{ address: '127.0.0.1:0' }],
  admin: false,
  // Clients of the transport alone stay until then.
  drain: { deadlineMs: 200 },
};

function write(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** A copy of examples/gateway inside the package, so that `hawser` is this package, on free ports. */
class Examples implements Disposable {
  readonly #folder: string;

  constructor() {
    mkdirSync(join(root, 'build'), { recursive: true });
    this.#folder = mkdtempSync(join(root, 'build/gateway-examples-'));
    cpSync(join(root, 'examples/gateway'), this.#folder, { recursive: true });
    for (const name of ['hawser.config.js', 'hawser.config.json', 'every-layer.config.js']) {
      const onFreePorts = readFileSync(this.file(name), 'utf8')
        .replaceAll(/127\.0\.0\.1:44\d\d/g, '127.0.0.1:0')
        .replace(/(?<="?tokens"?: )true/, '{ "address": "127.0.0.1:0" }');
      writeFileSync(this.file(name), onFreePorts);
    }
  }

  file(name: string): string {
    return join(this.#folder, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }
}

test.concurrent('the examples start: messages alone, and every layer with the keys that their first lines make', async () => {
  using examples = new Examples();
  const here = (name: string): string => examples.file(name);
  const commands = [
    ['keygen', '--out', here('server.key')],
    ['kme', 'certs', '--out', here('certs'), '--kme', 'KME_A,KME_B', '--sae', 'SAE_A,SAE_B'],
    ['sae', 'keygen', '--out', here('SAE_A.pem'), '--master-key', here('SAE_A.master')],
    ['sae', 'keygen', '--out', here('SAE_B.pem'), '--master-key', here('SAE_B.master')],
  ];
  for (const args of commands) expect(await hawserHere(...args)).toMatchObject({ code: 0, stderr: '' });
  {
    await using plain = await GatewayProcess.start(here('hawser.config.json'), folder);
    await using every = await GatewayProcess.start(here('every-layer.config.js'), folder);
    expect(plain.listening).toMatchObject({
      config: here('hawser.config.json'),
      http: expect.stringMatching(/^http:/),
    });
    expect(every.listening.listeners?.flatMap(({ layers }) => layers)).toEqual([
      ...['messages', 'interaction', 'sync', 'sessions', 'keys'],
    ]);
    const [one, all] = await Promise.all([plain.terminate(), every.terminate()]);
    expect([one.code, all.code]).toEqual([0, 0]);
    // Nothing went wrong but that the log says so.
    for (const { stderr } of [one, all]) {
      expect(jsonLines(stderr).filter(({ level }) => Number(level) >= 50)).toEqual([]);
    }
  }
});

test.concurrent.each([
  ['a function of .mjs', 'kind.mjs', (content: string) => `export default async () => (${content});`],
  ['CommonJS', 'kind.cjs', (content: string) => `module.exports = ${content};`],
])('%s is served', async (_, name, contentOf) => {
  const file = write(name, contentOf(JSON.stringify({ ...common, control: false })));
  await using gateway = await GatewayProcess.start(file, folder);
  expect(gateway.listening.config).toBe(file);
  await using _connection = await connect(await tokensFor(key, 1n, () => gateway.listening.address)());
  expect((await gateway.terminate()).code).toBe(0);
});

test.concurrent('a configuration that cannot be read ends the command with one line and 1', async () => {
  const missing = join(folder, 'missing.mjs');
  const broken = write('broken.mjs', `export default {\n  keys: ['${key}' 5],\n};`);
  const wrong = write('wrong.json', JSON.stringify({ ...common, listeners: [{ layers: ['sesions'] }] }));
  const outcomes = await Promise.all([missing, broken, wrong].map((file) => begin(file, folder).outcome));
  expect(outcomes).toEqual([
    { code: 1, stdout: '', stderr: `hawser gateway: cannot read ${missing}: no such file or directory\n` },
    {
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        /^hawser gateway: cannot load \S+broken\.mjs: SyntaxError: [^\n]+; "node --check \S+" shows where\n$/,
      ),
    },
    {
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        /^hawser gateway: \S+wrong\.json: listeners\[0\]\.layers\[0\] must be one of [^\n]+ did you mean 'sessions'\?\n$/,
      ),
    },
  ]);
});

test.concurrent('SIGHUP reads it again: peers stay, new keys count, a wrong file changes nothing', async () => {
  const config = (more: object): string => JSON.stringify({ ...common, control: false, ...more });
  const file = write('reloaded.json', config({ limits: { maxPeers: 4 } }));
  await using gateway = await GatewayProcess.start(file, folder);
  const { address } = gateway.listening;
  await using before = await connect(await tokensFor(key, 1n, () => address)());

  write('reloaded.json', config({ limits: { maxPeers: 'many' } }));
  gateway.command.kill('SIGHUP');
  await gateway.command.complains(
    /"level":50,.*limits\.maxPeers must be an integer from 1 to 1000000; got \\"many\\"/,
  );
  await using _ = await connect(await tokensFor(key, 2n, () => address)());

  write('reloaded.json', config({ keys: [otherKey], limits: { maxPeers: 3 }, tokens: true }));
  gateway.command.kill('SIGHUP');
  const [line] = await gateway.command.complains(/^\{.*"needRestart".*\}\n/m);
  expect(JSON.parse(line)).toMatchObject({
    keyIds: [2],
    changed: ['keys', 'limits.maxPeers'],
    needRestart: ['tokens'],
  });
  await using _new = await connect(await tokensFor(otherKey, 3n, () => address)());
  await expect(connect(await tokensFor(otherKey, 4n, () => address)())).rejects.toThrow(/SERVER_FULL/);
  expect(before.state).toBe('CONNECTED');
  expect(lastEvent(await gateway.terminate())).toMatchObject({ event: 'closed', peersConnected: 3 });
});

test.concurrent('a second signal ends a drain at once, and the code is that of the signal', async () => {
  const file = write(
    'patient.json',
    JSON.stringify({ ...common, control: false, drain: { deadlineMs: 3_600_000 } }),
  );
  await using gateway = await GatewayProcess.start(file, folder);
  await using connection = await connect(await tokensFor(key, 1n, () => gateway.listening.address)());
  const asked = new Promise((resolve) => connection.once('goaway', resolve));
  gateway.command.kill('SIGTERM');
  await asked;
  expect((await gateway.terminate()).code).toBe(128 + 15);
});

test.concurrent('hawser drain and hawser reload find it by the name in its configuration', async () => {
  const file = write('named.json', JSON.stringify({ ...common, name: 'named' }));
  await using gateway = await GatewayProcess.start(file, folder);
  const ask = (...args: string[]): RunningCommand => new RunningCommand(args, { XDG_RUNTIME_DIR: folder });
  const { code, stdout } = await ask('reload', 'named', '--json').outcome;
  expect([code, JSON.parse(stdout)]).toEqual([0, { keyIds: [1], changed: [], needRestart: [] }]);
  expect((await ask('drain', 'named', '--wait').outcome).code).toBe(0);
  expect(await gateway.command.outcome).toMatchObject({ code: 0 });
});
