import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Address,
  addressesEqual,
  addressFromBinary,
  addressFromWire,
  addressToBinary,
  addressToWire,
  formatAddress,
  parseAddress,
  textFromBinary,
} from '../../src/base/address.js';

const argumentCode = expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' });

/** An address as bytes, so that the text side is tested against something that is not text. */
const anyIp = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  // Runs of zeros are where RFC 5952 has its rules.
  fc
    .array(fc.constantFrom(0, 0, 1, 0xab), { minLength: 16, maxLength: 16 })
    .map((bytes) => Uint8Array.from(bytes)),
);

function binary(ip: Uint8Array, port: number): Uint8Array {
  const bytes = new Uint8Array(24);
  bytes[0] = ip.length === 4 ? 1 : 2;
  new DataView(bytes.buffer).setUint16(2, port, true);
  bytes.set(ip, 8);
  return bytes;
}

const anyAddress = fc
  .tuple(anyIp, fc.integer({ min: 1, max: 65535 }))
  .map(([ip, port]) => addressFromBinary(binary(ip, port)))
  .filter((address): address is Address => address !== undefined);

describe('text', () => {
  test.each([
    ['1.2.3.4:5', '1.2.3.4', 5],
    ['0.0.0.0:0', '0.0.0.0', 0],
    ['[::1]:65535', '::1', 65535],
    ['[::]:4433', '::', 4433],
    ['[2001:DB8:0:0:1:0:0:1]:5', '2001:db8::1:0:0:1', 5],
    ['[2001:db8:0:1:1:1:1:1]:5', '2001:db8:0:1:1:1:1:1', 5],
    ['[2001:0:0:1:0:0:0:1]:5', '2001:0:0:1::1', 5],
    ['[1::]:5', '1::', 5],
    ['[::ffff:192.0.2.1]:5', '192.0.2.1', 5],
    ['[::FFFF:c000:201]:5', '192.0.2.1', 5],
    ['[64:ff9b::192.0.2.33]:5', '64:ff9b::c000:221', 5],
    ['[fe80::1%eth0]:5', 'fe80::1%eth0', 5],
    ['[FEBF::1%3]:5', 'febf::1%3', 5],
  ])('%s', (text, host, port) => {
    expect(parseAddress(text)).toEqual({ host, port });
  });

  test.each([
    '',
    ':5',
    'localhost:5',
    'example.com:443',
    '1.2.3.4',
    '1.2.3.4:',
    '1.2.3.4:65536',
    '1.2.3.4:-1',
    '1.2.3.4:5x',
    ' 1.2.3.4:5',
    '1.2.3.4:5\n',
    '1.2.3:5',
    '1.2.3.4.5:5',
    '1.2.3.256:5',
    '01.2.3.4:5',
    '0x1.2.3.4:5',
    '1.2.3.4%eth0:5',
    '[1.2.3.4]:5',
    '::1:5',
    '[::1]',
    '[::1:5',
    '[:1]:5',
    '[1:2]:5',
    '[1::2::3]:5',
    '[:::]:5',
    '[1:2:3:4:5:6:7:8:9]:5',
    '[1:2:3:4:5:6:7:8::]:5',
    '[12345::]:5',
    '[::g]:5',
    '[1.2.3.4::]:5',
    '[::1.2.3]:5',
    '[fe80::1%]:5',
    '[fe80::1%a b]:5',
    '[2001:db8::1%eth0]:5',
    '[::ffff:1.2.3.4%eth0]:5',
  ])('%j is refused', (text) => {
    expect(() => parseAddress(text)).toThrow(argumentCode);
  });

  test('a host name is told to be an IP address', () => {
    expect(() => parseAddress('example.com:443', 'addresses[2]')).toThrow(
      "addresses[2] must be an IP address such as '192.0.2.1' or '2001:db8::1', not a host name; got \"example.com\"",
    );
  });

  test('objects are checked field by field', () => {
    expect(parseAddress({ host: '::FFFF:1.2.3.4', port: 5 })).toEqual({ host: '1.2.3.4', port: 5 });
    for (const wrong of [null, 5, undefined, [], {}, { host: '1.2.3.4' }, { host: '1.2.3.4', port: '5' }]) {
      expect(() => parseAddress(wrong)).toThrow(argumentCode);
    }
    expect(() => parseAddress({ host: '1.2.3.4', port: 5, prot: 6 })).toThrow("did you mean 'port'?");
    expect(() => parseAddress({ host: '[::1]', port: 5 })).toThrow(argumentCode);
  });

  test('canonical text is a fixed point, and valid to Node', () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        expect(parseAddress(address)).toEqual(address);
        expect(parseAddress(formatAddress(address))).toEqual(address);
        expect(isIP(address.host)).not.toBe(0);
        // The WHATWG URL parser is an independent implementation of RFC 5952.
        const url = new URL(`udp://${formatAddress(address)}`);
        const host = address.host.includes(':') ? `[${address.host}]` : address.host;
        expect(url.hostname).toBe(host);
      }),
    );
  });

  test('any text is either refused with an argument error or read canonically', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\[?[0-9a-f:.%]{0,20}\]?:\d{0,6}$/)), (text) => {
        let address: Address;
        try {
          address = parseAddress(text);
        } catch (error) {
          expect(error).toEqual(argumentCode);
          return;
        }
        expect(parseAddress(formatAddress(address))).toEqual(address);
      }),
    );
  });

  test('addresses are equal by meaning', () => {
    expect(addressesEqual({ host: '::ffff:1.2.3.4', port: 5 }, { host: '1.2.3.4', port: 5 })).toBe(true);
    expect(addressesEqual({ host: '::1', port: 5 }, { host: '0:0::1', port: 5 })).toBe(true);
    expect(addressesEqual({ host: '::1', port: 5 }, { host: '::1', port: 6 })).toBe(false);
  });
});

describe('wire', () => {
  test('bytes of section 1', () => {
    expect(addressToWire({ host: '192.0.2.1', port: 0x1234 })).toEqual(
      Uint8Array.of(1, 192, 0, 2, 1, 0x34, 0x12),
    );
    expect(addressToWire({ host: '2001:db8::1', port: 5 })).toEqual(
      Uint8Array.of(2, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5, 0),
    );
  });

  test('round trip at any offset', () => {
    fc.assert(
      fc.property(anyAddress, fc.uint8Array({ maxLength: 9 }), (address, before) => {
        fc.pre(address.host !== '0.0.0.0' && address.host !== '::');
        const wire = Buffer.concat([before, addressToWire(address)]);
        expect(addressFromWire(wire, before.length)).toEqual({ address, end: wire.length });
        expect(addressFromWire(wire.subarray(0, -1), before.length)).toBeUndefined();
      }),
    );
  });

  test.each([
    { host: '1.2.3.4', port: 0 },
    { host: '0.0.0.0', port: 5 },
    { host: '::', port: 5 },
    { host: 'fe80::1%2', port: 5 },
  ])('%o cannot travel', (address) => {
    expect(() => addressToWire(address)).toThrow(argumentCode);
  });

  test.each([
    [[]],
    [[0, 1, 2, 3, 4, 5, 0]],
    [[3, 1, 2, 3, 4, 5, 0]],
    [[1, 1, 2, 3, 4, 0, 0]],
    [[1, 0, 0, 0, 0, 5, 0]],
    [[2, ...new Array<number>(16).fill(0), 5, 0]],
    [[2, ...new Array<number>(10).fill(0), 255, 255, 1, 2, 3, 4, 5, 0]],
  ])('%j is not an address', (bytes) => {
    expect(addressFromWire(Uint8Array.from(bytes), 0)).toBeUndefined();
  });
});

describe('binary form for the addon', () => {
  test('layout', () => {
    const bytes = addressToBinary({ host: 'fe80::2%7', port: 0x1234 });
    expect(bytes).toEqual(
      Uint8Array.of(2, 0, 0x34, 0x12, 7, 0, 0, 0, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2),
    );
    expect(addressFromBinary(bytes)).toEqual({ host: 'fe80::2%7', port: 0x1234 });
    expect(addressToBinary({ host: '1.2.3.4', port: 0 }).subarray(0, 13)).toEqual(
      Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0),
    );
  });

  test('round trip', () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        expect(addressFromBinary(addressToBinary(address))).toEqual(address);
        expect(textFromBinary(addressToBinary(address))).toBe(formatAddress(address));
      }),
    );
  });

  test('none, mapped, foreign scope, and nonsense', () => {
    expect(addressFromBinary(new Uint8Array(24))).toBeUndefined();
    expect(textFromBinary(new Uint8Array(24))).toBe('');
    const mapped = binary(Uint8Array.from([...new Array<number>(10).fill(0), 255, 255, 1, 2, 3, 4]), 5);
    expect(addressFromBinary(mapped)).toEqual({ host: '1.2.3.4', port: 5 });
    const scoped = binary(Uint8Array.from([...new Array<number>(15).fill(0), 1]), 5);
    scoped[4] = 1;
    expect(addressFromBinary(scoped)).toEqual({ host: '::1', port: 5 });
    const unknown = new Uint8Array(24);
    unknown[0] = 3;
    expect(() => addressFromBinary(unknown)).toThrow(argumentCode);
    expect(() => addressFromBinary(Uint8Array.of(1, 2))).toThrow(argumentCode);
    expect(() => addressFromBinary(new Uint8Array(0))).toThrow(argumentCode);
  });

  test('a zone by name is the index of that interface', () => {
    expect(() => addressToBinary({ host: 'fe80::1%no-such-interface', port: 5 })).toThrow(argumentCode);
    for (const [name, entries] of Object.entries(networkInterfaces())) {
      const entry = entries?.find((each) => each.family === 'IPv6' && each.scopeid !== 0);
      if (entry?.family !== 'IPv6') continue;
      const bytes = addressToBinary({ host: `fe80::1%${name}`, port: 5 });
      expect(new DataView(bytes.buffer).getUint32(4, true)).toBe(entry.scopeid);
    }
  });
});
