// The options of servers and clients: what they mean, their units and defaults, and their checks. What leaves here has been
// checked in full; nothing behind it checks again.

import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { type Address, addressToBinary, formatAddress, parseAddress } from '../base/address.js';
import {
  argumentError,
  checkArray,
  checkBoolean,
  checkBytes,
  checkFunction,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkString,
  checkU64,
  describe,
} from '../base/check.js';
import { type Clock, systemClock } from '../base/clock.js';
import { HawserError } from '../base/errors.js';
import { parseKey, type ServerKey } from '../token/server-key.js';
import type { NativeEndpointOptions, NativeServerKey } from './native.js';
import type { Network } from './network.js';
import { disconnectCodes, firstApplicationCode } from './results.js';
import type { BatchListener, SocketSettings } from './socket.js';

/** Remembers which single-use tokens were used, across restarts or between gateways. */
export interface TokenHistory {
  /**
   * Consumes a token atomically: of all gateways that ask for the same token, one is told true.
   *
   * @param tokenId 32 bytes.
   * @param expireMs Unix milliseconds; the entry may be forgotten once this and the allowed clock skew have passed.
   * @returns true when this call consumed it, false when it was consumed before. A history that throws or rejects refuses the
   * client with HISTORY_UNAVAILABLE; it must never answer true without being sure.
   */
  consume(tokenId: Uint8Array, expireMs: number): Promise<boolean> | boolean;
}

/** What servers and clients have in common. */
export interface SocketOptions {
  /** Wanted size of the kernel's receive buffer in bytes, 0 for the system's default; 4 MiB by default. */
  readonly receiveBufferBytes?: number;
  /** Wanted size of the kernel's send buffer in bytes, 0 for the system's default; 4 MiB by default. */
  readonly sendBufferBytes?: number;
  /**
   * `native` (default) uses the fastest calls of this system; `portable` one system call per datagram, as on systems without
   * batches.
   */
  readonly socket?: 'native' | 'portable';
  /** For `[::]`: refuse IPv4; false by default (dual stack). */
  readonly ipv6Only?: boolean;
  /** Length of the connection ids that this side chooses, 8 to 16 bytes; 8 by default. */
  readonly connectionIdLength?: number;
  /** Deliver messages in memory of their own instead of views that are valid during the callback; false by default. */
  readonly copy?: boolean;
  /** Overwrite views with 0xdd after the callback, and report drops on diagnostics_channel; false by default. */
  readonly debug?: boolean;
  /** Takes all messages raw, a batch at a time, instead of `message` events. */
  readonly onBatch?: BatchListener;
  /** A simulated network instead of the real one; see hawser/testing. */
  readonly network?: Network;
}

/** Options of `Server.listen`. */
export interface ServerOptions extends SocketOptions {
  /** The address to bind; `0.0.0.0:0` by default (all IPv4 interfaces, a free port). */
  readonly address?: Address | string;
  /**
   * The addresses under which clients reach this gateway, as tokens list them; a port of 0 stands for the bound port. Tokens
   * that list none of them are refused. By default the bound address; for a wildcard the addresses of all interfaces.
   */
  readonly publicAddresses?: readonly (Address | string)[];
  /** Which application this gateway serves; tokens for another are refused. */
  readonly protocolId: bigint;
  /** 1 to 64 server keys with different ids, as objects or in their text form. */
  readonly keys: readonly (ServerKey | string)[];
  /** Peers at a time, 1 to 1,000,000; 10,000 by default. */
  readonly maxPeers?: number;
  /** Handshakes at a time between RESPONSE and confirmation, 1 to 65,536; 4,096 by default. */
  readonly maxHalfOpen?: number;
  /** 0 to 255: written in clear into connection ids, for load balancers; none by default. */
  readonly serverIndex?: number;
  /**
   * 32 secret bytes that survive restarts and belong to this gateway alone: with it, clients learn at once that the gateway was
   * restarted. Random by default: then they learn it by timing out.
   */
  readonly resetKey?: Uint8Array;
  /**
   * A client id connects while it is connected: `replace` (default) the old peer if the new token is no older, or `reject` the
   * new one.
   */
  readonly sameClient?: 'replace' | 'reject';
  /** By how many milliseconds the clocks of backends and of this gateway may differ, 0 to 3,600,000; 5,000 by default. */
  readonly clockSkewMs?: number;
  /** Longest lifetime of a token that is accepted, in milliseconds; 86,400,000 (a day) by default and at most 10 times that. */
  readonly maxTokenLifetimeMs?: number;
  /** Where single-use tokens are remembered; in this process by default. */
  readonly tokenHistory?: TokenHistory;
  /** Packets taken from one peer in a second; 0 (default) is no limit. The excess is dropped and counted. */
  readonly maxPacketsPerSecondPerPeer?: number;
  /** Bytes taken from one peer in a second; 0 (default) is no limit. */
  readonly maxBytesPerSecondPerPeer?: number;
  /** Let other sockets bind the same address, the kernel spreading clients over them; false by default. */
  readonly reusePort?: boolean;
  /** Aborting it closes the server. */
  readonly signal?: AbortSignal;
}

/** Options of `Client.open`. */
export interface ClientOptions extends SocketOptions {
  /** The address to bind; `[::]:0` by default where this machine has IPv6, else `0.0.0.0:0`. */
  readonly address?: Address | string;
  /** Connections at a time, 1 to 1,000,000; 16,384 by default. */
  readonly maxConnections?: number;
}

/** How a server or a client is set up: all checked. */
export interface SocketPlan {
  readonly native: NativeEndpointOptions;
  readonly settings: SocketSettings;
  readonly clock: Clock;
}

export interface ServerPlan extends SocketPlan {
  readonly protocolId: bigint;
  readonly publicAddresses: readonly Address[];
  readonly tokenHistory: TokenHistory | undefined;
  readonly signal: AbortSignal | undefined;
}

const socketOptionNames = [
  'address',
  'receiveBufferBytes',
  'sendBufferBytes',
  'socket',
  'ipv6Only',
  'connectionIdLength',
  'copy',
  'debug',
  'onBatch',
  'network',
] as const;

const serverOptionNames = [
  ...socketOptionNames,
  'publicAddresses',
  'protocolId',
  'keys',
  'maxPeers',
  'maxHalfOpen',
  'serverIndex',
  'resetKey',
  'sameClient',
  'clockSkewMs',
  'maxTokenLifetimeMs',
  'tokenHistory',
  'maxPacketsPerSecondPerPeer',
  'maxBytesPerSecondPerPeer',
  'reusePort',
  'signal',
] as const;

/** The names of {@link ClientOptions}. */
export const clientOptionNames: readonly string[] = [...socketOptionNames, 'maxConnections'] as const;

const maxPeersLimit = 1_000_000;
const maxHalfOpenLimit = 65_536;
const maxKeys = 64;
const maxPublicAddresses = 1024;
const resetKeyBytes = 32;
const dayMs = 86_400_000;
const hourMs = 3_600_000;
const defaultBufferBytes = 4 * 1024 * 1024;
const maxBufferBytes = 1024 * 1024 * 1024;
const maxU32 = 0xffff_ffff;
const maxReasonBytes = 256;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkServerOptions(options: ServerOptions): ServerPlan {
  checkOptions('options', options, serverOptionNames);
  const network = checkNetwork(options.network);
  const asked = parseAddress(options.address ?? '0.0.0.0:0', 'address');
  const address = network?.assignAddress(asked) ?? asked;
  const publicAddresses = checkPublicAddresses(options.publicAddresses, address);
  const maxPeers = checkInteger('maxPeers', options.maxPeers ?? 10_000, 1, maxPeersLimit);
  const maxHalfOpen = checkInteger('maxHalfOpen', options.maxHalfOpen ?? 4096, 1, maxHalfOpenLimit);
  const tokenHistory = checkTokenHistory(options.tokenHistory);
  const protocolId = checkU64('protocolId', options.protocolId);
  return {
    ...checkSocketOptions(options, network),
    native: {
      ...nativeSocketOptions(options, 'server', address, network),
      reusePort: checkBoolean('reusePort', options.reusePort ?? false),
      serverIndex:
        options.serverIndex === undefined ? -1 : checkInteger('serverIndex', options.serverIndex, 0, 255),
      // Peers that said goodbye linger for a second in a place of their own.
      maxSessions: 2 * maxPeers + maxHalfOpen,
      maxPacketsPerSecondPerPeer: checkCeiling(options, 'maxPacketsPerSecondPerPeer'),
      maxBytesPerSecondPerPeer: checkCeiling(options, 'maxBytesPerSecondPerPeer'),
      server: {
        protocolId,
        keys: checkKeys(options.keys),
        advertised: publicAddresses.map((each) => addressToBinary(each, 'publicAddresses')),
        resetKey:
          options.resetKey === undefined
            ? (network?.randomBytes(resetKeyBytes) ?? randomBytes(resetKeyBytes))
            : checkBytes('resetKey', options.resetKey, resetKeyBytes, resetKeyBytes),
        maxPeers,
        maxHalfOpen,
        sameClient: checkOneOf('sameClient', options.sameClient ?? 'replace', ['replace', 'reject']),
        clockSkewMs: checkInteger('clockSkewMs', options.clockSkewMs ?? 5000, 0, hourMs),
        maxTokenLifetimeMs: checkInteger(
          'maxTokenLifetimeMs',
          options.maxTokenLifetimeMs ?? dayMs,
          1,
          10 * dayMs,
        ),
        externalTokenHistory: tokenHistory !== undefined,
      },
    },
    protocolId,
    publicAddresses,
    tokenHistory,
    signal: checkSignal(options.signal),
  };
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkClientOptions(options: ClientOptions): SocketPlan {
  checkOptions('options', options, clientOptionNames);
  const network = checkNetwork(options.network);
  const asked = parseAddress(options.address ?? defaultClientAddress(network), 'address');
  const address = network?.assignAddress(asked) ?? asked;
  return {
    ...checkSocketOptions(options, network),
    native: {
      ...nativeSocketOptions(options, 'client', address, network),
      reusePort: false,
      serverIndex: -1,
      maxSessions: checkInteger('maxConnections', options.maxConnections ?? 16_384, 1, maxPeersLimit),
      maxPacketsPerSecondPerPeer: 0,
      maxBytesPerSecondPerPeer: 0,
    },
  };
}

function checkSocketOptions(
  options: SocketOptions,
  network: Network | undefined,
): Omit<SocketPlan, 'native'> {
  return {
    settings: {
      copy: checkBoolean('copy', options.copy ?? false),
      debug: checkBoolean('debug', options.debug ?? false),
      onBatch: options.onBatch === undefined ? undefined : checkFunction('onBatch', options.onBatch),
      network,
    },
    clock: network?.clock ?? systemClock,
  };
}

function nativeSocketOptions(
  options: SocketOptions,
  mode: 'server' | 'client',
  address: Address,
  network: Network | undefined,
): Pick<
  NativeEndpointOptions,
  'mode' | 'bind' | 'socket' | 'ipv6Only' | 'receiveBufferBytes' | 'sendBufferBytes' | 'connectionIdLength'
> {
  const socket = checkOneOf('socket', options.socket ?? 'native', ['native', 'portable']);
  return {
    mode,
    bind: addressToBinary(address),
    socket: network?.native ?? socket,
    ipv6Only: checkBoolean('ipv6Only', options.ipv6Only ?? false),
    receiveBufferBytes: checkBuffer('receiveBufferBytes', options.receiveBufferBytes),
    sendBufferBytes: checkBuffer('sendBufferBytes', options.sendBufferBytes),
    connectionIdLength: checkInteger('connectionIdLength', options.connectionIdLength ?? 8, 8, 16),
  };
}

function checkBuffer(name: string, value: number | undefined): number {
  return checkInteger(name, value ?? defaultBufferBytes, 0, maxBufferBytes);
}

function checkCeiling(
  options: ServerOptions,
  name: 'maxPacketsPerSecondPerPeer' | 'maxBytesPerSecondPerPeer',
): number {
  return checkInteger(name, options[name] ?? 0, 0, maxU32);
}

function checkNetwork(network: Network | undefined): Network | undefined {
  if (network === undefined) return undefined;
  if (typeof network === 'object' && network !== null && typeof network.assignAddress === 'function')
    return network;
  throw argumentError('network', 'a SimulatedNetwork of hawser/testing', describe(network));
}

function checkTokenHistory(history: TokenHistory | undefined): TokenHistory | undefined {
  if (history === undefined) return undefined;
  if (typeof history !== 'object' || history === null) {
    throw argumentError(
      'tokenHistory',
      'an object with a function consume(tokenId, expireMs)',
      describe(history),
    );
  }
  checkFunction('tokenHistory.consume', history.consume);
  return history;
}

/** @throws HawserError ERR_HAWSER_ARGUMENT when it is neither undefined nor an AbortSignal. */
export function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw argumentError('signal', 'an AbortSignal', describe(signal));
}

/** @throws HawserError ERR_HAWSER_ABORTED when it is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal);
}

export function abortedError(signal: AbortSignal): HawserError {
  return new HawserError('ERR_HAWSER_ABORTED', 'the caller aborted', { cause: signal.reason });
}

/** @throws HawserError ERR_HAWSER_ARGUMENT unless they are 1 to 64 server keys with different ids. */
export function checkKeys(keys: readonly (ServerKey | string)[]): NativeServerKey[] {
  const parsed = checkArray('keys', keys, 1, maxKeys).map((key, index) => parseKey(key, `keys[${index}]`));
  const ids = new Set<number>();
  for (const { id } of parsed) {
    if (ids.has(id)) throw argumentError('keys', 'server keys with different ids', `id ${id} twice`);
    ids.add(id);
  }
  return parsed;
}

/** A code of DISCONNECT that a caller may choose. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkDisconnectCode(code: number): number {
  if (code === disconnectCodes.NONE || code === disconnectCodes.SHUTTING_DOWN) return code;
  if (Number.isInteger(code) && code >= firstApplicationCode && code <= maxU32) return code;
  const rule = `0, ${disconnectCodes.SHUTTING_DOWN} or an integer from ${firstApplicationCode} to ${maxU32}`;
  throw argumentError('code', rule, describe(code));
}

/** @throws HawserError ERR_HAWSER_ARGUMENT when it is not a string of at most 256 bytes of UTF-8. */
export function checkReason(reason: string): string {
  const bytes = Buffer.byteLength(checkString('reason', reason));
  if (bytes <= maxReasonBytes) return reason;
  throw argumentError('reason', `at most ${maxReasonBytes} bytes of UTF-8`, `${bytes} bytes`);
}

// ---- Addresses -----------------------------------------------------------------------------------------------------

const wildcards: readonly string[] = ['0.0.0.0', '::'];

function checkPublicAddresses(
  addresses: readonly (Address | string)[] | undefined,
  bound: Address,
): readonly Address[] {
  if (addresses !== undefined) {
    return checkArray('publicAddresses', addresses, 1, maxPublicAddresses).map((address, index) => {
      const parsed = parseAddress(address, `publicAddresses[${index}]`);
      if (!wildcards.includes(parsed.host)) return parsed;
      const rule = 'an address that clients can send to, not the unspecified address';
      throw argumentError(`publicAddresses[${index}]`, rule, describe(formatAddress(parsed)));
    });
  }
  return wildcards.includes(bound.host) ? interfaceAddresses(bound) : [bound];
}

/** Every address of this machine at which a socket bound to a wildcard hears, as far as tokens can name them. */
function interfaceAddresses(wildcard: Address): Address[] {
  const addresses: Address[] = [];
  for (const each of Object.values(networkInterfaces()).flatMap((list) => list ?? [])) {
    if (each.family === 'IPv6' && (wildcard.host === '0.0.0.0' || each.scopeid !== 0)) continue;
    addresses.push(parseAddress({ host: each.address, port: wildcard.port }));
  }
  return addresses;
}

function defaultClientAddress(network: Network | undefined): string {
  if (network !== undefined) return '0.0.0.0:0';
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all.some((each) => each.family === 'IPv6') ? '[::]:0' : '0.0.0.0:0';
}
