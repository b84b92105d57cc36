import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import {
  bytes,
  Client,
  connect,
  json,
  reliable,
  reliableUnordered,
  Server,
  type ServerOptions,
  sequenced,
  text,
  unreliable,
} from '../../src/index.js';
import { SimulatedNetwork } from '../../src/testing/index.js';
import { checkNodeVersion, loadAddon } from '../../src/transport/native.js';
import { checkServerOptions } from '../../src/transport/options.js';
import { counterNames, dropCounterName, dropReasons, localDropReasons } from '../../src/transport/stats.js';
import { refusal } from '../base/refusal.js';
import { protocolId, SimulatedWorld, serverKey } from './support.js';

const good: ServerOptions = { address: '127.0.0.1:0', protocolId, keys: [serverKey] };

/** An option, a wrong value for it, and what the message says. */
const wrongServerOptions: readonly (readonly [string, unknown, string])[] = [
  ['address', 'example.org:5', 'address must be an IP address such as'],
  ['address', 5, 'address must be an IP address and a port'],
  ['publicAddresses', [], 'publicAddresses must be an array of 1 to 1024; got an array of 0'],
  ['publicAddresses', ['0.0.0.0:5'], 'publicAddresses[0] must be an address that clients can send to'],
  ['protocolId', 5, 'protocolId must be a bigint from 0n to 2n ** 64n - 1n; got 5 (write 5n)'],
  ['wires', [], 'wires must be an array of 1 to 2; got an array of 0'],
  ['wires', 'netcode', 'wires must be an array of 1 to 2; got "netcode"'],
  [
    'wires',
    ['netkode'],
    "wires[0] must be one of 'hawser', 'netcode'; got \"netkode\"; did you mean 'netcode'?",
  ],
  ['wires', ['netcode', 'netcode'], "wires must be different wire formats; got 'netcode' twice"],
  ['netcode', {}, "netcode must be left out unless wires has 'netcode'; got an object"],
  ['keys', [], 'keys must be an array of 1 to 64; got an array of 0'],
  ['keys', ['secret text'], 'keys[0] must be a server key such as'],
  ['keys', [serverKey, serverKey], 'keys must be server keys with different ids; got id 7 twice'],
  ['maxPeers', 0, 'maxPeers must be an integer from 1 to 1000000; got 0'],
  ['maxPeers', '5', 'maxPeers must be an integer from 1 to 1000000; got "5"'],
  ['maxHalfOpen', 1.5, 'maxHalfOpen must be an integer from 1 to 65536; got 1.5'],
  ['connectionIdLength', 4, 'connectionIdLength must be an integer from 8 to 16; got 4'],
  ['serverIndex', 256, 'serverIndex must be an integer from 0 to 255; got 256'],
  ['resetKey', new Uint8Array(31), 'resetKey must be a Uint8Array of 32 bytes; got a Uint8Array of 31 bytes'],
  [
    'sameClient',
    'replaces',
    "sameClient must be one of 'replace', 'reject'; got \"replaces\"; did you mean 'replace'?",
  ],
  ['clockSkewMs', -1, 'clockSkewMs must be an integer from 0 to 3600000; got -1'],
  ['maxTokenLifetimeMs', 0, 'maxTokenLifetimeMs must be an integer from 1 to 864000000; got 0'],
  ['tokenHistory', {}, 'tokenHistory.consume must be a function; got undefined'],
  ['tokenHistory', 5, 'tokenHistory must be an object with a function consume'],
  [
    'maxPacketsPerSecondPerPeer',
    -1,
    'maxPacketsPerSecondPerPeer must be an integer from 0 to 4294967295; got -1',
  ],
  ['maxBytesPerSecondPerPeer', Number.NaN, 'maxBytesPerSecondPerPeer must be an integer from 0'],
  ['receiveBufferBytes', -1, 'receiveBufferBytes must be an integer from 0 to 1073741824; got -1'],
  ['sendBufferBytes', '1', 'sendBufferBytes must be an integer from 0 to 1073741824; got "1"'],
  ['copy', 1, 'copy must be true or false; got 1'],
  ['debug', 'yes', 'debug must be true or false; got "yes"'],
  ['onBatch', {}, 'onBatch must be a function; got an object'],
  ['network', {}, 'network must be a SimulatedNetwork of hawser/testing; got an object'],
  ['simulate', 5, 'simulate must be an object; got 5'],
  ['simulate', { loss: 0.1 }, "unknown option 'loss' in simulate"],
  ['simulate', { lossRate: 5 }, 'simulate.lossRate must be a number from 0 to 1; got 5'],
  ['simulate', { duplicateRate: -0.1 }, 'simulate.duplicateRate must be a number from 0 to 1; got -0.1'],
  ['simulate', { reorderRate: '1' }, 'simulate.reorderRate must be a number from 0 to 1; got "1"'],
  ['simulate', { delayMs: 60_001 }, 'simulate.delayMs must be a number from 0 to 60000; got 60001'],
  ['simulate', { jitterMs: Number.NaN }, 'simulate.jitterMs must be a number from 0 to 60000; got NaN'],
  ['simulate', { jitterReorders: 1 }, 'simulate.jitterReorders must be true or false; got 1'],
  [
    'simulate',
    { leastHoldBackMs: 0 },
    'simulate.leastHoldBackMs must be a number from 0.001 to 60000; got 0',
  ],
  [
    'simulate',
    { leastHoldBackMs: 60_001, mostHoldBackMs: 60_001 },
    'simulate.leastHoldBackMs must be a number from 0.001 to 60000; got 60001',
  ],
  [
    'simulate',
    { mostHoldBackMs: Number.NaN },
    'simulate.mostHoldBackMs must be a number from 0.001 to 60000; got NaN',
  ],
  [
    'simulate',
    { mostHoldBackMs: '5' },
    'simulate.mostHoldBackMs must be a number from 0.001 to 60000; got "5"',
  ],
  [
    'simulate',
    { leastHoldBackMs: 5, mostHoldBackMs: 4 },
    'simulate.mostHoldBackMs must be simulate.leastHoldBackMs (5) or more; got 4',
  ],
  [
    'simulate',
    { leastHoldBackMs: 11 },
    'simulate.mostHoldBackMs must be simulate.leastHoldBackMs (11) or more; got 10',
  ],
  ['simulate', { bytesPerSecond: 0.5 }, 'simulate.bytesPerSecond must be an integer from 0'],
  ['simulate', { queueBytes: -1 }, 'simulate.queueBytes must be an integer from 0 to 1099511627776; got -1'],
  ['simulate', { seed: -1n }, 'simulate.seed must be an integer from 0 to 2 ** 64 - 1; got -1n'],
  ['socket', 'fast', "socket must be one of 'native', 'portable'; got \"fast\""],
  ['driver', 'thread', "driver must be one of 'loop', 'threads'; got \"thread\"; did you mean 'threads'?"],
  ['spinMicros', 10, "spinMicros must be left out unless driver is 'threads'; got 10"],
  ['threads', 2, "threads must be left out unless driver is 'threads'; got 2"],
  ['ipv6Only', 0, 'ipv6Only must be true or false; got 0'],
  ['reusePort', 0, 'reusePort must be true or false; got 0'],
  ['signal', {}, 'signal must be an AbortSignal; got an object'],
  ['channels', {}, 'channels must be an object with 1 to 1024 channels by name; got 0'],
  ['channels', [], 'channels must be an object with 1 to 1024 channels by name; got an array of 0'],
  [
    'channels',
    Object.fromEntries(Array.from({ length: 1025 }, (_, index) => [`c${index}`, unreliable()])),
    'channels must be an object with 1 to 1024 channels by name; got 1025',
  ],
  [
    'channels',
    { a: {} },
    'channels.a must be a channel as unreliable(), sequenced(), reliable() or reliableUnordered() makes it; got an object',
  ],
  [
    'channels',
    { 5: unreliable() },
    'the name of a channel must be more than a number, since JavaScript changes the order of those; got "5"',
  ],
  [
    'channels',
    { '': unreliable() },
    'the name of the channel "" must be 1 to 64 bytes of UTF-8; got 0 bytes',
  ],
  ['channels', { ['ä'.repeat(33)]: unreliable() }, 'must be 1 to 64 bytes of UTF-8; got 66 bytes'],
  ['channels', { '\ud800': unreliable() }, 'must be 1 to 64 bytes of UTF-8; got "\\ud800"'],
  ['congestion', 'reno', "congestion must be one of 'bbr', 'cubic'; got \"reno\""],
  ['creditBytes', 1023, 'creditBytes must be an integer from 1024 to 4294967295; got 1023'],
  ['channelCreditBytes', '1', 'channelCreditBytes must be an integer from 1024 to 4294967295; got "1"'],
  ['maxCreditBytes', 1_048_575, 'maxCreditBytes must be an integer from 1048576 to 4294967295; got 1048575'],
  [
    'maxGrownCreditBytes',
    2 ** 42 + 1,
    'maxGrownCreditBytes must be an integer from 0 to 4398046511104; got 4398046511105',
  ],
  ['maxReassemblyBytes', 8191, 'maxReassemblyBytes must be an integer from 8192 to 4398046511104; got 8191'],
  ['highWaterBytes', -1, 'highWaterBytes must be an integer from 0 to 4294967295; got -1'],
  ['maxQueuedBytes', 1000, 'maxQueuedBytes must be an integer from 262144 to 4294967295; got 1000'],
  ['onQueueFull', 'wait', "onQueueFull must be one of 'disconnect', 'throw', 'drop'; got \"wait\""],
  [
    'maxSendMemoryBytes',
    65_535,
    'maxSendMemoryBytes must be an integer from 65536 to 1099511627776; got 65535',
  ],
  ['dscp', 64, 'dscp must be an integer from 0 to 63; got 64'],
  ['restartGuardMs', -1, 'restartGuardMs must be an integer from 0 to 3600000; got -1'],
  ['freshKeys', 'yes', 'freshKeys must be true or false; got "yes"'],
  ['maxPeer', 5, "unknown option 'maxPeer' in options; did you mean 'maxPeers'?"],
];

describe('options of a server', () => {
  test.each(wrongServerOptions)('%s: %o is refused by name', async (name, value, message) => {
    const options = { ...good, [name]: value } as ServerOptions;
    await expect(Server.listen(options)).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      message: expect.stringContaining(message),
    });
  });

  test.each<[string, Partial<ServerOptions>, boolean]>([
    ['the default', {}, false],
    ['a guard as long as the skew', { clockSkewMs: 1000, restartGuardMs: 1000 }, false],
    ['a shorter guard', { restartGuardMs: 59_999 }, true],
    ['no guard', { restartGuardMs: 0 }, true],
    ['no guard, and keys that are new in each run', { restartGuardMs: 0, freshKeys: true }, false],
    ['a history', { restartGuardMs: 0, tokenHistory: { consume: () => true } }, false],
  ])('a restart guard shorter than the clock skew is warned of: %s', (_, options, isWarned) => {
    const { restartWarning } = checkServerOptions({ ...good, ...options });
    expect(restartWarning !== undefined).toBe(isWarned);
    if (restartWarning === undefined) return;
    const windowMs = 60_000 - (options.restartGuardMs ?? 0);
    expect(restartWarning).toContain(`used up to ${windowMs} ms before the restart`);
    expect(restartWarning).toContain('can be used a second time');
  });

  test('a restart guard that is too short is a warning of the process', async () => {
    const warned = once(process, 'warning');
    const server = await Server.listen({ ...good, address: '127.0.0.1:0', restartGuardMs: 0 });
    const [warning] = await warned;
    expect(warning).toMatchObject({
      name: 'HawserWarning',
      message: expect.stringMatching(/^restartGuardMs \(0\)/),
    });
    await server.close();
  });

  test.each<[string, Partial<ServerOptions>, number | null]>([
    ['the skew by default', { clockSkewMs: 7000 }, 7000],
    ['60 s if neither is given', {}, 60_000],
    ['none with a history', { tokenHistory: { consume: () => true } }, null],
    ['as given with a history', { tokenHistory: { consume: () => true }, restartGuardMs: 5000 }, 5000],
    ['none for keys that are new in each run', { freshKeys: true, restartGuardMs: 5000 }, null],
  ])('the restart guard is %s', (_, options, expected) => {
    expect(checkServerOptions({ ...good, ...options }).native.server?.restartGuardMs).toBe(expected);
  });

  test('no message repeats a key', async () => {
    const secret = 'hawser-key-1:7:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I';
    await expect(Server.listen({ ...good, keys: [`${secret}!`] })).rejects.toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('c2Vj') }),
    );
  });
});

describe('options of I/O threads', () => {
  const threaded: ServerOptions = { ...good, driver: 'threads' };

  test.each<[string, unknown, string]>([
    ['threads', 0, 'threads must be an integer from 1 to 64; got 0'],
    ['threads', 65, 'threads must be an integer from 1 to 64; got 65'],
    ['spinMicros', -1, 'spinMicros must be an integer from 0 to 1000; got -1'],
    ['spinMicros', 1001, 'spinMicros must be an integer from 0 to 1000; got 1001'],
    [
      'network',
      new SimulatedNetwork(),
      "driver must be 'loop' where network is given, whose time has no threads; got 'threads'",
    ],
  ])('%s: %o is refused by name', async (name, value, message) => {
    await expect(Server.listen({ ...threaded, [name]: value })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      message,
    });
  });

  test('several threads do not share their address with other processes', async () => {
    await expect(Server.listen({ ...threaded, threads: 2, reusePort: true })).rejects.toThrow(
      'reusePort must be false with several threads; got true',
    );
  });

  test('a client has one thread, whose number cannot be chosen', async () => {
    const options: object = { driver: 'threads', threads: 1 };
    await expect(Client.open(options)).rejects.toThrow("unknown option 'threads' in options");
    await expect(Client.open({ spinMicros: 5 })).rejects.toThrow(
      "spinMicros must be left out unless driver is 'threads'; got 5",
    );
  });
});

describe('options of a server for netcode', () => {
  const both: ServerOptions = { ...good, wires: ['netcode', 'hawser'] };

  test.each<[string, unknown, string]>([
    ['tokenLifetimeMs', 999, 'netcode.tokenLifetimeMs must be an integer from 1000 to 86400000; got 999'],
    ['tokenLifetimeMs', 86_400_001, 'netcode.tokenLifetimeMs must be an integer from 1000 to 86400000'],
    ['freshKeys', true, "unknown option 'freshKeys' in netcode"],
  ])('%s: %o is refused by name', async (name, value, message) => {
    await expect(Server.listen({ ...both, netcode: { [name]: value } })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      message: expect.stringContaining(message),
    });
  });

  test('netcode needs an unreliable channel', async () => {
    const channels = { chat: reliable(), state: sequenced() };
    await expect(Server.listen({ ...both, channels })).rejects.toThrow(
      "channels must be declared with an unreliable channel for wires to have 'netcode'; got chat: reliable(bytes), state: sequenced(bytes)",
    );
    const server = await Server.listen({ ...both, channels: { ...channels, moves: unreliable() } });
    await server.close();
  });
});

describe('what channels need of other options', () => {
  const channels = { files: reliable(undefined, { maxMessageBytes: 3_000_000 }) };

  test.each([
    ['creditBytes', { creditBytes: 3_000_063 }, 3_000_064],
    ['channelCreditBytes', { channelCreditBytes: 2_000_000 }, 3_000_064],
  ])('%s', async (name, options, least) => {
    await expect(Server.listen({ ...good, channels, ...options })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      message: `${name} must be at least ${least}, what the longest message costs; got ${Object.values(options)[0]}`,
    });
  });

  test('maxReassemblyBytes is at least eight times the credit, for each thread', async () => {
    const options = { ...good, creditBytes: 2 * 1024 * 1024 };
    await expect(Server.listen({ ...options, maxReassemblyBytes: 16 * 1024 * 1024 - 1 })).rejects.toThrow(
      'maxReassemblyBytes must be at least 16777216, eight times creditBytes (2097152); got 16777215',
    );
    await expect(
      Server.listen({ ...options, driver: 'threads', threads: 9, maxReassemblyBytes: 144 * 1024 * 1024 - 1 }),
    ).rejects.toThrow(
      'maxReassemblyBytes must be at least 150994944, eight times creditBytes (2097152) for each of 9 threads; got 150994943',
    );
    const server = await Server.listen({ ...options, maxReassemblyBytes: 16 * 1024 * 1024 });
    await server.close();
  });

  test('the defaults suffice for the longest messages', async () => {
    const longest = { files: reliable(undefined, { maxMessageBytes: 16_777_216 }) };
    const server = await Server.listen({ ...good, channels: longest });
    await server.close();
  });
});

const wrong: unknown = 5;

describe('arguments of a channel', () => {
  test.each<[string, () => unknown, string]>([
    [
      'maxMessageBytes',
      () => reliable(bytes(), { maxMessageBytes: 0 }),
      'an integer from 1 to 16777216; got 0',
    ],
    [
      'maxMessageBytes',
      () => sequenced(bytes(), { maxMessageBytes: 16_777_217 }),
      'an integer from 1 to 16777216; got 16777217',
    ],
    [
      'priority',
      () => reliableUnordered(bytes(), { priority: 'hihg' as 'high' }),
      "one of 'critical', 'high', 'normal', 'low'; got \"hihg\"; did you mean 'high'?",
    ],
    [
      'congestionControlled',
      () => unreliable(bytes(), { congestionControlled: 1 as unknown as boolean }),
      'true or false; got 1',
    ],
    ['redundancy', () => sequenced(bytes(), { redundancy: 4 as 3 }), "one of 0, 1, 2, 3, 'auto'; got 4"],
    [
      'redundancy',
      () => reliable(bytes(), { redundancy: 'auot' as 'auto' }),
      "one of 0, 1, 2, 3, 'auto'; got \"auot\"; did you mean 'auto'?",
    ],
    [
      'codec',
      () => unreliable(json as unknown as undefined),
      'a codec such as bytes(), text() or json(): an object with name, encode and decode; got a function',
    ],
    [
      'the name of the codec',
      () => unreliable({ ...text(), name: 'x'.repeat(65) }),
      '0 to 64 bytes of UTF-8; got 65 bytes',
    ],
    ['check', () => json(wrong as undefined), 'a function; got 5'],
  ])('%s', (name, make, rule) => {
    expect(make).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT', message: `${name} must be ${rule}` }),
    );
  });

  test('an unreliable one has no maxMessageBytes', () => {
    expect(() => unreliable(bytes(), { maxMessageBytes: 5 } as object)).toThrow(
      "unknown option 'maxMessageBytes' in options",
    );
  });
});

const wrongConnectOptions: readonly (readonly [string, unknown, string])[] = [
  ['timeoutMs', 0, 'timeoutMs must be an integer from 1 to 3600000; got 0'],
  ['protocolId', 1, 'protocolId must be a bigint'],
  ['localAddress', 'localhost', 'localAddress.host must be an IP address'],
  ['reconnectOnReset', 'no', 'reconnectOnReset must be true or false; got "no"'],
  ['onState', 5, 'onState must be a function; got 5'],
  ['signal', 5, 'signal must be an AbortSignal; got 5'],
  ['client', {}, 'client must be a Client; got an object'],
  ['timeout', 5, "unknown option 'timeout' in options"],
  ['address', 'nowhere', 'address must be'],
  ['maxConnections', 0, 'maxConnections must be an integer from 1 to 1000000; got 0'],
];

describe('options of connect', () => {
  test.each(wrongConnectOptions)('%s: %o is refused by name', async (name, value, message) => {
    await expect(connect(new Uint8Array(1200), { [name]: value })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      message: expect.stringContaining(message),
    });
  });

  test('those of a socket do not go with a client', async () => {
    const client = await Client.open({ address: '127.0.0.1:0' });
    await expect(connect(new Uint8Array(1200), { client, copy: true })).rejects.toMatchObject({
      message: 'copy must be left out where client is given; got both',
    });
    await client.close();
  });
});

describe('arguments of a running server', () => {
  test('are checked', async () => {
    const server = await Server.listen(good);
    await expect(server.close({ code: 1 })).rejects.toMatchObject({
      message: 'code must be 0, 3 or an integer from 65536 to 4294967295; got 1',
    });
    await expect(server.close({ reason: 'ä'.repeat(129) })).rejects.toMatchObject({
      message: 'reason must be at most 256 bytes of UTF-8; got 258 bytes',
    });
    for (const reconnectSpreadMs of [-1, 0.5, 3_600_001, Number.NaN]) {
      const refused = {
        code: 'ERR_HAWSER_ARGUMENT',
        message: `reconnectSpreadMs must be an integer from 0 to 3600000; got ${reconnectSpreadMs}`,
      };
      await expect(server.close({ reconnectSpreadMs })).rejects.toMatchObject(refused);
    }
    await expect(server.drain({ deadlineMs: -1 })).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    expect(server.state).toBe('RUNNING');
    const nobody: unknown = [{}];
    expect(() => server.broadcast('default', new Uint8Array(1), { peers: nobody as [] })).toThrow(
      expect.objectContaining({ message: 'peers must be peers of this server; got an object' }),
    );
    expect(() => server.broadcast(new Uint8Array(1159))).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_MESSAGE_TOO_LONG' }),
    );
    expect(() => server.setKeys([])).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }));
    await server.close();
  });
});

describe('elsewhere', () => {
  const refused = {
    '192.0.2.1:0': 'elsewhere must be an address with a port other than 0; got "192.0.2.1:0"',
    '0.0.0.0:4433':
      'elsewhere must be the address of one machine, not the unspecified address; got "0.0.0.0:4433"',
    '[::ffff:0.0.0.0]:4433':
      'elsewhere must be the address of one machine, not the unspecified address; got "0.0.0.0:4433"',
    '[::]:4433': 'elsewhere must be the address of one machine, not the unspecified address; got "[::]:4433"',
  };

  test.each(Object.entries(refused))('goaway and drain refuse %s', async (elsewhere, message) => {
    const world = new SimulatedWorld();
    const server = await world.listen();
    const connection = await world.connect(await world.token(server));
    await world.settle();
    const [peer] = server.peers;
    expect(refusal(() => peer?.goaway({ elsewhere }))).toBe(message);
    await expect(server.drain({ elsewhere })).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT', message });
    expect([server.state, peer?.connected, connection.connected]).toEqual(['RUNNING', true, true]);
    await world.close();
  });
});

describe('reconnectSpreadMs', () => {
  test('is an integer from 0 to an hour wherever it may be told', async () => {
    const world = new SimulatedWorld();
    const server = await world.listen();
    const connection = await world.connect(await world.token(server));
    await world.settle();
    const [peer] = server.peers;
    for (const reconnectSpreadMs of [-1, 0.5, 3_600_001, Number.NaN]) {
      const rule = `reconnectSpreadMs must be an integer from 0 to 3600000; got ${reconnectSpreadMs}`;
      expect(refusal(() => peer?.disconnect(0, '', { reconnectSpreadMs }))).toBe(rule);
      expect(refusal(() => peer?.goaway({ reconnectSpreadMs }))).toBe(rule);
      await expect(server.drain({ reconnectSpreadMs })).rejects.toMatchObject({ message: rule });
    }
    const misspelt: object = { reconnectSpread: 1000 };
    expect(refusal(() => peer?.disconnect(0, '', misspelt))).toMatch(/did you mean 'reconnectSpreadMs'/);
    expect([peer?.connected, connection.connected]).toEqual([true, true]);
    expect([server.state, peer?.connected]).toEqual(['RUNNING', true]);
    // A drain that was refused is not in the way of the next one.
    await world.until(server.drain({ deadlineMs: 0 }));
    expect(server.state).toBe('STOPPED');
    await world.close();
  });

  test('is not for a client to tell', async () => {
    const client = await Client.open();
    const options: object = { reconnectSpreadMs: 1000 };
    await expect(client.close(options)).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      message: "unknown option 'reconnectSpreadMs' in options; known are code, reason",
    });
    await client.close();
  });
});

describe('the addon', () => {
  test('has the counters that TypeScript names, and no others', () => {
    const named = [
      ...counterNames,
      ...dropReasons.filter((each) => !localDropReasons.some((local) => local === each)).map(dropCounterName),
    ];
    expect([...loadAddon().counterNames].sort()).toEqual([...named].sort());
  });

  test.each(['18.20.4', '20.18.3', '21.7.3', '22.11.0'])('is not loaded by Node.js %s', (version) => {
    expect(() => checkNodeVersion(version)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_NODE_VERSION' }),
    );
  });

  test.each(['20.19.0', '20.20.2', '22.12.0', '24.0.0', '26.1.0'])('is loaded by Node.js %s', (version) => {
    expect(() => checkNodeVersion(version)).not.toThrow();
  });
});
