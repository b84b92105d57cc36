// Where commands that connect take their tokens from: a server key, or the token endpoint of a development gateway.

import { randomBytes } from 'node:crypto';
import { createTokenMinter } from '../token/mint.js';
import { decodeToken } from '../token/open.js';
import type { ServerKey } from '../token/server-key.js';
import { CommandError, UsageError } from './errors.js';
import {
  address,
  duration,
  list,
  type Option,
  optional,
  parseServerKey,
  serverKey,
  text,
  u64,
  withDefault,
} from './options.js';

export const defaultListenAddress = '127.0.0.1:4433';
export const defaultHttpAddress = '127.0.0.1:4480';
const defaultTokenUrl = `http://${defaultHttpAddress}/token`;

/** How long the token endpoint may take to answer. */
const tokenRequestTimeoutMs = 10_000;

/** The options of every command that connects. */
export const tokenOptions: {
  readonly server: Option<readonly string[]>;
  readonly key: Option<ServerKey | undefined>;
  readonly tokenUrl: Option<string | undefined>;
  readonly protocolId: Option<bigint>;
  readonly timeout: Option<number>;
} = {
  server: list(
    address(),
    `with a key: the gateway, or several to try in this order (default: ${defaultListenAddress})`,
  ),
  key: optional(
    serverKey,
    'server key to mint tokens with; also read from the environment variable HAWSER_KEY',
  ),
  tokenUrl: optional(
    text('URL'),
    `without a key: where to ask for tokens (default: ${defaultTokenUrl}, where "hawser gateway" answers)`,
  ),
  protocolId: withDefault(u64, '1', 'with a key: the application that the gateway serves'),
  timeout: withDefault(
    duration(1000, 3_600_000),
    '15s',
    'with a key: a connection without an answer ends after',
  ),
};

/** The values of {@link tokenOptions}. */
export interface TokenValues {
  readonly server: readonly string[];
  readonly key: ServerKey | undefined;
  readonly tokenUrl: string | undefined;
  readonly protocolId: bigint;
  readonly timeout: number;
}

/** Gets one connect token for a client. */
export type TokenFactory = (clientId: bigint) => Promise<Uint8Array | string>;

/** The key that was given as an option, else the one of HAWSER_KEY. @throws UsageError when the latter is not a key. */
export function keyOrEnvironment(key: ServerKey | undefined): ServerKey | undefined {
  const given = process.env.HAWSER_KEY;
  if (key !== undefined || given === undefined || given === '') return key;
  try {
    return parseServerKey(given);
  } catch (error) {
    throw new UsageError(`HAWSER_KEY: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** A client id that no other run of a command is likely to use. */
export function randomClientId(): bigint {
  return randomBytes(8).readBigUInt64LE();
}

/** @throws UsageError for options that exclude each other. */
export async function tokenFactory(values: TokenValues): Promise<TokenFactory> {
  const { tokenUrl } = values;
  if (tokenUrl !== undefined) {
    if (values.key !== undefined) throw new UsageError('--key and --token-url exclude each other');
    if (values.server.length > 0)
      throw new UsageError('--server and --token-url exclude each other: tokens name the gateway');
    if (!URL.canParse(tokenUrl))
      throw new UsageError(`--token-url: ${JSON.stringify(tokenUrl)} is not a URL`);
    return (clientId) => requestToken(tokenUrl, clientId);
  }
  const key = keyOrEnvironment(values.key);
  if (key === undefined) {
    if (values.server.length > 0)
      throw new UsageError('--server needs the key of that gateway: give --key, or set HAWSER_KEY');
    return (clientId) => requestToken(defaultTokenUrl, clientId);
  }
  const minter = await createTokenMinter({
    protocolId: values.protocolId,
    key,
    addresses: values.server.length > 0 ? values.server : [defaultListenAddress],
    timeoutMs: values.timeout,
  });
  return async (clientId) => minter.mint({ clientId });
}

async function requestToken(url: string, clientId: bigint): Promise<string> {
  const body: unknown = await postJson(url, { clientId: String(clientId) });
  if (typeof body === 'object' && body !== null && 'token' in body && typeof body.token === 'string') {
    return body.token;
  }
  throw new CommandError(`${url} answered without a token`);
}

async function postJson(url: string, content: unknown): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(content),
      signal: AbortSignal.timeout(tokenRequestTimeoutMs),
    });
  } catch (error) {
    throw new CommandError(
      `cannot get a token from ${url} (${reasonOf(error)}); start "hawser gateway" there, or give --key and --server, or --token-url`,
    );
  }
  if (!response.ok)
    throw new CommandError(`${url} refused a token: HTTP ${response.status} ${response.statusText}`);
  try {
    return await response.json();
  } catch {
    throw new CommandError(`${url} did not answer with JSON`);
  }
}

/** What is behind the bare "fetch failed". */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  if (cause instanceof Error) return 'code' in cause ? String(cause.code) : cause.message;
  return String(cause);
}

/** Whether every gateway of a token is this machine, over IPv4: then clients may come from any address of 127.0.0.0/8. */
export function isLoopbackToken(token: Uint8Array | string): boolean {
  return decodeToken(token).addresses.every(({ host }) => host.startsWith('127.'));
}
