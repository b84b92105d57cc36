// The package under measurement as it is built in this tree, and what all programs agree on.
export { Client, connect, Server } from '../../dist/index.js';
export { createTokenMinter, formatKey, generateKey, parseKey } from '../../dist/token/index.js';

export const protocolId = 0x6265_6e63_68n;
