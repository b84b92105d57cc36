// Where commands that connect take their tokens from: a server key, or the token endpoint of a development gateway.

import { randomBytes } from 'node:crypto';
import { type Wire, wires } from '../base/wire.js';
import { createTokenMinter, type TokenMinter } from '../token/mint.js';
import { wireOfToken } from '../token/netcode-format.js';
import { createNetcodeTokenMinter, type NetcodeTokenMinter } from '../token/netcode-mint.js';
import { decodeNetcodeToken } from '../token/netcode-open.js';
import { decodeToken } from '../token/open.js';
import type { ServerKey } from '../token/server-key.js';
import { CommandError, UsageError } from './errors.js';
import {
  address,
  choice,
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

const wire = choice(wires);

/** In which wire format tokens are: those of HAWSER 1 or of netcode 1.02. */
export function wireOption(help: string): Option<Wire> {
  return withDefault(wire, 'hawser', help);
}

/** @throws UsageError for a duration that a netcode token cannot hold. */
export function checkWholeSeconds(option: string, milliseconds: number): number {
  if (milliseconds % 1000 === 0) return milliseconds;
  throw new UsageError(`--${option}: must be in whole seconds with --wire netcode; got ${milliseconds} ms`);
}

/** The options of every command that connects. */
export const tokenOptions: {
  readonly server: Option<readonly string[]>;
  readonly key: Option<ServerKey | undefined>;
  readonly tokenUrl: Option<string | undefined>;
  readonly protocolId: Option<bigint>;
  readonly lifetime: Option<number>;
  readonly timeout: Option<number>;
  readonly wire: Option<Wire>;
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
  lifetime: withDefault(
    duration(1, 86_400_000),
    '1h',
    'with a key: for how long its tokens can be used to connect, at most 1d; with netcode, what the gateway expects',
  ),
  timeout: withDefault(
    duration(1000, 3_600_000),
    '15s',
    'with a key: a connection without an answer ends after',
  ),
  wire: wireOption('which tokens to ask for or to mint, and so which protocol to speak'),
};

/** The values of {@link tokenOptions}. */
export interface TokenValues {
  readonly server: readonly string[];
  readonly key: ServerKey | undefined;
  readonly tokenUrl: string | undefined;
  readonly protocolId: bigint;
  readonly lifetime: number;
  readonly timeout: number;
  readonly wire: Wire;
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
    return (clientId) => requestToken(tokenUrl, clientId, values.wire);
  }
  const key = keyOrEnvironment(values.key);
  if (key === undefined) {
    if (values.server.length > 0)
      throw new UsageError('--server needs the key of that gateway: give --key, or set HAWSER_KEY');
    return (clientId) => requestToken(defaultTokenUrl, clientId, values.wire);
  }
  const minter = await minterOf(values, key);
  return async (clientId) => minter.mint({ clientId });
}

function minterOf(values: TokenValues, key: ServerKey): Promise<TokenMinter | NetcodeTokenMinter> {
  const { protocolId, server, lifetime: lifetimeMs, timeout: timeoutMs } = values;
  const addresses = server.length > 0 ? server : [defaultListenAddress];
  const options = { protocolId, key, addresses, lifetimeMs, timeoutMs };
  if (values.wire === 'hawser') return createTokenMinter(options);
  checkWholeSeconds('lifetime', lifetimeMs);
  checkWholeSeconds('timeout', timeoutMs);
  return createNetcodeTokenMinter(options);
}

async function requestToken(url: string, clientId: bigint, wire: Wire): Promise<string> {
  // An endpoint that knows of one wire format only may refuse a field that it does not know.
  const asked = { clientId: String(clientId), ...(wire === 'hawser' ? {} : { wire }) };
  const body: unknown = await postJson(url, asked);
  if (typeof body !== 'object' || body === null || !('token' in body) || typeof body.token !== 'string') {
    throw new CommandError(`${url} answered without a token`);
  }
  // Or it may pass over the field; then the other protocol would be spoken unnoticed.
  if (wire === 'netcode' && wireOf(body.token) !== 'netcode') {
    throw new CommandError(`${url} answered with a token that is not one of netcode`);
  }
  return body.token;
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
  let body: unknown;
  try {
    body = await response.json();
  } catch {
    if (response.ok) throw new CommandError(`${url} did not answer with JSON`);
  }
  if (response.ok) return body;
  const said = typeof body === 'object' && body !== null && 'error' in body ? `: ${String(body.error)}` : '';
  throw new CommandError(`${url} refused a token: HTTP ${response.status} ${response.statusText}${said}`);
}

/** What is behind the bare "fetch failed". */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  if (cause instanceof Error) return 'code' in cause ? String(cause.code) : cause.message;
  return String(cause);
}

/** In which wire format a token is, as bytes or as text; undefined when it is none. */
export function wireOf(token: Uint8Array | string): Wire | undefined {
  return wireOfToken(typeof token === 'string' ? Buffer.from(token, 'base64url') : token);
}

/** Whether every gateway of a token is this machine, over IPv4: then clients may come from any address of 127.0.0.0/8. */
export function isLoopbackToken(token: Uint8Array | string): boolean {
  const { addresses } = wireOf(token) === 'netcode' ? decodeNetcodeToken(token) : decodeToken(token);
  return addresses.every(({ host }) => host.startsWith('127.'));
}
