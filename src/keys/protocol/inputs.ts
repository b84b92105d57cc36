// What has come and waits for its turn.

import { Fifo } from '../../base/fifo.js';
import type { Input } from './steps.js';

/** Messages and packets that wait; what comes when so many do is not taken. */
const mostWaiting = 64;

/** In the order of their coming. */
export class Inputs {
  readonly #inputs: Fifo<Input> = new Fifo();
  #waiting = 0;

  get size(): number {
    return this.#inputs.size;
  }

  /** @returns whether it was taken: what this side itself asks for always is. */
  push(input: Input): boolean {
    const isFromPeer = input.type === 'message' || input.type === 'peerUses';
    if (isFromPeer && this.#waiting >= mostWaiting) return false;
    if (isFromPeer) ++this.#waiting;
    this.#inputs.push(input);
    return true;
  }

  shift(): Input | undefined {
    const input = this.#inputs.shift();
    if (input?.type === 'message' || input?.type === 'peerUses') --this.#waiting;
    return input;
  }
}
