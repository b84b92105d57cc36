// One connection of an agent, as a manager sees it.

import { HawserError } from '../../base/errors.js';
import type { MessageConnection } from '../../base/message-connection.js';
import { TokenBucket } from '../../base/token-bucket.js';
import { encodeMessage } from '../wire/codec.js';
import type { ManagerMessage } from '../wire/messages.js';

/** Lines of the log, and answers that nobody asked for by End, that one connection can bring about in a second. */
const linesPerSecond = 20;
const answersPerSecond = 20;
/** Answers for which the connection had no room that are kept until it has: one of each session, and of each Start. */
const maxUnsent = 64;

/** What answers go by; and what keeps an agent from making the manager talk. */
export class AgentLink {
  /** Whose it is. */
  readonly agent: string;
  readonly #connection: MessageConnection;
  readonly #lines: TokenBucket;
  readonly #answers: TokenBucket;
  readonly #lost: () => void;
  /** By what they answer, the oldest first. */
  #unsent: Map<string, ManagerMessage> | undefined = undefined;
  #suppressed = 0;
  #open = true;
  /** The places in the line of those Starts that are held and came by this connection. */
  readonly held: Set<string> = new Set();

  /** @param lost called for each answer that could not be sent. */
  constructor(connection: MessageConnection, agent: string, nowMs: number, lost: () => void) {
    this.agent = agent;
    this.#connection = connection;
    this.#lost = lost;
    this.#lines = new TokenBucket(linesPerSecond, linesPerSecond, nowMs);
    this.#answers = new TokenBucket(answersPerSecond, answersPerSecond, nowMs);
  }

  get open(): boolean {
    return this.#open;
  }

  /** Nothing goes out any more. */
  close(): void {
    this.#open = false;
    this.#unsent?.clear();
  }

  /** What there is no room for goes when there is; what else cannot be sent is lost, and the agent asks again. */
  send(message: ManagerMessage): void {
    if (!this.#open) return;
    const about = subjectOf(message);
    // What is newer says all that the agent needs to know.
    this.#unsent?.delete(about);
    try {
      this.#connection.send(encodeMessage(message));
    } catch (error) {
      if (!(error instanceof HawserError) || error.code === 'ERR_HAWSER_ARGUMENT') throw error;
      this.#lost();
      if (error.code === 'ERR_HAWSER_QUEUE_FULL') this.#keep(about, message);
    }
  }

  /** The connection has room again. */
  drained(): void {
    const unsent = Array.from(this.#unsent?.values() ?? []);
    for (const message of unsent) this.send(message);
  }

  #keep(about: string, message: ManagerMessage): void {
    this.#unsent ??= new Map();
    this.#unsent.set(about, message);
    if (this.#unsent.size <= maxUnsent) return;
    const [oldest] = this.#unsent.keys();
    if (oldest !== undefined) this.#unsent.delete(oldest);
  }

  /** As `send`, for an answer to what was sent without End: of too many a part is not sent. */
  sendSeldom(message: ManagerMessage, nowMs: number): void {
    if (this.#answers.take(1, nowMs)) this.send(message);
  }

  /** @returns how many lines were suppressed before this one; undefined when this one is to be suppressed too. */
  takeLine(nowMs: number): number | undefined {
    if (!this.#lines.take(1, nowMs)) {
      ++this.#suppressed;
      return undefined;
    }
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return suppressed;
  }
}

/** What an answer is about: of several about the same the last one counts. */
function subjectOf(message: ManagerMessage): string {
  if (message.type === 'StartAck') return `Start ${message.nonce} ${message.session}`;
  return `session ${message.session}`;
}
