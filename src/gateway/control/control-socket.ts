// The control socket of a gateway: how `hawser top`, `capture`, `reload` and `drain` reach one that runs.

import { type ControlServer, ControlStream, openControlSocket } from '../../base/control-socket.js';
import { checkCaptureOptions } from '../capture/capture-options.js';
import type { ObservedGateway } from '../observed-gateway.js';
import { readGatewayRequest } from './control-requests.js';

/** Of the bytes of a capture. */
export const captureMediaType = 'application/x-pcapng';

/** What `drain` is answered with, as soon as it has begun. */
export interface DrainAnswer {
  /** Its process, which ends when it has drained. */
  readonly pid: number;
  /** When it will end at the latest, in Unix milliseconds; null if it is not known. */
  readonly drainsUntilMs: number | null;
}

/**
 * Opens the control socket of a gateway, in place of one that a gateway that was killed has left. Only its owner can use it (mode 0600).
 *
 * `drain` is answered when it has begun: leave the socket open until the gateway has stopped, so that who waits can see it.
 *
 * @param path as `defaultControlPath` gives it, or another.
 * @throws HawserError (rejects) ERR_HAWSER_ADDRESS_IN_USE when a gateway runs with it already, ERR_HAWSER_ARGUMENT when there can be no socket
 *   of that path, ERR_HAWSER_PERMISSION, ERR_HAWSER_SYSTEM.
 */
export function openGatewayControl(gateway: ObservedGateway, path: string): Promise<ControlServer> {
  return openControlSocket(path, (request) => answer(gateway, request), { served: 'gateway' });
}

/** What is not there is null: JSON has no undefined. */
async function answer(gateway: ObservedGateway, given: Readonly<Record<string, unknown>>): Promise<unknown> {
  const request = readGatewayRequest(given);
  switch (request.command) {
    case 'snapshot':
      return gateway.snapshot();
    case 'peers':
      return gateway.peers(request.query);
    case 'peer':
      return gateway.peer(request.id) ?? null;
    case 'sessions':
      return gateway.sessions(request.query) ?? null;
    case 'reload':
      return gateway.reload();
    case 'drain':
      return drain(gateway);
    case 'capture':
      return captureStream(gateway, request.options);
  }
}

function drain(gateway: ObservedGateway): DrainAnswer {
  // The gateway says in its log when it fails.
  gateway.drain().catch(() => undefined);
  const { pid, drainsUntilMs } = gateway.snapshot();
  return { pid, drainsUntilMs };
}

function captureStream(gateway: ObservedGateway, given: Readonly<Record<string, unknown>>): ControlStream {
  checkCaptureOptions(given);
  const capture = gateway.capture(given);
  return new ControlStream(captureMediaType, capture, () => capture[Symbol.dispose]());
}
