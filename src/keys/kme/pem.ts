// Checks of certificates and private keys for TLS, as PEM.

import { types } from 'node:util';
import { argumentError, describe, describeSecret } from '../../base/check.js';

const maxPemLength = 1_048_576;

/** @throws HawserError ERR_HAWSER_ARGUMENT, with nothing of it. */
export function checkPem(name: string, value: unknown): string | Buffer {
  const rule = 'PEM, as a string or its bytes';
  if (typeof value === 'string') {
    if (value.length <= maxPemLength && value.includes('-----BEGIN ')) return value;
    throw argumentError(name, rule, describeSecret(value));
  }
  if (types.isUint8Array(value) && value.length > 0 && value.length <= maxPemLength)
    return Buffer.from(value);
  throw argumentError(name, rule, describe(value));
}
