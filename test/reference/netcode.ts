// A second implementation of netcode 1.02, written from its standard alone and sharing no code with the package. It favours
// likeness to the standard over speed. Everything that the standard says to ignore throws Refused. The two ends are in
// netcode-endpoints.ts. `await ready` before use.

import sodium from 'libsodium-wrappers';
import {
  type Bytes,
  concat,
  label,
  littleEndian,
  Reader,
  refuse,
  require,
  u8,
  u16,
  u32,
  u64,
} from './bytes.js';
import type { ReferenceAddress } from './hawser1.js';

export type { ReferenceAddress };

export const ready: Promise<void> = sodium.ready;

export const version: Bytes = label('NETCODE 1.02');

export function random(count: number): Uint8Array {
  return sodium.randombytes_buf(count);
}

const tagBytes = 16;

// ---- AEADs ---------------------------------------------------------------------------------------------------------

/** 12 bytes: four zeros, then the sequence number. */
function sequenceNonce(sequence: bigint): Uint8Array {
  return concat(new Uint8Array(4), u64(sequence));
}

/** ChaCha20-Poly1305 (IETF) under a sequence number. */
export function seal(key: Bytes, sequence: bigint, ad: Bytes | null, plaintext: Bytes): Uint8Array {
  return sodium.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, ad, null, sequenceNonce(sequence), key);
}

/** The reverse of {@link seal}. */
export function open(key: Bytes, sequence: bigint, ad: Bytes | null, sealed: Bytes): Uint8Array {
  return verified(() =>
    sodium.crypto_aead_chacha20poly1305_ietf_decrypt(null, sealed, ad, sequenceNonce(sequence), key),
  );
}

function verified(decrypt: () => Uint8Array): Uint8Array {
  try {
    return decrypt();
  } catch {
    return refuse('does not decrypt');
  }
}

// ---- Connect token -------------------------------------------------------------------------------------------------

export const tokenBytes = 2048;
const privateBytes = 1024 - tagBytes;

/** What stands in both parts of a token. */
interface SharedPart {
  /** In seconds, signed; 0 and less: no timeout. */
  readonly timeout: number;
  readonly addresses: readonly ReferenceAddress[];
  readonly c2s: Bytes;
  readonly s2c: Bytes;
}

export interface PrivatePart extends SharedPart {
  readonly clientId: bigint;
  readonly userData: Bytes;
}

/** What the private part is sealed with, and a REQUEST has in clear. */
export interface ClearPart {
  readonly protocolId: bigint;
  /** Unix seconds. */
  readonly expire: bigint;
  readonly nonce: Bytes;
}

export interface PublicPart extends ClearPart, SharedPart {
  /** Unix seconds. */
  readonly create: bigint;
  /** The private part, 1,024 bytes. */
  readonly sealed: Bytes;
}

/** The sixteen bytes of IPv6 in network order, as eight groups of their own byte order; its own reverse. */
function swapped(ip: Bytes): Uint8Array {
  return Uint8Array.from(ip, (_, index) => ip[index ^ 1] ?? 0);
}

export function encodeAddress({ ip, port }: ReferenceAddress): Uint8Array {
  return ip.length === 4 ? concat(u8(1), ip, u16(port)) : concat(u8(2), swapped(ip), u16(port));
}

export function readAddress(reader: Reader): ReferenceAddress {
  const type = reader.u8();
  require(type === 1 || type === 2, 'address type');
  const ip = type === 1 ? reader.take(4) : swapped(reader.take(16));
  return { ip, port: reader.u16() };
}

function encodeShared({ timeout, addresses, c2s, s2c }: SharedPart): Uint8Array {
  return concat(u32(timeout >>> 0), u32(addresses.length), ...addresses.map(encodeAddress), c2s, s2c);
}

function readShared(reader: Reader): SharedPart {
  const timeout = reader.u32() | 0;
  const count = reader.u32();
  require(count >= 1 && count <= 32, 'number of addresses');
  const addresses = Array.from({ length: count }, () => readAddress(reader));
  return { timeout, addresses, c2s: reader.take(32), s2c: reader.take(32) };
}

function padded(bytes: Bytes, length: number): Uint8Array {
  return concat(bytes, new Uint8Array(length - bytes.length));
}

/** 1,008 bytes. User data shorter than 256 bytes is filled up with zeros. */
export function encodePrivate(part: PrivatePart): Uint8Array {
  return padded(concat(u64(part.clientId), encodeShared(part), padded(part.userData, 256)), privateBytes);
}

export function decodePrivate(plaintext: Bytes): PrivatePart {
  const reader = new Reader(plaintext);
  return { clientId: reader.u64(), ...readShared(reader), userData: reader.take(256) };
}

/** Version, protocol id and expire time, 29 bytes. */
export function tokenAssociatedData({ protocolId, expire }: ClearPart): Uint8Array {
  return concat(version, u64(protocolId), u64(expire));
}

/** Seals any 1,008 bytes as a private part: 1,024 bytes. */
export function sealPrivate(privateKey: Bytes, clear: ClearPart, plaintext: Bytes): Uint8Array {
  return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
    plaintext,
    tokenAssociatedData(clear),
    null,
    clear.nonce,
    privateKey,
  );
}

/** The plaintext of a private part. */
export function openPrivate(privateKey: Bytes, clear: ClearPart, sealed: Bytes): Uint8Array {
  return verified(() =>
    sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
      null,
      sealed,
      tokenAssociatedData(clear),
      clear.nonce,
      privateKey,
    ),
  );
}

/** 2,048 bytes, whatever the fields. */
export function encodeToken(part: PublicPart): Uint8Array {
  const { protocolId, create, expire, nonce, sealed } = part;
  const times = concat(u64(create), u64(expire));
  return padded(concat(version, u64(protocolId), times, nonce, sealed, encodeShared(part)), tokenBytes);
}

export function decodeToken(token: Bytes): PublicPart {
  require(token.length === tokenBytes, 'length');
  const reader = new Reader(token);
  requireVersion(reader);
  const protocolId = reader.u64();
  const create = reader.u64();
  const expire = reader.u64();
  require(create <= expire, 'times');
  const nonce = reader.take(24);
  const sealed = reader.take(1024);
  return { protocolId, create, expire, nonce, sealed, ...readShared(reader) };
}

export interface TokenOptions extends ClearPart, PrivatePart {
  readonly create: bigint;
}

export function mintToken(privateKey: Bytes, options: TokenOptions): Uint8Array {
  return encodeToken({ ...options, sealed: sealPrivate(privateKey, options, encodePrivate(options)) });
}

/** What a server remembers a token by: the last 16 bytes of its private part. */
export function tokenTag(sealed: Bytes): Uint8Array {
  return sealed.slice(-tagBytes);
}

function requireVersion(reader: Reader): void {
  require(reader.take(version.length).every((byte, index) => byte === version[index]), 'version');
}

// ---- Challenge token -----------------------------------------------------------------------------------------------

export interface ChallengeToken {
  readonly clientId: bigint;
  readonly userData: Bytes;
}

/** 300 bytes. */
export function sealChallengeToken(key: Bytes, sequence: bigint, token: ChallengeToken): Uint8Array {
  const plaintext = concat(u64(token.clientId), padded(token.userData, 256));
  return seal(key, sequence, null, padded(plaintext, 300 - tagBytes));
}

export function openChallengeToken(key: Bytes, sequence: bigint, sealed: Bytes): ChallengeToken {
  const reader = new Reader(open(key, sequence, null, sealed));
  return { clientId: reader.u64(), userData: reader.take(256) };
}

// ---- Packets -------------------------------------------------------------------------------------------------------

export const packetType = {
  request: 0,
  denied: 1,
  challenge: 2,
  response: 3,
  keepAlive: 4,
  payload: 5,
  disconnect: 6,
} as const;

/** The types that each end takes; a REQUEST is no encrypted packet. */
export const takenByClient: readonly number[] = [1, 2, 4, 5, 6];
export const takenByServer: readonly number[] = [3, 4, 5, 6];

/** Whether replay protection applies. */
export function isReplayProtected(type: number): boolean {
  return type >= packetType.keepAlive;
}

/** 1,078 bytes, whatever the fields. */
export function encodeRequest(token: ClearPart & { readonly sealed: Bytes }): Uint8Array {
  return concat(u8(0), version, u64(token.protocolId), u64(token.expire), token.nonce, token.sealed);
}

export function decodeRequest(datagram: Bytes): ClearPart & { readonly sealed: Bytes } {
  require(datagram.length === 1078, 'size');
  const reader = new Reader(datagram);
  require(reader.u8() === packetType.request, 'prefix');
  requireVersion(reader);
  return {
    protocolId: reader.u64(),
    expire: reader.u64(),
    nonce: reader.take(24),
    sealed: reader.take(1024),
  };
}

/** Bytes of a sequence number without its high zero bytes: 1 to 8. */
export function sequenceBytes(sequence: bigint): number {
  let count = 1;
  while (count < 8 && sequence >> BigInt(8 * count) !== 0n) ++count;
  return count;
}

/** Of `prefix`: what an attacker cannot change unnoticed. */
export function packetAssociatedData(protocolId: bigint, prefix: number): Uint8Array {
  return concat(version, u64(protocolId), u8(prefix));
}

/** How a packet differs from a proper one. */
export interface Deformation {
  /** How many bytes the sequence number takes, more or fewer than it needs: 0 to 15, written into the prefix too. */
  readonly sequenceBytes?: number;
  /** Another prefix byte, authenticated as it stands. */
  readonly prefix?: number;
  /** The prefix byte that is authenticated, when it is another than the one sent. */
  readonly sealedPrefix?: number;
}

/** An encrypted packet: any type, any sequence number, any body. */
export function sealPacket(
  key: Bytes,
  protocolId: bigint,
  type: number,
  sequence: bigint,
  body: Bytes,
  deformation: Deformation = {},
): Uint8Array {
  const count = deformation.sequenceBytes ?? sequenceBytes(sequence);
  const prefix = deformation.prefix ?? (count << 4) | type;
  const ad = packetAssociatedData(protocolId, deformation.sealedPrefix ?? prefix);
  return concat(u8(prefix), littleEndian(sequence, count), seal(key, sequence, ad, body));
}

export interface PacketHeader {
  readonly prefix: number;
  readonly type: number;
  readonly sequence: bigint;
  /** Of prefix and sequence number. */
  readonly length: number;
}

/** The checks before the replay test, in the standard's order. */
export function decodeHeader(datagram: Bytes, taken: readonly number[]): PacketHeader {
  require(datagram.length >= 18, 'size');
  const reader = new Reader(datagram);
  const prefix = reader.u8();
  const type = prefix & 15;
  const count = prefix >> 4;
  require(type < 7, 'type');
  require(taken.includes(type), 'not for this end');
  require(count >= 1 && count <= 8, 'sequence bytes');
  require(datagram.length >= 1 + count + tagBytes, 'size');
  return { prefix, type, sequence: reader.unsigned(count), length: 1 + count };
}

/** The body; its size is not checked. */
export function openBody(key: Bytes, protocolId: bigint, header: PacketHeader, datagram: Bytes): Uint8Array {
  const ad = packetAssociatedData(protocolId, header.prefix);
  return open(key, header.sequence, ad, datagram.slice(header.length));
}

export function requireBodySize(type: number, size: number): void {
  const fixed: Readonly<Record<number, number>> = { 1: 0, 2: 308, 3: 308, 4: 8, 6: 0 };
  require(type === packetType.payload ? size >= 1 && size <= 1200 : size === fixed[type], 'body size');
}

export interface Packet {
  readonly type: number;
  readonly sequence: bigint;
  readonly body: Bytes;
}

/** All checks but that of replays. */
export function openPacket(
  key: Bytes,
  protocolId: bigint,
  datagram: Bytes,
  taken: readonly number[],
): Packet {
  const header = decodeHeader(datagram, taken);
  const body = openBody(key, protocolId, header, datagram);
  requireBodySize(header.type, body.length);
  return { type: header.type, sequence: header.sequence, body };
}

// ---- Bodies --------------------------------------------------------------------------------------------------------

/** Of CHALLENGE and RESPONSE. */
export interface ChallengeBody {
  readonly sequence: bigint;
  /** 300 bytes. */
  readonly token: Bytes;
}

export function encodeChallenge({ sequence, token }: ChallengeBody): Uint8Array {
  return concat(u64(sequence), token);
}

export function decodeChallenge(body: Bytes): ChallengeBody {
  const reader = new Reader(body);
  return { sequence: reader.u64(), token: reader.take(300) };
}

/** Of KEEP_ALIVE; a client sends zeros. */
export interface KeepAliveBody {
  readonly clientIndex: number;
  readonly maxClients: number;
}

export function encodeKeepAlive({ clientIndex, maxClients }: KeepAliveBody): Uint8Array {
  return concat(u32(clientIndex), u32(maxClients));
}

export function decodeKeepAlive(body: Bytes): KeepAliveBody {
  const reader = new Reader(body);
  return { clientIndex: reader.u32(), maxClients: reader.u32() };
}

// ---- Replay protection ---------------------------------------------------------------------------------------------

/** The sequence numbers received, of which those within 256 of the most recent one count. */
export class ReplayProtection {
  #mostRecent = 0n;
  readonly #received = new Set<bigint>();

  /** Before the packet is decrypted. */
  test(sequence: bigint): void {
    require(sequence + 256n > this.#mostRecent, 'older than the replay buffer');
    require(!this.#received.has(sequence), 'replayed');
  }

  /** After it was. */
  record(sequence: bigint): void {
    this.#received.add(sequence);
    if (sequence > this.#mostRecent) this.#mostRecent = sequence;
    for (const each of this.#received) {
      if (each + 256n <= this.#mostRecent) this.#received.delete(each);
    }
  }
}
