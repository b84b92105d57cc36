// How a process that runs is asked from another one of its user: over a Unix socket (on Windows a named pipe) that only its owner can use, a
// line of JSON each way, or a line and then a stream of bytes. What either side can make the other keep is bounded. The asking side is
// control-client.ts.

import { once, setMaxListeners } from 'node:events';
import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { isMainThread } from 'node:worker_threads';
import { unlessAborted } from './abort.js';
import { checkControlPath, parseLine, reachControl, readLine, systemError } from './control-line.js';
import { HawserError } from './errors.js';
import { withFileLock } from './file-lock.js';
import { systemCode, systemReason } from './system-error.js';

/** Bytes without a known end, as an answer. */
export class ControlStream {
  readonly mediaType: string;
  readonly content: AsyncIterable<Uint8Array>;
  /** Makes `content` end: nobody reads any more. Called once, also after its end. */
  readonly end: () => void;

  constructor(mediaType: string, content: AsyncIterable<Uint8Array>, end: () => void) {
    this.mediaType = mediaType;
    this.content = content;
    this.end = end;
  }
}

/**
 * What answers. What it returns goes through JSON, but for a {@link ControlStream}; what it throws is told by its message, and its code where
 * it has one of this package.
 *
 * @param request any object.
 * @param signal aborted when who asked is gone, or the socket is closed.
 */
export type ControlHandler = (
  request: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
) => Promise<unknown>;

/** What a control socket is of. */
export interface ControlSocketOptions {
  /** For messages: `SAE`, `gateway`. */
  readonly served: string;
  /** Of the text of an error; by default its message alone. */
  readonly describeError?: (error: unknown) => string;
}

const maxRequestBytes = 4096;
const maxConnections = 16;
/** For who says nothing. */
const requestTimeoutMs = 10_000;
/** For who does not read what it asked for. */
const answerTimeoutMs = 30_000;
/** For others that open a socket of the same path. */
const lockTimeoutMs = 5000;
/** For who has not taken its answer when the socket is closed. */
const closeGraceMs = 1000;

/** A control socket that is open. */
export interface ControlServer {
  /** Answers nobody any more, ends what is under way and removes the socket. */
  close(): Promise<void>;
}

/**
 * Opens the socket, in place of one that a process that was killed has left: of several that do so at a time one opens it. At most 16 may ask
 * at a time, each in 4,096 bytes that come within 10 s; further connections are closed at once.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT when the path cannot be one or is a file of another kind, ERR_HAWSER_ADDRESS_IN_USE when another
 *   process listens there, ERR_HAWSER_PERMISSION, ERR_HAWSER_SYSTEM (rejects).
 */
export async function openControlSocket(
  path: string,
  handle: ControlHandler,
  options: ControlSocketOptions,
): Promise<ControlServer> {
  checkControlPath(path);
  const ending = new AbortController();
  setMaxListeners(maxConnections, ending.signal);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
    void serve(socket, handle, options, ending.signal);
  });
  server.maxConnections = maxConnections;
  await openAt(path, server, options.served);
  return {
    close: async () => {
      ending.abort();
      const closed = once(server, 'close');
      // This removes the socket's file too.
      server.close();
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, closeGraceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Windows keeps the name of a pipe for one process, and no longer than that lives. */
async function openAt(path: string, server: Server, served: string): Promise<void> {
  if (process.platform === 'win32') return listen(server, path, served);
  try {
    await withFileLock(`${path}.lock`, lockTimeoutMs, async () => {
      await removeLeftOver(path, served);
      await listen(server, path, served);
    });
  } catch (error) {
    if (!(error instanceof HawserError)) throw cannotOpen(path, error);
    throw error.code === 'ERR_HAWSER_TIMED_OUT' ? inUse(path, served) : error;
  }
}

async function listen(server: Server, path: string, served: string): Promise<void> {
  const listening = once(server, 'listening');
  if (isMainThread && process.platform !== 'win32') {
    // The socket is made in this call: nobody else can open it, not even for a moment.
    const mask = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(mask);
    }
  } else {
    server.listen(path);
  }
  try {
    await listening;
  } catch (error) {
    throw systemCode(error) === 'EADDRINUSE' ? inUse(path, served) : cannotOpen(path, error);
  }
  // A worker thread has no umask of its own to set. On Windows a pipe can be written to by its owner, administrators and the system.
  if (!isMainThread && process.platform !== 'win32') chmodSync(path, 0o600);
}

function cannotOpen(path: string, error: unknown): HawserError {
  return systemError(
    systemCode(error),
    `cannot open the control socket ${path}: ${systemReason(error)}`,
    error,
  );
}

function inUse(path: string, served: string): HawserError {
  const article = /^(SAE|[aeiou])/.test(served) ? 'an' : 'a';
  return new HawserError(
    'ERR_HAWSER_ADDRESS_IN_USE',
    `${article} ${served} runs with the control socket ${path} already`,
  );
}

/** Only who holds the lock may call it: what it looks at is not replaced meanwhile. */
async function removeLeftOver(path: string, served: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new HawserError(
      'ERR_HAWSER_ARGUMENT',
      `${path}, the path of the control socket, is something else`,
    );
  }
  if (await isServed(path, served)) throw inUse(path, served);
  rmSync(path, { force: true });
}

async function isServed(path: string, served: string): Promise<boolean> {
  const socket = await reachControl(path, `the ${served}`);
  socket?.destroy();
  return socket !== undefined;
}

async function serve(
  socket: Socket,
  handle: ControlHandler,
  options: ControlSocketOptions,
  ending: AbortSignal,
): Promise<void> {
  const gone = new AbortController();
  socket.once('close', () => gone.abort());
  const over = AbortSignal.any([gone.signal, ending]);
  const answer = await answerOf(socket, handle, options, over);
  if (answer instanceof ControlStream) await pour(answer, socket, gone.signal, over);
  else tell(answer, socket);
  socket.destroySoon();
}

async function answerOf(
  socket: Socket,
  handle: ControlHandler,
  { served, describeError = messageOf }: ControlSocketOptions,
  signal: AbortSignal,
): Promise<ControlStream | string> {
  try {
    const line = await readLine(socket, {
      maxBytes: maxRequestBytes,
      signal,
      endedText: 'no request came',
      timeoutMs: requestTimeoutMs,
    });
    // What else comes is not kept, but its end is noticed.
    socket.resume();
    const result = await unlessClosing(handle(parseLine(line), signal), signal, served);
    // Here, where what cannot be JSON becomes an answer.
    return result instanceof ControlStream ? result : JSON.stringify({ result });
  } catch (error) {
    socket.resume();
    const code = error instanceof HawserError ? { code: error.code } : undefined;
    return JSON.stringify({ error: describeError(error), ...code });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Nobody waits for what goes on after the end. */
async function unlessClosing<T>(work: Promise<T>, signal: AbortSignal, served: string): Promise<T> {
  try {
    return await unlessAborted(work, signal);
  } catch (error) {
    // A stream that comes now will be read by nobody.
    work.then((late) => late instanceof ControlStream && late.end()).catch(() => undefined);
    throw signal.aborted ? new HawserError('ERR_HAWSER_CLOSED', `the ${served} is closing`) : error;
  }
}

/** @param answer in JSON. */
function tell(answer: string, socket: Socket): void {
  socket.setTimeout(answerTimeoutMs, () => socket.destroy());
  socket.end(`${answer}\n`);
}

/**
 * Asks for the next bytes when those before are taken, so that a slow reader makes nobody keep them.
 *
 * @param gone aborted when nobody reads. @param over also when the stream has to end.
 */
async function pour(
  stream: ControlStream,
  socket: Socket,
  gone: AbortSignal,
  over: AbortSignal,
): Promise<void> {
  let hasEnded = false;
  const end = (): void => {
    if (!hasEnded) stream.end();
    hasEnded = true;
  };
  over.addEventListener('abort', end, { once: true });
  if (over.aborted) end();
  try {
    socket.write(`${JSON.stringify({ stream: stream.mediaType })}\n`);
    for await (const bytes of stream.content) {
      if (gone.aborted) break;
      if (!socket.write(bytes)) await once(socket, 'drain', { signal: gone });
    }
  } catch {
    // The reader sees that it ends early. Who made the stream tells why.
    socket.destroy();
  } finally {
    over.removeEventListener('abort', end);
    end();
  }
}
