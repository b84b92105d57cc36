// The layout of a connect token (docs/protocol.md section 2) and the rules that its maker and its reader both check.

import { type Address, addressFromWire } from '../base/address.js';
import { HawserError } from '../base/errors.js';

export const versionText = 'HAWSER 1';

/** Offsets in the token. Bytes 0 to `nonce` - 1 are the associated data of the private part. */
export const publicOffset = {
  version: 0,
  protocolId: 8,
  keyId: 16,
  flags: 20,
  createTime: 24,
  expireTime: 32,
  nonce: 40,
  sealed: 64,
  timeout: 1040,
  addressCount: 1044,
  reserved: 1046,
  clientToServerKey: 1048,
  serverToClientKey: 1080,
  addresses: 1112,
} as const;

/** Offsets in the plaintext of the private part. */
export const privateOffset = {
  clientId: 0,
  timeout: 8,
  addressCount: 12,
  userDataLength: 14,
  clientToServerKey: 16,
  serverToClientKey: 48,
  reserved: 80,
  variable: 96,
} as const;

export const nonceBytes = 24;
export const sessionKeyBytes = 32;
export const privateBytes = 960;
export const sealedBytes = 976;
/** What addresses and user data share. */
export const variableBytes = 864;
export const maxAddresses = 32;
export const minTimeoutMs = 1000;
export const maxTimeoutMs = 3_600_000;
export const flagSingleUse = 1;

/** The version, the fixed part and the least of one address; the fixed part and 32 IPv6 addresses. */
const minTokenBytes = 1119;
const maxTokenBytes = 1720;

/** What anyone who holds a token can read in it without a server key. */
export interface PublicToken {
  /** Which application the token is for. */
  readonly protocolId: bigint;
  /** Which server key seals the private part. */
  readonly keyId: number;
  /** Whether the token admits one session only. */
  readonly singleUse: boolean;
  /** Unix milliseconds by the backend's clock. */
  readonly createTimeMs: number;
  /** Unix milliseconds by the backend's clock; never before `createTimeMs`. */
  readonly expireTimeMs: number;
  /** After how long without anything authentic a connection made with it is given up: 1,000 to 3,600,000. */
  readonly timeoutMs: number;
  /** The gateways to try, in this order: 1 to 32. */
  readonly addresses: readonly Address[];
  /** 32 bytes; secret. */
  readonly clientToServerKey: Uint8Array;
  /** 32 bytes; secret. */
  readonly serverToClientKey: Uint8Array;
  /** 24 bytes. */
  readonly nonce: Uint8Array;
  /** The private part, 976 bytes; only a server key opens it. */
  readonly sealedPrivate: Uint8Array;
}

/** The plaintext of the private part. */
export interface PrivatePart {
  readonly clientId: bigint;
  readonly timeoutMs: number;
  readonly addresses: readonly Address[];
  readonly userData: Uint8Array;
  readonly clientToServerKey: Uint8Array;
  readonly serverToClientKey: Uint8Array;
}

export function tokenInvalid(reason: string): HawserError {
  return new HawserError('ERR_HAWSER_TOKEN_INVALID', `the connect token is invalid: ${reason}`);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/**
 * Reads the public part. The result shares no memory with `bytes`.
 *
 * @param bytes a whole token; hostile bytes are expected.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID when it breaks any rule of the layout.
 */
export function decodePublic(bytes: Uint8Array): PublicToken {
  if (bytes.length < minTokenBytes || bytes.length > maxTokenBytes) {
    throw tokenInvalid(`${bytes.length} bytes instead of ${minTokenBytes} to ${maxTokenBytes}`);
  }
  if (Buffer.from(bytes.subarray(0, 8)).toString('latin1') !== versionText) {
    throw tokenInvalid(`it does not begin with "${versionText}"`);
  }
  const view = viewOf(bytes);
  const flags = view.getUint32(publicOffset.flags, true);
  if ((flags & ~flagSingleUse) !== 0) throw tokenInvalid('it has unknown flags');
  const createTimeMs = decodeTime(view.getBigUint64(publicOffset.createTime, true));
  const expireTimeMs = decodeTime(view.getBigUint64(publicOffset.expireTime, true));
  if (createTimeMs > expireTimeMs) throw tokenInvalid('it expires before it was created');
  if (expireTimeMs > BigInt(Number.MAX_SAFE_INTEGER)) throw tokenInvalid('it expires after 2^53 - 1 ms');
  if (view.getUint16(publicOffset.reserved, true) !== 0) throw tokenInvalid('a reserved field is not zero');
  const count = view.getUint16(publicOffset.addressCount, true);
  const { addresses, end } = decodeAddresses(bytes, publicOffset.addresses, count);
  if (end !== bytes.length) throw tokenInvalid('there are bytes behind the last address');
  const slice = (offset: number, length: number): Uint8Array =>
    Uint8Array.from(bytes.subarray(offset, offset + length));
  return {
    protocolId: view.getBigUint64(publicOffset.protocolId, true),
    keyId: view.getUint32(publicOffset.keyId, true),
    singleUse: (flags & flagSingleUse) !== 0,
    createTimeMs,
    expireTimeMs,
    timeoutMs: decodeTimeout(view.getUint32(publicOffset.timeout, true)),
    addresses,
    clientToServerKey: slice(publicOffset.clientToServerKey, sessionKeyBytes),
    serverToClientKey: slice(publicOffset.serverToClientKey, sessionKeyBytes),
    nonce: slice(publicOffset.nonce, nonceBytes),
    sealedPrivate: slice(publicOffset.sealed, sealedBytes),
  };
}

/**
 * Reads the plaintext of the private part. The result shares no memory with `plaintext`.
 *
 * @param plaintext exactly 960 bytes, authenticated but possibly made by a faulty minter.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID when it breaks any rule of the layout.
 */
export function decodePrivate(plaintext: Uint8Array): PrivatePart {
  const view = viewOf(plaintext);
  const slice = (offset: number, length: number): Uint8Array => plaintext.slice(offset, offset + length);
  if (!allZero(plaintext.subarray(privateOffset.reserved, privateOffset.variable))) {
    throw tokenInvalid('a reserved field of the private part is not zero');
  }
  const count = view.getUint16(privateOffset.addressCount, true);
  const { addresses, end } = decodeAddresses(plaintext, privateOffset.variable, count);
  const userDataLength = view.getUint16(privateOffset.userDataLength, true);
  if (end + userDataLength > privateBytes)
    throw tokenInvalid('the user data is longer than the private part');
  if (!allZero(plaintext.subarray(end + userDataLength))) throw tokenInvalid('the padding is not zero');
  return {
    clientId: view.getBigUint64(privateOffset.clientId, true),
    timeoutMs: decodeTimeout(view.getUint32(privateOffset.timeout, true)),
    addresses,
    userData: slice(end, userDataLength),
    clientToServerKey: slice(privateOffset.clientToServerKey, sessionKeyBytes),
    serverToClientKey: slice(privateOffset.serverToClientKey, sessionKeyBytes),
  };
}

function decodeAddresses(
  bytes: Uint8Array,
  offset: number,
  count: number,
): { addresses: Address[]; end: number } {
  if (count < 1 || count > maxAddresses) {
    throw tokenInvalid(`it lists ${count} addresses instead of 1 to ${maxAddresses}`);
  }
  const addresses: Address[] = [];
  let end = offset;
  for (let index = 0; index < count; ++index) {
    const read = addressFromWire(bytes, end);
    if (read === undefined) throw tokenInvalid(`its address ${index + 1} of ${count} is not valid`);
    addresses.push(read.address);
    end = read.end;
  }
  return { addresses, end };
}

/** Times end at 2^53 - 1, so that every implementation can compute with them exactly. */
function decodeTime(time: bigint): number {
  if (time <= Number.MAX_SAFE_INTEGER) return Number(time);
  throw tokenInvalid('a time is above 2^53 - 1 ms');
}

function decodeTimeout(timeoutMs: number): number {
  if (timeoutMs >= minTimeoutMs && timeoutMs <= maxTimeoutMs) return timeoutMs;
  throw tokenInvalid(`its timeout is ${timeoutMs} ms instead of ${minTimeoutMs} to ${maxTimeoutMs}`);
}

function allZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
