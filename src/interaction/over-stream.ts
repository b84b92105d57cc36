// A message connection over TCP or TLS, as devices and controllers that run mash-go speak it: whole messages over a byte
// stream, each with its length in front.

import * as net from 'node:net';
import * as tls from 'node:tls';
import { argumentError, checkFunction, checkInteger, checkOptions, describe } from '../base/check.js';
import { type Clock, systemClock, type Timer } from '../base/clock.js';
import { HawserError } from '../base/errors.js';
import { isolate, warnOfListenerError } from '../base/isolate.js';
import { checkReceiver, type MessageConnection, type MessageReceiver } from '../base/message-connection.js';
import { FrameDecoder, frame } from './framing.js';
import { mashMessageBytes } from './mash-codec.js';

/** Options of a message connection over a byte stream. */
export interface StreamOptions {
  /**
   * The longest message that is sent or accepted, in bytes, 1 to 16,777,216; 8,192 by default, as in mash-go. Messages in our own format
   * take up to 65,536.
   */
  readonly maxMessageBytes?: number;
  /**
   * More bytes than this never wait to be sent: `send` throws ERR_HAWSER_QUEUE_FULL. Above `maxMessageBytes` + 4 (the length in front of a
   * message), to 1,073,741,824; 1,048,576 by default, or room for two of the longest messages if that is more.
   */
  readonly maxQueuedBytes?: number;
  /**
   * With more bytes than this waiting to be sent, `send` returns false: 1 to where one more message is sure to find room, which is
   * `maxQueuedBytes` - `maxMessageBytes` - 4; 65,536 by default, or the greatest allowed if that is less.
   */
  readonly highWaterBytes?: number;
  /**
   * Told what the application's own code threw, and where: `accept`, or `message`, `drained` or `closed` of a receiver. The connection is
   * closed, others go on. Without this it is counted and becomes a warning of the process.
   */
  readonly listenerError?: (error: unknown, source: StreamErrorSource) => void;
  /** The machine's by default, whose timers do not keep a process alive. */
  readonly clock?: Clock;
}

/** Where an error of the application came from. */
export type StreamErrorSource = 'accept' | 'message' | 'drained' | 'closed';

/** The names of {@link StreamOptions}. */
export const streamOptionNames = [
  'maxMessageBytes',
  'highWaterBytes',
  'maxQueuedBytes',
  'listenerError',
  'clock',
] as const;
const greatestMessageBytes = 16_777_216;
const greatestQueuedBytes = 1_073_741_824;
const lengthBytes = 4;
/** So many messages of one connection are delivered before others have their turn. */
const messagesPerTurn = 256;

/** How long the other side may take to end a connection that this one has ended; then it is cut off. */
const endTimeoutMs = 5_000;

/**
 * Speaks over a socket that is connected; a TLS socket must be past its handshake, with a certificate that was accepted.
 *
 * A message that declares to be empty or too long, and an end within a message, close the connection, and so does an error that the
 * receiver throws: `closed` is told ERR_HAWSER_CONNECTION_LOST with the cause, as it is for an error of the socket. An end between two
 * messages is the other side's wish, and `closed` is told undefined; nothing in the stream tells it from the end of a process that was
 * killed. Messages that are sent in one turn of the event loop leave in one write. `close` sends what waits, then ends the stream; a side
 * that does not end it in turn within 5 s is cut off. Its reason stays here, for a stream has no place for it.
 *
 * @param socket nothing else may read from it or write to it.
 * @param attach called once, with what to send by: makes what the messages go to. When it throws, the socket is destroyed.
 * @returns what `attach` returned.
 * @throws HawserError ERR_HAWSER_ARGUMENT; ERR_HAWSER_NOT_CONNECTED; what `attach` throws.
 */
export function overStream<R extends MessageReceiver>(
  socket: net.Socket,
  attach: (connection: MessageConnection) => R,
  options: StreamOptions = {},
): R {
  checkOptions('options', options, streamOptionNames);
  if (!(socket instanceof net.Socket)) throw argumentError('socket', 'a net.Socket', describe(socket));
  checkFunction('attach', attach);
  return attachTo(socket, (connection) => checkReceiver('attach', attach(connection)), settingsOf(options));
}

/** Options that are checked. */
export type Settings = Required<StreamOptions>;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function settingsOf(options: StreamOptions): Settings {
  const {
    clock = systemClock,
    listenerError = warnOfListenerError,
    maxMessageBytes = mashMessageBytes,
  } = options;
  const longest = checkInteger('maxMessageBytes', maxMessageBytes, 1, greatestMessageBytes) + lengthBytes;
  const { maxQueuedBytes = Math.max(2 * longest, 1_048_576) } = options;
  checkInteger('maxQueuedBytes', maxQueuedBytes, longest + 1, greatestQueuedBytes);
  // Whoever finds the queue full is above the mark, and so is told when there is room.
  const greatestHighWaterBytes = maxQueuedBytes - longest;
  const { highWaterBytes = Math.min(greatestHighWaterBytes, 65_536) } = options;
  checkInteger('highWaterBytes', highWaterBytes, 1, greatestHighWaterBytes);
  checkFunction('listenerError', listenerError);
  return { maxMessageBytes, maxQueuedBytes, highWaterBytes, listenerError, clock };
}

/** How long whole messages may take. */
export interface Patience {
  /** To the first message; false for any time. */
  readonly firstMs: number | false;
  /** From the first byte of a message to its last. */
  readonly eachMs: number;
  readonly expired: () => void;
}

export type Attach<R extends MessageReceiver> = (connection: MessageConnection) => R;

/** As {@link overStream}, with options that are checked. */
export function attachTo<R extends MessageReceiver>(
  socket: net.Socket,
  attach: Attach<R>,
  settings: Settings,
  patience?: Patience,
): R {
  if (!isReady(socket)) {
    throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'the socket is not connected, or not secured yet');
  }
  if (socket.readableEncoding !== null) {
    throw argumentError(
      'socket',
      'one that yields bytes',
      `one with the encoding ${socket.readableEncoding}`,
    );
  }
  const connection = new StreamConnection(socket, settings);
  try {
    const receiver = attach(connection);
    connection.start(receiver, patience);
    return receiver;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Whether it is connected and, where it is one of TLS, past its handshake. */
export function isReady(socket: net.Socket): boolean {
  if (socket.pending || !socket.readable || !socket.writable) return false;
  return !(socket instanceof tls.TLSSocket) || socket.getPeerFinished() !== undefined;
}

class StreamConnection implements MessageConnection {
  readonly detectsLoss = false;
  readonly #socket: net.Socket;
  readonly #settings: Settings;
  readonly #decoder: FrameDecoder;
  /** Undefined before `start`, and once `closed` was told. */
  #receiver: MessageReceiver | undefined;
  #patience: Patience | undefined;
  /** Ends the time that a message has. */
  #awaited: Timer | undefined;
  /** Ends the time that the other side has to end the stream in turn. */
  #ending: Timer | undefined;
  /** Messages go either way. */
  #open = true;
  /** What was sent in this turn of the loop, with its lengths. */
  #gathered: Uint8Array[] = [];
  #gatheredBytes = 0;
  /** `send` has returned false, and `drained` was not told since. */
  #isFull = false;

  constructor(socket: net.Socket, settings: Settings) {
    this.#socket = socket;
    this.#settings = settings;
    this.#decoder = new FrameDecoder(settings.maxMessageBytes);
  }

  /** Whatever happens to the socket is told from here on. */
  start(receiver: MessageReceiver, patience: Patience | undefined): void {
    const socket = this.#socket;
    this.#receiver = receiver;
    this.#patience = patience;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('end', () => this.#readEnd());
    socket.on('error', (error) => this.#lose(error.message, error));
    socket.on('close', () => {
      this.#ending?.clear();
      this.#finish(undefined);
    });
    if (this.#open && patience !== undefined && patience.firstMs !== false) this.#await(patience.firstMs);
  }

  send(message: Uint8Array): boolean {
    const socket = this.#socket;
    if (!socket.writable) {
      throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'the connection is over');
    }
    const { maxMessageBytes, maxQueuedBytes, highWaterBytes } = this.#settings;
    const framed = frame(message, maxMessageBytes);
    const waitingBytes = socket.writableLength + this.#gatheredBytes;
    if (waitingBytes + framed.length > maxQueuedBytes) {
      throw new HawserError('ERR_HAWSER_QUEUE_FULL', `${waitingBytes} bytes wait to be sent already`);
    }
    if (this.#gathered.length === 0) process.nextTick(this.#flush);
    this.#gathered.push(framed);
    this.#gatheredBytes += framed.length;
    if (waitingBytes + framed.length <= highWaterBytes) return true;
    this.#isFull = true;
    return false;
  }

  close(_reason: string): void {
    if (this.#open) this.#stop();
  }

  /** Writes what was sent in this turn, as one: each write that waits takes some hundred bytes more than it has. */
  readonly #flush = (): void => {
    if (this.#gathered.length === 0) return;
    const [only, ...others] = this.#gathered;
    const bytes = only !== undefined && others.length === 0 ? only : Buffer.concat(this.#gathered);
    this.#gathered = [];
    this.#gatheredBytes = 0;
    // When it has left, only what was sent after it waits: below the mark, or with a callback of its own.
    if (this.#isFull) this.#socket.write(bytes, this.#sent);
    else this.#socket.write(bytes);
  };

  readonly #sent = (error: Error | null | undefined): void => {
    if (error || !this.#open || !this.#isFull) return;
    if (this.#socket.writableLength + this.#gatheredBytes > this.#settings.highWaterBytes) return;
    this.#isFull = false;
    try {
      this.#receiver?.drained();
    } catch (thrown) {
      this.#threw('drained', thrown);
    }
  };

  #read(chunk: Buffer): void {
    if (!this.#open) return;
    let count = 0;
    try {
      for (const message of this.#decoder.push(chunk)) {
        this.#awaitNothing();
        this.#deliver(message);
        if (!this.#open) return;
        if (++count === messagesPerTurn) break;
      }
    } catch (error) {
      // Only the decoder throws here: what the receiver throws is dealt with.
      this.#lose(error instanceof Error ? error.message : String(error), error);
      return;
    }
    if (count === messagesPerTurn) this.#leaveTurn(chunk.subarray(this.#decoder.taken));
    // Its time runs from its first byte, however many chunks follow.
    else if (this.#decoder.end() && this.#awaited === undefined && this.#patience !== undefined) {
      this.#await(this.#patience.eachMs);
    }
  }

  /** Lets others have their turn. The rest waits in the stream, which does not end before it is read. */
  #leaveTurn(rest: Buffer): void {
    const socket = this.#socket;
    socket.pause();
    if (rest.length > 0) socket.unshift(rest);
    setImmediate(() => socket.resume());
  }

  #deliver(message: Uint8Array): void {
    try {
      this.#receiver?.message(message);
    } catch (error) {
      this.#threw('message', error);
    }
  }

  #readEnd(): void {
    if (this.#decoder.end()) this.#lose('the stream ended within a message');
    else this.#finish(undefined);
  }

  #await(timeoutMs: number): void {
    this.#awaited = this.#settings.clock.setTimeout(() => {
      this.#patience?.expired();
      this.#lose(`no whole message came within ${timeoutMs} ms`);
    }, timeoutMs);
  }

  #awaitNothing(): void {
    this.#awaited?.clear();
    this.#awaited = undefined;
  }

  #threw(source: StreamErrorSource, error: unknown): void {
    this.#lose(`its receiver threw in ${source}`, error);
    report(this.#settings, error, source);
  }

  #lose(why: string, cause?: unknown): void {
    // What becomes of a connection that this side has ended is no loss.
    this.#finish(this.#open ? lostError(why, cause) : undefined);
  }

  /** Tells the receiver, once, that it is over. */
  #finish(error: HawserError | undefined): void {
    const receiver = this.#receiver;
    this.#receiver = undefined;
    this.#stop();
    try {
      receiver?.closed(error);
    } catch (thrown) {
      report(this.#settings, thrown, 'closed');
    }
  }

  /** Takes nothing any more, sends what waits, and ends the stream. */
  #stop(): void {
    this.#open = false;
    this.#awaitNothing();
    const socket = this.#socket;
    if (socket.writable) this.#flush();
    socket.end();
    if (socket.destroyed || this.#ending !== undefined) return;
    this.#ending = this.#settings.clock.setTimeout(() => socket.destroy(), endTimeoutMs);
  }
}

function lostError(why: string, cause: unknown): HawserError {
  const text = `the connection was lost: ${why}`;
  return new HawserError('ERR_HAWSER_CONNECTION_LOST', text, cause === undefined ? undefined : { cause });
}

/** Tells the application what its own code threw. */
export function report({ listenerError }: Settings, error: unknown, source: StreamErrorSource): void {
  isolate(
    () => listenerError(error, source),
    (second) => warnOfListenerError(second, 'listenerError'),
  );
}
