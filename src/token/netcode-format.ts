// The layout of a connect token of netcode 1.02 (its standard, section "Connect Token") and the rules that its maker and its
// reader both check. Everything is little-endian, the groups of IPv6 addresses too.

import { type Address, addressFromBinary, addressToWire, binaryAddressBytes } from '../base/address.js';
import type { Wire } from '../base/wire.js';
import { tokenInvalid, versionText, viewOf } from './format.js';

/** With a NUL behind it, the first 13 bytes of a token. */
export const netcodeVersion: Uint8Array = new TextEncoder().encode('NETCODE 1.02\0');

/** Offsets in the token. What is at `shared` depends on the addresses: see {@link SharedPart}. */
export const netcodePublicOffset = {
  version: 0,
  protocolId: 13,
  createTime: 21,
  expireTime: 29,
  nonce: 37,
  sealed: 61,
  shared: 1085,
} as const;

/** Offsets in the plaintext of the private part. The user data follows the shared part, and zeros follow that. */
export const netcodePrivateOffset = { clientId: 0, shared: 8 } as const;

export const netcodeTokenBytes = 2048;
export const netcodePrivateBytes = 1008;
export const netcodeSealedBytes = 1024;
export const netcodeUserDataBytes = 256;

const nonceBytes = 24;
const sessionKeyBytes = 32;
const maxAddresses = 32;
const ipv4Bytes = 4;
const ipv6Bytes = 16;

/** What anyone who holds a netcode token can read in it without the private key. */
export interface PublicNetcodeToken {
  /** Which application the token is for. */
  readonly protocolId: bigint;
  /** Unix milliseconds by the backend's clock, of a whole second; Infinity above 2^53 - 1. */
  readonly createTimeMs: number;
  /** As `createTimeMs`, and never before it. A token that never expires has Infinity. */
  readonly expireTimeMs: number;
  /** After how long without anything authentic a connection made with it is given up; 0: never. */
  readonly timeoutMs: number;
  /** The servers to try, in this order: 1 to 32. Their ports and hosts are as they stand in the token, 0 included. */
  readonly addresses: readonly Address[];
  /** 32 bytes; secret. */
  readonly clientToServerKey: Uint8Array;
  /** 32 bytes; secret. */
  readonly serverToClientKey: Uint8Array;
  /** 24 bytes. */
  readonly nonce: Uint8Array;
  /** The private part, 1,024 bytes; only the private key opens it. */
  readonly sealedPrivate: Uint8Array;
}

/** The plaintext of the private part. */
export interface PrivateNetcodePart extends SharedPart {
  readonly clientId: bigint;
  /** 256 bytes: the format does not tell how many of them the backend gave. */
  readonly userData: Uint8Array;
}

/** What stands in both parts, in the same bytes. */
interface SharedPart {
  readonly timeoutMs: number;
  readonly addresses: readonly Address[];
  readonly clientToServerKey: Uint8Array;
  readonly serverToClientKey: Uint8Array;
}

/** Which wire format a token is of, by its first bytes; undefined when it is none. What follows is not looked at. */
export function wireOfToken(token: Uint8Array): Wire | undefined {
  if (beginsWith(token, netcodeVersion)) return 'netcode';
  return beginsWith(token, Buffer.from(versionText, 'latin1')) ? 'hawser' : undefined;
}

function beginsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return start.every((byte, index) => bytes[index] === byte);
}

/**
 * The associated data of the private part: version, protocol id and expire time, 29 bytes.
 *
 * @param token a whole token.
 */
export function netcodeAssociatedData(token: Uint8Array): Uint8Array {
  return Buffer.concat([
    token.subarray(netcodePublicOffset.version, netcodePublicOffset.createTime),
    token.subarray(netcodePublicOffset.expireTime, netcodePublicOffset.nonce),
  ]);
}

/**
 * An address as a token has it: 7 bytes for IPv4, 19 for IPv6.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT for what other machines cannot use: port 0, an unspecified address, a zone.
 */
export function netcodeAddress(address: Address, name: string): Uint8Array {
  const bytes = addressToWire(address, name);
  if (bytes[0] === 2) swapGroups(bytes.subarray(1, 1 + ipv6Bytes));
  return bytes;
}

/** Turns the eight groups of an IPv6 address from network order to the token's, and back. */
function swapGroups(ip: Uint8Array): void {
  Buffer.from(ip.buffer, ip.byteOffset, ip.length).swap16();
}

/**
 * Reads the public part. The padding is not looked at. The result shares no memory with `bytes`.
 *
 * @param bytes a whole token; hostile bytes are expected.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID when it breaks a rule of the layout.
 */
export function decodePublicNetcode(bytes: Uint8Array): PublicNetcodeToken {
  if (bytes.length !== netcodeTokenBytes) {
    throw tokenInvalid(`${bytes.length} bytes instead of ${netcodeTokenBytes}`);
  }
  if (!beginsWith(bytes, netcodeVersion)) throw tokenInvalid('it does not begin with "NETCODE 1.02"');
  const view = viewOf(bytes);
  const createTime = view.getBigUint64(netcodePublicOffset.createTime, true);
  const expireTime = view.getBigUint64(netcodePublicOffset.expireTime, true);
  if (createTime > expireTime) throw tokenInvalid('it expires before it was created');
  return {
    protocolId: view.getBigUint64(netcodePublicOffset.protocolId, true),
    createTimeMs: millisecondsOf(createTime),
    expireTimeMs: millisecondsOf(expireTime),
    ...decodeShared(bytes, netcodePublicOffset.shared).part,
    nonce: copyOf(bytes, netcodePublicOffset.nonce, nonceBytes),
    sealedPrivate: copyOf(bytes, netcodePublicOffset.sealed, netcodeSealedBytes),
  };
}

/**
 * Reads the plaintext of the private part. The padding is not looked at. The result shares no memory with `plaintext`.
 *
 * @param plaintext exactly 1,008 bytes, authenticated but possibly made by a faulty minter.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID when it breaks a rule of the layout.
 */
export function decodePrivateNetcode(plaintext: Uint8Array): PrivateNetcodePart {
  const { part, end } = decodeShared(plaintext, netcodePrivateOffset.shared);
  return {
    clientId: viewOf(plaintext).getBigUint64(netcodePrivateOffset.clientId, true),
    ...part,
    userData: copyOf(plaintext, end, netcodeUserDataBytes),
  };
}

// 32 IPv6 addresses end before either part does, user data included: what is read here is there.
function decodeShared(bytes: Uint8Array, offset: number): { part: SharedPart; end: number } {
  const view = viewOf(bytes);
  const timeoutSeconds = view.getInt32(offset, true);
  const count = view.getUint32(offset + 4, true);
  if (count < 1 || count > maxAddresses) {
    throw tokenInvalid(`it lists ${count} addresses instead of 1 to ${maxAddresses}`);
  }
  const addresses: Address[] = [];
  let end = offset + 8;
  for (let index = 0; index < count; ++index) {
    const read = decodeAddress(bytes, end);
    if (read === undefined) throw tokenInvalid(`its address ${index + 1} of ${count} is not valid`);
    addresses.push(read.address);
    end = read.end;
  }
  const part = {
    timeoutMs: Math.max(0, timeoutSeconds) * 1000,
    addresses,
    clientToServerKey: copyOf(bytes, end, sessionKeyBytes),
    serverToClientKey: copyOf(bytes, end + sessionKeyBytes, sessionKeyBytes),
  };
  return { part, end: end + 2 * sessionKeyBytes };
}

/** Types 1 and 2 with any host and port: the standard has no rule for them, and a client merely finds nobody there. */
function decodeAddress(bytes: Uint8Array, offset: number): { address: Address; end: number } | undefined {
  const type = bytes[offset];
  if (type !== 1 && type !== 2) return undefined;
  const ip = copyOf(bytes, offset + 1, type === 1 ? ipv4Bytes : ipv6Bytes);
  const portOffset = offset + 1 + ip.length;
  if (type === 2) swapGroups(ip);
  const binary = new Uint8Array(binaryAddressBytes);
  binary[0] = type;
  binary.set(bytes.subarray(portOffset, portOffset + 2), 2);
  binary.set(ip, 8);
  const address = addressFromBinary(binary);
  return address === undefined ? undefined : { address, end: portOffset + 2 };
}

/** Not slice(): that of a Buffer shares its memory. */
function copyOf(bytes: Uint8Array, offset: number, length: number): Uint8Array {
  return Uint8Array.from(bytes.subarray(offset, offset + length));
}

function millisecondsOf(seconds: bigint): number {
  const milliseconds = seconds * 1000n;
  return milliseconds <= Number.MAX_SAFE_INTEGER ? Number(milliseconds) : Number.POSITIVE_INFINITY;
}
