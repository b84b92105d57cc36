// A manager's end in memory, for tests of agents: it answers as it is told, and remembers what it heard.

import { HawserError } from '../../../src/base/errors.js';
import type {
  Connector,
  Farewell,
  MessageConnection,
  MessageReceiver,
} from '../../../src/base/message-connection.js';
import { decodeMessage, encodeMessage } from '../../../src/sync/wire/codec.js';
import type {
  AgentMessage,
  DataItem,
  EndAck,
  ManagerMessage,
  ReqRet,
  Start,
  StartAck,
  SyncMessage,
} from '../../../src/sync/wire/messages.js';

/** Seen by the manager. */
export interface Heard {
  readonly atMs: number;
  readonly how: 'reliable' | 'unreliable';
  readonly message: AgentMessage;
  readonly bytes: Uint8Array;
}

/** An item as it came, with where. */
export interface HeardItem {
  readonly seq: number;
  readonly session: bigint;
  readonly item: DataItem;
}

type AnswerTo<T extends AgentMessage['type']> = (
  message: Extract<AgentMessage, { readonly type: T }>,
  /** How often a message of the type has been heard before. */
  count: number,
) => readonly (ManagerMessage | Uint8Array)[] | undefined;

/** What to answer; a type that is left out is answered by the default, which `undefined` also stands for. */
export type Answers = { readonly [T in AgentMessage['type']]?: AnswerTo<T> };

export function startAck(start: Pick<Start, 'nonce'>, ack: Partial<StartAck> = {}): StartAck {
  return {
    type: 'StartAck',
    status: 'Ok',
    session: 77n,
    nonce: start.nonce,
    retryAfterMs: 0,
    resumed: false,
    generation: 0n,
    reason: 'None',
    ...ack,
  };
}

export function endAck(ack: Partial<EndAck> = {}): EndAck {
  return {
    type: 'EndAck',
    status: 'Ok',
    session: 77n,
    rejected: 0n,
    retryAfterMs: 0,
    reason: 'None',
    ...ack,
  };
}

export function reqRet(ranges: readonly (readonly [number, number])[], session = 77n): ReqRet {
  return {
    type: 'ReqRet',
    session,
    ranges: ranges.map(([begin, end]) => ({ begin: BigInt(begin), end: BigInt(end) })),
  };
}

/** A connection whose sending can be made to fail. */
class AgentEnd implements MessageConnection {
  readonly detectsLoss = true;
  declare readonly sendUnreliable?: (message: Uint8Array) => boolean;
  declare readonly maxUnreliableBytes?: () => number;
  receiver: MessageReceiver | undefined;
  open = true;
  readonly #manager: FakeManager;

  constructor(manager: FakeManager) {
    this.#manager = manager;
    const maxBytes = manager.maxUnreliableBytes;
    if (maxBytes === undefined) return;
    this.maxUnreliableBytes = () => maxBytes;
    this.sendUnreliable = (message) => this.#send(message, 'unreliable');
  }

  send(message: Uint8Array): boolean {
    return this.#send(message, 'reliable');
  }

  #send(message: Uint8Array, how: Heard['how']): boolean {
    if (!this.open) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is over');
    const refusal = this.#manager.refusal(decodeMessage(message) as AgentMessage);
    if (refusal !== undefined) throw new HawserError(refusal, 'refused');
    const bytes = message.slice();
    queueMicrotask(() => {
      if (this.open) this.#manager.hear(bytes, how);
    });
    return this.#manager.goesOn();
  }

  close(): void {
    this.end(undefined);
  }

  end(error: HawserError | undefined): void {
    if (!this.open) return;
    this.open = false;
    this.receiver?.closed(error);
  }
}

/** Listens to whoever connects. */
export class FakeManager {
  readonly heard: Heard[] = [];
  answers: Answers = {};
  /** Items that are lost on their way, by seq and how often it has been sent before. */
  loses: (seq: number, before: number) => boolean = () => false;
  /** What the connection answers to `send`. */
  goesOn: () => boolean = () => true;
  /** What `send` throws. */
  refusal: (message: AgentMessage) => 'ERR_HAWSER_QUEUE_FULL' | 'ERR_HAWSER_NOT_CONNECTED' | undefined = () =>
    undefined;
  /** Undefined: connections carry nothing unreliably. */
  maxUnreliableBytes: number | undefined;
  readonly #nowMs: () => number;
  #end: AgentEnd | undefined;
  #size = 0;
  readonly #counts = new Map<AgentMessage['type'], number>();
  readonly #arrived = new Map<number, DataItem>();
  readonly #sentBefore = new Map<number, number>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  readonly connector: Connector = async (attach) => {
    const end = new AgentEnd(this);
    end.receiver = attach(end);
    this.#end = end;
  };

  /** Forgets what it has heard, but not what has arrived. */
  forget(): void {
    this.heard.length = 0;
    this.#counts.clear();
  }

  /** The types of all messages, in order. */
  get types(): readonly AgentMessage['type'][] {
    return this.heard.map(({ message }) => message.type);
  }

  /** All messages of a type. */
  all<T extends AgentMessage['type']>(type: T): readonly Extract<AgentMessage, { readonly type: T }>[] {
    return this.heard.flatMap(({ message }) =>
      message.type === type ? [message as Extract<AgentMessage, { readonly type: T }>] : [],
    );
  }

  /** All items in the order in which they came, whether they were lost or not. */
  get items(): readonly HeardItem[] {
    return this.heard.flatMap(({ message }) => itemsOf(message));
  }

  /** Those that were not lost, by their seq. */
  get arrived(): readonly DataItem[] {
    return [...this.#arrived].sort(([a], [b]) => a - b).map(([, item]) => item);
  }

  /** Tells the agent. */
  send(...messages: readonly (SyncMessage | Uint8Array)[]): void {
    for (const message of messages) {
      const bytes = message instanceof Uint8Array ? message : encodeMessage(message);
      this.#end?.receiver?.message(bytes);
    }
  }

  drained(): void {
    this.#end?.receiver?.drained();
  }

  /** It is about to go. */
  farewell(farewell: Farewell): void {
    this.#end?.receiver?.farewell?.(farewell);
  }

  /** Loses the connection. */
  cut(): void {
    this.#end?.end(new HawserError('ERR_HAWSER_CONNECTION_LOST', 'it was cut'));
  }

  hear(bytes: Uint8Array, how: Heard['how']): void {
    const message = decodeMessage(bytes) as AgentMessage;
    const count = this.#counts.get(message.type) ?? 0;
    this.#counts.set(message.type, count + 1);
    this.heard.push({ atMs: this.#nowMs(), how, message, bytes });
    this.#take(message);
    const answer = this.answers[message.type] as AnswerTo<typeof message.type> | undefined;
    const told = answer?.(message as never, count) ?? this.#usual(message);
    if (told.length > 0) queueMicrotask(() => this.send(...told));
  }

  #take(message: AgentMessage): void {
    if (message.type === 'Start') this.#size = Number(message.size);
    for (const { seq, item } of itemsOf(message)) {
      const before = this.#sentBefore.get(seq) ?? 0;
      this.#sentBefore.set(seq, before + 1);
      if (!this.loses(seq, before)) this.#arrived.set(seq, item);
    }
  }

  /** What an honest manager says, which knows one session at a time. */
  #usual(message: AgentMessage): readonly ManagerMessage[] {
    if (message.type === 'Start') return [startAck(message)];
    if (message.type !== 'End') return [];
    const missing: [number, number][] = [];
    for (let seq = 0; seq < this.#size; ++seq) {
      if (this.#arrived.has(seq)) continue;
      const last = missing.at(-1);
      if (last?.[1] === seq - 1) last[1] = seq;
      else missing.push([seq, seq]);
    }
    return [missing.length === 0 ? endAck({ session: message.session }) : reqRet(missing, message.session)];
  }
}

/** The items of a message of any kind. */
export function itemsOf(message: AgentMessage): readonly HeardItem[] {
  const at = ({ seq, session }: { seq: bigint; session: bigint }) => ({ seq: Number(seq), session });
  switch (message.type) {
    case 'DataBatch':
      return message.values.flatMap((value) => itemsOf({ type: 'DataValue', ...value }));
    case 'DataValue': {
      const { type: _type, seq: _seq, session: _session, ...rest } = message;
      return [{ ...at(message), item: { kind: 'value', ...rest } }];
    }
    case 'DataContext':
      return [
        {
          ...at(message),
          item: { kind: 'context', index: message.index, id: message.id, data: message.data },
        },
      ];
    case 'DataClean':
      return [{ ...at(message), item: { kind: 'clean', index: message.index } }];
    default:
      return [];
  }
}
