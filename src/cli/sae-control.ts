// How `hawser sae rotate` and `hawser sae status` talk to the SAE that runs.

import { askControlSocket } from '../base/control-client.js';
import { type ControlServer, openControlSocket } from '../base/control-socket.js';
import { CommandError, describeError } from './errors.js';

/** What can be asked. */
export type ControlRequest =
  | { readonly command: 'status' }
  | {
      readonly command: 'rotate';
      /** Undefined for every peer that this SAE is the master of. */
      readonly peer: string | undefined;
      /** How long from now; undefined for what is configured. */
      readonly leadMs: number | undefined;
    };

/** What answers. What it returns goes through JSON; what it throws is told by its message. */
export type ControlHandler = (request: ControlRequest, signal: AbortSignal) => Promise<unknown>;

const served = 'SAE';
/** Who asks may give up, and the SAE may be killed. */
const endedText = 'the SAE ended before it answered; a rotation that has begun goes on after its next start';

/**
 * Opens the socket, in place of one that an SAE that was killed has left.
 *
 * @throws HawserError as `openControlSocket` (rejects).
 */
export function openControl(path: string, handle: ControlHandler): Promise<ControlServer> {
  return openControlSocket(path, async (request, signal) => handle(readRequest(request), signal), {
    served,
    describeError,
  });
}

function readRequest(given: Readonly<Record<string, unknown>>): ControlRequest {
  if (given.command === 'status') return { command: 'status' };
  const { peer, leadMs } = given;
  const hasPeer = peer === undefined || typeof peer === 'string';
  const hasLead = leadMs === undefined || typeof leadMs === 'number';
  if (given.command === 'rotate' && hasPeer && hasLead) return { command: 'rotate', peer, leadMs };
  throw new CommandError('the SAE does not know of this request: it may be of another version');
}

/**
 * Asks the SAE that runs.
 *
 * @param signal gives up waiting.
 * @returns what it answered; undefined when none runs.
 * @throws HawserError what it refused, or that it did not answer, as `askControlSocket` (rejects).
 */
export async function askControl(
  path: string,
  request: ControlRequest,
  signal: AbortSignal,
): Promise<{ readonly result: unknown } | undefined> {
  const answer = await askControlSocket(path, request, { signal, served, endedText });
  if (answer === undefined || 'result' in answer) return answer;
  throw new CommandError('the SAE answered with something else: it may be of another version');
}
