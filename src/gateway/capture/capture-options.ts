// What a capture can be told, checked: from JavaScript, from a command line, or over the control socket.

import { type Address, parseAddress } from '../../base/address.js';
import {
  argumentError,
  checkBoolean,
  checkInteger,
  checkOptions,
  checkString,
  describe,
} from '../../base/check.js';
import type { CaptureOptions } from './capture.js';

/** The most bytes of a datagram. */
export const maxSnapLengthBytes = 65_535;
const minSnapLengthBytes = 64;
const maxAddressLength = 100;

/** {@link CaptureOptions} with its defaults. */
export interface CheckedCaptureOptions {
  readonly listener: string | undefined;
  /** Port 0 stands for every port. */
  readonly address: Address | undefined;
  readonly plaintext: boolean;
  readonly snapLengthBytes: number;
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkCaptureOptions(options: unknown): CheckedCaptureOptions {
  if (typeof options !== 'object' || options === null)
    throw argumentError('options', 'an object', describe(options));
  const { listener, address, plaintext, snapLengthBytes } = checkOptions('options', options, [
    'listener',
    'address',
    'plaintext',
    'snapLengthBytes',
  ]);
  return {
    listener: listener === undefined ? undefined : checkString('listener', listener, 1, 64),
    address: address === undefined ? undefined : checkCaptureAddress(address),
    plaintext: plaintext === undefined ? false : checkBoolean('plaintext', plaintext),
    snapLengthBytes: checkInteger(
      'snapLengthBytes',
      snapLengthBytes ?? maxSnapLengthBytes,
      minSnapLengthBytes,
      maxSnapLengthBytes,
    ),
  };
}

/**
 * Reads `192.0.2.1`, `192.0.2.1:4433`, `2001:db8::1` or `[2001:db8::1]:4433`; without a port it is 0.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkCaptureAddress(value: unknown): Address {
  const text = checkString('address', value, 1, maxAddressLength);
  const hasPort = /^(?:\[.*\]|[^:]*):\d+$/.test(text);
  if (hasPort) return parseAddress(text);
  return parseAddress(text.includes(':') ? `[${text.replace(/^\[|\]$/g, '')}]:0` : `${text}:0`);
}
