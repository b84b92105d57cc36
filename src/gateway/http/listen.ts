// Binds an HTTP server, and says why where that fails.

import type { Server } from 'node:http';
import { type Address, formatAddress } from '../../base/address.js';
import { HawserError, type HawserErrorCode } from '../../base/errors.js';
import { systemCode } from '../../base/system-error.js';

const reasons: Readonly<Record<string, readonly [HawserErrorCode, string]>> = {
  EADDRINUSE: ['ERR_HAWSER_ADDRESS_IN_USE', 'another program listens there'],
  EACCES: ['ERR_HAWSER_PERMISSION', 'this user may not listen there'],
  EADDRNOTAVAIL: ['ERR_HAWSER_ADDRESS_NOT_AVAILABLE', 'it is no address of this machine'],
  EMFILE: ['ERR_HAWSER_TOO_MANY_FILES', 'the process has no file descriptor left'],
};

/**
 * Has `server` listen on an address.
 *
 * @param what it is for, as it completes "cannot listen on 127.0.0.1:80 for".
 * @returns where it is reached, with the port that was bound: `http://127.0.0.1:4490`.
 * @throws HawserError (rejects) ERR_HAWSER_ADDRESS_IN_USE, ERR_HAWSER_ADDRESS_NOT_AVAILABLE, ERR_HAWSER_PERMISSION,
 * ERR_HAWSER_TOO_MANY_FILES, ERR_HAWSER_SYSTEM.
 */
export function listenHttp(server: Server, address: Address, what: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      const [code, reason] = reasons[systemCode(error) ?? ''] ?? ['ERR_HAWSER_SYSTEM', error.message];
      const message = `cannot listen on ${formatAddress(address)} for ${what}: ${reason}`;
      reject(new HawserError(code, message, { cause: error }));
    };
    server.once('error', onError);
    server.listen(address.port, address.host, () => {
      server.off('error', onError);
      const bound = server.address();
      const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
      resolve(`http://${formatAddress({ host: address.host, port })}`);
    });
  });
}
