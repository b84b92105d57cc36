// The asking side of a control socket: a request, and its answer or a stream of bytes.

import { checkControlPath, parseLine, reachControl, readLine } from './control-line.js';
import { errorTable, HawserError, type HawserErrorCode } from './errors.js';

/** The status of 10,000 peers. */
const maxAnswerBytes = 64 * 1024 * 1024;

/** Who is asked, and for how long. */
export interface AskOptions {
  /** Gives up waiting. */
  readonly signal: AbortSignal;
  /** For messages: `SAE`, `gateway`. */
  readonly served: string;
  /** What to say when the other side ends before it has answered. */
  readonly endedText: string;
}

/** What came. */
export type ControlAnswer =
  | { readonly result: unknown }
  | {
      readonly mediaType: string;
      /** Bytes until the other side ends; whoever stops reading early ends the other side's work. */
      readonly content: AsyncIterable<Uint8Array>;
    };

/**
 * Asks whoever listens on a control socket.
 *
 * @returns what it answered; undefined when nobody listens there.
 * @throws HawserError (rejects) with the code and the message of the other side when it refused (ERR_HAWSER_STATUS where it named none);
 *   ERR_HAWSER_CONNECTION_LOST when it ended before it answered, or `signal` was aborted; ERR_HAWSER_PROTOCOL when it answered with something
 *   else; ERR_HAWSER_ARGUMENT for a path that is none; ERR_HAWSER_PERMISSION, ERR_HAWSER_SYSTEM.
 */
export async function askControlSocket(
  path: string,
  request: Readonly<Record<string, unknown>>,
  { signal, served, endedText }: AskOptions,
): Promise<ControlAnswer | undefined> {
  checkControlPath(path);
  const socket = await reachControl(path, `the ${served}`);
  if (socket === undefined) return undefined;
  let isStream = false;
  try {
    socket.write(`${JSON.stringify(request)}\n`);
    const answer = parseLine(await readLine(socket, { maxBytes: maxAnswerBytes, signal, endedText }));
    if (typeof answer.error === 'string') throw new HawserError(codeOf(answer.code), answer.error);
    if (typeof answer.stream !== 'string') return { result: answer.result };
    isStream = true;
    signal.addEventListener('abort', () => socket.destroy(), { once: true });
    return { mediaType: answer.stream, content: bytesOf(socket) };
  } finally {
    if (!isStream) socket.destroy();
  }
}

async function* bytesOf(socket: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of socket) if (bytes instanceof Uint8Array) yield bytes;
  } catch (error) {
    // Whoever gave up has destroyed it.
    const isOwn = error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE';
    if (!isOwn) throw error;
  }
}

function codeOf(code: unknown): HawserErrorCode {
  return isCode(code) ? code : 'ERR_HAWSER_STATUS';
}

function isCode(code: unknown): code is HawserErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorTable, code);
}
