// What a capture can be told, from whoever has the control socket.

import { describe, expect, test } from 'vitest';
import { checkCaptureAddress, checkCaptureOptions } from '../../../src/gateway/capture/capture-options.js';

describe('the options of a capture', () => {
  test('have defaults: all listeners, everybody, no plaintext, whole datagrams', () => {
    expect(checkCaptureOptions({})).toEqual({
      listener: undefined,
      address: undefined,
      plaintext: false,
      snapLengthBytes: 65_535,
    });
  });

  test.each([
    ['192.0.2.1', { host: '192.0.2.1', port: 0 }],
    ['192.0.2.1:4433', { host: '192.0.2.1', port: 4433 }],
    ['2001:db8::1', { host: '2001:db8::1', port: 0 }],
    ['[2001:db8::1]', { host: '2001:db8::1', port: 0 }],
    ['[2001:db8::1]:4433', { host: '2001:db8::1', port: 4433 }],
    ['::ffff:192.0.2.1', { host: '192.0.2.1', port: 0 }],
  ])('an address may be %s', (text, address) => {
    expect(checkCaptureAddress(text)).toEqual(address);
  });

  test.each([
    [null],
    [[]],
    [{ plaintext: 'yes' }],
    [{ plaintext: 1 }],
    [{ snapLengthBytes: 63 }],
    [{ snapLengthBytes: 65_536 }],
    [{ snapLengthBytes: '100' }],
    [{ listener: '' }],
    [{ listener: 'x'.repeat(65) }],
    [{ address: '' }],
    [{ address: 'localhost' }],
    [{ address: '192.0.2' }],
    [{ address: '192.0.2.1:65536' }],
    [{ address: '1'.repeat(101) }],
    [{ plainText: true }],
  ])('%j is refused', (options) => {
    expect(() => checkCaptureOptions(options)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
  });
});
