import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { HawserError } from '../../../src/base/errors.js';
import {
  WireguardPersona,
  type WireguardPersonaOptions,
} from '../../../src/keys/personas/wireguard-persona.js';
import { contextOf, deviceKey, peer } from './support.js';

const stand = fileURLToPath(new URL('children/wg.mjs', import.meta.url));
const device = expect.objectContaining({ code: 'ERR_HAWSER_DEVICE' });
const argument = expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' });
const publicKey = Buffer.alloc(32, 7).toString('base64');
const otherKey = Buffer.alloc(32, 9).toString('base64');

const base64 = (keyId: string): string => Buffer.from(deviceKey(keyId).material.bytes).toString('base64');

/** What the program that stands for `wg` knows. */
interface State {
  readonly calls: readonly (readonly string[])[];
  readonly keys: Readonly<Record<string, string>>;
  readonly handshakes: Readonly<Record<string, number>>;
  readonly hang?: boolean;
}

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hawser-wg-'));
  file = join(folder, 'state.json');
  await setState({});
});
afterEach(() => rm(folder, { recursive: true }));

async function setState(state: Partial<State>): Promise<void> {
  await writeFile(file, JSON.stringify({ calls: [], keys: {}, handshakes: { [publicKey]: 0 }, ...state }));
}

async function readState(): Promise<State> {
  return JSON.parse(await readFile(file, 'utf8'));
}

function persona(overrides: Partial<WireguardPersonaOptions> = {}): WireguardPersona {
  const program = [process.execPath, stand, file];
  return new WireguardPersona({ interface: 'wg0', peers: { [peer]: publicKey }, program, ...overrides });
}

async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: HawserError) => reason,
  );
  expect(error).toMatchObject({ code: 'ERR_HAWSER_DEVICE' });
  return error?.message ?? '';
}

describe('the wireguard persona', () => {
  test('sets the preshared key of the peer, through a pipe and never as an argument', async () => {
    const wireguard = persona();
    await wireguard.preConfigure(deviceKey('one'), contextOf());
    expect((await readState()).keys).toEqual({});
    await wireguard.rotate(deviceKey('one'), contextOf());
    const { keys, calls } = await readState();
    expect(keys).toEqual({ [publicKey]: `${base64('one')}\n` });
    expect(calls.at(-1)).toEqual(['set', 'wg0', 'peer', publicKey, 'preshared-key', '/dev/stdin']);
    expect(JSON.stringify(calls)).not.toContain(base64('one'));
  });

  test('rotates to no key by an empty file', async () => {
    const wireguard = persona();
    await wireguard.rotate(deviceKey('one'), contextOf());
    await wireguard.rotate(undefined, contextOf());
    expect((await readState()).keys).toEqual({ [publicKey]: '' });
    expect(await wireguard.status(contextOf())).toMatchObject({ currentKeyId: null, liveKeyIds: ['one'] });
  });

  test('failed closed, it has a key that nobody knows, another one each time', async () => {
    const wireguard = persona();
    await wireguard.failClosed(contextOf());
    const first = (await readState()).keys[publicKey];
    await wireguard.failClosed(contextOf());
    const second = (await readState()).keys[publicKey];
    for (const key of [first, second]) expect(key).toMatch(/^[A-Za-z0-9+/]{43}=\n$/);
    expect(first).not.toBe(second);
  });

  test('does not prepare a key for a peer that the interface does not have', async () => {
    await setState({ handshakes: { [otherKey]: 0 } });
    expect(await failure(persona().preConfigure(deviceKey('one'), contextOf()))).toContain('has no peer');
    expect(await persona().testConnection(contextOf())).toBe(false);
    const elsewhere = contextOf({ peerSaeId: 'SAE_X' });
    await failure(persona().preConfigure(deviceKey('one'), elsewhere));
  });

  test('does not delete the key that is in use', async () => {
    const wireguard = persona();
    await wireguard.rotate(deviceKey('one'), contextOf());
    await expect(wireguard.deleteKey('one', contextOf())).rejects.toEqual(device);
    await wireguard.rotate(deviceKey('two'), contextOf());
    await wireguard.deleteKey('one', contextOf());
    await wireguard.deleteKey('one', contextOf());
    expect(await wireguard.status(contextOf())).toMatchObject({ currentKeyId: 'two', liveKeyIds: ['two'] });
  });

  test('without a handshake it is not connected', async () => {
    await setState({ handshakes: { [otherKey]: 1, [publicKey]: 0 } });
    const status = await persona().status(contextOf());
    expect(status).toMatchObject({ connected: false, service: 'wireguard: no handshake yet' });
    expect((await readState()).calls).toEqual([['show', 'wg0', 'latest-handshakes']]);
  });

  test.each([
    [60, true],
    [600, false],
  ])('is connected by its last handshake: %d s ago', async (ageSeconds, connected) => {
    const seconds = (): number => Math.floor(Date.now() / 1000);
    const at = seconds() - ageSeconds;
    await setState({ handshakes: { [otherKey]: 1, [publicKey]: at } });
    const status = await persona().status(contextOf());
    expect(status.connected).toBe(connected);
    const told = Number(/^wireguard: last handshake (\d+) s ago$/.exec(status.service)?.[1]);
    expect(told).toBeGreaterThanOrEqual(ageSeconds);
    // However long the call took.
    expect(told).toBeLessThanOrEqual(seconds() - at);
    expect((await readState()).calls).toEqual([['show', 'wg0', 'latest-handshakes']]);
  });

  test('says which interface is not there', async () => {
    const wireguard = persona({ interface: 'wg1' });
    const message = await failure(wireguard.rotate(deviceKey('one'), contextOf()));
    expect(message).toBe('wireguard: wg set wg1: ended with 1: Unable to access interface: No such device');
    expect((await wireguard.status(contextOf())).connected).toBe(false);
  });

  test('says what to install when there is no wg', async () => {
    const wireguard = persona({ program: [join(folder, 'no-wg')] });
    const message = await failure(wireguard.preConfigure(deviceKey('one'), contextOf()));
    expect(message).toContain('install wireguard-tools');
    expect(await wireguard.testConnection(contextOf())).toBe(false);
  });

  test('a wg that hangs is ended, and the call fails', async () => {
    await setState({ hang: true });
    const ending = new AbortController();
    const call = failure(persona().rotate(deviceKey('one'), contextOf({ signal: ending.signal })));
    ending.abort();
    expect(await call).toContain('took too long');
  });

  test('takes keys of 256 bits only', async () => {
    const wireguard = persona();
    wireguard.validate(256);
    for (const bits of [128, 255, 512]) expect(() => wireguard.validate(bits)).toThrow(argument);
    await failure(wireguard.preConfigure(deviceKey('one', 16), contextOf()));
    await failure(wireguard.rotate(deviceKey('one', 64), contextOf()));
    expect((await readState()).calls).toEqual([]);
  });

  test.each([
    [{ interface: '', peers: {} }],
    [{ interface: '-h', peers: {} }],
    [{ interface: 'wg0; id', peers: {} }],
    [{ interface: 'sixteen-letters-', peers: {} }],
    [{ interface: 'wg0', peers: { A: 'short' } }],
    [{ interface: 'wg0', peers: { A: `${'A'.repeat(42)}B=` } }],
    [{ interface: 'wg0', peers: { A: publicKey, B: publicKey } }],
    [{ interface: 'wg0', peers: {}, program: [] }],
    [{ interface: 'wg0', peers: [] }],
  ])('refuses %j', (options) => {
    const given: WireguardPersonaOptions = JSON.parse(JSON.stringify(options));
    expect(() => new WireguardPersona(given)).toThrow(argument);
  });
});

/** A network namespace with an interface wg0, or why there is none. */
function openNamespace(name: string): string | undefined {
  const steps = [
    ['ip', 'netns', 'add', name],
    ['ip', '-n', name, 'link', 'add', 'wg0', 'type', 'wireguard'],
    ['ip', 'netns', 'exec', name, 'wg', 'set', 'wg0', 'peer', publicKey],
  ];
  for (const [program = '', ...args] of steps) {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0) return error?.message ?? stderr.trim();
  }
  return undefined;
}

describe("WireGuard's own program", () => {
  const name = `hawser-${process.pid}`;
  const missing = openNamespace(name);
  const close = (): unknown => spawnSync('ip', ['netns', 'del', name]);
  if (missing !== undefined) close();

  test.runIf(missing === undefined)('takes the keys as the persona gives them', async () => {
    try {
      const program = ['ip', 'netns', 'exec', name, 'wg'];
      const shown = (): string =>
        spawnSync('ip', ['netns', 'exec', name, 'wg', 'show', 'wg0', 'preshared-keys'], { encoding: 'utf8' })
          .stdout;
      const wireguard = persona({ program });
      await wireguard.preConfigure(deviceKey('one'), contextOf());
      await wireguard.rotate(deviceKey('one'), contextOf());
      expect(shown()).toBe(`${publicKey}\t${base64('one')}\n`);
      await wireguard.rotate(undefined, contextOf());
      expect(shown()).toBe(`${publicKey}\t(none)\n`);
      expect((await wireguard.status(contextOf())).service).toBe('wireguard: no handshake yet');
    } finally {
      close();
    }
  });

  test.runIf(missing !== undefined)(
    `is not asked here (${missing}): the program that stands for it opens the same path, and its failure is told`,
    async () => {
      const wireguard = persona({ program: ['wg'], interface: 'hawser-none' });
      // There is no such interface, or no wg: said in both cases, and nothing is taken for done.
      const message = await failure(wireguard.rotate(deviceKey('one'), contextOf()));
      expect(message).toMatch(/^wireguard: wg set hawser-none: /);
      expect(message).not.toContain(base64('one'));
      expect(await wireguard.testConnection(contextOf())).toBe(false);
      await persona().rotate(deviceKey('one'), contextOf());
      expect((await readState()).keys).toEqual({ [publicKey]: `${base64('one')}\n` });
    },
  );
});
