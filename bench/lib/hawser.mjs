// The package under measurement as it is built in this tree, and what all programs agree on.
import { reliable, unreliable } from '../../dist/index.js';

export { Client, connect, reliable, Server } from '../../dist/index.js';
export {
  createNetcodeTokenMinter,
  createTokenMinter,
  formatKey,
  generateKey,
  parseKey,
} from '../../dist/token/index.js';

export const protocolId = 0x6265_6e63_68n;

/** What both sides of the rows with many peers declare. */
export const channels = { data: reliable(), moves: unreliable() };
