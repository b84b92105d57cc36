import { types } from 'node:util';
import { argumentError, describeSecret } from '../base/check.js';
import { fromBase64Url } from './base64url.js';
import { tokenInvalid } from './format.js';

/**
 * The bytes of a token that is given as they are or in its text form. They are not copied.
 *
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID when the text is none; ERR_HAWSER_ARGUMENT when it is neither.
 */
export function bytesOf(token: unknown): Uint8Array {
  if (types.isUint8Array(token)) return token;
  if (typeof token !== 'string') {
    throw argumentError('token', 'a Uint8Array or its text form', describeSecret(token));
  }
  const bytes = fromBase64Url(token);
  if (bytes === undefined) throw tokenInvalid('its text is not base64url without padding');
  return bytes;
}
