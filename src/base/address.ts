// IP addresses with a UDP port: their text, their bytes in tokens and frames (docs/protocol.md section 1), and their bytes
// on the way to and from the addon. Nothing here asks a resolver.

import { networkInterfaces } from 'node:os';
import { argumentError, checkInteger, checkOptions, checkString, describe } from './check.js';

/**
 * An IP address and a UDP port. `host` is in canonical form: dotted decimal, or RFC 5952 for IPv6 without brackets, with
 * `%zone` behind it only where a link-local address needs one. An IPv4-mapped IPv6 address is written as IPv4.
 */
export interface Address {
  /** An IP address, as Node writes it, with the zone of a link-local one. */
  readonly host: string;
  /** 0 to 65535; 0 means "any" and only makes sense where a socket is bound. */
  readonly port: number;
}

/** What an address is to a machine: 4 or 16 bytes in network order, and the zone of a link-local IPv6 address or ''. */
interface Ip {
  readonly bytes: Uint8Array;
  readonly zone: string;
}

const ipv4Bytes = 4;
const ipv6Bytes = 16;
const maxPort = 65_535;

const addressRule = "an IP address and a port such as '192.0.2.1:4433' or '[2001:db8::1]:4433'";
const ipRule = "an IP address such as '192.0.2.1' or '2001:db8::1', not a host name";

/**
 * Reads `1.2.3.4:5`, `[::1]:5`, `[fe80::1%eth0]:5` or an object with host and port, and returns it in canonical form.
 *
 * @param value the text or object.
 * @param name what to call it in an error.
 * @throws HawserError ERR_HAWSER_ARGUMENT when it is anything else; host names are not resolved.
 */
export function parseAddress(value: unknown, name = 'address'): Address {
  if (typeof value === 'string') return parseAddressText(value, name);
  if (typeof value !== 'object' || value === null) throw argumentError(name, addressRule, describe(value));
  const { host, port } = checkOptions(name, value, ['host', 'port']);
  return {
    host: formatIp(parseIp(checkString(`${name}.host`, host), `${name}.host`)),
    port: checkInteger(`${name}.port`, port, 0, maxPort),
  };
}

/**
 * As {@link parseAddress}, for an address that other machines send to.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT also for port 0 and an unspecified address.
 */
export function parseDestination(value: unknown, name = 'address'): Address {
  const address = parseAddress(value, name);
  const refuse = (rule: string): Error => argumentError(name, rule, describe(textOf(address)));
  if (address.port === 0) throw refuse('an address with a port other than 0');
  if (address.host === '0.0.0.0' || address.host === '::') {
    throw refuse('the address of one machine, not the unspecified address');
  }
  return address;
}

function parseAddressText(text: string, name: string): Address {
  const match = /^(?:\[([^[\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) throw argumentError(name, addressRule, describe(text));
  const [, bracketed, plain, port] = match;
  const ip = parseIp(bracketed ?? plain ?? '', name);
  // Brackets mark IPv6 and nothing else: `[1.2.3.4]:5` is far more likely a slip than a wish.
  if ((bracketed !== undefined) !== (bracketed?.includes(':') ?? false)) {
    throw argumentError(name, addressRule, describe(text));
  }
  return { host: formatIp(ip), port: checkInteger(`the port of ${name}`, Number(port), 0, maxPort) };
}

/** The text that {@link parseAddress} reads: `host:port`, with brackets around IPv6. */
export function formatAddress(address: Address): string {
  return textOf(parseAddress(address));
}

/** @param address in canonical form. */
function textOf({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether both mean the same endpoint, however they are written. */
export function addressesEqual(a: Address, b: Address): boolean {
  return formatAddress(a) === formatAddress(b);
}

// ---- IP text -------------------------------------------------------------------------------------------------------

function parseIp(text: string, name: string): Ip {
  const percent = text.indexOf('%');
  const zone = percent < 0 ? '' : text.slice(percent + 1);
  const bytes = parseIpv4(text) ?? parseIpv6(percent < 0 ? text : text.slice(0, percent));
  if (bytes === undefined || (percent >= 0 && zone === '')) throw argumentError(name, ipRule, describe(text));
  if (zone !== '' && !(/^[\w.:-]+$/.test(zone) && isLinkLocal(bytes))) {
    throw argumentError(name, 'without a zone (%) unless it is a link-local IPv6 address', describe(text));
  }
  return { bytes: unmapped(bytes), zone };
}

/** Strict dotted decimal: a leading zero is refused, because some readers take such a number for octal. */
function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== ipv4Bytes) return undefined;
  if (!parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return undefined;
  return Uint8Array.from(parts, Number);
}

/** RFC 4291 section 2.2, all three forms. */
function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = ipv6Bytes - head.length - tail.length;
  // "::" stands for at least one group.
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined;
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

/** The bytes of groups between colons; the last group may be dotted decimal where `dottedEnd`. */
function parseGroups(text: string, dottedEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const groups = text.split(':');
  const bytes: number[] = [];
  for (const [index, group] of groups.entries()) {
    const dotted = dottedEnd && index === groups.length - 1 ? parseIpv4(group) : undefined;
    if (dotted !== undefined) {
      bytes.push(...dotted);
    } else if (/^[0-9a-f]{1,4}$/i.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else {
      return undefined;
    }
  }
  return bytes;
}

function formatIp({ bytes, zone }: Ip): string {
  if (bytes.length === ipv4Bytes) return bytes.join('.');
  return formatIpv6(bytes) + (zone === '' ? '' : `%${zone}`);
}

/** RFC 5952 section 4: lower case, no leading zeros, the first of the longest runs of two or more zero groups is "::". */
function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  let start = -1;
  let length = 1;
  for (let from = 0; from < groups.length; ++from) {
    let to = from;
    while (groups[to] === 0) ++to;
    if (to - from > length) {
      start = from;
      length = to - from;
    }
  }
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  return start < 0 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

function isLinkLocal(bytes: Uint8Array): boolean {
  return bytes.length === ipv6Bytes && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}

function isMapped(bytes: Uint8Array): boolean {
  return (
    bytes.length === ipv6Bytes &&
    bytes.subarray(0, 10).every((byte) => byte === 0) &&
    bytes[10] === 0xff &&
    bytes[11] === 0xff
  );
}

/** ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2) as a.b.c.d: a dual-stack socket writes IPv4 peers so. */
function unmapped(bytes: Uint8Array): Uint8Array {
  return isMapped(bytes) ? bytes.slice(12) : bytes;
}

// ---- Wire ----------------------------------------------------------------------------------------------------------

/** The most bytes that one address takes on the wire. */
export const maxWireAddressBytes = 19;

/**
 * The encoding of docs/protocol.md section 1: 7 bytes for IPv4, 19 for IPv6.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT for what other machines cannot use: port 0, an unspecified address, a zone.
 */
export function addressToWire(address: Address, name = 'address'): Uint8Array {
  const { host, port } = parseDestination(address, name);
  const { bytes, zone } = parseIp(host, name);
  if (zone !== '') {
    const rule = 'without a zone: it means something on this machine only';
    throw argumentError(name, rule, describe(textOf({ host, port })));
  }
  const wire = new Uint8Array(1 + bytes.length + 2);
  wire[0] = bytes.length === ipv4Bytes ? 1 : 2;
  wire.set(bytes, 1);
  new DataView(wire.buffer).setUint16(1 + bytes.length, port, true);
  return wire;
}

/**
 * Reads one address of the encoding above.
 *
 * @param bytes any bytes; hostile ones are expected.
 * @param offset where the address begins.
 * @returns the address and the offset behind it, or undefined when there is no valid one.
 */
export function addressFromWire(
  bytes: Uint8Array,
  offset: number,
): { address: Address; end: number } | undefined {
  const kind = bytes[offset];
  if (kind !== 1 && kind !== 2) return undefined;
  const portOffset = offset + 1 + (kind === 1 ? ipv4Bytes : ipv6Bytes);
  const end = portOffset + 2;
  if (end > bytes.length) return undefined;
  const ip = bytes.slice(offset + 1, portOffset);
  const port = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint16(portOffset, true);
  if (port === 0 || isMapped(ip) || ip.every((byte) => byte === 0)) return undefined;
  return { address: { host: formatIp({ bytes: ip, zone: '' }), port }, end };
}

// ---- Addon ---------------------------------------------------------------------------------------------------------

/** Bytes of the fixed form that crosses into the addon and back. */
export const binaryAddressBytes = 24;

/**
 * The fixed form for the addon: u8 family (1 IPv4, 2 IPv6), u8 0, u16 port, u32 scope id, ip[16] with IPv4 in the first
 * four bytes; integers little-endian.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT when the zone names no interface of this machine.
 */
export function addressToBinary(address: Address, name = 'address'): Uint8Array {
  const { host, port } = parseAddress(address, name);
  const { bytes, zone } = parseIp(host, name);
  const binary = new Uint8Array(binaryAddressBytes);
  const view = new DataView(binary.buffer);
  view.setUint8(0, bytes.length === ipv4Bytes ? 1 : 2);
  view.setUint16(2, port, true);
  view.setUint32(4, zone === '' ? 0 : scopeId(zone, name), true);
  binary.set(bytes, 8);
  return binary;
}

/**
 * The address in the fixed form above, or undefined for family 0 ("none"). A scope id becomes a numeric zone: looking up
 * its name would cost a system call per address.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT for fewer than 24 bytes or an unknown family.
 */
export function addressFromBinary(binary: Uint8Array): Address | undefined {
  const family = binary[0];
  if (family === 0) return undefined;
  if ((family !== 1 && family !== 2) || binary.length < binaryAddressBytes) {
    throw argumentError('binary', 'an address of 24 bytes with family 0, 1 or 2', describe(binary));
  }
  const view = new DataView(binary.buffer, binary.byteOffset, binaryAddressBytes);
  const bytes = unmapped(binary.slice(8, 8 + (family === 1 ? ipv4Bytes : ipv6Bytes)));
  const scope = view.getUint32(4, true);
  // RFC 4007 section 6: a scope id tells link-local addresses apart and means nothing on others.
  const zone = scope !== 0 && isLinkLocal(bytes) ? String(scope) : '';
  return { host: formatIp({ bytes, zone }), port: view.getUint16(2, true) };
}

/**
 * The text of what `addressFromBinary` returns, without a further check: it is asked for by thousands.
 *
 * @returns '' for none.
 * @throws HawserError ERR_HAWSER_ARGUMENT for what is no binary address.
 */
export function textFromBinary(binary: Uint8Array): string {
  const address = addressFromBinary(binary);
  return address === undefined ? '' : textOf(address);
}

/** The index of the interface that a zone names; a number stands for itself (RFC 4007 section 11.2). */
function scopeId(zone: string, name: string): number {
  if (/^[1-9]\d{0,9}$/.test(zone) && Number(zone) <= 0xffff_ffff) return Number(zone);
  for (const entry of networkInterfaces()[zone] ?? []) {
    if (entry.family === 'IPv6' && entry.scopeid !== 0) return entry.scopeid;
  }
  throw argumentError(name, 'in a zone that is an interface of this machine with IPv6', describe(zone));
}
