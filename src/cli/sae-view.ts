// What `hawser sae master` and `hawser sae slave` tell: a line for what happens, and on a terminal, below, how it stands.

import { TokenBucket } from '../base/token-bucket.js';
import type { Sae } from '../keys/agent/sae.js';
import { describeError } from './errors.js';
import {
  changeText,
  expiryText,
  failureText,
  rejectionText,
  rotationText,
  saeLine,
  troubleText,
} from './sae-lines.js';
import { painter, printable, printableJson, Screen } from './terminal.js';

const drawEveryMs = 500;
const statusEveryMs = 1000;
/** What others can bring about without end: so many lines at once, and one more each second. */
const burst = 20;
const perSecond = 1;

/** What is told. */
export interface SaeViewOptions {
  /** Lines of JSON instead of lines for people. */
  readonly json: boolean;
  /** Also each transition of a session. */
  readonly verbose: boolean;
}

export class SaeView {
  readonly #json: boolean;
  readonly #verbose: boolean;
  readonly #bucket: TokenBucket = new TokenBucket(perSecond, burst, performance.now());
  readonly #screen: Screen | undefined;
  #sae: Sae | undefined;
  #timer: NodeJS.Timeout | undefined;
  #untold = 0;
  #hasEnded = false;

  constructor({ json, verbose }: SaeViewOptions) {
    this.#json = json;
    this.#verbose = verbose;
    this.#screen = !json && process.stdout.isTTY ? new Screen(process.stdout) : undefined;
  }

  /** Tells of the events of an SAE, and how it stands, until `end`. */
  watch(sae: Sae): void {
    this.#sae = sae;
    sae.on('state', (change) => {
      const { peerSaeId, from, cause, session } = change;
      const { sessionId, role, state, epoch, newKeyId, oldKeyId, rotationAtMs } = session;
      const fields = {
        peerSaeId,
        sessionId,
        role,
        from,
        state,
        cause,
        epoch,
        newKeyId,
        oldKeyId,
        rotationAtMs,
      };
      if (this.#json || this.#verbose) this.tell('state', fields, changeText(change));
    });
    sae.on('rotation', (result) => this.tell('rotation', { ...result }, rotationText(result)));
    sae.on('rotationFailed', (failure) =>
      this.#tellSome('rotationFailed', { ...failure }, failureText(failure)),
    );
    sae.on('rejected', (rejection) => this.#tellSome('rejected', { ...rejection }, rejectionText(rejection)));
    sae.on('keyExpired', (expiry) => this.tell('keyExpired', { ...expiry }, expiryText(expiry)));
    sae.on('failedClosed', ({ peerSaeId }) =>
      this.tell('failedClosed', { peerSaeId }, `${peerSaeId}: its traffic is stopped: there is no key`),
    );
    sae.on('failure', (failure) => {
      const { peerSaeId, source, error } = failure;
      this.#tellSome('failure', { peerSaeId, source, message: describeError(error) }, troubleText(failure));
    });
    sae.on('listenerError', (error) => this.error(error));
  }

  /** Begins to tell how the SAE stands. */
  begin(): void {
    if (this.#json) this.#timer = setInterval(() => this.#printStatus('status'), statusEveryMs);
    else if (this.#screen !== undefined) this.#timer = setInterval(() => this.#draw(), drawEveryMs);
  }

  connection(peerSaeId: string, lostBy: string | undefined): void {
    if (lostBy === undefined) this.#tellSome('connected', { peerSaeId }, `${peerSaeId}: connected`);
    else
      this.#tellSome('disconnected', { peerSaeId, reason: lostBy }, `${peerSaeId}: disconnected (${lostBy})`);
  }

  /** @param peerSaeId undefined where it is about no peer in particular. */
  error(error: unknown, peerSaeId?: string): void {
    const message = describeError(error);
    const text = peerSaeId === undefined ? message : `${peerSaeId}: cannot connect: ${message}`;
    this.#tellSome('error', { peerSaeId: peerSaeId ?? null, message }, text);
  }

  /** Tells one thing. @param text for people, who chose some of the names in it. */
  tell(event: string, fields: Readonly<Record<string, unknown>>, text: string): void {
    if (this.#hasEnded) return;
    const time = new Date().toISOString();
    this.#screen?.clear();
    process.stdout.write(
      this.#json
        ? `${printableJson(JSON.stringify({ event, time, ...fields }))}\n`
        : `${time.slice(11, 23)} ${printable(text)}\n`,
    );
    this.#draw();
  }

  /** Prints the last status for programs, takes away what does not stay, and gives the cursor back: nothing is told any more. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#json && this.#timer !== undefined) this.#printStatus('closed');
    this.#timer = undefined;
    this.#hasEnded = true;
    this.#screen?.clear();
    this.#screen?.end();
  }

  #tellSome(event: string, fields: Readonly<Record<string, unknown>>, text: string): void {
    if (!this.#bucket.take(1, performance.now())) {
      ++this.#untold;
      return;
    }
    const untold = this.#untold;
    this.#untold = 0;
    this.tell(
      event,
      untold === 0 ? fields : { ...fields, untold },
      untold === 0 ? text : `${text} (and ${untold} more)`,
    );
  }

  #printStatus(event: string): void {
    if (this.#sae === undefined) return;
    const { saeId, peers, dropped } = this.#sae.status();
    const total = (of: (peer: (typeof peers)[number]) => number): number =>
      peers.reduce((sum, peer) => sum + of(peer), 0);
    this.tell(
      event,
      {
        saeId,
        peers: peers.length,
        linked: total((peer) => Number(peer.linked)),
        rotating: total((peer) => Number(peer.session !== undefined)),
        failedClosed: total((peer) => Number(peer.failedClosed)),
        rotations: total((peer) => peer.rotations),
        failures: total((peer) => peer.failures),
        dropped,
      },
      '',
    );
  }

  #draw(): void {
    if (this.#sae === undefined || this.#screen === undefined || this.#timer === undefined) return;
    const line = saeLine(this.#sae.status(), Date.now());
    this.#screen.draw([painter(process.stdout)('dim', printable(line))]);
  }
}
