// The seam between TypeScript and the addon: the typed declaration of what `native/binding` exports, with its loader
// (load-addon.ts). Nothing else in `src` knows how the addon is found or what its functions look like.

export { addonFile, checkNodeVersion, loadAddon } from './load-addon.js';

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
  /** Of all shards together. */
  readonly maxSendMemoryBytes: number;
  readonly maxHalfOpen: number;
  readonly sameClient: 'replace' | 'reject';
  readonly clockSkewMs: number;
  /** null: no rule. */
  readonly restartGuardMs: number | null;
  readonly maxTokenLifetimeMs: number;
  readonly externalTokenHistory: boolean;
  /** Left out where netcode is not spoken. */
  readonly netcode?: { readonly tokenLifetimeMs: number };
}

/** One channel, by the numbers of native/engine/channels.hpp. */
export interface NativeChannel {
  readonly name: string;
  readonly codec: string;
  /** `ChannelMode`. */
  readonly mode: number;
  /** `ChannelPriority`. */
  readonly priority: number;
  /** 0 for an unreliable channel. */
  readonly maxMessageBytes: number;
  /** True for unreliable channels only. */
  readonly congestionControlled: boolean;
  /** 0 to 3, or 4 for `auto`; 0 for an unreliable channel. */
  readonly redundancy: number;
}

export interface NativeEndpointOptions {
  readonly mode: 'server' | 'client';
  /** Who runs the shard: the event loop, or a thread of its own (Linux only, real sockets only). */
  readonly driver: 'loop' | 'threads';
  /** How long a thread at most looks for work before it sleeps, 0 to 1,000. */
  readonly spinMicros: number;
  /** Which shard of the server this is; 0 for clients. */
  readonly shard: number;
  /** How many shards the server has, 1 to 64: with more than one, each has a thread and a socket on the same address. */
  readonly shards: number;
  /** Shard 0, for all others: its gateway state is used, and the gateway part of `server` is not looked at. */
  readonly gateway?: NativeEndpoint;
  /** Of servers: whether HAWSER is spoken; netcode is where {@link NativeServerOptions} have it. Clients speak both. */
  readonly hawser: boolean;
  /** The address to bind, in the 24-byte form of `base/address.ts`. */
  readonly bind: Uint8Array;
  readonly socket: 'native' | 'portable' | NativeSimulation;
  readonly ipv6Only: boolean;
  readonly reusePort: boolean;
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  readonly connectionIdLength: number;
  /** 1,200 to 9,216. */
  readonly maxDatagramBytes: number;
  /** 0 to 255, or -1 for none. */
  readonly serverIndex: number;
  /** Sessions in any state, half-open ones included, of each wire format. Slots of netcode sessions begin at this number. */
  readonly maxSessions: number;
  readonly maxPacketsPerSecondPerPeer: number;
  readonly maxBytesPerSecondPerPeer: number;
  /** By number. */
  readonly channels: readonly NativeChannel[];
  readonly congestion: 'bbr' | 'cubic';
  readonly creditBytes: number;
  readonly channelCreditBytes: number;
  readonly maxCreditBytes: number;
  /** Of a client, and of all shards of a server together. */
  readonly maxGrownCreditBytes: number;
  readonly maxReassemblyBytes: number;
  readonly highWaterBytes: number;
  readonly maxQueuedBytes: number;
  /** For the addon, `throw` and `drop` are the same: the message is refused. */
  readonly onQueueFull: 'disconnect' | 'throw' | 'drop';
  /** 0 to 63. */
  readonly dscp: number;
  /** Impairs the traffic of a real socket, each direction once; left out, nothing is impaired. */
  readonly simulate?: NativeImpairment;
  readonly server?: NativeServerOptions;
}

/**
 * One batch of events. Both buffers may be read until the function returns; afterwards native code fills them again, also for other
 * endpoints of this thread. They are few, and stay the same until a long message needs a larger slab, or a user detaches one
 * (`structuredClone` with transfer): then a new one takes its place.
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

/** More slots than any endpoint has. */
const handleSlots = 2 ** 22;

/**
 * A handle as one number. Two that live at the same time differ: a slot would have to be reused 2^31 times meanwhile.
 */
export function handleKey(slot: number, generation: number): number {
  return (generation % 2 ** 31) * handleSlots + slot;
}

export interface NativeConnectOptions {
  readonly protocolId: bigint;
  readonly token: Uint8Array;
  /** The source address in the 24-byte form; left out, the operating system chooses. */
  readonly local?: Uint8Array;
  /** 0, with a netcode token only, for the token's own timeouts alone. */
  readonly timeoutMs: number;
}

/** One socket with its shard of the protocol. It keeps itself and the process alive until it is closed. */
export interface NativeEndpoint {
  /** The cells of {@link NativeAddon.counterNames}; reading them is no call. */
  readonly counters: BigUint64Array;
  /** The cells of {@link NativeAddon.socketCounterNames}. */
  readonly socketCounters: BigUint64Array;
  /**
   * What `send` has written into the transmit records: 0 bytes of records (JavaScript writes, the flush zeroes),
   * 1 records (likewise), 2 whether the endpoint is writable (native writes 0 or 1 at each flush), 3 messages that a flush
   * refused so far.
   */
  readonly txHeader: Uint32Array;
  /** Transmit records of this endpoint alone; absent where it uses {@link NativeAddon.transmitRecords}. */
  readonly transmitRecords?: ArrayBuffer;
  /** For each slot of a HAWSER session the bits of {@link peerFlag}; native code writes. */
  readonly peerFlags: Uint8Array;
  /** For each slot of a HAWSER session the longest message of an unreliable channel where that is more than usual, else 0; native code writes. */
  readonly peerMaxUnreliable: Uint16Array;

  /** Where the socket is bound, 24 bytes. */
  localAddress(): Uint8Array;
  grantedBuffers(): { readonly receiveBytes: number; readonly sendBytes: number };
  /** Replaces a client's socket by one with another port. @throws as the constructor; nothing has changed then. */
  rebind(): void;
  /** Plans the flush at the end of this turn; called by the turn's first send. */
  arm(): void;
  /** Takes the records and sends now; returns whether the endpoint is writable. */
  flush(): boolean;
  /** Takes the records, so that another endpoint can have written; they leave at the end of this turn. */
  takeRecords(): void;
  /**
   * Sends one message, of whatever length, after the records.
   *
   * @param ttlMs 0 for none. @param confirm 0 for none.
   * @returns one of {@link sendStatus}.
   */
  sendLong(
    slot: number,
    generation: number,
    channel: number,
    data: Uint8Array,
    ttlMs: number,
    confirm: number,
  ): number;
  /**
   * @param handles pairs of slot and generation, or null for every connected peer. @param ttlMs 0 for none.
   * @returns to how many it was sent.
   */
  broadcast(channel: number, data: Uint8Array, handles: Uint32Array | null, ttlMs: number): number;
  /** Whether messages of a reliable channel wait. @returns false when there is no such peer or channel. */
  setPaused(slot: number, generation: number, channel: number, paused: boolean): boolean;
  /**
   * @throws an Error with code TOKEN_INVALID when the token cannot be decoded or is for another protocol id, ADDRESS_IN_USE when a
   * netcode connection of this socket goes to each gateway of the token, ABORTED when there is no room.
   */
  connect(options: NativeConnectOptions): NativeHandle;
  abort(slot: number, generation: number): void;
  /**
   * Disconnects after all messages that were sent before. With a thread, `disconnect`, `goaway` and `completeConsumption` take effect in
   * its next turn, and do not wait for it.
   *
   * @returns false when the peer is not connected.
   */
  disconnect(
    slot: number,
    generation: number,
    code: number,
    reason: string,
    reconnectSpreadMs: number,
  ): boolean;
  goaway(
    slot: number,
    generation: number,
    reason: number,
    deadlineMs: number,
    reconnectSpreadMs: number,
    address: Uint8Array | null,
  ): boolean;
  /** @param verdict one of {@link consumeVerdict}. */
  completeConsumption(slot: number, generation: number, verdict: number): void;
  /**
   * Fills `out`, of {@link statusCells} cells, by {@link statusCell}, with the published status of a peer, connected or ended. Never
   * waits for a thread. A change of the status is published within 250 ms and a few turns.
   *
   * @returns false when the peer was never connected, or another peer has its slot.
   */
  status(slot: number, generation: number, out: Float64Array): boolean;
  /**
   * Reads one figure of many peers, as `status`.
   *
   * @param handles pairs of slot and generation. @param figure one of {@link statusCell}.
   * @param out receives a number for each pair; 0 for a peer that is not connected.
   */
  figures(handles: Uint32Array, figure: number, out: Float64Array): void;
  /**
   * @param secret 32 bytes, or null for none.
   * @param secretId 16 bytes, not all zero; null for the default of `secret`.
   * @returns one of {@link keyUpdateStart}.
   */
  updateKeys(
    slot: number,
    generation: number,
    secret: Uint8Array | null,
    secretId: Uint8Array | null,
  ): number;
  /** @param secret 32 bytes, or null where there is none of that id. */
  provideSecret(slot: number, generation: number, secretId: Uint8Array, secret: Uint8Array | null): void;
  /** 32 bytes, or null when the peer is not connected. */
  exportKey(slot: number, generation: number, label: string): Uint8Array | null;
  /** Address of the peer as published, 24 bytes; null as `status`. */
  remoteAddress(slot: number, generation: number): Uint8Array | null;
  /** For all shards of the server, as is `startDraining`. */
  setKeys(keys: readonly NativeServerKey[]): void;
  /** Limits of a server that runs: `maxPeers` of all shards, at most that of the start, and the ceilings of this one's peers, 0 for none. */
  setLimits(maxPeers: number, maxPacketsPerSecondPerPeer: number, maxBytesPerSecondPerPeer: number): void;
  startDraining(): void;
  /** STOPPING; the `onStopped` of the constructor is called once STOPPED, with the socket closed. */
  stop(code: number, reason: string, reconnectSpreadMs: number): void;
  /** Closes at once, tells nobody, and calls nothing back. Closing twice is allowed. */
  close(): void;
  /** As of the last turn. */
  memoryBytes(): number;
  ref(): void;
  unref(): void;
  /** The endpoint's monotonic clock: microseconds with an arbitrary origin. */
  nowMicros(): number;
  /**
   * Begins to keep what comes and goes, in a ring of 4 MiB that never makes the endpoint wait.
   *
   * @param plaintext also packets without their seal. @param snapLengthBytes 64 to 65,535: of each at most so much.
   * @param only 24 bytes: the other side's address, whose port 0 stands for every port; null for everybody.
   * @returns false when there is a capture already, or the endpoint is closed.
   */
  startCapture(plaintext: boolean, snapLengthBytes: number, only: Uint8Array | null): boolean;
  /**
   * Copies the oldest records, laid out as {@link tapRecord} says, as many as fit whole, and forgets them. Also once the endpoint has closed.
   *
   * @param out {@link tapRecord.maxBytes} at least. @returns how many bytes were copied; 0 when there is nothing, or no capture.
   */
  readCapture(out: Uint8Array): number;
  /** How many records found no room in the ring; 0 without a capture. */
  captureDropped(): number;
  /** Ends the capture, if there is one, and wipes what was not read. */
  stopCapture(): void;
}

/** Offsets in a record of `readCapture`, as native/engine/tap.hpp lays it out; integers are little-endian. */
export const tapRecord = {
  /** u32, all of the record, a multiple of 8. */
  size: 0,
  /** u8, one of {@link tapKind}. */
  kind: 4,
  /** u8, 0 received, 1 sent. */
  direction: 5,
  /** u8: the ECN bits of a datagram, the length of the connection id of a packet of HAWSER, the type of one of netcode. */
  detail: 6,
  /** u64, Unix microseconds. */
  time: 8,
  /** u32, bytes there were. */
  length: 16,
  /** u32, bytes that follow the header. */
  captured: 20,
  /** 24 bytes each. */
  remote: 24,
  local: 48,
  /** u64, packet or sequence number. */
  number: 72,
  /** u32. */
  epoch: 80,
  /** 16 bytes, padded with zeros. */
  connectionId: 88,
  headerBytes: 104,
  /** More than any record has. */
  maxBytes: 131_072,
} as const;

/** `TapKind` of native/engine/tap.hpp. */
export const tapKind = { datagram: 1, hawserPacket: 2, netcodePacket: 3 } as const;

/** How datagrams fare on the way from one address to another. */
export interface NativeLinkSettings {
  readonly lossRate: number;
  readonly duplicateRate: number;
  readonly reorderRate: number;
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly jitterReorders: boolean;
  readonly leastHoldBackMs: number;
  /** `leastHoldBackMs` or more. */
  readonly mostHoldBackMs: number;
  /** 0 is no limit. */
  readonly bytesPerSecond: number;
  readonly queueBytes: number;
  /** 0 is none. */
  readonly ecnMarkBytes: number;
  /** 0 is no limit. */
  readonly mtuBytes: number;
  /** Of a simulated network only. */
  readonly sharedBottleneck: boolean;
  readonly up: boolean;
}

/** How the traffic of a real socket is impaired, and where chance begins. */
export interface NativeImpairment extends NativeLinkSettings {
  readonly seed: bigint;
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

/** How many bytes the memory of secrets has, in this thread. */
export interface NativeSecretMemory {
  /** Of pages that are never written to a swap file. */
  readonly lockedBytes: number;
  /** Of pages for which the system did not promise that. */
  readonly unlockedBytes: number;
  /** Of the slots in them that are taken. */
  readonly usedBytes: number;
}

/** Secrets outside of JavaScript's heap. Every function throws a TypeError for bytes that are none, or of another length than stated. */
export interface NativeSecrets {
  /** Zeros, 1 to 1,024 of them, which are wiped once nothing sees the buffer; null when there is no such memory. */
  allocate(size: number, mustLock: boolean): ArrayBuffer | null;
  memory(): NativeSecretMemory;
  wipe(bytes: Uint8Array): void;
  /** In a time that depends on the lengths only. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
  fillRandom(out: Uint8Array): void;
  /** How many bytes a text of base64 stands for, by its length and its padding; -1 when those cannot be. */
  base64Size(text: Uint8Array): number;
  /** @param out of exactly `base64Size`. @returns false, and `out` is zeros, when it is not strictly base64. */
  decodeBase64(out: Uint8Array, text: Uint8Array): boolean;
  /** @param out of exactly four bytes for each three that begin. */
  encodeBase64(out: Uint8Array, bytes: Uint8Array): void;
  /** @param out @param key 32 bytes each. BLAKE2b, keyed, of label, a zero byte and salt. */
  deriveKey(out: Uint8Array, key: Uint8Array, label: Uint8Array, salt: Uint8Array): void;
  /** XChaCha20-Poly1305. @param key 32 bytes. @returns a random nonce (24), the ciphertext, the tag (16). */
  seal(key: Uint8Array, associatedData: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** @param out 40 bytes shorter than `sealed`. @returns false, and `out` is zeros, when it was not sealed so. */
  open(out: Uint8Array, key: Uint8Array, associatedData: Uint8Array, sealed: Uint8Array): boolean;
  /** Ed25519. @param out 64 bytes: the seed and the public key. @param seed 32 bytes. */
  signatureKey(out: Uint8Array, seed: Uint8Array): void;
  /** @param key of `signatureKey`. @returns 64 bytes. */
  sign(key: Uint8Array, message: Uint8Array): Uint8Array;
  /** False for keys and signatures of any other length, too. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

export interface NativeConstants {
  readonly maxMessageBytes: number;
  readonly descriptorWords: number;
}

export interface NativeAddon {
  readonly version: string;
  /** Of the libsodium inside the addon. */
  readonly sodiumVersion: string;
  readonly counterNames: readonly string[];
  readonly socketCounterNames: readonly string[];
  readonly peerFigureNames: readonly string[];
  readonly constants: NativeConstants;
  /**
   * Transmit records of all clients on the event loop of this thread, one client at a time: u32 slot, u32 generation, u32
   * channel | flags << 16, u32 length, with flag 1 also u32 ttl in ms and u32 confirm id (0: none), then the data padded to
   * 4 bytes.
   */
  readonly transmitRecords: ArrayBuffer;
  readonly NativeEndpoint: new (
    options: NativeEndpointOptions,
    onEvents: NativeEventsListener,
    onStopped: () => void,
  ) => NativeEndpoint;
  readonly NativeSimulation: new (options: {
    readonly seed: bigint;
    readonly startWallMs: number;
  }) => NativeSimulation;
  readonly secrets: NativeSecrets;
  /**
   * Sends a datagram to the Unix socket of a path, which begins with `/`, or with `@` in the abstract namespace.
   *
   * @throws an Error of the system; one with code ENOTSUP where there is no Linux.
   */
  systemdNotify(path: string, message: string): void;
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
  confirm: 9,
  peerDrain: 10,
  keyUpdated: 20,
  keyUpdateRefused: 21,
  secretWanted: 22,
} as const;

/** The argument of a confirm event. */
export const confirmResult = { delivered: 0, expired: 1 } as const;

/** `SendStatus` of native/engine/send_status.hpp. */
export const sendStatus = {
  sent: 0,
  notConnected: 1,
  tooLong: 2,
  invalidChannel: 3,
  outputFull: 4,
  queueFull: 5,
} as const;

/** Bits of {@link NativeEndpoint.peerFlags}. */
export const peerFlag = {
  /** Much is queued or held: the user is asked to wait, and `peerDrain` follows. */
  wait: 1,
  /** More than `maxQueuedBytes` are queued or held. */
  full: 2,
} as const;

/** Figures of {@link NativeEndpoint.status} in their order: {@link NativeAddon.peerFigureNames}. Durations are in ms, rates in bytes per second. */
export const peerFigureNames = [
  'roundTrip',
  'roundTripVariation',
  'minimumRoundTrip',
  'clockSettled',
  'connected',
  'packetsSent',
  'packetsReceived',
  'congestionWindow',
  'bytesInFlight',
  'pacingRate',
  'queuedBytes',
  'packetsLost',
  'maxDatagram',
  'keyEpoch',
  'maxUnreliable',
  'heldBytes',
  'clockOffset',
] as const;

/** Indices of the figures. */
export const statusCell: Readonly<Record<(typeof peerFigureNames)[number], number>> = Object.fromEntries(
  peerFigureNames.map((name, index) => [name, index]),
) as Record<(typeof peerFigureNames)[number], number>;

export const statusCells: number = peerFigureNames.length;

/** `KeyUpdateStart` of native/engine/endpoint.hpp. */
export const keyUpdateStart = { begun: 0, notConnected: 1, busy: 2, unsupported: 3 } as const;

/** `kKeyUpdateSuperseded` of native/engine/events.hpp. */
export const keyUpdateSuperseded = 256;

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
  wire: 80,
  clientIndex: 84,
  maxClients: 88,
  userData: 96,
} as const;

/** The value of {@link connectRecord.wire} for netcode: `Wire` of native/engine/events.hpp. */
export const netcodeWire = 1;
