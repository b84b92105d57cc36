import { formatAddress } from '../../base/address.js';
import type { PublicToken } from '../../token/format.js';
import { mintToken } from '../../token/mint.js';
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
  u64,
  type Values,
  withDefault,
} from '../options.js';
import { keyOrEnvironment, randomClientId } from '../tokens.js';

const dayMs = 86_400_000;

const options = {
  key: optional(serverKey, 'server key; also read from the environment variable HAWSER_KEY'),
  server: list(address(), 'the gateway, or several to try in this order, as clients reach them'),
  protocolId: withDefault(u64, '1', 'the application that the gateway serves'),
  clientId: optional(u64, 'who the client is (default: random)'),
  lifetime: withDefault(duration(1, dayMs), '1h', 'for how long it can be used to connect, at most 1d'),
  timeout: withDefault(duration(1000, 3_600_000), '15s', 'a connection without an answer ends after'),
  singleUse: flag('it opens one session only'),
  userData: optional(content('TEXT|@FILE'), 'what to tell the gateway about the client'),
  inspect: optional(
    content('TOKEN|@FILE|-'),
    'show what a token says instead of making one; with a key, the private part too',
  ),
  json: flag('print JSON'),
};

export const token: Command = defineCommand({
  name: 'token',
  summary: 'makes a connect token, or shows what is in one',
  details: ['A token is as good as a password until it expires: hand it to its client over TLS.'],
  options,
  run: async (values) => {
    const key = keyOrEnvironment(values.key);
    if (values.inspect !== undefined) return inspect(values.inspect.toString().trim(), key, values.json);
    return mint(values, key);
  },
});

async function mint(values: Values<typeof options>, key: ServerKey | undefined): Promise<number> {
  if (key === undefined)
    throw new UsageError('no server key: give --key, or set HAWSER_KEY; "hawser keygen" makes one');
  if (values.server.length === 0) throw new UsageError('no gateway: give --server HOST:PORT');
  const minted = await mintToken({
    protocolId: values.protocolId,
    key,
    addresses: values.server,
    clientId: values.clientId ?? randomClientId(),
    lifetimeMs: values.lifetime,
    timeoutMs: values.timeout,
    singleUse: values.singleUse,
    ...(values.userData === undefined ? {} : { userData: values.userData }),
  });
  const line = encodeToken(minted);
  const output = values.json
    ? JSON.stringify({ token: line, ...describePrivate(await openToken(minted, [key])) })
    : line;
  process.stdout.write(`${output}\n`);
  return exitCodes.ok;
}

async function inspect(given: string, key: ServerKey | undefined, json: boolean): Promise<number> {
  const shown =
    key === undefined ? describePublic(decodeToken(given)) : describePrivate(await openToken(given, [key]));
  if (json) {
    process.stdout.write(`${JSON.stringify(shown)}\n`);
    return exitCodes.ok;
  }
  const rows = Object.entries(shown).map(([name, value]) => [spaced(name), textOf(value)] as const);
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, value] of rows) process.stdout.write(`${name.padEnd(width)}  ${value}\n`);
  return exitCodes.ok;
}

/** What any holder may know; not the session keys, which would turn a log into a leak. */
function describePublic(content: PublicToken): Record<string, unknown> {
  return {
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

function describePrivate(content: PrivateToken): Record<string, unknown> {
  return {
    clientId: String(content.clientId),
    ...describePublic(content),
    userDataBase64: Buffer.from(content.userData).toString('base64'),
    tokenId: Buffer.from(content.tokenId).toString('hex'),
  };
}

/** A token may hold any number; beyond what a date can be, the number itself. */
function isoTime(unixMs: number): string {
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
