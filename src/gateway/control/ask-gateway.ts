// The asking side of a gateway's control socket.

import { askControlSocket, type ControlAnswer } from '../../base/control-client.js';
import { HawserError } from '../../base/errors.js';
import type { ReloadReport } from '../observed-gateway.js';
import type { GatewaySnapshot, PeerDetail, PeersPage, SessionsPage } from '../snapshot.js';
import type { GatewayRequest } from './control-requests.js';
import type { DrainAnswer } from './control-socket.js';

/** What each command is answered with. */
export interface GatewayAnswers {
  readonly snapshot: GatewaySnapshot;
  readonly peers: PeersPage;
  /** Null when it is not connected. */
  readonly peer: PeerDetail | null;
  /** Null without the layer `sessions`. */
  readonly sessions: SessionsPage | null;
  readonly reload: ReloadReport;
  readonly drain: DrainAnswer;
}

/** A request that is answered with JSON. */
export type PlainRequest = Exclude<GatewayRequest, { readonly command: 'capture' }>;

const endedText = 'the gateway ended before it answered';

/**
 * Asks a gateway that runs.
 *
 * @param signal gives up.
 * @returns what it answered; undefined when no gateway listens at that path.
 * @throws HawserError as `askControlSocket`; ERR_HAWSER_PROTOCOL also when the answer is not what this version knows (rejects).
 */
export async function askGateway<R extends PlainRequest>(
  path: string,
  request: R,
  signal: AbortSignal = new AbortController().signal,
): Promise<GatewayAnswers[R['command']] | undefined> {
  const answer = await ask(path, request, signal);
  if (answer === undefined) return undefined;
  if (!('result' in answer) || !shapes[request.command](answer.result)) throw otherVersion();
  // Its outline was looked at just now, and the socket is this user's own.
  return answer.result as GatewayAnswers[R['command']];
}

/**
 * Has a gateway send a stream of bytes: a capture. It ends when the gateway stops, or when no more is read.
 *
 * @param signal ends it.
 * @returns undefined when no gateway listens at that path.
 * @throws HawserError as `askGateway` (rejects).
 */
export async function streamFromGateway(
  path: string,
  request: Extract<GatewayRequest, { readonly command: 'capture' }>,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const answer = await ask(path, request, signal);
  if (answer === undefined) return undefined;
  if (!('content' in answer)) throw otherVersion();
  return answer.content;
}

async function ask(
  path: string,
  request: GatewayRequest,
  signal: AbortSignal,
): Promise<ControlAnswer | undefined> {
  return askControlSocket(path, { ...request }, { signal, served: 'gateway', endedText });
}

function otherVersion(): HawserError {
  return new HawserError(
    'ERR_HAWSER_PROTOCOL',
    'the gateway answered with something else than this version knows: it may be of another version',
  );
}

/** The outlines of answers: what would make their readers fail if it were not there. */
const shapes: { readonly [C in keyof GatewayAnswers]: (answer: unknown) => boolean } = {
  snapshot: (answer) =>
    isRecord(answer) &&
    hasAll(answer, 'string', ['name', 'version', 'state']) &&
    hasAll(answer, 'number', ['timeMs', 'startedAtMs', 'pid']) &&
    isRecord(answer.process) &&
    hasAll(answer.process, 'number', ['cpuMicros', 'rssBytes']) &&
    isRecord(answer.process.loopDelayMs) &&
    isRecord(answer.layers) &&
    isList(answer.listeners, isListener),
  peers: (answer) => isRecord(answer) && hasAll(answer, 'number', ['total']) && isList(answer.peers, isPeer),
  peer: (answer) => answer === null || isPeer(answer),
  sessions: (answer) => answer === null || (isRecord(answer) && isList(answer.sessions, isRecord)),
  reload: (answer) =>
    isRecord(answer) && [answer.keyIds, answer.changed, answer.needRestart].every(Array.isArray),
  drain: (answer) => isRecord(answer) && hasAll(answer, 'number', ['pid']),
};

function isListener(value: unknown): boolean {
  return (
    isRecord(value) &&
    hasAll(value, 'string', ['name', 'address', 'driver']) &&
    hasAll(value, 'number', ['peers', 'maxPeers', 'memoryBytes']) &&
    [value.counters, value.drops, value.socket].every(isRecord) &&
    [value.layers, value.wires].every(Array.isArray) &&
    isRecord(value.rttMs) &&
    [value.rttMs.bounds, value.rttMs.counts].every(Array.isArray)
  );
}

function isPeer(value: unknown): boolean {
  return (
    isRecord(value) &&
    hasAll(value, 'string', ['id', 'listener', 'clientId', 'address', 'wire']) &&
    hasAll(value, 'number', ['connectedAtMs', 'rttMs', 'packetsSent', 'packetsReceived', 'packetsLost'])
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isList(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(isItem);
}

function hasAll(
  value: Readonly<Record<string, unknown>>,
  type: 'string' | 'number',
  names: readonly string[],
): boolean {
  return names.every((name) => typeof value[name] === type);
}
