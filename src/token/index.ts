// hawser/token: connect tokens and server keys without the native addon, for the backend that admits clients.

export type { Address } from '../base/address.js';
export { errorTable, HawserError, type HawserErrorCode } from '../base/errors.js';
export type { PublicToken } from './format.js';
export {
  createTokenMinter,
  type MintTokenOptions,
  mintToken,
  type TokenClient,
  type TokenMinter,
  type TokenMinterOptions,
} from './mint.js';
export type { PublicNetcodeToken } from './netcode-format.js';
export type { NetcodeKey } from './netcode-key.js';
export {
  createNetcodeTokenMinter,
  type MintNetcodeTokenOptions,
  mintNetcodeToken,
  type NetcodeTokenClient,
  type NetcodeTokenMinter,
  type NetcodeTokenMinterOptions,
} from './netcode-mint.js';
export {
  decodeNetcodeToken,
  encodeNetcodeToken,
  openNetcodeToken,
  type PrivateNetcodeToken,
} from './netcode-open.js';
export { decodeToken, encodeToken, openToken, type PrivateToken, tokenId } from './open.js';
export type { RandomSource } from './random.js';
export { formatKey, type GenerateKeyOptions, generateKey, parseKey, type ServerKey } from './server-key.js';
