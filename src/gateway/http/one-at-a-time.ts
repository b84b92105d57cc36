// Keeps one connection from having many answers made at once.

import type { RequestListener } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Ends connections on which a request comes before the one ahead of it is answered. Node.js hands over every request of what it has read,
 * a thousand of 64 KiB, and keeps their answers for whoever does not take them. No browser, proxy or Prometheus sends requests so
 * (RFC 9112 section 9.3.2: whoever does must be prepared to send them again).
 *
 * @returns a listener that hands the other requests to `answerer`.
 */
export function oneAtATime(answerer: RequestListener): RequestListener {
  const busy = new WeakSet<Socket>();
  return (request, response) => {
    const { socket } = request;
    // What had been read together with the request that ended it.
    if (socket.destroyed) return;
    if (busy.has(socket)) {
      socket.destroy();
      return;
    }
    busy.add(socket);
    response.once('close', () => busy.delete(socket));
    answerer(request, response);
  };
}
