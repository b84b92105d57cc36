// What a configuration may say: each wrong thing is told with its path, and with what is allowed.

import { afterEach, expect, test, vi } from 'vitest';
import { checkGatewayConfig } from '../../src/gateway/config-check.js';
import { gatewayChannels } from '../../src/gateway/layers/channels.js';
import { reliable } from '../../src/transport/channels.js';
import { silentLog } from './support.js';

const base = '/base';
const listener = (more: object): object => ({ listeners: [{ address: '127.0.0.1:0', ...more }] });
const etcd = { sessions: { store: 'etcd://127.0.0.1:1' } };
const sae = { saeId: 'A', peers: [] };

afterEach(() => {
  vi.unstubAllEnvs();
});

test.each<[unknown, string | RegExp]>([
  [null, 'the configuration must be an object; got null'],
  [[], 'the configuration must be an object; got an array of 0'],
  [{ listner: [] }, "unknown option 'listner' in the configuration; did you mean 'listeners'?"],
  [
    JSON.parse('{"__proto__": {"admin": false}}'),
    /^unknown option '__proto__' in the configuration; known are name, /,
  ],
  [{ name: 'a b' }, 'name must be 1 to 64 letters, digits, - and _; got "a b"'],
  [{ protocolId: -1 }, 'protocolId must be a number from 0 to 2^64 - 1; beyond 2^53 as a string; got -1'],
  [{ protocolId: 2 ** 53 }, /^protocolId must be a number from 0 to 2\^64/],
  [{ keys: [] }, 'keys must be an array of 1 to 64; got an array of 0'],
  [{ keys: [5] }, 'keys[0] must be a text, { "file": PATH } or { "env": NAME }; got a number'],
  [{ keys: [{ file: 'a', env: 'B' }] }, /^keys\[0\] must be a text, /],
  [{ keys: [{ path: 'a' }] }, "unknown option 'path' in keys[0]; known are file, env"],
  [{ listeners: [] }, 'listeners must be an array of 1 to 64; got an array of 0'],
  [{ listeners: [{}, {}] }, 'listeners[1].address is missing: only the first listener has one by default'],
  [listener({ address: 'localhost:1' }), /^listeners\[0\]\.address must be an IP address/],
  [
    listener({ layers: ['mesages'] }),
    "listeners[0].layers[0] must be one of 'messages', 'interaction', 'sync', 'sessions', 'keys'; got \"mesages\"; did you mean 'messages'?",
  ],
  [listener({ layers: [] }), 'listeners[0].layers must be an array of 1 to 5; got an array of 0'],
  [listener({ layers: ['messages', 'messages'] }), "listeners[0].layers[1]: 'messages' is there twice"],
  [listener({ layers: ['sync'] }), "listeners[0].layers[0]: the layer 'sync' needs the section 'sync'"],
  [listener({ layers: ['keys'] }), "listeners[0].layers[0]: the layer 'keys' needs the section 'sae'"],
  [
    listener({ layers: ['interaction'] }),
    "handlers.interaction is missing: listeners[0] has the layer 'interaction', which needs it",
  ],
  [
    listener({ wires: ['netcode'], layers: ['sessions'] }),
    "listeners[0].wires: the layer 'sessions' needs reliable channels, which netcode has not",
  ],
  [listener({ wires: ['hawser', 'tcp'] }), /^listeners\[0\]\.wires\[1\] must be one of 'hawser', 'netcode'/],
  [listener({ maxHalfOpen: 0 }), 'listeners[0].maxHalfOpen must be an integer from 1 to 65536; got 0'],
  [
    listener({ simulate: { lossRate: 2 } }),
    'listeners[0].simulate.lossRate must be a number from 0 to 1; got 2',
  ],
  [
    listener({ netcode: {} }),
    "listeners[0].netcode must be left out unless wires has 'netcode'; got an object",
  ],
  [listener({ keys: [] }), /^unknown option 'keys' in listeners\[0\]/],
  [
    listener({ channels: { chat: { mode: 'reliabel' } } }),
    /^listeners\[0\]\.channels\.chat\.mode must be one of .*did you mean 'reliable'\?$/,
  ],
  [
    listener({ channels: { chat: { mode: 'unreliable', maxMessageBytes: 5 } } }),
    "unknown option 'maxMessageBytes' in listeners[0].channels.chat; known are mode, codec, priority, congestionControlled",
  ],
  [
    listener({ channels: { chat: { mode: 'reliable', codec: 'xml' } } }),
    /^listeners\[0\]\.channels\.chat\.codec must be one of 'bytes', 'text', 'json'/,
  ],
  [listener({ channels: { chat: 5 } }), 'listeners[0].channels.chat must be an object; got 5'],
  [listener({ channels: {} }), /^channels must be an object with 1 to 1024 channels/],
  [
    { ...listener({ layers: ['sessions'], channels: { chat: { mode: 'reliable' } } }) },
    "listeners[0].channels goes with the layer 'messages', which listeners[0].layers has not",
  ],
  [
    listener({ layers: ['messages', 'sessions'], channels: { session: { mode: 'reliable' } } }),
    'listeners[0].channels must be of other names than those of the layers; got "session"',
  ],
  [listener({ name: 'x'.repeat(65) }), /^listeners\[0\]\.name must be 1 to 64 letters/],
  [
    { listeners: [{ address: '127.0.0.1:1' }, { address: '127.0.0.1:1' }] },
    'listeners[1].address: 127.0.0.1:1 is that of listeners[0]',
  ],
  [
    { listeners: [{ name: 'a' }, { name: 'a', address: '127.0.0.1:1' }] },
    "listeners[1].name: 'a' is that of listeners[0]",
  ],
  [
    { ...listener({ layers: ['messages'] }), sync: { store: 'memory' } },
    "sync is configured, but no listener has the layer 'sync'",
  ],
  [{ ...listener({ layers: ['messages'] }), sae }, "sae is configured, but no listener has the layer 'keys'"],
  [{ limits: { maxPeers: 0 } }, 'limits.maxPeers must be an integer from 1 to 1000000; got 0'],
  [{ limits: { maxpeers: 5 } }, "unknown option 'maxpeers' in limits; did you mean 'maxPeers'?"],
  [{ sync: {} }, 'sync.store must be a string of 1 to 4096 characters; got undefined'],
  [
    { sync: { store: 'memory', options: { maxSessions: 0 } } },
    'sync.options: maxSessions must be an integer from 1 to 100000; got 0',
  ],
  [
    { sync: { store: 'memory', options: { onMetadata: 5 } } },
    'sync.options.onMetadata is not for a configuration: the gateway has it, or its handlers',
  ],
  [{ sessions: { store: 'redis://x' } }, /^sessions\.store must be memory, lmdb:DIR or etcd:/],
  [
    { sessions: { store: 'etcd://root:geheim@127.0.0.1:1' } },
    /^sessions\.store every user of this machine can read a password there: (?!.*geheim)/,
  ],
  [
    { sessions: { keepAliveIntervalMs: 60_000, sessionTimeoutMs: 90_000 } },
    'sessions.sessionTimeoutMs must be a number from 120000 to 3600000; got 90000',
  ],
  [etcd, /^keys is missing: gateways of a cluster \(sessions\.store\) need the same; /],
  [
    { ...etcd, keys: ['k'], listeners: [{ address: '0.0.0.0:1' }] },
    /^sessions\.advertise is missing: 0\.0\.0\.0:1 names every interface/,
  ],
  [{ sae }, 'sae: unknown option'],
  [
    { tokens: { address: '127.0.0.1:5' }, admin: { address: '127.0.0.1:5' } },
    'admin.address: 127.0.0.1:5 is that of tokens',
  ],
  [
    { admin: { address: '0.0.0.0:4490' } },
    'admin.token is missing: 0.0.0.0:4490 can be reached from elsewhere, where everything but health needs one',
  ],
  [{ admin: { address: '[::]:4490' } }, /^admin\.token is missing/],
  [{ admin: { dashboard: 1 } }, 'admin.dashboard must be true or false; got 1'],
  [{ metrics: {} }, 'metrics.address must be a string of 1 to 256 characters; got undefined'],
  [{ control: 5 }, 'control must be a string of 1 to 4096 characters; got 5'],
  [{ log: { level: 'loud' } }, /^log\.level must be one of 'trace'/],
  [{ log: { logger: {} } }, /^log\.logger must be a logger such as pino's/],
  [{ drain: { deadlineMs: -1 } }, 'drain.deadlineMs must be an integer from 0 to 86400000; got -1'],
  [
    { drain: { elsewhere: '192.0.2.1:0' } },
    'drain.elsewhere must be an address with a port other than 0; got "192.0.2.1:0"',
  ],
  [
    { drain: { elsewhere: '[::]:4433' } },
    'drain.elsewhere must be the address of one machine, not the unspecified address; got "[::]:4433"',
  ],
  [
    { handlers: { onMessage: () => undefined } },
    /^handlers must be an object with setup, .*; got "onMessage" in it$/,
  ],
  [{ handlers: { setup: 5 } }, 'handlers: setup must be a function; got 5'],
])('%j is refused', (config, expected) => {
  let told: unknown;
  try {
    checkGatewayConfig(config, base);
  } catch (error) {
    told = error;
  }
  expect(told).toMatchObject({ name: 'HawserError', code: 'ERR_HAWSER_CONFIG' });
  const { message } = told as Error;
  if (expected === 'sae: unknown option') expect(message).toMatch(/^sae: /);
  else if (typeof expected === 'string') expect(message).toBe(expected);
  else expect(message).toMatch(expected);
});

test('nothing has to be said', () => {
  const plan = checkGatewayConfig({}, base);
  expect(plan).toMatchObject({
    name: 'gateway',
    protocolId: 1n,
    keys: undefined,
    listeners: [{ name: 'udp', address: '127.0.0.1:4433', wires: ['hawser'], layers: ['messages'] }],
    limits: { maxPeers: 10_000, maxPacketsPerSecondPerPeer: 0, maxBytesPerSecondPerPeer: 0 },
    tokens: undefined,
    admin: { address: undefined, dashboard: true },
    control: true,
    drain: { deadlineMs: 10_000, elsewhere: undefined, reconnectSpreadMs: 0 },
  });
  expect(Object.keys(plan.listeners[0].channels)).toEqual(['default']);
});

test('what is configured is served, in one order, and messages where channels are given', () => {
  const sections = { sync: { store: 'sync' }, sessions: { store: 'lmdb:sessions' } };
  const plan = checkGatewayConfig(sections, base);
  expect(plan.listeners[0].layers).toEqual(['sync', 'sessions']);
  expect(plan.sync?.directory).toBe('/base/sync');
  expect(plan.sessions?.store).toMatchObject({ type: 'lmdb', directory: '/base/sessions' });
  const chat = { mode: 'reliable', codec: 'text' };
  const withChannels = checkGatewayConfig({ ...sections, listeners: [{ channels: { chat } }] }, base);
  expect(withChannels.listeners[0].layers).toEqual(['messages', 'sync', 'sessions']);
  expect(Object.keys(withChannels.listeners[0].channels)).toEqual([
    ...['chat', 'sync', 'syncData', 'session', 'sessionHeartbeat'],
  ]);
});

test('channels of JavaScript and of JSON are told alike, and clients get the same', () => {
  const made = checkGatewayConfig({ listeners: [{ channels: { chat: reliable() } }] }, base);
  const said = checkGatewayConfig({ listeners: [{ channels: { chat: { mode: 'reliable' } } }] }, base);
  expect(said.listeners[0].channels).toEqual(made.listeners[0].channels);
  expect(gatewayChannels(['messages'], { chat: reliable() })).toEqual(made.listeners[0].channels);
  expect(() => gatewayChannels(['sync', 'sync'])).toThrow(/different layers; got 'sync' twice/);
});

test('a key of the environment is one that other gateways can have', () => {
  vi.stubEnv('HAWSER_KEY', 'a key');
  expect(checkGatewayConfig(etcd, base).sessions?.store.type).toBe('etcd');
});

/** How often something in a configuration was looked at until it was refused. */
function looksUntilRefused(config: object, expected: RegExp): number {
  let looks = 0;
  const watched = <T extends object>(value: T): T =>
    new Proxy(value, {
      get(target, name) {
        ++looks;
        const found: unknown = Reflect.get(target, name);
        return typeof found === 'object' && found !== null ? watched(found) : found;
      },
    });
  expect(() => checkGatewayConfig(watched(config), base)).toThrow(expected);
  return looks;
}

test('a configuration that is large or deep is refused without a look at all of it', () => {
  let deep = {};
  for (let i = 0; i < 100_000; ++i) deep = { sync: deep };
  expect(looksUntilRefused(deep, /sync/)).toBeLessThan(1000);
  const long = { listeners: new Array(1e6).fill({}) };
  expect(looksUntilRefused(long, /array of 1 to 64/)).toBeLessThan(1000);
  const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`c${i}`, { mode: 'reliable' }]));
  // Each of them a few times, whatever their number.
  expect(looksUntilRefused(listener({ channels: many }), /1 to 1024 channels/)).toBeLessThan(50 * 5000);
});

test('a logger that is one is taken', () => {
  expect(checkGatewayConfig({ log: { logger: silentLog() } }, base).log.logger).toBeDefined();
});
