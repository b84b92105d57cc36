// One peer in full, printed: `hawser top --peer`.

import type { PeerDetail } from '../gateway/snapshot.js';
import { CommandError } from './errors.js';
import { askRunning } from './find-gateway.js';
import { pause } from './signals.js';
import { type Paint, print, printableJson } from './terminal.js';
import { printableTexts } from './top-model.js';
import { detailLines } from './top-peers.js';

/** How many may have a client id that begins with the one that is asked for. */
const searchLimit = 1000;
const betweenMs = 1000;

/**
 * Prints what a gateway says of one peer, with the rates of one second; with `json` as one line.
 *
 * @param path of the control socket of the gateway.
 * @param wanted a client id, or the id of a peer in the gateway's lists.
 * @throws CommandError when it is not connected; HawserError as `askGateway` (rejects).
 */
export async function printPeer(
  path: string,
  wanted: string,
  json: boolean,
  paint: Paint,
  signal: AbortSignal,
): Promise<void> {
  const id = wanted.includes(':') ? wanted : await idOf(path, wanted, signal);
  const first = await seen(path, id, wanted, signal);
  if (json) {
    await print(printableJson(JSON.stringify(first.peer)));
    return;
  }
  await pause(betweenMs, signal);
  const { peer, timeMs } = await seen(path, id, wanted, signal);
  await print(detailLines(peer, timeMs, first, paint).join('\n'));
}

async function idOf(path: string, clientId: string, signal: AbortSignal): Promise<string> {
  const query = { search: clientId, limit: searchLimit, order: 'newest' } as const;
  const { peers } = await askRunning(path, { command: 'peers', query }, signal);
  const found = peers.find((peer) => peer.clientId === clientId);
  if (found === undefined) throw notConnected(clientId);
  return found.id;
}

async function seen(
  path: string,
  id: string,
  wanted: string,
  signal: AbortSignal,
): Promise<{ readonly peer: PeerDetail; readonly timeMs: number }> {
  const { timeMs } = await askRunning(path, { command: 'snapshot' }, signal);
  const peer = await askRunning(path, { command: 'peer', id }, signal);
  if (peer === null) throw notConnected(wanted);
  return { peer: printableTexts(peer), timeMs };
}

function notConnected(wanted: string): CommandError {
  return new CommandError(`no peer ${wanted} is connected to this gateway`);
}
