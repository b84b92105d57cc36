// Every example, and every block of a page that serves peers: how it is run, and what clients say to it.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { formatKey, generateKey } from '../../src/token/index.js';
import { type Block, pages, readBlocks, root } from '../docs/pages.js';
import { joinCode } from '../docs/type-check.js';
import {
  broadcastTalk,
  type Device,
  defaultQueuedBytes,
  interactionTalk,
  jsonOf,
  longTextBytes,
  pausingTalk,
  pushing,
  reliableTalk,
  type Spoken,
  sessionsTalk,
  syncTalk,
  type Talk,
  ticking,
  unreliableTalk,
} from './talks.js';

/** Writes the files of a program to a folder of its own and returns what runs it. */
type Prepare = (own: string) => { readonly file: string; readonly args?: readonly string[] };

interface Served {
  readonly prepare: Prepare;
  /** For each of its servers, in the order in which they listen. */
  readonly talks: readonly Talk[];
  /** `maxQueuedBytes` of its servers; half a MiB by default. */
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
export const servingBlocks = new Map<string, Block>(
  pages.flatMap((page) =>
    readBlocks(page)
      .filter(({ language, code }) => /^[jt]s$/.test(language) && serving.test(code))
      .map((block, index): [string, Block] => [`${page} ${index + 1}`, block]),
  ),
);

function blockOf(key: string): Block {
  const found = servingBlocks.get(key);
  if (found === undefined) throw new Error(`there is no "${key}"`);
  return found;
}

/** A block of a page. @param around what stands before and behind it, where it is no whole program. */
function block(key: string, around: { readonly before?: string; readonly after?: string } = {}): Prepare {
  return (own) => {
    const { page, wish, code } = blockOf(key);
    // Names that a page only declares for its compiler are defined by `before`.
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

/** By path, or by page and number of the block: blocks that serve are counted. */
export const served: Readonly<Record<string, Served | NotServed>> = {
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
  'docs/interaction.md 4': { not: 'it is MASH over TLS, which has the bounds of streams' },
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
