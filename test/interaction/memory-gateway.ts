// A gateway in memory, for tests of clients: whoever connects gets a connection to it, until that is cut.

import { HawserError } from '../../src/base/errors.js';
import type { Connector, MessageConnection, MessageReceiver } from '../../src/base/message-connection.js';

/** One end of a connection in memory. What it sends arrives with the microtasks. */
class MemoryEnd implements MessageConnection {
  readonly detectsLoss = true;
  receiver: MessageReceiver | undefined;
  far: MemoryEnd | undefined;
  open = true;

  /** What is sent is lost. */
  mute = false;
  onSent: ((message: Uint8Array) => void) | undefined;

  send(message: Uint8Array): boolean {
    if (!this.open) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is over');
    const copy = message.slice();
    this.onSent?.(copy);
    if (this.mute) return true;
    queueMicrotask(() => {
      if (this.far?.open) this.far.receiver?.message(copy);
    });
    return true;
  }

  close(): void {
    this.end(undefined);
    queueMicrotask(() => this.far?.end(undefined));
  }

  end(error: HawserError | undefined): void {
    if (!this.open) return;
    this.open = false;
    this.receiver?.closed(error);
  }
}

/** Where clients connect to. */
export class MemoryGateway {
  /** Makes what serves a connection. */
  accept: (connection: MessageConnection) => MessageReceiver;
  /** What attempts fail with; undefined while they succeed. */
  refusal: Error | undefined;
  /** When attempts began, by the caller's clock. */
  readonly attempts: number[] = [];
  readonly #now: () => number;
  readonly #near: MemoryEnd[] = [];

  constructor(now: () => number, accept: (connection: MessageConnection) => MessageReceiver) {
    this.#now = now;
    this.accept = accept;
  }

  /** How many connections there are. */
  get size(): number {
    return this.#near.filter(({ open }) => open).length;
  }

  readonly connector: Connector = async (attach) => {
    this.attempts.push(this.#now());
    if (this.refusal !== undefined) throw this.refusal;
    const [near, far] = [new MemoryEnd(), new MemoryEnd()];
    [near.far, far.far] = [far, near];
    far.receiver = this.accept(far);
    near.receiver = attach(near);
    this.#near.push(near);
  };

  /** Loses all connections: what is on its way is lost with them. */
  cut(error: HawserError = new HawserError('ERR_HAWSER_CONNECTION_LOST', 'it was cut')): void {
    for (const near of this.#near.splice(0)) {
      near.end(error);
      near.far?.end(error);
    }
  }

  /** Sees what clients send. */
  set onSent(onSent: (message: Uint8Array) => void) {
    for (const near of this.#near) near.onSent = onSent;
  }

  /** Whether the other ends of all connections hear nothing from here. */
  set mute(mute: boolean) {
    for (const { far } of this.#near) if (far !== undefined) far.mute = mute;
  }

  /** What all clients are told from here. */
  tell(run: (receiver: MessageReceiver) => void): void {
    for (const { receiver } of this.#near) if (receiver !== undefined) run(receiver);
  }
}
