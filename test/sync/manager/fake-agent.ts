// An agent that does what a test tells it to, connected to a manager in memory: what it sends arrives at once, and so do the answers.

import { HawserError } from '../../../src/base/errors.js';
import type { MessageConnection, MessageReceiver } from '../../../src/base/message-connection.js';
import type { SyncManager } from '../../../src/sync/manager/manager.js';
import { decodeMessage, encodeMessage } from '../../../src/sync/wire/codec.js';
import type {
  AgentMessage,
  DataValue,
  EndAck,
  ManagerMessage,
  ReqRet,
  Start,
  StartAck,
} from '../../../src/sync/wire/messages.js';

/** A Start with everything that a test does not care about. */
export function startOf(given: Partial<Start> = {}): Start {
  return {
    type: 'Start',
    module: 'fim',
    mode: 'DELTA',
    size: 1n,
    indices: ['files'],
    option: 'Sync',
    metadata: {},
    globalVersion: 0n,
    nonce: 0n,
    generation: 0n,
    ...given,
  };
}

/** An item that upserts a document which tells its number. */
export function itemOf(session: bigint, seq: number, given: Partial<DataValue> = {}): DataValue {
  return {
    type: 'DataValue',
    seq: BigInt(seq),
    session,
    operation: 'Upsert',
    id: `id-${seq}`,
    index: 'files',
    version: 0n,
    data: json({ seq }),
    ...given,
  };
}

export function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

export class FakeAgent {
  readonly name: string;
  readonly #manager: SyncManager;
  #receiver: MessageReceiver;
  #open = true;
  /** All that the manager has sent, by whichever connection. */
  readonly received: ManagerMessage[] = [];
  /** What sending fails with: of the manager. */
  failure: Error | undefined;
  reaction: (message: ManagerMessage) => void = () => undefined;

  constructor(manager: SyncManager, name: string) {
    this.#manager = manager;
    this.name = name;
    this.#receiver = manager.accept(this.#connection(), name);
  }

  #connection(): MessageConnection {
    return {
      detectsLoss: true,
      close: () => this.cut(),
      send: (bytes) => {
        if (this.failure !== undefined) throw this.failure;
        if (!this.#open) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is over');
        const message = decodeMessage(bytes.slice());
        if (message.type !== 'StartAck' && message.type !== 'EndAck' && message.type !== 'ReqRet') {
          throw new Error(`a manager sent ${message.type}`);
        }
        this.received.push(message);
        this.reaction(message);
        return true;
      },
    };
  }

  cut(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#receiver.closed(new HawserError('ERR_HAWSER_CONNECTION_LOST', 'it was cut'));
  }

  /** Comes back by another connection, perhaps to another manager. */
  reconnect(manager: SyncManager = this.#manager): void {
    this.cut();
    this.#open = true;
    this.#receiver = manager.accept(this.#connection(), this.name);
  }

  send(message: AgentMessage): void {
    this.sendBytes(encodeMessage(message));
  }

  sendUnreliable(message: AgentMessage): void {
    this.#receiver.unreliableMessage?.(encodeMessage(message));
  }

  /** The connection to it has room again. */
  drained(): void {
    this.#receiver.drained();
  }

  sendBytes(bytes: Uint8Array): void {
    this.#receiver.message(bytes);
  }

  // ---- What a test asks for and expects ----------------------------------------------------------------------------

  /** @returns the answer to a Start, which must come at once. */
  start(given: Partial<Start> = {}): StartAck {
    const before = this.received.length;
    this.send(startOf(given));
    const answer = this.received.slice(before).find((each) => each.type === 'StartAck');
    if (answer === undefined) throw new Error('the Start was not answered');
    return answer;
  }

  /** Begins a session, which must succeed. */
  begin(given: Partial<Start> = {}): bigint {
    const { status, reason, session } = this.start(given);
    if (status !== 'Ok') throw new Error(`the Start was answered with ${status} (${reason})`);
    return session;
  }

  /** Sends the items `from` to `to`, both included, each alone. */
  values(session: bigint, from: number, to: number, given: Partial<DataValue> = {}): void {
    for (let seq = from; seq <= to; ++seq) this.send(itemOf(session, seq, given));
  }

  /** As `values`, in one message. */
  batch(session: bigint, seqs: readonly number[], given: Partial<DataValue> = {}): void {
    this.send({ type: 'DataBatch', values: seqs.map((seq) => itemOf(session, seq, given)) });
  }

  end(session: bigint): void {
    this.send({ type: 'End', session });
  }

  ofType(type: 'StartAck'): StartAck[];
  ofType(type: 'EndAck'): EndAck[];
  ofType(type: 'ReqRet'): ReqRet[];
  ofType(type: ManagerMessage['type']): ManagerMessage[] {
    return this.received.filter((each) => each.type === type);
  }

  /** The statuses of the EndAcks that came, in order. */
  get endAcks(): string[] {
    return this.ofType('EndAck').map(({ status, reason }) =>
      reason === 'None' ? status : `${status} ${reason}`,
    );
  }

  get lastEndAck(): EndAck | undefined {
    return this.ofType('EndAck').at(-1);
  }
}
