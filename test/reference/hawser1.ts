// A second implementation of the HAWSER 1 wire, written from docs/protocol.md alone and sharing no code with the package.
// It favours likeness to the page over speed: every function is one table or one formula of it. Everything that the page
// says to refuse throws Refused. `await ready` before use.

import sodium from 'libsodium-wrappers';
import {
  type Bytes,
  concat,
  equal,
  isZero,
  label,
  Reader,
  refuse,
  require,
  u8,
  u16,
  u32,
  u64,
  utf8,
} from './bytes.js';

export const ready: Promise<void> = sodium.ready;

// ---- Section 1: conventions ----------------------------------------------------------------------------------------

const version = utf8('HAWSER 1');

export function random(count: number): Uint8Array {
  return sodium.randombytes_buf(count);
}

/** BLAKE2b-n of section 1; `bits` of output, no key when it is empty. */
export function blake2b(bits: 128 | 256 | 512, key: Bytes, ...data: readonly Bytes[]): Uint8Array {
  return sodium.crypto_generichash(bits / 8, concat(...data), key.length === 0 ? null : key);
}

const noKey = new Uint8Array(0);

export function seal(key: Bytes, nonce: Bytes, ad: Bytes, plaintext: Bytes): Uint8Array {
  return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, ad, null, nonce, key);
}

export function open(key: Bytes, nonce: Bytes, ad: Bytes, sealed: Bytes): Uint8Array {
  require(sealed.length >= 16, 'too short for a tag');
  try {
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, sealed, ad, nonce, key);
  } catch {
    return refuse('the tag does not verify');
  }
}

export interface KeyPair {
  readonly secret: Bytes;
  readonly share: Bytes;
}

export function keyPair(secret: Bytes = random(32)): KeyPair {
  return { secret, share: sodium.crypto_scalarmult_base(secret) };
}

export function x25519(secret: Bytes, share: Bytes): Uint8Array {
  try {
    return sodium.crypto_scalarmult(secret, share);
  } catch {
    return refuse('all-zero shared result');
  }
}

export interface ReferenceAddress {
  /** 4 or 16 bytes in network order. */
  readonly ip: Bytes;
  readonly port: number;
  readonly scopeId?: number;
}

function isMapped(ip: Bytes): boolean {
  return ip.length === 16 && isZero(ip.subarray(0, 10)) && ip[10] === 0xff && ip[11] === 0xff;
}

export function encodeAddress({ ip, port }: ReferenceAddress): Uint8Array {
  return concat(u8(ip.length === 4 ? 1 : 2), ip, u16(port));
}

export function readAddress(reader: Reader): ReferenceAddress {
  const kind = reader.u8();
  require(kind === 1 || kind === 2, 'unknown kind of address');
  const ip = reader.take(kind === 1 ? 4 : 16);
  const port = reader.u16();
  require(port !== 0, 'port 0');
  require(!isZero(ip), 'unspecified address');
  require(!isMapped(ip), 'IPv4-mapped address');
  return { ip, port };
}

// ---- Section 2: connect token --------------------------------------------------------------------------------------

/** Bytes 0..63 of a token, or 1..64 of a REQUEST. */
export interface ClearPart {
  readonly protocolId: bigint;
  readonly keyId: number;
  readonly flags: number;
  readonly createTime: bigint;
  readonly expireTime: bigint;
  readonly nonce: Bytes;
}

/** What public and private part share. */
export interface SharedPart {
  readonly timeout: number;
  readonly addresses: readonly ReferenceAddress[];
  readonly c2s: Bytes;
  readonly s2c: Bytes;
}

export interface PublicPart extends ClearPart, SharedPart {
  readonly sealed: Bytes;
}

export interface PrivatePart extends SharedPart {
  readonly clientId: bigint;
  readonly userData: Bytes;
}

function encodeClear(clear: ClearPart): Uint8Array {
  return concat(associatedData(clear), clear.nonce);
}

/** Bytes 0..39 of a token. */
export function associatedData(clear: ClearPart): Uint8Array {
  return concat(
    version,
    u64(clear.protocolId),
    u32(clear.keyId),
    u32(clear.flags),
    u64(clear.createTime),
    u64(clear.expireTime),
  );
}

function readClear(reader: Reader): ClearPart {
  require(equal(reader.take(8), version), 'another version');
  const clear = {
    protocolId: reader.u64(),
    keyId: reader.u32(),
    flags: reader.u32(),
    createTime: reader.u64(),
    expireTime: reader.u64(),
    nonce: reader.take(24),
  };
  require((clear.flags & ~1) === 0, 'unknown flags');
  require(clear.expireTime < 1n << 53n, 'a time above 2^53 - 1');
  require(clear.createTime <= clear.expireTime, 'expires before it was created');
  require(clear.expireTime < 1n << 53n, 'expires after 2^53 - 1');
  return clear;
}

function readAddresses(reader: Reader, count: number): ReferenceAddress[] {
  return Array.from({ length: count }, () => readAddress(reader));
}

function readTimeoutAndCount(reader: Reader): { timeout: number; count: number } {
  const timeout = reader.u32();
  const count = reader.u16();
  require(timeout >= 1000 && timeout <= 3_600_000, 'timeout out of range');
  require(count >= 1 && count <= 32, 'number of addresses out of range');
  return { timeout, count };
}

export function encodePrivate(part: PrivatePart): Uint8Array {
  const addresses = part.addresses.map(encodeAddress);
  const variable = concat(...addresses, part.userData);
  if (variable.length > 864) throw new Error('addresses and user data take more than 864 bytes');
  return concat(
    u64(part.clientId),
    u32(part.timeout),
    u16(addresses.length),
    u16(part.userData.length),
    part.c2s,
    part.s2c,
    new Uint8Array(16),
    variable,
    new Uint8Array(864 - variable.length),
  );
}

export function decodePrivate(plaintext: Bytes): PrivatePart {
  require(plaintext.length === 960, 'private part of another length');
  const reader = new Reader(plaintext);
  const clientId = reader.u64();
  const { timeout, count } = readTimeoutAndCount(reader);
  const userDataLength = reader.u16();
  const c2s = reader.take(32);
  const s2c = reader.take(32);
  require(isZero(reader.take(16)), 'reserved bytes are not zero');
  const addresses = readAddresses(reader, count);
  const userData = reader.take(userDataLength);
  require(isZero(reader.rest()), 'padding is not zero');
  return { clientId, timeout, addresses, c2s, s2c, userData };
}

export function sealPrivate(serverKey: Bytes, clear: ClearPart, part: PrivatePart): Uint8Array {
  return seal(serverKey, clear.nonce, associatedData(clear), encodePrivate(part));
}

export function openPrivate(serverKey: Bytes, clear: ClearPart, sealed: Bytes): PrivatePart {
  return decodePrivate(open(serverKey, clear.nonce, associatedData(clear), sealed));
}

export function encodeToken(token: PublicPart): Uint8Array {
  return concat(
    encodeClear(token),
    token.sealed,
    u32(token.timeout),
    u16(token.addresses.length),
    u16(0),
    token.c2s,
    token.s2c,
    ...token.addresses.map(encodeAddress),
  );
}

export function decodeToken(bytes: Bytes): PublicPart {
  const reader = new Reader(bytes);
  const clear = readClear(reader);
  const sealed = reader.take(976);
  const { timeout, count } = readTimeoutAndCount(reader);
  require(reader.u16() === 0, 'reserved bytes are not zero');
  const c2s = reader.take(32);
  const s2c = reader.take(32);
  const addresses = readAddresses(reader, count);
  require(reader.remaining === 0, 'bytes behind the last address');
  return { ...clear, sealed, timeout, addresses, c2s, s2c };
}

export function mintToken(serverKey: Bytes, clear: ClearPart, part: PrivatePart): Uint8Array {
  return encodeToken({ ...clear, ...part, sealed: sealPrivate(serverKey, clear, part) });
}

export function tokenId(sealed: Bytes): Uint8Array {
  return blake2b(256, noKey, sealed);
}

export interface HandshakeKeys {
  readonly challenge: Bytes;
  readonly denied: Bytes;
  readonly accept: Bytes;
  readonly response: Bytes;
}

export function handshakeKeys({ c2s, s2c }: Pick<SharedPart, 'c2s' | 's2c'>): HandshakeKeys {
  return {
    challenge: blake2b(256, s2c, label('HAWSER 1 challenge')),
    denied: blake2b(256, s2c, label('HAWSER 1 denied')),
    accept: blake2b(256, s2c, label('HAWSER 1 accept')),
    response: blake2b(256, c2s, label('HAWSER 1 response')),
  };
}

// ---- Section 3: handshake datagrams --------------------------------------------------------------------------------

export const kind = {
  request: 0xa0,
  challenge: 0xa1,
  response: 0xa2,
  accept: 0xa3,
  denied: 0xa4,
  reset: 0xa5,
  session: 0xb0,
} as const;

export interface Request extends ClearPart {
  readonly sealed: Bytes;
  readonly clientShare: Bytes;
}

/** @param token the whole token, of which bytes 0..1039 are sent. */
export function encodeRequest(token: Bytes, clientShare: Bytes): Uint8Array {
  return concat(u8(kind.request), token.subarray(0, 1040), clientShare, new Uint8Array(127));
}

export function decodeRequest(datagram: Bytes): Request {
  require(datagram.length === 1200, 'length');
  require(datagram[0] === kind.request, 'kind');
  const reader = new Reader(datagram.subarray(1));
  return { ...readClear(reader), sealed: reader.take(976), clientShare: reader.take(32) };
}

export interface Challenge {
  /** 21 bytes that mean nothing to a client. */
  readonly cookie: Bytes;
  readonly serverShare: Bytes;
}

/** What CHALLENGE and DENIED are bound to. */
export interface Attempt {
  readonly tokenId: Bytes;
  readonly clientShare: Bytes;
}

export function challengePlaintext(challenge: Challenge): Uint8Array {
  return concat(challenge.cookie, challenge.serverShare);
}

export function sealChallenge(
  key: Bytes,
  attempt: Attempt,
  challenge: Challenge,
  nonce: Bytes = random(24),
): Uint8Array {
  const clear = concat(u8(kind.challenge), nonce);
  const ad = concat(clear, attempt.tokenId, attempt.clientShare);
  return concat(clear, seal(key, nonce, ad, challengePlaintext(challenge)));
}

export function openChallenge(key: Bytes, attempt: Attempt, datagram: Bytes): Challenge {
  require(datagram.length === 94, 'length');
  require(datagram[0] === kind.challenge, 'kind');
  const ad = concat(datagram.subarray(0, 25), attempt.tokenId, attempt.clientShare);
  const reader = new Reader(open(key, datagram.subarray(1, 25), ad, datagram.subarray(25)));
  return { cookie: reader.take(21), serverShare: reader.take(32) };
}

export interface CookieInputs extends Omit<Attempt, 'tokenId'> {
  /** The sealed private part of the token. */
  readonly sealed: Bytes;
  /** Milliseconds of a monotonic clock, 32 bits. */
  readonly time: number;
  readonly keyIndex: number;
  readonly address: ReferenceAddress;
  readonly serverShare: Bytes;
}

function encodeSource({ ip, port, scopeId = 0 }: ReferenceAddress): Uint8Array {
  return concat(u8(ip.length === 4 ? 1 : 2), ip, new Uint8Array(16 - ip.length), u16(port), u32(scopeId));
}

export function cookieMac(cookieKey: Bytes, inputs: CookieInputs): Uint8Array {
  return blake2b(
    128,
    cookieKey,
    label('HAWSER 1 cookie'),
    u32(inputs.time),
    u8(inputs.keyIndex),
    encodeSource(inputs.address),
    inputs.sealed.subarray(-16),
    inputs.clientShare,
    inputs.serverShare,
  );
}

export function makeCookie(cookieKey: Bytes, inputs: CookieInputs): Uint8Array {
  return concat(u32(inputs.time), u8(inputs.keyIndex), cookieMac(cookieKey, inputs));
}

/** Bits of the features in RESPONSE and ACCEPT. */
export const feature = { channels: 1, keyUpdate: 2, roaming: 4, pathMtu: 8 } as const;

/** What each side says of itself: its longest datagram, 1,200 to 65,507 bytes, and its first limits of credit. */
export interface Limits {
  readonly maxDatagram: number;
  readonly credit: number;
  readonly channelCredit: number;
}

export interface ResponseBody extends Limits {
  readonly features: number;
  readonly connectionId: Bytes;
  /** The digest of the client's channels. */
  readonly channels: Bytes;
}

function encodeLimits({ maxDatagram, credit, channelCredit }: Limits): Uint8Array {
  return concat(u16(maxDatagram), u32(credit), u32(channelCredit));
}

function readLimits(reader: Reader): Limits {
  const maxDatagram = reader.u16();
  require(maxDatagram >= 1200 && maxDatagram <= 65_507, 'longest datagram out of range');
  return { maxDatagram, credit: reader.u32(), channelCredit: reader.u32() };
}

export interface Response extends Request {
  readonly cookie: Bytes;
  readonly nonce2: Bytes;
}

function encodeConnectionId(id: Bytes): Uint8Array {
  return concat(u8(id.length), id, new Uint8Array(16 - id.length));
}

function readConnectionId(reader: Reader): Uint8Array {
  const length = reader.u8();
  const padded = reader.take(16);
  require(length >= 4 && length <= 16, 'length of a connection id');
  require(isZero(padded.subarray(length)), 'padding of a connection id is not zero');
  return padded.slice(0, length);
}

export function sealResponse(
  key: Bytes,
  request: Bytes,
  cookie: Bytes,
  body: ResponseBody,
  nonce: Bytes = random(24),
): Uint8Array {
  const clear = concat(u8(kind.response), request.subarray(1, 1073), cookie, nonce);
  const plaintext = concat(
    u32(body.features),
    encodeConnectionId(body.connectionId),
    encodeLimits(body),
    body.channels,
    new Uint8Array(17),
  );
  return concat(clear, seal(key, nonce, clear, plaintext));
}

/** The clear part; {@link openResponse} reads the rest. */
export function decodeResponse(datagram: Bytes): Response {
  require(datagram.length === 1198, 'length');
  require(datagram[0] === kind.response, 'kind');
  const reader = new Reader(datagram.subarray(1));
  const request = { ...readClear(reader), sealed: reader.take(976), clientShare: reader.take(32) };
  return { ...request, cookie: reader.take(21), nonce2: reader.take(24) };
}

export function openResponse(key: Bytes, datagram: Bytes): ResponseBody {
  require(datagram.length === 1198, 'length');
  const plaintext = open(
    key,
    datagram.subarray(1094, 1118),
    datagram.subarray(0, 1118),
    datagram.subarray(1118),
  );
  const reader = new Reader(plaintext);
  return {
    features: reader.u32(),
    connectionId: readConnectionId(reader),
    ...readLimits(reader),
    channels: reader.take(16),
  };
}

export interface AcceptBody extends Limits {
  readonly features: number;
  readonly connectionId: Bytes;
  readonly random: Bytes;
  readonly resetToken: Bytes;
}

export function sealAccept(
  key: Bytes,
  response: Bytes,
  body: AcceptBody,
  nonce: Bytes = random(24),
): Uint8Array {
  const clear = concat(u8(kind.accept), nonce);
  const plaintext = concat(
    u32(body.features),
    encodeConnectionId(body.connectionId),
    body.random,
    body.resetToken,
    encodeLimits(body),
    new Uint8Array(17),
  );
  return concat(clear, seal(key, nonce, concat(clear, blake2b(256, noKey, response)), plaintext));
}

export function openAccept(key: Bytes, response: Bytes, datagram: Bytes): AcceptBody {
  require(datagram.length === 137, 'length');
  require(datagram[0] === kind.accept, 'kind');
  const ad = concat(datagram.subarray(0, 25), blake2b(256, noKey, response));
  const reader = new Reader(open(key, datagram.subarray(1, 25), ad, datagram.subarray(25)));
  return {
    features: reader.u32(),
    connectionId: readConnectionId(reader),
    random: reader.take(32),
    resetToken: reader.take(16),
    ...readLimits(reader),
  };
}

export const deniedReason = {
  SERVER_FULL: 1,
  TOKEN_USED: 2,
  CLIENT_ID_CONNECTED: 3,
  SHUTTING_DOWN: 4,
  HISTORY_UNAVAILABLE: 5,
  CHANNELS_MISMATCH: 6,
  TOKEN_EXPIRED: 7,
  TOKEN_FUTURE: 8,
  TOKEN_LIFETIME: 9,
  PROTOCOL_MISMATCH: 10,
  WRONG_ADDRESS: 11,
  SINGLE_USE_REFUSED: 12,
} as const;

export function sealDenied(
  key: Bytes,
  attempt: Attempt,
  reason: number,
  nonce: Bytes = random(24),
): Uint8Array {
  const clear = concat(u8(kind.denied), nonce);
  return concat(clear, seal(key, nonce, concat(clear, attempt.tokenId, attempt.clientShare), u32(reason)));
}

export function openDenied(key: Bytes, attempt: Attempt, datagram: Bytes): number {
  require(datagram.length === 45, 'length');
  require(datagram[0] === kind.denied, 'kind');
  const ad = concat(datagram.subarray(0, 25), attempt.tokenId, attempt.clientShare);
  return new Reader(open(key, datagram.subarray(1, 25), ad, datagram.subarray(25))).u32();
}

export function resetToken(resetKey: Bytes, connectionId: Bytes): Uint8Array {
  return blake2b(128, resetKey, label('HAWSER 1 reset'), connectionId);
}

export function encodeReset(connectionId: Bytes, token: Bytes): Uint8Array {
  return concat(u8(kind.reset), connectionId, token);
}

export function decodeReset(datagram: Bytes): { connectionId: Bytes; token: Bytes } {
  require(datagram.length >= 17 + 4 && datagram.length <= 17 + 16, 'length');
  require(datagram[0] === kind.reset, 'kind');
  return { connectionId: datagram.slice(1, -16), token: datagram.slice(-16) };
}

// ---- Section 4: key schedule ---------------------------------------------------------------------------------------

export function transcript(response: Bytes, challenge: Bytes, accept: Bytes): Uint8Array {
  const withLength = (part: Bytes): Uint8Array => concat(u32(part.length), part);
  return blake2b(
    256,
    noKey,
    label('HAWSER 1 transcript'),
    withLength(response),
    withLength(challenge),
    withLength(accept),
  );
}

export interface PrkInputs {
  readonly c2s: Bytes;
  readonly s2c: Bytes;
  readonly shared: Bytes;
  readonly acceptRandom: Bytes;
  readonly th: Bytes;
}

export function sessionPrk({ c2s, s2c, shared, acceptRandom, th }: PrkInputs): Uint8Array {
  return blake2b(512, concat(c2s, s2c), label('HAWSER 1 prk'), shared, acceptRandom, th);
}

export const direction = { clientToServer: 0, serverToClient: 1 } as const;
export type Direction = (typeof direction)[keyof typeof direction];

export interface PacketKey {
  readonly key: Bytes;
  readonly salt: Bytes;
}

export function packetKey(prk: Bytes, towards: Direction, epoch = 0): PacketKey {
  return {
    key: blake2b(256, prk, label('HAWSER 1 key'), u8(towards), u32(epoch)),
    salt: blake2b(128, prk, label('HAWSER 1 salt'), u8(towards), u32(epoch)),
  };
}

export function exporterSecret(prk: Bytes): Uint8Array {
  return blake2b(256, prk, label('HAWSER 1 exporter'));
}

export function exportKey(exporter: Bytes, name: string): Uint8Array {
  const bytes = utf8(name);
  if (bytes.length < 1 || bytes.length > 255) throw new Error('an export label has 1 to 255 bytes');
  return blake2b(256, exporter, label('HAWSER 1 export'), bytes);
}

// ---- Section 12: channels ------------------------------------------------------------------------------------------

export const channelMode = { unreliable: 0, sequenced: 1, reliable: 2, reliableUnordered: 3 } as const;

export interface ChannelDeclaration {
  readonly mode: number;
  /** 0 for an unreliable channel. */
  readonly maxMessageBytes: number;
  readonly name: string;
  readonly codec: string;
}

export const defaultChannels: readonly ChannelDeclaration[] = [
  { mode: channelMode.unreliable, maxMessageBytes: 0, name: 'default', codec: 'bytes' },
];

/** What BLAKE2b is applied to. */
export function channelsInput(channels: readonly ChannelDeclaration[]): Uint8Array {
  const text = (value: string): Uint8Array => concat(u8(utf8(value).length), utf8(value));
  return concat(
    label('HAWSER 1 channels'),
    u16(channels.length),
    ...channels.map(({ mode, maxMessageBytes, name, codec }) =>
      concat(u8(mode), u32(maxMessageBytes), text(name), text(codec)),
    ),
  );
}

export function channelsDigest(channels: readonly ChannelDeclaration[]): Uint8Array {
  return blake2b(128, noKey, channelsInput(channels));
}

// ---- Section 5: session packets ------------------------------------------------------------------------------------

export interface PacketHeader {
  /** The low two bits of the key epoch. */
  readonly epochBits: number;
  readonly connectionId: Bytes;
  /** The low 32 bits of the packet number. */
  readonly truncated: number;
}

export function packetNonce(salt: Bytes, packetNumber: bigint): Uint8Array {
  return concat(salt, u64(packetNumber));
}

export function sealPacket(
  { key, salt }: PacketKey,
  epoch: number,
  connectionId: Bytes,
  packetNumber: bigint,
  frames: Bytes,
): Uint8Array {
  const header = concat(
    u8(kind.session | ((epoch & 3) << 2)),
    connectionId,
    u32(Number(packetNumber & 0xffff_ffffn)),
  );
  return concat(header, seal(key, packetNonce(salt, packetNumber), header, frames));
}

/** @param idLength the length that this receiver chose for its connection ids. */
export function decodePacketHeader(datagram: Bytes, idLength: number): PacketHeader {
  require(datagram.length >= 5 + idLength + 1 + 16, 'length');
  const reader = new Reader(datagram);
  const first = reader.u8();
  require((first & 0b1111_0011) === kind.session, 'not a session packet');
  return { epochBits: (first >> 2) & 3, connectionId: reader.take(idLength), truncated: reader.u32() };
}

/** Opens with a packet number already expanded, and returns the frames. */
export function openPacket(
  { key, salt }: PacketKey,
  idLength: number,
  packetNumber: bigint,
  datagram: Bytes,
): Uint8Array {
  const size = 5 + idLength;
  return open(key, packetNonce(salt, packetNumber), datagram.subarray(0, size), datagram.subarray(size));
}

/**
 * RFC 9000 appendix A.3 for 32 bits.
 *
 * @param expected the highest authenticated number plus one; 0 before any.
 */
export function expandPacketNumber(expected: bigint, truncated: number): bigint {
  const window = 1n << 32n;
  const half = window / 2n;
  const candidate = (expected & ~(window - 1n)) | BigInt(truncated);
  if (candidate + half <= expected && candidate < (1n << 64n) - window) return candidate + window;
  if (candidate > expected + half && candidate >= window) return candidate - window;
  return candidate;
}

/** The 1,024 numbers of section 5, as a plain set. */
export class ReplayWindow {
  readonly #seen = new Set<bigint>();
  #highest = -1n;

  /** The highest authenticated number plus one. */
  get expected(): bigint {
    return this.#highest + 1n;
  }

  verdict(packetNumber: bigint): 'fresh' | 'replayed' | 'tooOld' {
    if (packetNumber + 1024n <= this.#highest) return 'tooOld';
    return this.#seen.has(packetNumber) ? 'replayed' : 'fresh';
  }

  /** Only after the tag has been verified. */
  accept(packetNumber: bigint): void {
    this.#seen.add(packetNumber);
    if (packetNumber > this.#highest) this.#highest = packetNumber;
    for (const old of this.#seen) if (old + 1024n <= this.#highest) this.#seen.delete(old);
  }
}
