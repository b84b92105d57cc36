// What an SAE that runs answers to `hawser sae rotate` and `hawser sae status`.

import { HawserError } from '../base/errors.js';
import type { RotationResult } from '../keys/agent/events.js';
import type { Sae } from '../keys/agent/sae.js';
import { CommandError } from './errors.js';
import type { ControlHandler } from './sae-control.js';

/** Answers for an SAE. */
export function controlHandler(sae: Sae): ControlHandler {
  return async (request, signal) => {
    if (request.command === 'status') return sae.status();
    const { peer, leadMs } = request;
    const { peers } = sae.status();
    const masterOf = peers.filter(({ role }) => role !== 'slave').map(({ peerSaeId }) => peerSaeId);
    const wanted = peer ?? onlyOne(masterOf);
    if (!peers.some(({ peerSaeId }) => peerSaeId === wanted)) {
      throw new CommandError(`there is no peer ${wanted}`);
    }
    if (!masterOf.includes(wanted)) {
      throw new CommandError(`this SAE is the slave of ${wanted}: ask the master, which begins rotations`);
    }
    return rotate(sae, wanted, leadMs, signal);
  };
}

function onlyOne(peers: readonly string[]): string {
  const [first, ...others] = peers;
  if (first === undefined)
    throw new CommandError('this SAE is the slave of all its peers: ask their masters');
  if (others.length === 0) return first;
  throw new CommandError(`say which peer with --peer: ${peers.slice(0, 10).join(', ')}`);
}

/** Who asked may be gone before it is through: then it goes on by itself. */
async function rotate(
  sae: Sae,
  peer: string,
  leadMs: number | undefined,
  signal: AbortSignal,
): Promise<RotationResult> {
  try {
    return await sae.rotate(peer, { signal, ...(leadMs !== undefined && { leadMs }) });
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_ABORTED') {
      throw new CommandError('the SAE is closing; the rotation goes on after its next start');
    }
    throw error;
  }
}
