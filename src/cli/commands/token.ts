import { formatAddress } from '../../base/address.js';
import { HawserError } from '../../base/errors.js';
import type { PublicToken } from '../../token/format.js';
import { mintToken } from '../../token/mint.js';
import { type PublicNetcodeToken, wireOfToken } from '../../token/netcode-format.js';
import { mintNetcodeToken } from '../../token/netcode-mint.js';
import {
  decodeNetcodeToken,
  encodeNetcodeToken,
  openNetcodeToken,
  type PrivateNetcodeToken,
} from '../../token/netcode-open.js';
import { decodeToken, encodeToken, openToken, type PrivateToken } from '../../token/open.js';
import type { ServerKey } from '../../token/server-key.js';
import { type Command, defineCommand } from '../command.js';
import { exitCodes, UsageError } from '../errors.js';
import {
  address,
  content,
  duration,
  flag,
  list,
  optional,
  serverKey,
  text,
  u64,
  type Values,
  withDefault,
} from '../options.js';
import { judgeToken } from '../token-verdict.js';
import { checkWholeSeconds, keyOrEnvironment, randomClientId, wireOf, wireOption } from '../tokens.js';
import { writeNewSecret } from '../write-new-secret.js';

const dayMs = 86_400_000;

const options = {
  key: optional(serverKey, 'server key; also read from the environment variable HAWSER_KEY'),
  server: list(address(), 'the gateway, or several to try in this order, as clients reach them'),
  protocolId: withDefault(u64, '1', 'the application that the gateway serves'),
  clientId: optional(u64, 'who the client is (default: random)'),
  lifetime: withDefault(duration(1, dayMs), '1h', 'for how long it can be used to connect, at most 1d'),
  timeout: withDefault(duration(1000, 3_600_000), '15s', 'a connection without an answer ends after'),
  singleUse: flag('it opens one session only, as every netcode token does'),
  userData: optional(content('TEXT|@FILE'), 'what to tell the gateway about the client'),
  wire: wireOption('which protocol it is for'),
  out: optional(
    text('FILE'),
    'write its bytes to a new file that only you can read, instead of its text to standard output',
  ),
  inspect: optional(
    content('TOKEN|@FILE|-'),
    'show what a token says instead of making one, with a key the private part too, and whether a gateway takes it',
  ),
  json: flag('print JSON'),
};

export const token: Command = defineCommand({
  name: 'token',
  summary: 'makes a connect token, or shows what is in one',
  details: [
    'A token is as good as a password until it expires: hand it to its client over TLS.',
    'With --wire netcode, --out writes the 2,048 bytes that netcode clients in other languages take.',
    'With --inspect, the exit code is 1 if a gateway with --protocol-id, --server and --key would refuse the token now.',
  ],
  options,
  run: async (values) => {
    const key = keyOrEnvironment(values.key);
    if (values.inspect === undefined) return mint(values, key);
    if (values.out !== undefined) throw new UsageError('--out and --inspect exclude each other');
    return inspect(values.inspect, key, values);
  },
});

async function mint(values: Values<typeof options>, key: ServerKey | undefined): Promise<number> {
  if (key === undefined)
    throw new UsageError('no server key: give --key, or set HAWSER_KEY; "hawser keygen" makes one');
  if (values.server.length === 0) throw new UsageError('no gateway: give --server HOST:PORT');
  const common = {
    protocolId: values.protocolId,
    key,
    addresses: values.server,
    clientId: values.clientId ?? randomClientId(),
    lifetimeMs: values.lifetime,
    timeoutMs: values.timeout,
    ...(values.userData === undefined ? {} : { userData: values.userData }),
  };
  if (values.wire === 'hawser') {
    const minted = await mintToken({ ...common, singleUse: values.singleUse });
    return print(values, minted, encodeToken(minted), describePrivate(await openToken(minted, [key])));
  }
  if (values.singleUse)
    throw new UsageError(
      '--single-use is of no use with --wire netcode: every netcode token opens one session',
    );
  checkWholeSeconds('lifetime', values.lifetime);
  checkWholeSeconds('timeout', values.timeout);
  const minted = await mintNetcodeToken(common);
  const shown = describePrivateNetcode(await openNetcodeToken(minted, [key]));
  return print(values, minted, encodeNetcodeToken(minted), shown);
}

function print(
  { out: file, json }: Values<typeof options>,
  minted: Uint8Array,
  line: string,
  shown: Shown,
): number {
  if (file !== undefined) writeNewSecret(file, minted, '; choose another file, or remove that one');
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ ...(file === undefined ? { token: line } : { file }), ...shown })}\n`,
    );
  } else {
    process.stdout.write(
      file === undefined ? `${line}\n` : `the token of client ${shown.clientId} is in ${file}\n`,
    );
  }
  return exitCodes.ok;
}

/** What is shown of a token, by the names of JSON. */
type Shown = Readonly<Record<string, unknown>>;

/** @param given the text of a token, or its bytes as they are. */
async function inspect(
  given: Buffer,
  key: ServerKey | undefined,
  { protocolId, server: addresses, json }: Values<typeof options>,
): Promise<number> {
  const token = wireOfToken(given) === undefined ? given.toString().trim() : given;
  const {
    content,
    isOpened,
    shown: fields,
  } = await (wireOf(token) === 'netcode' ? showNetcode : showHawser)(token, key);
  const judged = judgeToken(content, { protocolId, addresses, nowMs: Date.now(), isOpened });
  const shown: Shown = { ...fields, ...judged };
  const code = judged.accepted ? exitCodes.ok : exitCodes.failure;
  if (json) {
    process.stdout.write(`${JSON.stringify(shown)}\n`);
    return code;
  }
  const rows = Object.entries(shown).map(([name, value]) => [spaced(name), textOf(value)] as const);
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, value] of rows) process.stdout.write(`${name.padEnd(width)}  ${value}\n`);
  return code;
}

/** What is known of a token. */
interface Inspected<T> {
  readonly content: T;
  readonly shown: Shown;
  /** Whether the key opens the private part; undefined without a key. */
  readonly isOpened: boolean | undefined;
}

async function showHawser(
  token: Uint8Array | string,
  key: ServerKey | undefined,
): Promise<Inspected<PublicToken>> {
  const content = decodeToken(token);
  const opened = key && (await opensWith(() => openToken(token, [key])));
  return {
    content,
    shown: opened === undefined ? describePublic(content) : describePrivate(opened),
    isOpened: key && opened !== undefined,
  };
}

async function showNetcode(
  token: Uint8Array | string,
  key: ServerKey | undefined,
): Promise<Inspected<PublicNetcodeToken>> {
  const content = decodeNetcodeToken(token);
  const opened = key && (await opensWith(() => openNetcodeToken(token, [key])));
  return {
    content,
    shown: opened === undefined ? describePublicNetcode(content) : describePrivateNetcode(opened),
    isOpened: key && opened !== undefined,
  };
}

/** @returns undefined if no key opens it. */
async function opensWith<T>(open: () => Promise<T>): Promise<T | undefined> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_TOKEN_KEY') return undefined;
    throw error;
  }
}

/** What any holder may know; not the session keys, which would turn a log into a leak. */
function describePublic(content: PublicToken): Shown {
  return {
    wire: 'hawser',
    protocolId: String(content.protocolId),
    keyId: content.keyId,
    addresses: content.addresses.map(formatAddress),
    createTime: isoTime(content.createTimeMs),
    expireTime: isoTime(content.expireTimeMs),
    expired: Number(content.expireTimeMs) <= Date.now(),
    timeoutMs: content.timeoutMs,
    singleUse: content.singleUse,
  };
}

function describePrivate(content: PrivateToken): Shown {
  return {
    clientId: String(content.clientId),
    ...describePublic(content),
    userDataBase64: Buffer.from(content.userData).toString('base64'),
    tokenId: Buffer.from(content.tokenId).toString('hex'),
  };
}

/** As {@link describePublic}. */
function describePublicNetcode(content: PublicNetcodeToken): Shown {
  return {
    wire: 'netcode',
    protocolId: String(content.protocolId),
    addresses: content.addresses.map(formatAddress),
    createTime: isoTime(content.createTimeMs),
    expireTime: isoTime(content.expireTimeMs),
    expired: content.expireTimeMs <= Date.now(),
    timeoutMs: content.timeoutMs,
  };
}

function describePrivateNetcode(content: PrivateNetcodeToken): Shown {
  return {
    clientId: String(content.clientId),
    ...describePublicNetcode(content),
    userDataBase64: Buffer.from(content.userData).toString('base64'),
  };
}

/** A token may hold any number; beyond what a date can be, the number itself. */
function isoTime(unixMs: number): string {
  if (unixMs === Number.POSITIVE_INFINITY) return 'never';
  const date = new Date(unixMs);
  return Number.isNaN(date.getTime()) ? String(unixMs) : date.toISOString();
}

function spaced(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function textOf(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (value === '') return '(none)';
  return Array.isArray(value) ? value.join(', ') : String(value);
}
