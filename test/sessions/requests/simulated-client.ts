// A client of sessions as the protocol wants it: ids in their order, its lowest pending id told, server requests acknowledged and taken once.

import type { Session } from '../../../src/sessions/server/session.js';
import type { Delivery, ServerMessage } from '../../../src/sessions/wire/messages.js';
import type { Dice } from '../../interaction/simulated-home.js';
import { type TestGateway, type TestSession, textOf } from './test-gateway.js';

/** Where its session is, as far as it knows. */
export interface Attachment {
  readonly gateway: TestGateway;
  readonly session: TestSession;
}

const mostPending = 4;

export class SimulatedClient {
  readonly id: string;
  readonly delivery: Delivery;
  /** The session as it was last, for a claim. */
  session: TestSession;
  attachment: Attachment | undefined;
  readonly pending = new Set<number>();
  /** What was answered, by request id. */
  readonly answers = new Map<number, string>();
  /** The server requests that were delivered. */
  readonly delivered: string[] = [];
  readonly problems: string[] = [];
  readonly #dice: Dice;
  /** The lowest pending id that was told when a request was sent, by id. */
  readonly #sent = new Map<number, number>();
  #next = 1;

  constructor(attachment: Attachment, dice: Dice) {
    this.id = attachment.session.id;
    this.delivery = attachment.session.owner.delivery;
    this.session = attachment.session;
    this.attachment = attachment;
    this.#dice = dice;
  }

  begin(): void {
    if (this.attachment === undefined || this.pending.size >= mostPending) return;
    const id = this.#next++;
    this.pending.add(id);
    this.#send(id);
  }

  /** Sends one that has no answer again, or all of them. */
  again(all = false): void {
    const ids = Array.from(this.pending);
    for (const id of all ? ids : ids.slice(0, 1)) this.#send(id);
  }

  /** One that was sent, perhaps long ago, arrives once more. */
  late(): void {
    if (this.attachment === undefined || this.#sent.size === 0) return;
    const [id, lowest] = this.#dice.pick(Array.from(this.#sent));
    this.attachment.gateway.request(this.attachment.session, id, { lowest });
  }

  /** It is attached elsewhere, or nowhere. */
  moved(attachment: Attachment | undefined): void {
    this.attachment = attachment;
    if (attachment !== undefined) this.session = attachment.session;
    if (this.delivery === 'exactly-once') {
      this.again(true);
    } else {
      // What may be lost is not sent again, and nothing that was sent comes by another connection.
      this.pending.clear();
      this.#sent.clear();
    }
  }

  heard(gateway: TestGateway, session: Session, message: ServerMessage): void {
    const isCurrent = this.attachment?.gateway === gateway && this.attachment.session === session;
    if (message.type === 'ClientResponse')
      this.#answered(message.requestId, textOf(message.result), isCurrent);
    if (message.type === 'RequestError' && message.reason === 'UserError') {
      this.#answered(message.requestId, textOf(message.error), isCurrent);
    }
    if (!isCurrent) return;
    if (message.type === 'ServerRequest') this.#deliver(message.requestId, textOf(message.payload));
    if (message.type === 'RequestError' && message.reason === 'ResponseEvicted')
      this.#evicted(message.requestId);
  }

  #send(id: number): void {
    if (this.attachment === undefined || this.#dice.chance(0.1)) return;
    const { gateway, session } = this.attachment;
    const lowest = Math.min(...this.pending, id);
    this.#sent.set(id, lowest);
    gateway.request(session, id, { lowest });
  }

  /** Also by a gateway that it has left: one answer is all there may be. */
  #answered(id: number, answer: string, isCurrent: boolean): void {
    const before = this.answers.get(id);
    if (before !== undefined && before !== answer)
      this.problems.push(`${id} was answered ${before}, then ${answer}`);
    this.answers.set(id, answer);
    if (isCurrent) this.pending.delete(id);
  }

  #evicted(id: number): void {
    if (!this.pending.has(id)) return;
    this.pending.delete(id);
    if (this.delivery === 'exactly-once') this.problems.push(`${id} was evicted before it was answered`);
  }

  #deliver(id: number, text: string): void {
    const { attachment, delivered } = this;
    if (attachment === undefined || id > delivered.length + 1) return;
    if (id === delivered.length + 1) delivered.push(text);
    else if (delivered[id - 1] !== text) this.problems.push(`server request ${id} is another one now`);
    if (this.#dice.chance(0.9)) attachment.gateway.acknowledge(attachment.session, id);
  }
}
