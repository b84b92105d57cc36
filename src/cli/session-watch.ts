// What `hawser sessions client` shows: what happens to its session, and how its requests fare.

import { HawserError } from '../base/errors.js';
import type { SessionClient } from '../sessions/client/session-client.js';
import { describeError } from './errors.js';
import { micros, painter, printable, printableJson, Screen } from './terminal.js';

const statusMs = 1000;
/** So many requests wait at a time: as many as a client keeps. While they do, none is made. */
const maxWaiting = 100;

export class SessionWatch {
  hasConnected = false;
  failed = 0;
  readonly #client: SessionClient;
  readonly #json: boolean;
  readonly #screen: Screen | undefined;
  readonly #timer: NodeJS.Timeout;
  #hasEnded = false;
  #address = '';
  #sent = 0;
  #answered = 0;
  #reconnections = 0;
  /** How long the slowest answer took, in microseconds. */
  #slowest = 0;
  /** Since the last status. */
  #answers = 0;
  #answersMicros = 0;
  #statusAt = performance.now();

  constructor(client: SessionClient, json: boolean) {
    this.#client = client;
    this.#json = json;
    this.#screen = !json && process.stdout.isTTY ? new Screen(process.stdout) : undefined;
    this.#listen();
    this.#timer = setInterval(() => this.#status(), statusMs);
  }

  /** A connection has been made to that gateway. */
  reached(address: string): void {
    this.#address = address;
  }

  serverRequest(requestId: number, bytes: number): void {
    this.#tell('serverRequest', { requestId, bytes }, `server request ${requestId}: ${bytes} bytes`);
  }

  /** Sends requests. @returns what ends that. */
  begin(rate: number, size: number): () => void {
    if (rate === 0) return () => undefined;
    const payload = crypto.getRandomValues(new Uint8Array(Math.min(size, 65_536)));
    const message = Buffer.alloc(size, payload);
    const beganAt = performance.now();
    let due = 0;
    const timer = setInterval(
      () => {
        const now = ((performance.now() - beganAt) * rate) / 1000;
        for (; due <= now; ++due) {
          if (this.#waiting < maxWaiting) void this.#request(message);
        }
      },
      Math.max(1, Math.min(100, 1000 / rate)),
    );
    return () => clearInterval(timer);
  }

  printTotals(): void {
    const { requestsResent } = this.#client.stats;
    const totals = {
      sent: this.#sent,
      answered: this.#answered,
      failed: this.failed,
      waiting: this.#waiting,
    };
    if (this.#json) {
      const times = { reconnections: this.#reconnections, slowestMicros: Math.round(this.#slowest) };
      this.#print(JSON.stringify({ totals: { ...totals, sentAgain: requestsResent, ...times } }));
      return;
    }
    const unanswered = this.#waiting === 0 ? '' : `, ${this.#waiting} not answered`;
    this.#print(
      `${this.#sent} requests, ${this.#answered} answered, ${this.failed} failed${unanswered}, ${requestsResent} sent again; ${this.#reconnections} reconnections; the slowest answer took ${micros(this.#slowest)}`,
    );
  }

  /** Tells no more, takes away what does not stay, and gives the cursor back. */
  end(): void {
    this.#hasEnded = true;
    clearInterval(this.#timer);
    this.#screen?.clear();
    this.#screen?.end();
  }

  /** Requests that are neither answered nor failed. */
  get #waiting(): number {
    return this.#sent - this.#answered - this.failed;
  }

  #listen(): void {
    const client = this.#client;
    client.on('connected', (sessionId, continued) => {
      if (this.hasConnected) ++this.#reconnections;
      this.hasConnected = true;
      const address = this.#address;
      const text = `session ${sessionId} ${continued ? 'continued' : 'begun'} at ${address}`;
      this.#tell('connected', { sessionId, continued, address }, text);
    });
    client.on('disconnected', (reason) => {
      const why = reason === undefined ? 'the connection is over' : describeError(reason);
      this.#tell('disconnected', { reason: why }, `disconnected: ${why}`);
    });
    client.on('attemptFailed', (error) => {
      const why = describeError(error);
      this.#tell('attemptFailed', { reason: why }, `no gateway: ${why}`);
    });
    client.on('reconnecting', (attempt, delayMs) => {
      const ms = Math.round(delayMs);
      this.#tell('reconnecting', { attempt, delayMs: ms }, `trying again in ${ms} ms`);
    });
    client.on('redirected', (reason, elsewhere) => {
      const where = elsewhere === undefined ? '' : `, to ${elsewhere}`;
      this.#tell('redirected', { reason, elsewhere: elsewhere ?? null }, `sent away: ${reason}${where}`);
    });
    client.on('expired', (error) => {
      const why = describeError(error);
      this.#tell('expired', { reason: why }, `the session is over: ${why}`);
    });
  }

  async #request(message: Uint8Array): Promise<void> {
    const sentAt = performance.now();
    ++this.#sent;
    try {
      await this.#client.request(message);
    } catch (error) {
      // Those that wait when the command ends were not refused by anybody.
      if (isAborted(error)) return;
      ++this.failed;
      const why = describeError(error);
      this.#tell('failed', { reason: why }, `a request failed: ${why}`);
      return;
    }
    const tookMicros = (performance.now() - sentAt) * 1000;
    ++this.#answered;
    ++this.#answers;
    this.#answersMicros += tookMicros;
    this.#slowest = Math.max(this.#slowest, tookMicros);
  }

  #status(): void {
    const { state, stats } = this.#client;
    const now = performance.now();
    const perSecond = (this.#answers * 1000) / (now - this.#statusAt);
    const meanMicros = this.#answers === 0 ? undefined : this.#answersMicros / this.#answers;
    const rtt = stats.heartbeats?.averageRoundTripTime ?? 0;
    this.#statusAt = now;
    this.#answers = 0;
    this.#answersMicros = 0;
    if (this.#json) {
      const answers = { answersPerSecond: Math.round(perSecond * 10) / 10 };
      const times = {
        meanMicros: meanMicros === undefined ? null : Math.round(meanMicros),
        heartbeatMs: rtt,
      };
      this.#tell('status', { state, ...answers, pending: stats.pending, ...times }, '');
      return;
    }
    const parts = [
      state,
      ...(state === 'Connected' ? [this.#address] : []),
      `${perSecond.toFixed(1)} answers/s`,
      ...(meanMicros === undefined ? [] : [`after ${micros(meanMicros)}`]),
      `${stats.pending} wait`,
    ];
    const line = parts.join(', ');
    if (this.#screen === undefined) this.#print(`${timeOfDay()} ${line}`);
    else this.#screen.draw([painter(process.stdout)('dim', line)]);
  }

  #tell(event: string, fields: Readonly<Record<string, unknown>>, text: string): void {
    if (this.#hasEnded) return;
    const json = (): string => JSON.stringify({ event, time: new Date().toISOString(), ...fields });
    this.#print(this.#json ? json() : `${timeOfDay()} ${text}`);
  }

  #print(line: string): void {
    this.#screen?.clear();
    process.stdout.write(`${this.#json ? printableJson(line) : printable(line)}\n`);
  }
}

/** Of a request that nobody waits for any more. */
function isAborted(error: unknown): boolean {
  return error instanceof HawserError && error.code === 'ERR_HAWSER_ABORTED';
}

/** `12:34:56.789`, in UTC as everywhere else. */
function timeOfDay(): string {
  return new Date().toISOString().slice(11, 23);
}
