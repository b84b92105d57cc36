// Every example and guide that serves peers, with a client that stops reading and one that never acknowledges. The server must go on, serve
// everyone else, and hold no more than its limits for the slow ones.

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { afterAll, expect, test } from 'vitest';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import { hawserConnector, InteractionClient, StatusError } from '../../src/interaction/index.js';
import type { Request } from '../../src/interaction/messages.js';
import { SessionClient, SessionUserError, sessionConnector } from '../../src/sessions/index.js';
import { encodeClientMessage } from '../../src/sessions/wire/codec.js';
import {
  type ClientMessage,
  deliveryCapability,
  hawserCapability,
} from '../../src/sessions/wire/messages.js';
import { encodeMessage } from '../../src/sync/wire/codec.js';
import { formatKey, generateKey } from '../../src/token/index.js';
import { type Block, pages, readBlocks, root } from '../docs/pages.js';
import { joinCode } from '../docs/type-check.js';
import { MeterAgent } from '../gateway/layer-clients.js';
import { ask, HonestClient, MuteClient, PausedClient, type WireMessage } from './slow-clients.js';
import { type Ending, type Report, type ServedAddress, tokenFor, WatchedProgram } from './watched-program.js';

const MiB = 1024 * 1024;
/** `maxQueuedBytes` of most servers here. The default takes too long to fill where answers are short. */
const shortQueuedBytes = MiB / 2;
const defaultQueuedBytes = 16 * MiB;
/** What the messages of one turn of the event loop may exceed it by (docs/channels.md), and the memory of their blocks. */
const excessBytes = 1.125 * MiB;
const slowConsumer = 10;
/** Also the end of a client that has acknowledged nothing for 30 s, which a slow machine may need for a test. */
const noProgress = 12;

const kinds = ['paused', 'mute'] as const;
const clientIds = { honest: 9001n, hearer: 9002n, paused: 9003n, mute: 9004n } as const;

// ---- What clients say ----------------------------------------------------------------------------------------------

interface Honest {
  /** Resolves with the answer to one more question. */
  ask(): Promise<void>;
  close(): Promise<void>;
}

/** What the clients of a server say, and what becomes of the slow ones. */
interface Talk {
  honest(server: ServedAddress): Promise<Honest>;
  /** What each slow client sends: its answers exceed the limits, or are as many as a test has time for. */
  flood(): Iterable<WireMessage>;
  /** True where slow clients are sent something whatever they send. */
  readonly sendsByItself?: boolean;
  /** Bytes that are held for each slow client in the end, where it is not disconnected. */
  readonly untilBytes?: number;
  readonly ends: { readonly paused: Ends; readonly mute: Ends };
}

/**
 * How the connection of a slow client ends; or why the server need not have too much for it. With `maySlow`, a fast machine may fill its queue
 * all the same: then it ends with SLOW_CONSUMER.
 */
type Ends = Partial<Ending> | { readonly bounded: string; readonly maySlow?: true };
const both = (ends: Ends): Talk['ends'] => ({ paused: ends, mute: ends });

const disconnected = both({ code: slowConsumer });
const unreliableReason = 'unreliable messages leave at the end of the turn; none waits for a client';
/** More short messages than it takes to fill a queue with answers to them. */
const shortMessages = 400_000;
/** Requests of a client whose queue they need not fill. */
const sessionRequests = 5000;
/** The default of `highWaterBytes`, above which send() returns false. */
const highWaterBytes = MiB / 4;

/** Enough of one message to fill the queues of a server twice. */
function* repeated(message: WireMessage, count: number): Iterable<WireMessage> {
  for (let sent = 0; sent < count; ++sent) yield message;
}

interface Spoken {
  readonly channel: string;
  /** Bytes of a message with this text. */
  readonly encode: (text: string) => Uint8Array;
  /** To whom an answer goes; `all` who are connected, or `others` than the one who asked. */
  readonly hearers?: 'all' | 'others';
}

const jsonOf = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const longTextBytes = 32_000;

async function honestSpeaker(
  server: ServedAddress,
  spoken: Spoken,
  mayBeLost: boolean,
  padding = '',
): Promise<Honest> {
  const { channels } = server;
  const asker = await HonestClient.connect(await tokenFor(server, clientIds.honest), channels);
  const hearer =
    spoken.hearers === 'others'
      ? await HonestClient.connect(await tokenFor(server, clientIds.hearer), channels)
      : asker;
  let asked = 0;
  return {
    async ask() {
      const text = `<${++asked}>`;
      const question = { channel: spoken.channel, data: spoken.encode(`${text}${padding}`) };
      await ask(asker, hearer, question, text, mayBeLost);
    },
    async close() {
      await asker.close();
      await hearer.close();
    },
  };
}

/** A server that answers on a reliable channel with what it is told. */
function reliableTalk(spoken: Spoken): Talk {
  const data = spoken.encode('x'.repeat(longTextBytes));
  return {
    honest: (server) => honestSpeaker(server, spoken, false),
    flood: () => repeated({ channel: spoken.channel, data }, (3 * defaultQueuedBytes) / longTextBytes),
    ends: disconnected,
  };
}

/**
 * A server that tells everyone what one client says. The honest client says enough for the queues of the slow ones, one message after the
 * other: it has heard each before it sends the next.
 */
function broadcastTalk(spoken: Spoken): Talk {
  return {
    honest: (server) => honestSpeaker(server, spoken, false, 'x'.repeat(longTextBytes)),
    flood: () => [],
    sendsByItself: true,
    ends: disconnected,
  };
}

/** A server that reads no more of a client that does not read. */
function pausingTalk(spoken: Spoken): Talk {
  const ends = both({ bounded: 'the server pauses the channel of a client for which enough waits' });
  return { ...reliableTalk(spoken), untilBytes: highWaterBytes, ends };
}

/** A server that answers on an unreliable channel with what it is told. */
function unreliableTalk(channel: string): Talk {
  const spoken = { channel, encode: (text: string) => Buffer.from(text) };
  return {
    honest: (server) => honestSpeaker(server, spoken, true),
    flood: () => repeated({ channel, data: new Uint8Array(1000) }, 2000),
    ends: both({ bounded: unreliableReason }),
  };
}

/** A server that sends by itself and waits for room, so that no queue fills. */
function pushing(): Talk {
  return {
    async honest(server) {
      const client = await HonestClient.connect(await tokenFor(server, clientIds.honest), server.channels);
      return { ask: () => client.hears(''), close: () => client.close() };
    },
    flood: () => [],
    untilBytes: highWaterBytes,
    ends: both({ bounded: 'it sends while send() returns true, and then waits for room' }),
  };
}

/** A server that sends to everyone by itself, on an unreliable channel. */
const ticking: Talk = {
  honest: pushing().honest,
  flood: () => repeated({ channel: 'default', data: Uint8Array.of(1) }, 1000),
  ends: both({ bounded: unreliableReason }),
};

interface Device {
  readonly endpoint: number;
  readonly feature: number;
}

/** The layer interaction: each request has an answer, and a subscriber is notified of changes. */
function interactionTalk({ endpoint, feature }: Device): Talk {
  const codec = hawserCodec();
  const request = (message: Request): WireMessage => ({
    channel: 'interaction',
    data: codec.encode(message).slice(),
  });
  return {
    async honest(server) {
      const token = await tokenFor(server, clientIds.honest);
      const client = new InteractionClient({ connector: hawserConnector(token) });
      await client.connect();
      return {
        async ask() {
          // A server that has no attributes answers that.
          await client.read(endpoint, feature).catch((error: unknown) => {
            if (!(error instanceof StatusError)) throw error;
          });
        },
        close: () => client.close(),
      };
    },
    *flood() {
      const about = { endpoint, feature, attributes: [] };
      yield request({ type: 'request', messageId: 1, operation: 'subscribe', minIntervalMs: 0, ...about });
      yield* repeated(request({ type: 'request', messageId: 2, operation: 'read', ...about }), shortMessages);
    },
    ends: disconnected,
  };
}

/** The layer sessions, with requests of which nothing is kept. @param requestBytes of a request; its answer may be as long. */
function sessionsTalk(requestBytes: number): Talk {
  const isShort = requestBytes < longTextBytes;
  const pace = 'requests beyond 356 that wait are dropped, and answers come at the pace of the store';
  const credit = 'its credit, which is at least one longest message of 10 MiB, takes all of these answers';
  const frame = (message: ClientMessage): WireMessage => ({
    channel: 'session',
    data: encodeClientMessage(message),
  });
  return {
    async honest(server) {
      const token = await tokenFor(server, clientIds.honest);
      const client = new SessionClient({ connector: sessionConnector(token) });
      await client.connect();
      return {
        async ask() {
          // An application may answer with an error of its own.
          await client.request(new Uint8Array(1)).catch((error: unknown) => {
            if (!(error instanceof SessionUserError)) throw error;
          });
        },
        close: () => client.close(),
      };
    },
    *flood() {
      const capabilities = new Map([
        [hawserCapability.name, hawserCapability.value],
        [deliveryCapability, 'at-most-once'],
      ]);
      yield frame({ type: 'CreateSession', capabilities, nonce: 1n });
      const payload = new Uint8Array(requestBytes);
      const count = isShort ? sessionRequests : shortMessages;
      for (let requestId = 0; requestId < count; ++requestId)
        yield frame({
          type: 'ClientRequest',
          requestId,
          lowestPendingRequestId: requestId,
          payload,
          createdAt: 0,
        });
    },
    ends: isShort ? { paused: { bounded: credit }, mute: { bounded: pace, maySlow: true } } : disconnected,
  };
}

/** The layer sync: an End of a session that does not exist has an answer. */
const syncTalk: Talk = {
  async honest(server) {
    const agent = new MeterAgent(await tokenFor(server, clientIds.honest));
    let told = 0;
    await agent.client.connect();
    return { ask: () => agent.tell('cellar', `{"kWh":${++told}}`), close: () => agent.client.close() };
  },
  flood: () =>
    repeated({ channel: 'sync', data: encodeMessage({ type: 'End', session: 1n }) }, shortMessages),
  ends: disconnected,
};

// ---- The programs --------------------------------------------------------------------------------------------------

mkdirSync(join(root, 'build'), { recursive: true });
// Inside the package, so that `hawser` is this package.
const folder = mkdtempSync(join(root, 'build', 'slow-clients-'));
afterAll(() => rmSync(folder, { recursive: true, maxRetries: 3 }));

/** Writes the files of a program to a folder of its own and returns what runs it. */
type Prepare = (own: string) => { readonly file: string; readonly args?: readonly string[] };

interface Served {
  readonly prepare: Prepare;
  /** For each of its servers, in the order in which they listen. */
  readonly talks: readonly Talk[];
  /** `maxQueuedBytes` of its servers; {@link shortQueuedBytes} by default. */
  readonly queuedBytes?: number;
}

/** Why a program is not run with slow clients. */
interface NotServed {
  readonly not: string;
}

/** @param parts what they import is imported once. */
function writeProgram(own: string, name: string, ...parts: readonly string[]): string {
  const compilerOptions: ts.CompilerOptions = {
    module: ts.ModuleKind.ESNext,
    target: ts.ScriptTarget.ES2023,
    rewriteRelativeImportExtensions: true,
    // Without it, imports of one part that only another one uses would be removed.
    verbatimModuleSyntax: true,
  };
  const file = join(own, name);
  const plain = parts.map((part) => ts.transpileModule(part, { compilerOptions }).outputText);
  writeFileSync(file, joinCode(plain.map((text) => text.replace(/^export \{ ?\};\n/gm, ''))));
  return file;
}

/** A program of examples/, with the arguments that it takes. */
function example(name: string, ...args: readonly string[]): Prepare {
  return (own) => {
    for (const each of [name, 'thermostat-model'])
      writeProgram(own, `${each}.js`, readFileSync(join(root, 'examples', `${each}.ts`), 'utf8'));
    return { file: join(own, `${name}.js`), args };
  };
}

/** Code of a page that serves peers, sends to them, or is part of something that does. */
const serving =
  /\bServer\.listen\(|\bserve[A-Z]\w+\(|\.broadcast\(|\bpeer\.send\(|\bnew (?:Device|SyncManager|SessionServer)\(|\bSae\.open\(|\bdefineConfig\(/;
const servingBlocks = new Map<string, Block>(
  pages.flatMap((page) =>
    readBlocks(page)
      .filter(({ language, code }) => /^[jt]s$/.test(language) && serving.test(code))
      .map((block, index): [string, Block] => [`${page} ${index + 1}`, block]),
  ),
);

function blockOf(key: string): Block {
  return servingBlocks.get(key) ?? expect.fail(`there is no "${key}"`);
}

/** A block of a page. @param around what stands before and behind it, where it is no whole program. */
function block(key: string, around: { readonly before?: string; readonly after?: string } = {}): Prepare {
  return (own) => {
    const { page, wish, code } = blockOf(key);
    // What a page declares for its compiler is defined by `before`.
    const { before = '', after = '' } = around;
    // A page may have a file that this one imports.
    for (const { wish: other, code: text } of readBlocks(page))
      if (other.file?.endsWith('.ts') && other.file !== wish.file)
        writeProgram(own, other.file.replace(/\.ts$/, '.js'), text);
    return { file: writeProgram(own, 'program.mjs', wish.prelude, before, code, after) };
  };
}

const anyPort = '127.0.0.1:0';

/** HTTP servers at their usual addresses, in JavaScript or JSON, with any port: other tests run gateways, too. */
function withAnyPort(text: string): string {
  return text
    .replaceAll(/127\.0\.0\.1:\d+/g, anyPort)
    .replace(
      /(["']?)tokens\1: true/,
      `"tokens": { "address": "${anyPort}" }, "admin": { "address": "${anyPort}" }`,
    );
}

/** Copies a configuration and its files. */
function gateway(config: string, files: Readonly<Record<string, string>>): Prepare {
  return (own) => {
    writeFileSync(join(own, 'server.key'), formatKey(generateKey()), { mode: 0o600 });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(own, name), withAnyPort(text));
    const main = join(root, 'dist', 'cli', 'main.js');
    return { file: main, args: ['gateway', '--config', join(own, config)] };
  };
}

function filesOf(path: string): Record<string, string> {
  const names = readdirSync(join(root, path));
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(root, path, name), 'utf8')]));
}

/** The files that a page writes down. */
function filesOn(page: string): Record<string, string> {
  const named = readBlocks(page).filter(({ wish }) => wish.file !== undefined);
  return Object.fromEntries(named.map(({ wish, code }) => [`${wish.file}`, code]));
}

const withKey = "import { generateKey } from 'hawser/token';\nconst key = generateKey();\n";
/** A server for code that needs one, and a token for its own client. */
const withServer = (channels: string): string => `
import { Server } from 'hawser';
import { encodeToken, generateKey, mintToken } from 'hawser/token';
const serverKey = generateKey();
const server = await Server.listen({ protocolId: 1n, keys: [serverKey], channels: ${channels} });
const token = encodeToken(await mintToken({ protocolId: 1n, key: serverKey, clientId: 1n, addresses: server.publicAddresses }));
`;

const thermostat: Device = { endpoint: 1, feature: 2 };
const jsonChat = (encode: (text: string) => unknown, hearers: 'all' | 'others' = 'all'): Spoken => ({
  channel: 'chat',
  encode: (text) => jsonOf(encode(text)),
  hearers,
});
const textChat: Spoken = { channel: 'chat', encode: (text) => Buffer.from(text) };
const plainChat = broadcastTalk(textChat);
const echo = unreliableTalk('default');
const isClient = { not: 'it is a client' };
const isSimulated = { not: 'its network is simulated: it has no socket that a client reaches' };
const sendsNothing = { not: 'its server sends nothing to its peers' };
const isNetcode = { not: 'netcode acknowledges and queues nothing: it has no slow clients' };
const needsKme = {
  not: 'it needs a KME; the layer keys sends answers to signed messages of the other SAE only',
};

/** By path, or by page and the number of the block among those of the page that serve. */
const served: Readonly<Record<string, Served | NotServed>> = {
  'examples/README.md': { not: 'it is a page without a server' },
  'examples/echo-client.ts': isClient,
  'examples/echo-server.ts': { prepare: example('echo-server'), talks: [echo] },
  'examples/gateway/every-layer.config.js': needsKme,
  'examples/gateway/handlers.js': { not: 'hawser.config.js has it' },
  'examples/gateway/hawser.config.js': {
    prepare: gateway('hawser.config.js', filesOf('examples/gateway')),
    talks: [plainChat, interactionTalk({ endpoint: 1, feature: 1 }), syncTalk, sessionsTalk(longTextBytes)],
  },
  'examples/gateway/hawser.config.json': {
    prepare: gateway('hawser.config.json', filesOf('examples/gateway')),
    talks: [pausingTalk(textChat)],
  },
  'examples/gateway/sae.json': needsKme,
  'examples/keys/master.json': needsKme,
  'examples/keys/slave.json': needsKme,
  'examples/sessions-client.ts': isClient,
  'examples/sessions-server.ts': { prepare: example('sessions-server'), talks: [sessionsTalk(1)] },
  'examples/sync-agent.ts': isClient,
  'examples/sync-manager.ts': { prepare: example('sync-manager'), talks: [syncTalk] },
  'examples/thermostat-controller.ts': isClient,
  'examples/thermostat-device.ts': {
    prepare: example('thermostat-device'),
    talks: [interactionTalk(thermostat)],
  },
  'examples/thermostat-model.ts': { not: 'thermostat-device.ts has it' },
  'examples/tick-broadcast.ts': { prepare: example('tick-broadcast', '1', '1000000'), talks: [ticking] },
  'examples/token-backend.ts': { not: 'it serves HTTP alone' },

  'README.md 1': { prepare: block('README.md 1'), talks: [echo] },
  'README.md 2': {
    prepare: block('README.md 2', { before: withServer('interactionChannels') }),
    talks: [interactionTalk(thermostat)],
  },
  'README.md 3': {
    prepare: block('README.md 3', { before: withServer('syncChannels') }),
    talks: [syncTalk],
  },
  'README.md 4': {
    prepare: block('README.md 4', {
      before: `${withServer('sessionChannels')}
const key = 'key';
const value = new Uint8Array(1);
const payload = new Uint8Array(1);
const book = async () => value;
`,
    }),
    talks: [sessionsTalk(1)],
  },
  'README.md 5': needsKme,
  'docs/channels.md 1': {
    prepare: block('docs/channels.md 1', { before: withKey }),
    talks: [reliableTalk(jsonChat((text) => ({ text })))],
    queuedBytes: defaultQueuedBytes,
  },
  'docs/channels.md 2': {
    prepare: block('docs/channels.md 2', {
      before: `import { reliable } from 'hawser';
${withServer('{ files: reliable() }')}
const line = new Uint8Array(8000);
const lines = { *[Symbol.iterator]() { for (;;) yield line; } };
`,
      after: "server.on('connect', (peer) => sendLines(peer, lines));\n",
    }),
    talks: [pushing()],
  },
  'docs/gateway.md 1': {
    prepare: gateway('hawser.config.json', {
      'handlers.mjs': blockOf('docs/gateway.md 1').code,
      'hawser.config.json': JSON.stringify({
        keys: [{ file: 'server.key' }],
        listeners: [{ channels: { chat: { mode: 'reliable', codec: 'text' } } }],
        handlers: './handlers.mjs',
        admin: { address: '127.0.0.1:0' },
      }),
    }),
    talks: [plainChat],
  },
  'docs/interaction.md 1': { prepare: block('docs/interaction.md 1'), talks: [interactionTalk(thermostat)] },
  'docs/interaction.md 2': {
    prepare: block('docs/interaction.md 2', {
      before: `${withKey}
import { Device } from 'hawser/interaction';
import { encodeToken, mintToken } from 'hawser/token';
const device = new Device({ handlers: { read: () => new Map([[1, 20]]) } });
async function fetchTokenFromBackend() {
  return encodeToken(await mintToken({ protocolId: 1n, key, clientId: 1n, addresses: gateway.publicAddresses }));
}
`,
    }),
    talks: [interactionTalk(thermostat)],
  },
  'docs/interaction.md 3': {
    prepare: block('docs/interaction.md 3', {
      before: `${withServer('interactionChannels')}
import { EventEmitter } from 'node:events';
import { interactionChannels, serveInteraction } from 'hawser/interaction';
const sensor = Object.assign(new EventEmitter(), { celsius: 20, calibrate: async () => undefined });
`,
      after: `
serveInteraction(server, (connection) => thermometer.accept(connection));
setInterval(() => sensor.emit('celsius', ++sensor.celsius), 1);
`,
    }),
    talks: [interactionTalk({ endpoint: 1, feature: 1 })],
  },
  'docs/interaction.md 4': { not: 'it is MASH over TLS, whose bounds are those of streams' },
  'docs/interaction.md 5': isSimulated,
  'docs/keys-personas.md 1': needsKme,
  'docs/keys.md 1': needsKme,
  'docs/netcode.md 1': isNetcode,
  'docs/sessions.md 1': { prepare: block('docs/sessions.md 1'), talks: [sessionsTalk(1)] },
  'docs/sessions.md 2': {
    prepare: block('docs/sessions.md 2', {
      before: `${withServer('sessionChannels')}
import { openSessionStore, serveSessions, sessionChannels } from 'hawser/sessions';
const store = await openSessionStore('sessions');
`,
      after: 'await sessions.start();\nserveSessions(server, sessions);\n',
    }),
    talks: [sessionsTalk(1)],
  },
  'docs/sync.md 1': { prepare: block('docs/sync.md 1'), talks: [syncTalk] },
  'docs/sync.md 2': isSimulated,
  'docs/testing.md 1': isSimulated,
  'docs/transport.md 1': { prepare: block('docs/transport.md 1'), talks: [echo] },
  'docs/transport.md 2': {
    prepare: block('docs/transport.md 2'),
    talks: [broadcastTalk(jsonChat((words) => ({ from: '', words })))],
  },
  'docs/transport.md 3': sendsNothing,
  'docs/transport.md 4': sendsNothing,
  'docs/transport.md 5': sendsNothing,
  'docs/guides/choosing-channels.md 1': sendsNothing,
  'docs/guides/choosing-channels.md 2': {
    prepare: block('docs/guides/choosing-channels.md 2', {
      before: `import { reliableUnordered } from 'hawser';
${withServer("{ replays: reliableUnordered(undefined, { maxMessageBytes: 8 * 1024 * 1024, priority: 'low' }) }")}
const replay = { *[Symbol.iterator]() { for (;;) yield new Uint8Array(65_536); } };
`,
      after: "server.on('connect', (peer) => sendReplay(peer, replay));\n",
    }),
    talks: [pushing()],
  },
  'docs/guides/migrating-from-dgram.md 1': {
    prepare: block('docs/guides/migrating-from-dgram.md 1'),
    talks: [echo],
  },
  'docs/guides/migrating-from-geckos.md 1': {
    prepare: block('docs/guides/migrating-from-geckos.md 1'),
    talks: [broadcastTalk(jsonChat((text) => text))],
  },
  'docs/guides/migrating-from-netcode.md 1': isNetcode,
  'docs/guides/migrating-from-netcode.md 2': isNetcode,
  'docs/guides/migrating-from-ws.md 1': {
    prepare: block('docs/guides/migrating-from-ws.md 1'),
    talks: [broadcastTalk(jsonChat((text) => ({ text }), 'others'))],
  },
  'docs/guides/quick-start.md 1': {
    prepare: gateway('hawser.config.mjs', filesOn('docs/guides/quick-start.md')),
    talks: [broadcastTalk(jsonChat((text) => ({ text })))],
  },
  'docs/guides/quick-start.md 2': { not: 'the configuration of its page has it' },
  'docs/guides/security-model.md 1': sendsNothing,
  'docs/guides/testing-your-protocol.md 1': isSimulated,
  'docs/guides/testing-your-protocol.md 2': isSimulated,
};

test('every example and every block of a page that serves is in the table', () => {
  const examples = readdirSync(join(root, 'examples'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
  expect(Object.keys(served).toSorted()).toEqual([...examples, ...servingBlocks.keys()].toSorted());
});

// ---- The test ------------------------------------------------------------------------------------------------------

/** What a test has opened, closed in reverse order. */
type Opened = { close(): Promise<unknown> }[];

function keep<T extends { close(): Promise<unknown> }>(opened: Opened, each: T): T {
  opened.push(each);
  return each;
}

/** Resolves once the program has so many servers and serves. @returns the last of them. */
async function listening(program: WatchedProgram, count: number): Promise<ServedAddress> {
  for (;;) {
    const servers = (await program.report()).servers.slice(0, count);
    const last = servers[count - 1];
    if (last !== undefined && servers.every(({ serves }) => serves)) return last;
    await pollPause();
  }
}

/** One of each kind of server. The long form (HAWSER_TEST_DEEP=1) runs all. */
const shortForm = [
  'docs/channels.md 1',
  'docs/channels.md 2',
  'docs/transport.md 1',
  'docs/transport.md 2',
  'examples/sessions-server.ts',
  'examples/sync-manager.ts',
  'examples/thermostat-device.ts',
];
const entries = Object.entries(served)
  .filter(([name]) => process.env.HAWSER_TEST_DEEP === '1' || shortForm.includes(name))
  .flatMap(([name, each]) => ('not' in each ? [] : [{ name, ...each }]));

test.each(entries)('$name goes on when clients stop reading or never acknowledge', async (entry) => {
  const own = join(folder, `${entries.indexOf(entry)}`);
  mkdirSync(own);
  const { file, args = [] } = entry.prepare(own);
  const { queuedBytes = shortQueuedBytes } = entry;
  const env = {
    HAWSER_KEY: formatKey(generateKey()),
    XDG_RUNTIME_DIR: own,
    HAWSER_TEST_QUEUED_BYTES: `${queuedBytes}`,
  };
  const opened: Opened = [];
  const program = keep(opened, new WatchedProgram(file, args, own, env));
  try {
    for (const [index, talk] of entry.talks.entries())
      await Promise.race([program.failed, withSlowClients(program, index, talk, queuedBytes, opened)]);
  } finally {
    for (const each of opened.reverse()) await each.close();
  }
});

async function withSlowClients(
  program: WatchedProgram,
  index: number,
  talk: Talk,
  queuedBytes: number,
  opened: Opened,
): Promise<void> {
  const server = await listening(program, index + 1);
  const before = await program.report();
  const honest = keep(opened, await talk.honest(server));
  await honest.ask();
  const { channels } = server;
  const slow = {
    paused: keep(opened, await PausedClient.connect(await tokenFor(server, clientIds.paused), channels)),
    mute: keep(opened, await MuteClient.connect(await tokenFor(server, clientIds.mute), channels)),
  };
  const endingsOf = ({ endings }: Report, id: bigint): readonly Ending[] =>
    endings.slice(before.endings.length).filter(({ clientId }) => clientId === `${id}`);
  const isDone = (report: Report, kind: keyof typeof slow): boolean => {
    const id = clientIds[kind];
    if (!('bounded' in talk.ends[kind])) return endingsOf(report, id).length > 0;
    return talk.untilBytes !== undefined && (report.peakBytes[`${id}`] ?? 0) > talk.untilBytes;
  };

  /** Twice what fills the queues of the slow clients. */
  const maxAnswers = (2 * (queuedBytes + excessBytes)) / longTextBytes;
  let answers = 0;
  let isOver = false;
  const asking = (async () => {
    for (; !isOver; ++answers) {
      await honest.ask();
      if (talk.sendsByItself === true && answers > maxAnswers) isOver = true;
    }
  })();
  const floods: Promise<boolean>[] = [];
  const over = kinds.map((kind) => {
    const flood = slow[kind].flood(talk.flood());
    floods.push(flood);
    const done = reported(program, (report) => isOver || isDone(report, kind));
    // A flood that is over says nothing of them.
    if (talk.untilBytes !== undefined || talk.sendsByItself === true) return done;
    return Promise.race([flood.then((isTaken) => (isTaken ? undefined : done)), done]);
  });
  await Promise.race([Promise.all(over), asking]);
  isOver = true;
  await asking;
  await honest.ask();

  const report = await program.report();
  expect(answers).toBeGreaterThan(0);
  for (const kind of kinds) {
    const id = clientIds[kind];
    const ends = talk.ends[kind];
    expect(report.peakBytes[`${id}`] ?? 0, kind).toBeLessThan(queuedBytes + excessBytes);
    const ended = endingsOf(report, id);
    const [first] = ended;
    if (kind === 'mute' && first?.code === noProgress) continue;
    if ('maySlow' in ends && first?.code === slowConsumer) continue;
    expect(ended, kind).toEqual('bounded' in ends ? [] : [expect.objectContaining(ends)]);
  }

  // What the server still does for a client must not end it when the client goes.
  for (const kind of kinds) await slow[kind].close();
  await Promise.all(floods);
  await reported(program, ({ connected }) =>
    kinds.every((kind) => !connected.includes(`${clientIds[kind]}`)),
  );
  await honest.ask();
  const after = await program.report();
  expect([clientIds.honest, clientIds.hearer].flatMap((id) => endingsOf(after, id))).toEqual([]);
  expect(after.listenerErrors, program.output).toBe(0);
  await honest.close();
  await reported(program, ({ connected }) => !connected.includes(`${clientIds.honest}`));
}

/** Resolves once a report is so. */
async function reported(program: WatchedProgram, isSo: (report: Report) => boolean): Promise<void> {
  while (!isSo(await program.report())) await pollPause();
}

const pollPause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
