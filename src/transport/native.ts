// The seam between TypeScript and the addon: the typed declaration of what `native/binding` exports, and its loader. Nothing
// else in `src` knows how the addon is found or what its functions look like.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { HawserError } from '../base/errors.js';

/** One key of a gateway as the addon takes it. */
export interface NativeServerKey {
  readonly id: number;
  readonly key: Uint8Array;
}

/** What only a gateway has. Everything is copied by the constructor. */
export interface NativeServerOptions {
  readonly protocolId: bigint;
  readonly keys: readonly NativeServerKey[];
  /** Addresses in the 24-byte form; a port of 0 stands for the port that was bound. */
  readonly advertised: readonly Uint8Array[];
  readonly resetKey: Uint8Array;
  readonly maxPeers: number;
  readonly maxHalfOpen: number;
  readonly sameClient: 'replace' | 'reject';
  readonly clockSkewMs: number;
  readonly maxTokenLifetimeMs: number;
  readonly externalTokenHistory: boolean;
}

export interface NativeEndpointOptions {
  readonly mode: 'server' | 'client';
  /** The address to bind, in the 24-byte form of `base/address.ts`. */
  readonly bind: Uint8Array;
  readonly socket: 'native' | 'portable' | NativeSimulation;
  readonly ipv6Only: boolean;
  readonly reusePort: boolean;
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  readonly connectionIdLength: number;
  /** 0 to 255, or -1 for none. */
  readonly serverIndex: number;
  /** Sessions in any state, half-open ones included. */
  readonly maxSessions: number;
  readonly maxPacketsPerSecondPerPeer: number;
  readonly maxBytesPerSecondPerPeer: number;
  readonly server?: NativeServerOptions;
}

/**
 * One batch of events. Both buffers are one of the two storages of the endpoint and may be read until the function returns;
 * afterwards native code fills them again. They stay the same two until a user detaches one (`structuredClone` with
 * transfer): then a new one takes its place.
 *
 * @param slab the bytes of the events.
 * @param descriptors six 32-bit words per event: kind | argument << 8, slot, generation, offset, length, 0.
 * @param count how many events there are.
 */
export type NativeEventsListener = (slab: ArrayBuffer, descriptors: ArrayBuffer, count: number) => void;

/** A peer as the addon names it. */
export interface NativeHandle {
  readonly slot: number;
  readonly generation: number;
}

export interface NativeConnectOptions {
  readonly protocolId: bigint;
  readonly token: Uint8Array;
  /** The source address in the 24-byte form; left out, the operating system chooses. */
  readonly local?: Uint8Array;
  readonly timeoutMs: number;
}

/** One socket with its shard of the protocol. It keeps itself and the process alive until it is closed. */
export interface NativeEndpoint {
  /** The cells of {@link NativeAddon.counterNames}; reading them is no call. */
  readonly counters: BigUint64Array;
  /** The cells of {@link NativeAddon.socketCounterNames}. */
  readonly socketCounters: BigUint64Array;
  /**
   * Where `send` writes. Words of the header: 0 bytes used by records (header not counted; JavaScript writes, the flush
   * zeroes), 1 records (likewise), 2 whether the endpoint is writable (native writes 0 or 1 at each flush), 3 messages that
   * a flush refused so far. From byte {@link NativeConstants.txHeaderBytes} on: records of u32 slot, u32 generation, u32
   * channel, u32 length, then the data padded to 4 bytes.
   */
  readonly txSlab: ArrayBuffer;

  /** Where the socket is bound, 24 bytes. */
  localAddress(): Uint8Array;
  grantedBuffers(): { readonly receiveBytes: number; readonly sendBytes: number };
  /** Plans the flush at the end of this turn; called by the turn's first send. */
  arm(): void;
  /** Takes the records of the tx slab now; returns whether the endpoint is writable. */
  flush(): boolean;
  /** @param handles pairs of slot and generation, or null for every connected peer. @returns to how many it was sent. */
  broadcast(channel: number, data: Uint8Array, handles: Uint32Array | null): number;
  /** @throws an Error with code TOKEN_INVALID when the token cannot be decoded or is for another protocol id. */
  connect(options: NativeConnectOptions): NativeHandle;
  abort(slot: number, generation: number): void;
  disconnect(slot: number, generation: number, code: number, reason: string): boolean;
  goaway(
    slot: number,
    generation: number,
    reason: number,
    deadlineMs: number,
    address: Uint8Array | null,
  ): boolean;
  /** @param verdict one of {@link consumeVerdict}. */
  completeConsumption(slot: number, generation: number, verdict: number): void;
  /**
   * Fills `out` with: round trip ms, its variation ms, the least one ms, clock offset ms, clock settled 0 or 1, connected 0
   * or 1, packets sent, packets received.
   *
   * @returns false when there is no such peer.
   */
  status(slot: number, generation: number, out: Float64Array): boolean;
  /** 32 bytes, or null when the peer is not connected. */
  exportKey(slot: number, generation: number, label: string): Uint8Array | null;
  setKeys(keys: readonly NativeServerKey[]): void;
  startDraining(): void;
  /** STOPPING; the `onStopped` of the constructor is called once STOPPED, with the socket closed. */
  stop(code: number, reason: string): void;
  /** Closes at once, tells nobody, and calls nothing back. Closing twice is allowed. */
  close(): void;
  sessions(): number;
  connected(): number;
  memoryBytes(): number;
  ref(): void;
  unref(): void;
  /** The endpoint's monotonic clock: microseconds with an arbitrary origin. */
  nowMicros(): number;
}

/** How datagrams fare on the way from one address to another in a simulated network. */
export interface NativeLinkSettings {
  readonly lossRate: number;
  readonly duplicateRate: number;
  readonly reorderRate: number;
  readonly delayMs: number;
  readonly jitterMs: number;
  /** 0 is no limit. */
  readonly bytesPerSecond: number;
  readonly queueBytes: number;
  readonly mtuBytes: number;
  readonly up: boolean;
}

/** A network in memory with a clock of its own, which moves only in `step`. */
export interface NativeSimulation {
  nowMicros(): number;
  /** When something is due next; -1 when nothing is planned. */
  nextEventMicros(): number;
  /**
   * Moves to the next instant at which something is due, not beyond `untilMicros`, and runs all that is due then.
   *
   * @returns that instant, or -1 when nothing is due up to `untilMicros` (the clock is then at `untilMicros`).
   */
  step(untilMicros: number): number;
  /** Hands the waiting events of every attached endpoint to its listener. @returns how many events there were. */
  deliver(): number;
  /** @param from @param to addresses in the 24-byte form; port 0 is every port, null every address. */
  setLink(from: Uint8Array | null, to: Uint8Array | null, settings: NativeLinkSettings): void;
  partition(a: Uint8Array, b: Uint8Array, parted: boolean): void;
  /** Gives an endpoint another address, as a NAT that forgets its mapping does. */
  moveAddress(endpoint: NativeEndpoint, address: Uint8Array): void;
  /** Sees every datagram that is sent, dropped ones included; null ends it. */
  capture(listener: ((from: Uint8Array, to: Uint8Array, datagram: Uint8Array) => void) | null): void;
  inject(from: Uint8Array, to: Uint8Array, datagram: Uint8Array): void;
}

export interface NativeConstants {
  readonly maxMessageBytes: number;
  readonly descriptorWords: number;
  readonly txHeaderBytes: number;
}

export interface NativeAddon {
  readonly version: string;
  /** Of the libsodium inside the addon. */
  readonly sodiumVersion: string;
  readonly counterNames: readonly string[];
  readonly socketCounterNames: readonly string[];
  readonly constants: NativeConstants;
  readonly NativeEndpoint: new (
    options: NativeEndpointOptions,
    onEvents: NativeEventsListener,
    onStopped: () => void,
  ) => NativeEndpoint;
  readonly NativeSimulation: new (options: {
    readonly seed: bigint;
    readonly startWallMs: number;
  }) => NativeSimulation;
}

/** `EventKind` of native/engine/events.hpp. */
export const eventKind = {
  message: 1,
  connect: 2,
  disconnect: 3,
  connectFailed: 4,
  state: 5,
  drain: 6,
  goaway: 7,
  consume: 8,
} as const;

/** `ConsumeVerdict` of native/engine/gateway_state.hpp. */
export const consumeVerdict = { consumed: 0, alreadyUsed: 1, historyFull: 2 } as const;

/** Offsets in the bytes of a connect event: `ConnectRecordLayout` of native/engine/events.hpp. */
export const connectRecord = {
  clientId: 0,
  create: 8,
  expire: 16,
  remote: 24,
  local: 48,
  timeout: 72,
  flags: 76,
  userData: 80,
} as const;

// node-gyp-build has no types of its own.
const nodeGypBuild: { (folder: string): unknown; resolve(folder: string): string } = createRequire(
  import.meta.url,
)('node-gyp-build');

const packageRoot = fileURLToPath(new URL('../..', import.meta.url));

let loaded: NativeAddon | undefined;

/**
 * The addon, loaded when it is first needed, so that importing the package never fails for want of it.
 *
 * @throws HawserError ERR_HAWSER_NODE_VERSION or ERR_HAWSER_ADDON_MISSING.
 */
export function loadAddon(): NativeAddon {
  if (loaded !== undefined) return loaded;
  checkNodeVersion(process.versions.node);
  try {
    loaded = nodeGypBuild(packageRoot) as NativeAddon;
  } catch (cause) {
    throw addonMissing(cause);
  }
  return loaded;
}

function addonMissing(cause: unknown): HawserError {
  const platform = `${process.platform}-${process.arch}, Node.js ${process.versions.node}`;
  const broken = cause instanceof Error && 'code' in cause && cause.code === 'ERR_DLOPEN_FAILED';
  const message = broken
    ? `the native addon of hawser cannot be loaded (${platform}): ${cause.message}`
    : `hawser has no native addon for this platform (${platform}); in a clone run "npm run build" to compile it`;
  return new HawserError('ERR_HAWSER_ADDON_MISSING', message, { cause });
}

/** The file that {@link loadAddon} loads. @throws what node-gyp-build throws when there is none. */
export function addonPath(): string {
  return nodeGypBuild.resolve(packageRoot);
}

/** @throws HawserError ERR_HAWSER_NODE_VERSION outside the `engines` of package.json. */
export function checkNodeVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19)) return;
  throw new HawserError(
    'ERR_HAWSER_NODE_VERSION',
    `hawser needs Node.js 20.19 or later, or 22.12 or later; this is ${version}`,
  );
}
