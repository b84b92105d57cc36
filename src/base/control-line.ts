// What both ends of a control socket do with it: reach it, and read a line of JSON of bounded length.

import { connect, type Socket } from 'node:net';
import { HawserError } from './errors.js';
import { systemCode, systemReason } from './system-error.js';

/** sun_path of Linux, without the zero at the end; other systems have less. */
const maxPathBytes = process.platform === 'linux' ? 107 : 103;

/** @throws HawserError ERR_HAWSER_ARGUMENT when no Unix socket can have this path. The names of Windows's pipes have no such limit. */
export function checkControlPath(path: string): void {
  if (process.platform === 'win32' || Buffer.byteLength(path) <= maxPathBytes) return;
  throw new HawserError(
    'ERR_HAWSER_ARGUMENT',
    `the path of the control socket is longer than ${maxPathBytes} bytes, which no Unix socket can have: ${path}; name another as "control" in the configuration`,
  );
}

/**
 * @param served what is reached, for messages: `the SAE`.
 * @returns undefined when nobody listens there.
 * @throws HawserError ERR_HAWSER_PERMISSION, ERR_HAWSER_SYSTEM (rejects).
 */
export function reachControl(path: string, served: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      // A loss is the end of what is read.
      socket.on('error', () => socket.destroy());
      resolve(socket);
    });
    socket.once('error', (error) => {
      const code = systemCode(error);
      if (code === 'ENOENT' || code === 'ECONNREFUSED') resolve(undefined);
      else reject(systemError(code, `cannot reach ${served} at ${path}: ${systemReason(error)}`, error));
    });
  });
}

/** @param code of the system, `EACCES`. */
export function systemError(code: string | undefined, message: string, cause: unknown): HawserError {
  const isForbidden = code === 'EACCES' || code === 'EPERM';
  return new HawserError(isForbidden ? 'ERR_HAWSER_PERMISSION' : 'ERR_HAWSER_SYSTEM', message, { cause });
}

/** How a line is waited for. */
export interface LineOptions {
  readonly maxBytes: number;
  /** Gives up. */
  readonly signal: AbortSignal;
  /** What is wrong when the other side ends before the line is through, or `signal` is aborted. */
  readonly endedText: string;
  /** No limit by default. */
  readonly timeoutMs?: number;
}

/**
 * The first line. What comes behind it stays in the socket, which is paused.
 *
 * @throws HawserError ERR_HAWSER_CONNECTION_LOST, ERR_HAWSER_PROTOCOL (too long), ERR_HAWSER_TIMED_OUT (rejects).
 */
export function readLine(
  socket: Socket,
  { maxBytes, signal, endedText, timeoutMs }: LineOptions,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let length = 0;
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.off('data', onData).off('close', onEnd).off('end', onEnd).pause();
      signal.removeEventListener('abort', onEnd);
      settle();
    };
    const fail = (error: HawserError): void => finish(() => reject(error));
    const onEnd = (): void => fail(new HawserError('ERR_HAWSER_CONNECTION_LOST', endedText));
    const onData = (bytes: Buffer): void => {
      const end = bytes.indexOf(0x0a);
      const part = end < 0 ? bytes : bytes.subarray(0, end);
      parts.push(part);
      length += part.length;
      if (length > maxBytes) {
        fail(new HawserError('ERR_HAWSER_PROTOCOL', `a line of more than ${maxBytes} bytes`));
      } else if (end >= 0) {
        finish(() => {
          if (end + 1 < bytes.length) socket.unshift(bytes.subarray(end + 1));
          resolve(Buffer.concat(parts).toString('utf8'));
        });
      }
    };
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => fail(new HawserError('ERR_HAWSER_TIMED_OUT', 'no request came')), timeoutMs);
    socket.on('data', onData).on('close', onEnd).on('end', onEnd);
    signal.addEventListener('abort', onEnd);
    if (signal.aborted) onEnd();
  });
}

/** @throws HawserError ERR_HAWSER_PROTOCOL when it is no object in JSON. */
export function parseLine(text: string): Readonly<Record<string, unknown>> {
  try {
    const content: unknown = JSON.parse(text);
    if (typeof content === 'object' && content !== null && !Array.isArray(content)) return { ...content };
  } catch {
    // Told below.
  }
  throw new HawserError('ERR_HAWSER_PROTOCOL', 'what came over the control socket is no line of JSON');
}
