// The options of servers and clients: what they mean, their units and defaults, and their checks. What leaves here has been
// checked in full; nothing behind it checks again.

import { randomBytes } from 'node:crypto';
import { availableParallelism, networkInterfaces } from 'node:os';
import { checkSignal } from '../base/abort.js';
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
  maxU32,
} from '../base/check.js';
import { type Clock, systemClock } from '../base/clock.js';
import { wires as knownWires, type Wire } from '../base/wire.js';
import { parseKey, type ServerKey } from '../token/server-key.js';
import { type ChannelMap, ChannelTable, type DefaultChannels, defaultChannels } from './channels.js';
import { checkSimulate, type ImpairmentOptions } from './impairment.js';
import type { PeerSecretUser, SecretSource } from './key-update.js';
import type {
  NativeEndpointOptions,
  NativeImpairment,
  NativeServerKey,
  NativeServerOptions,
} from './native.js';
import type { Network } from './network.js';
import { disconnectCodes, firstApplicationCode } from './results.js';
import type { BatchListener, SocketSettings } from './socket.js';

/** Remembers which single-use tokens were used, across restarts or between gateways. */
export interface TokenHistory {
  /**
   * Consumes a token atomically: of all gateways that ask for the same token, one is told true.
   *
   * @param tokenId 32 bytes: `tokenId` of hawser/token.
   * @param expireMs Unix milliseconds; the entry may be forgotten once this and the allowed clock skew have passed.
   * @returns true when this call consumed it, false when it was consumed before. A history that throws or rejects refuses the
   * client with HISTORY_UNAVAILABLE, and the error goes to `listenerError`; it must never answer true without being sure. Every netcode token is a single-use token; its
   * clients are not told why they are not answered.
   */
  consume(tokenId: Uint8Array, expireMs: number): Promise<boolean> | boolean;
}

/** See {@link SocketOptions.onQueueFull}. */
export type QueueFullPolicy = 'disconnect' | 'throw' | 'drop';

/** What servers and clients have in common. */
export interface SocketOptions<C extends ChannelMap = DefaultChannels> {
  /**
   * 1 to 1,024 channels by name, in the order of their numbers; one unreliable channel `default` of bytes if left out. Both sides
   * must declare the same names, modes, codecs and `maxMessageBytes` in the same order: otherwise the gateway answers CHANNELS_MISMATCH.
   */
  readonly channels?: C;
  /** How the pace of what is sent is found (docs/protocol.md section 12); `bbr` by default. */
  readonly congestion?: 'bbr' | 'cubic';
  /**
   * What a peer may send on all its reliable channels together before it has been delivered here, in bytes, each message counting 64
   * more, 1,024 to 4,294,967,295, and at least what the longest message of any channel costs. By default 1 MiB, or twice the
   * longest message if that is more. This is the first credit, which grows: see `maxCreditBytes`.
   */
  readonly creditBytes?: number;
  /** Likewise on each of them; by default 512 KiB, or twice the longest message. */
  readonly channelCreditBytes?: number;
  /**
   * Up to where `creditBytes` of a peer doubles, in bytes, from `creditBytes` to 4,294,967,295, but never beyond an eighth of
   * `maxReassemblyBytes` for each of a server's `threads`; `channelCreditBytes` up to half of it. 32 MiB by default, or `creditBytes` if
   * that is more. Credit grows while you take messages as fast as they arrive and the peer waits for credit; after 10 s in which this
   * side raised no limit it is what it was at first (docs/protocol.md section 12, Credit).
   */
  readonly maxCreditBytes?: number;
  /**
   * By how much the credit of all peers together may be larger than at first, in bytes, 0 to 2^42; 1 GiB by default. A doubling takes at
   * most a 32nd of what is left; otherwise the credit of that peer stays as it is (`creditRefusals`).
   */
  readonly maxGrownCreditBytes?: number;
  /**
   * Memory for messages of reliable and sequenced channels that are not complete or cannot be delivered yet, of all peers together, in
   * bytes, 8,192 to 2^42. At least eight times `creditBytes` for each of a server's `threads`, which share it equally; by default 256 MiB,
   * or that minimum if it is more. A packet for which there is no room is not acknowledged, so that it is sent again; docs/channels.md
   * says how the memory is divided.
   */
  readonly maxReassemblyBytes?: number;
  /**
   * Bytes of messages of reliable and of congestion-controlled channels waiting to be sent to a peer, each counting 64 more, beyond which
   * `send` returns false; 0 to 4,294,967,295, 262,144 by default.
   */
  readonly highWaterBytes?: number;
  /**
   * Likewise, beyond which the queue is full (`onQueueFull`); from `highWaterBytes` to 4,294,967,295, 16 MiB by default, or `highWaterBytes`
   * if that is more. It is also the most memory that a peer may make this side hold (`heldBytes`): `send` returns false from three
   * quarters of it on, and at most half of it is in flight.
   */
  readonly maxQueuedBytes?: number;
  /**
   * What happens to a message for a peer whose queue is full, after a `send` that returned false:
   *
   * - `disconnect` (default of servers): the message is discarded and counted (`drops.queueFull`), `send` returns false, and the peer is
   *   disconnected with the code SLOW_CONSUMER.
   * - `throw` (default of clients): `send` throws ERR_HAWSER_QUEUE_FULL.
   * - `drop`: the message is discarded and counted, and `send` returns false. Queued messages stay.
   */
  readonly onQueueFull?: QueueFullPolicy;
  /**
   * The differentiated services code point (RFC 2474) of what is sent, 0 to 63: 46 (expedited forwarding) is what many routers and
   * Wi-Fi favour. 0 by default.
   */
  readonly dscp?: number;
  /** Wanted size of the kernel's receive buffer in bytes, 0 for the system's default; 4 MiB by default. Each of a server's `threads` has one. */
  readonly receiveBufferBytes?: number;
  /** Likewise of the send buffer. */
  readonly sendBufferBytes?: number;
  /**
   * `native` (default) uses the fastest calls of this system; `portable` one system call per datagram, as on systems without
   * batches.
   */
  readonly socket?: 'native' | 'portable';
  /**
   * Who sends and receives: the event loop (`loop`, the default), or I/O threads (`threads`, on Linux only: elsewhere opening fails with
   * ERR_HAWSER_SYSTEM). With a thread, a turn of JavaScript that takes long delays messages, but no PING is answered late and no connection
   * times out over it. Not together with `network`. A client has one thread.
   */
  readonly driver?: 'loop' | 'threads';
  /**
   * With the driver `threads`: for how many microseconds at most a thread looks for work each time before it sleeps, 0 to 1,000. It
   * shortens round trips while there is traffic, for the CPU that looking takes. 50 by default, 0 where the process may use one core only.
   */
  readonly spinMicros?: number;
  /** For `[::]`: refuse IPv4; false by default (dual stack). */
  readonly ipv6Only?: boolean;
  /** Length of the connection ids that this side chooses, 8 to 16 bytes; 8 by default. */
  readonly connectionIdLength?: number;
  /**
   * The longest datagram to send and to receive, UDP payload in bytes, 1,200 to 9,216; 8,972 by default. Longer ones than 1,200
   * are sent once path MTU discovery has found that they arrive; 1,200 switches it off.
   */
  readonly maxDatagramBytes?: number;
  /** Deliver messages in memory of their own instead of views that are valid during the callback; false by default. */
  readonly copy?: boolean;
  /** Overwrite views with 0xdd after the callback, and report drops on diagnostics_channel; false by default. */
  readonly debug?: boolean;
  /** Takes all messages raw, a batch at a time, instead of `message` events. */
  readonly onBatch?: BatchListener;
  /** A simulated network instead of the real one; see hawser/testing. */
  readonly network?: Network;
  /** Impairs the traffic of the real network on purpose; not together with `network`, whose links have these settings. */
  readonly simulate?: ImpairmentOptions;
}

/** What a gateway has to know of the netcode tokens that its backends mint. */
export interface NetcodeOptions {
  /**
   * The longest lifetime of these tokens in milliseconds, 1,000 to 86,400,000; 3,600,000 by default. Tokens with more of it left are
   * refused.
   *
   * A netcode token counts once, and a client does not tell when its token was minted: a gateway without `tokenHistory` therefore refuses
   * each token that expires before its start + `tokenLifetimeMs` + `restartGuardMs`, since it may have been used before a restart. The shorter
   * this is, the sooner after a start everybody is admitted again. Lower it only once the tokens that were minted with a longer lifetime
   * have expired: the next start would take them for newer than they are.
   */
  readonly tokenLifetimeMs?: number;
}

/** Options of `Server.listen`. */
export interface ServerOptions<C extends ChannelMap = DefaultChannels> extends SocketOptions<C> {
  /** The address to bind; `0.0.0.0:0` by default (all IPv4 interfaces, a free port). */
  readonly address?: Address | string;
  /**
   * The addresses under which clients reach this gateway, as tokens list them; a port of 0 stands for the bound port. Tokens
   * that list none of them are refused. By default the bound address; for a wildcard the addresses of all interfaces.
   */
  readonly publicAddresses?: readonly (Address | string)[];
  /** Which application this gateway serves; tokens for another are refused. */
  readonly protocolId: bigint;
  /**
   * The wire formats that are spoken, at least one; `['hawser']` by default. One listener may speak both: each client is served in its
   * own. With `netcode`, an unreliable channel must be declared: the first one carries all payloads of netcode clients.
   */
  readonly wires?: readonly Wire[];
  /** Where `wires` has `netcode`. */
  readonly netcode?: NetcodeOptions;
  /**
   * 1 to 64 server keys with different ids, as objects or in their text form. The first two are also the netcode private keys that are
   * tried: a netcode token does not name its key.
   */
  readonly keys: readonly (ServerKey | string)[];
  /** Peers at a time, 1 to 1,000,000; 10,000 by default. Clients whose token is being consumed count, too. */
  readonly maxPeers?: number;
  /**
   * Memory for messages to all peers together (the sum of `heldBytes`), in bytes, 65,536 to 2^40; 256 MiB by default. Several `threads`
   * share it. Beyond it the peers that hold most are disconnected with the code SEND_MEMORY_FULL. A peer that holds no more than an equal
   * share, `maxSendMemoryBytes` divided by the connected peers, never is.
   */
  readonly maxSendMemoryBytes?: number;
  /**
   * Handshakes at a time between RESPONSE and confirmation, 1 to 65,536; 4,096 by default. For netcode, likewise, those between REQUEST
   * and connection. Several `threads` share them equally.
   */
  readonly maxHalfOpen?: number;
  /** 0 to 255: written in clear into connection ids, for load balancers; none by default. */
  readonly serverIndex?: number;
  /**
   * 32 secret bytes that survive restarts and belong to this gateway alone: with it, clients learn at once that the gateway was
   * restarted. Random by default: then they learn it by timing out.
   */
  readonly resetKey?: Uint8Array;
  /**
   * A client id connects while it is connected: `replace` (default) the old peer if the new attempt is newer
   * (docs/protocol.md section 7, Order of attempts), or `reject` the new one. Netcode clients never replace anybody: while their client id is connected they are not answered.
   */
  readonly sameClient?: 'replace' | 'reject';
  /**
   * Maximum difference between the clocks of backends and of this gateway in milliseconds, 0 to 3,600,000; 60,000 by default. The gateway
   * knows the time to some milliseconds: with 0 it can refuse a token that was made on its own machine a moment ago.
   */
  readonly clockSkewMs?: number;
  /**
   * Time after the start, in milliseconds, 0 to 3,600,000, before whose end a single-use token must not have been created: an earlier run
   * of this gateway may have admitted it. The same for netcode tokens, each of which is a single-use token. `clockSkewMs` by default; 0
   * with a `tokenHistory`, which is expected to outlive the process.
   *
   * A lower value than `clockSkewMs` without a `tokenHistory` is reported by `process.emitWarning`: a token whose issuer's clock is ahead
   * could be used again after a restart. For keys that are new in each run use `freshKeys` instead.
   */
  readonly restartGuardMs?: number;
  /**
   * True if the server keys were generated for this run, so that no token can have been used before its start: `restartGuardMs` then has
   * no effect. False by default.
   */
  readonly freshKeys?: boolean;
  /**
   * Longest lifetime of a token that is accepted, in milliseconds; 86,400,000 (a day) by default and at most 10 times that. For netcode
   * tokens see `netcode.tokenLifetimeMs`.
   */
  readonly maxTokenLifetimeMs?: number;
  /** Where single-use tokens are remembered; in this process by default. */
  readonly tokenHistory?: TokenHistory;
  /** Finds the secrets of key updates that peers begin; without it, such updates are refused. */
  readonly secretOf?: SecretSource<PeerSecretUser>;
  /** Packets taken from one peer in a second; 0 (default) is no limit. The excess is dropped and counted. */
  readonly maxPacketsPerSecondPerPeer?: number;
  /** Bytes taken from one peer in a second; 0 (default) is no limit. */
  readonly maxBytesPerSecondPerPeer?: number;
  /**
   * With the driver `threads`: how many I/O threads, 1 to 64; 1 by default. Each has a socket of its own on the same address, and a share of
   * the peers, whom the kernel spreads over them.
   */
  readonly threads?: number;
  /**
   * Let sockets of other processes bind the same address, the kernel spreading clients over them; false by default. Not with several
   * `threads`, which share the address among themselves.
   */
  readonly reusePort?: boolean;
  /** Aborting it closes the server. */
  readonly signal?: AbortSignal;
}

/** The limits of a server that can be changed while it runs: `Server.setLimits`. What is left out stays as it is. */
export type ServerLimits = Partial<
  Pick<ServerOptions, 'maxPeers' | 'maxPacketsPerSecondPerPeer' | 'maxBytesPerSecondPerPeer'>
>;

/** Options of `Client.open`. */
export interface ClientOptions<C extends ChannelMap = DefaultChannels> extends SocketOptions<C> {
  /** The address to bind; `[::]:0` by default where this machine has IPv6, else `0.0.0.0:0`. */
  readonly address?: Address | string;
  /**
   * Connections at a time, 1 to 1,000,000; 16,384 by default. A connection that has ended counts for a moment longer. `connect` without a
   * client has one connection, and room for 8 by default, so that it can reconnect at once.
   */
  readonly maxConnections?: number;
}

/** How a server or a client is set up: all checked. */
export interface SocketPlan {
  readonly native: NativeEndpointOptions;
  readonly settings: SocketSettings;
  readonly clock: Clock;
}

export interface ServerPlan extends SocketPlan {
  readonly limits: Required<ServerLimits>;
  readonly protocolId: bigint;
  readonly publicAddresses: readonly Address[];
  readonly tokenHistory: TokenHistory | undefined;
  readonly secretOf: SecretSource<PeerSecretUser> | undefined;
  readonly signal: AbortSignal | undefined;
  /** Text for operators if single-use tokens can be used again after a restart. */
  readonly restartWarning: string | undefined;
}

const socketOptionNames = [
  'address',
  'channels',
  'congestion',
  'creditBytes',
  'channelCreditBytes',
  'maxCreditBytes',
  'maxGrownCreditBytes',
  'maxReassemblyBytes',
  'highWaterBytes',
  'maxQueuedBytes',
  'onQueueFull',
  'dscp',
  'receiveBufferBytes',
  'sendBufferBytes',
  'socket',
  'driver',
  'spinMicros',
  'ipv6Only',
  'connectionIdLength',
  'maxDatagramBytes',
  'copy',
  'debug',
  'onBatch',
  'network',
  'simulate',
] as const;

const serverOptionNames = [
  ...socketOptionNames,
  'publicAddresses',
  'protocolId',
  'wires',
  'netcode',
  'keys',
  'maxPeers',
  'maxSendMemoryBytes',
  'maxHalfOpen',
  'serverIndex',
  'resetKey',
  'sameClient',
  'clockSkewMs',
  'restartGuardMs',
  'freshKeys',
  'maxTokenLifetimeMs',
  'tokenHistory',
  'secretOf',
  'maxPacketsPerSecondPerPeer',
  'maxBytesPerSecondPerPeer',
  'threads',
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
/** Default of `clockSkewMs`. */
export const defaultClockSkewMs = 60_000;
const dayMs = 86_400_000;
/** Default of `maxTokenLifetimeMs`. */
export const defaultMaxTokenLifetimeMs: number = dayMs;
const hourMs = 3_600_000;
const leastTokenLifetimeMs = 1000;
const defaultBufferBytes = 4 * 1024 * 1024;
const maxBufferBytes = 1024 * 1024 * 1024;
const mebibyte = 1024 * 1024;
/** What a message costs beside its length (docs/protocol.md section 12, Credit). */
const messageCost = 64;
const leastCreditBytes = 1024;
/** `maxReassemblyBytes` of each thread, in multiples of `creditBytes`: see docs/protocol.md section 12, Memory. */
const reassemblyPerCredit = 8;
const leastReassemblyBytes = reassemblyPerCredit * leastCreditBytes;
const greatestReassemblyBytes = 2 ** 42;
const leastSendMemoryBytes = 65_536;
const greatestSendMemoryBytes = 2 ** 40;
const queueFullPolicies = ['disconnect', 'throw', 'drop'] as const;
const maxReasonBytes = 256;
const maxThreads = 64;
const greatestSpinMicros = 1000;
const defaultSpinMicros = 50;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkServerOptions<C extends ChannelMap>(options: ServerOptions<C>): ServerPlan {
  checkOptions('options', options, serverOptionNames);
  const network = checkNetwork(options.network);
  const asked = parseAddress(options.address ?? '0.0.0.0:0', 'address');
  const address = network?.assignAddress(asked) ?? asked;
  const publicAddresses = checkPublicAddresses(options.publicAddresses, address);
  const maxPeers = checkInteger('maxPeers', options.maxPeers ?? 10_000, 1, maxPeersLimit);
  const maxHalfOpen = checkInteger('maxHalfOpen', options.maxHalfOpen ?? 4096, 1, maxHalfOpenLimit);
  const tokenHistory = checkTokenHistory(options.tokenHistory);
  const protocolId = checkU64('protocolId', options.protocolId);
  const clockSkewMs = checkInteger('clockSkewMs', options.clockSkewMs ?? defaultClockSkewMs, 0, hourMs);
  const hasRestartRule = tokenHistory === undefined || (options.restartGuardMs ?? 0) > 0;
  const restartGuardMs = checkInteger('restartGuardMs', options.restartGuardMs ?? clockSkewMs, 0, hourMs);
  const freshKeys = checkBoolean('freshKeys', options.freshKeys ?? false);
  const socket = nativeSocketOptions(options, 'server', address, network);
  const shards = checkThreads(socket.driver, options.threads);
  const channels = checkChannelOptions(options, shards, 'disconnect');
  const wires = checkWires(options, channels.table);
  const reusePort = checkBoolean('reusePort', options.reusePort ?? false);
  // The kernel finds the socket of a shard by its number among all that have the address.
  if (reusePort && shards > 1) throw argumentError('reusePort', 'false with several threads', 'true');
  const halfOpenOfShard = Math.ceil(maxHalfOpen / shards);
  return {
    ...checkSocketOptions(options, network, channels),
    native: {
      ...shareOfShard({ ...socket, ...channels.native }, shards),
      shards,
      hawser: wires.hawser,
      reusePort,
      serverIndex:
        options.serverIndex === undefined ? -1 : checkInteger('serverIndex', options.serverIndex, 0, 255),
      // Peers that said goodbye linger for a second in a place of their own.
      maxSessions: 2 * maxPeers + halfOpenOfShard,
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
        maxSendMemoryBytes: checkInteger(
          'maxSendMemoryBytes',
          options.maxSendMemoryBytes ?? 256 * mebibyte,
          leastSendMemoryBytes,
          greatestSendMemoryBytes,
        ),
        maxHalfOpen: halfOpenOfShard,
        sameClient: checkOneOf('sameClient', options.sameClient ?? 'replace', ['replace', 'reject']),
        clockSkewMs,
        restartGuardMs: hasRestartRule && !freshKeys ? restartGuardMs : null,
        maxTokenLifetimeMs: checkInteger(
          'maxTokenLifetimeMs',
          options.maxTokenLifetimeMs ?? defaultMaxTokenLifetimeMs,
          1,
          10 * dayMs,
        ),
        externalTokenHistory: tokenHistory !== undefined,
        ...(wires.netcode === undefined ? {} : { netcode: wires.netcode }),
      },
    },
    limits: {
      maxPeers,
      maxPacketsPerSecondPerPeer: checkCeiling(options, 'maxPacketsPerSecondPerPeer'),
      maxBytesPerSecondPerPeer: checkCeiling(options, 'maxBytesPerSecondPerPeer'),
    },
    protocolId,
    publicAddresses,
    tokenHistory,
    secretOf: options.secretOf === undefined ? undefined : checkFunction('secretOf', options.secretOf),
    signal: checkSignal(options.signal),
    restartWarning:
      tokenHistory === undefined && !freshKeys && restartGuardMs < clockSkewMs
        ? restartWarning(restartGuardMs, clockSkewMs)
        : undefined,
  };
}

function restartWarning(restartGuardMs: number, clockSkewMs: number): string {
  const windowMs = clockSkewMs - restartGuardMs;
  return (
    `restartGuardMs (${restartGuardMs}) is less than clockSkewMs (${clockSkewMs}): if this gateway restarts, a single-use or netcode token ` +
    `that was used up to ${windowMs} ms before the restart, and whose issuer's clock is ahead, can be used a second time until it ` +
    'expires. Use a tokenHistory that outlives the process, raise restartGuardMs, or set freshKeys if the server keys are new in each run.'
  );
}

/**
 * @param now those that are left out stay so.
 * @param mostPeers of the start.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkLimits(
  limits: ServerLimits,
  now: Required<ServerLimits>,
  mostPeers: number,
): Required<ServerLimits> {
  checkOptions('limits', limits, Object.keys(now));
  const all = { ...now, ...limits };
  return {
    maxPeers: checkInteger('maxPeers', all.maxPeers, 1, mostPeers),
    maxPacketsPerSecondPerPeer: checkCeiling(all, 'maxPacketsPerSecondPerPeer'),
    maxBytesPerSecondPerPeer: checkCeiling(all, 'maxBytesPerSecondPerPeer'),
  };
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkClientOptions<C extends ChannelMap>(options: ClientOptions<C>): SocketPlan {
  checkOptions('options', options, clientOptionNames);
  const network = checkNetwork(options.network);
  const asked = parseAddress(options.address ?? defaultClientAddress(network), 'address');
  const address = network?.assignAddress(asked) ?? asked;
  const channels = checkChannelOptions(options, 1, 'throw');
  return {
    ...checkSocketOptions(options, network, channels),
    native: {
      ...nativeSocketOptions(options, 'client', address, network),
      ...channels.native,
      shards: 1,
      hawser: true,
      reusePort: false,
      serverIndex: -1,
      maxSessions: checkInteger('maxConnections', options.maxConnections ?? 16_384, 1, maxPeersLimit),
      maxPacketsPerSecondPerPeer: 0,
      maxBytesPerSecondPerPeer: 0,
    },
  };
}

interface WirePlan {
  readonly hawser: boolean;
  readonly netcode: NativeServerOptions['netcode'];
}

function checkWires<C extends ChannelMap>(options: ServerOptions<C>, channels: ChannelTable): WirePlan {
  const asked = checkArray('wires', options.wires ?? ['hawser'], 1, knownWires.length);
  const wires = asked.map((each, index) => checkOneOf(`wires[${index}]`, each, knownWires));
  if (new Set(wires).size !== wires.length)
    throw argumentError('wires', 'different wire formats', `'${wires[0]}' twice`);
  const hawser = wires.includes('hawser');
  if (!wires.includes('netcode')) {
    if (options.netcode !== undefined)
      throw argumentError('netcode', "left out unless wires has 'netcode'", describe(options.netcode));
    return { hawser, netcode: undefined };
  }
  if (channels.firstUnreliable === undefined) {
    const rule = "declared with an unreliable channel for wires to have 'netcode'";
    throw argumentError('channels', rule, channels.describe());
  }
  return { hawser, netcode: checkNetcode(options.netcode ?? {}) };
}

function checkNetcode(options: NetcodeOptions): WirePlan['netcode'] {
  checkOptions('netcode', options, ['tokenLifetimeMs']);
  const { tokenLifetimeMs = hourMs } = options;
  return {
    tokenLifetimeMs: checkInteger('netcode.tokenLifetimeMs', tokenLifetimeMs, leastTokenLifetimeMs, dayMs),
  };
}

/** The options that have to do with channels. */
interface ChannelPlan {
  readonly table: ChannelTable;
  readonly native: Pick<
    NativeEndpointOptions,
    | 'channels'
    | 'congestion'
    | 'creditBytes'
    | 'channelCreditBytes'
    | 'maxCreditBytes'
    | 'maxGrownCreditBytes'
    | 'maxReassemblyBytes'
    | 'highWaterBytes'
    | 'maxQueuedBytes'
    | 'onQueueFull'
  >;
}

function checkChannelOptions<C extends ChannelMap>(
  options: SocketOptions<C>,
  threads: number,
  onQueueFull: QueueFullPolicy,
): ChannelPlan {
  const table = ChannelTable.of(options.channels ?? defaultChannels);
  const longest = table.greatestMessageBytes;
  // With less, the longest message could never be sent.
  const least = longest + messageCost;
  const credit = (name: 'creditBytes' | 'channelCreditBytes', usual: number): number => {
    const bytes = checkInteger(name, options[name] ?? Math.max(usual, 2 * longest), leastCreditBytes, maxU32);
    if (bytes >= least) return bytes;
    throw argumentError(name, `at least ${least}, what the longest message costs`, describe(bytes));
  };
  const highWaterBytes = checkInteger('highWaterBytes', options.highWaterBytes ?? mebibyte / 4, 0, maxU32);
  const queueBytes = options.maxQueuedBytes ?? Math.max(16 * mebibyte, highWaterBytes);
  const creditBytes = credit('creditBytes', mebibyte);
  // With less, the memory could be full although no peer has sent more than its credit allows.
  const leastMemory = reassemblyPerCredit * creditBytes * threads;
  const reassemblyBytes = checkInteger(
    'maxReassemblyBytes',
    options.maxReassemblyBytes ?? Math.max(256 * mebibyte, leastMemory),
    leastReassemblyBytes,
    greatestReassemblyBytes,
  );
  if (reassemblyBytes < leastMemory) {
    const each = threads === 1 ? '' : ` for each of ${threads} threads`;
    const rule = `at least ${leastMemory}, eight times creditBytes (${creditBytes})${each}`;
    throw argumentError('maxReassemblyBytes', rule, describe(reassemblyBytes));
  }
  return {
    table,
    native: {
      channels: table.native,
      congestion: checkOneOf('congestion', options.congestion ?? 'bbr', ['bbr', 'cubic']),
      creditBytes,
      channelCreditBytes: credit('channelCreditBytes', mebibyte / 2),
      maxCreditBytes: checkInteger(
        'maxCreditBytes',
        options.maxCreditBytes ?? Math.max(32 * mebibyte, creditBytes),
        creditBytes,
        maxU32,
      ),
      maxGrownCreditBytes: checkInteger(
        'maxGrownCreditBytes',
        options.maxGrownCreditBytes ?? 1024 * mebibyte,
        0,
        greatestReassemblyBytes,
      ),
      maxReassemblyBytes: reassemblyBytes,
      highWaterBytes,
      maxQueuedBytes: checkInteger('maxQueuedBytes', queueBytes, highWaterBytes, maxU32),
      onQueueFull: checkOneOf('onQueueFull', options.onQueueFull ?? onQueueFull, queueFullPolicies),
    },
  };
}

function checkSocketOptions<C extends ChannelMap>(
  options: SocketOptions<C>,
  network: Network | undefined,
  channels: ChannelPlan,
): Omit<SocketPlan, 'native'> {
  return {
    settings: {
      channels: channels.table,
      maxQueuedBytes: channels.native.maxQueuedBytes,
      onQueueFull: channels.native.onQueueFull,
      copy: checkBoolean('copy', options.copy ?? false),
      debug: checkBoolean('debug', options.debug ?? false),
      onBatch: options.onBatch === undefined ? undefined : checkFunction('onBatch', options.onBatch),
      network,
    },
    clock: network?.clock ?? systemClock,
  };
}

function nativeSocketOptions<C extends ChannelMap>(
  options: SocketOptions<C>,
  mode: 'server' | 'client',
  address: Address,
  network: Network | undefined,
): Pick<
  NativeEndpointOptions,
  | 'mode'
  | 'driver'
  | 'spinMicros'
  | 'shard'
  | 'bind'
  | 'socket'
  | 'ipv6Only'
  | 'receiveBufferBytes'
  | 'sendBufferBytes'
  | 'connectionIdLength'
  | 'maxDatagramBytes'
  | 'dscp'
  | 'simulate'
> {
  const socket = checkOneOf('socket', options.socket ?? 'native', ['native', 'portable']);
  return {
    mode,
    ...checkDriver(options, network),
    shard: 0,
    bind: addressToBinary(address),
    socket: network?.native ?? socket,
    ipv6Only: checkBoolean('ipv6Only', options.ipv6Only ?? false),
    receiveBufferBytes: checkBuffer('receiveBufferBytes', options.receiveBufferBytes),
    sendBufferBytes: checkBuffer('sendBufferBytes', options.sendBufferBytes),
    connectionIdLength: checkInteger('connectionIdLength', options.connectionIdLength ?? 8, 8, 16),
    maxDatagramBytes: checkInteger('maxDatagramBytes', options.maxDatagramBytes ?? 8_972, 1_200, 9_216),
    dscp: checkInteger('dscp', options.dscp ?? 0, 0, 63),
    ...impairmentOf(options, network),
  };
}

function impairmentOf(
  { simulate }: Pick<SocketOptions, 'simulate'>,
  network: Network | undefined,
): { readonly simulate?: NativeImpairment } {
  if (simulate === undefined) return {};
  if (network === undefined) return { simulate: checkSimulate(simulate) };
  throw argumentError('simulate', 'left out where network is given, whose links have these settings', 'both');
}

function checkDriver(
  { driver = 'loop', spinMicros }: Pick<SocketOptions, 'driver' | 'spinMicros'>,
  network: Network | undefined,
): Pick<NativeEndpointOptions, 'driver' | 'spinMicros'> {
  checkOneOf('driver', driver, ['loop', 'threads']);
  if (driver === 'loop') {
    checkLeftOutWithoutThreads('spinMicros', spinMicros);
    return { driver, spinMicros: 0 };
  }
  if (network !== undefined) {
    throw argumentError('driver', "'loop' where network is given, whose time has no threads", "'threads'");
  }
  // With one core, whoever looks for work keeps those from working that it waits for.
  const usual = availableParallelism() > 1 ? defaultSpinMicros : 0;
  return { driver, spinMicros: checkInteger('spinMicros', spinMicros ?? usual, 0, greatestSpinMicros) };
}

/** @returns how many sockets the server has. */
function checkThreads(driver: NativeEndpointOptions['driver'], threads: number | undefined): number {
  if (driver === 'threads') return checkInteger('threads', threads ?? 1, 1, maxThreads);
  checkLeftOutWithoutThreads('threads', threads);
  return 1;
}

function checkLeftOutWithoutThreads(name: string, value: unknown): void {
  if (value !== undefined) throw argumentError(name, "left out unless driver is 'threads'", describe(value));
}

/** Divides what is meant for all peers together. */
function shareOfShard<T extends Pick<NativeEndpointOptions, 'maxReassemblyBytes' | 'simulate'>>(
  options: T,
  shards: number,
): T {
  const { maxReassemblyBytes, simulate } = options;
  const share = (total: number): number => Math.ceil(total / shards);
  return {
    ...options,
    maxReassemblyBytes: share(maxReassemblyBytes),
    ...(simulate === undefined
      ? {}
      : {
          simulate: {
            ...simulate,
            bytesPerSecond: share(simulate.bytesPerSecond),
            queueBytes: share(simulate.queueBytes),
          },
        }),
  };
}

function checkBuffer(name: string, value: number | undefined): number {
  return checkInteger(name, value ?? defaultBufferBytes, 0, maxBufferBytes);
}

function checkCeiling(
  options: ServerLimits,
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

/** The time over which clients are to spread their return: 0 to an hour, 0 by default. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkReconnectSpread(spreadMs: number | undefined): number {
  return checkInteger('reconnectSpreadMs', spreadMs ?? 0, 0, hourMs);
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
