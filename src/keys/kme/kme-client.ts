// The SAE's side of ETSI GS QKD 014 V1.1.1: asks a KME for keys.

import { setMaxListeners } from 'node:events';
import { checkServerIdentity } from 'node:tls';
import { checkSignal, throwIfAborted } from '../../base/abort.js';
import { Backoff } from '../../base/backoff.js';
import { argumentError, checkArray, checkInteger, checkText } from '../../base/check.js';
import { HawserError, type HawserErrorCode } from '../../base/errors.js';
import { kmeChannel } from './diagnostics.js';
import { type ExchangeAnswer, exchange } from './https-exchange.js';
import type { DeliveredKey, KeySource, KeySourceCallOptions, KmeStatus } from './key-source.js';
import {
  checkLimits,
  checkSize,
  protocolError,
  readNamedKeys,
  readNewKeys,
  wipe,
} from './kme-client-keys.js';
import {
  checkKmeClientOptions,
  type KmeClientOptions,
  type KmeClientSettings,
} from './kme-client-options.js';
import { checkKmeId, type Failure, failureOf, failureOfAnswer } from './kme-failures.js';
import { readStatus } from './kme-json.js';
import { type KmeMethod, maxIdBytes, pathOf } from './methods.js';

/** The most bytes of a key container. */
const maxAnswerBytes = 1_048_576;
/** The most keys of a call. */
const maxKeys = 1024;
const maxRetryMs = 5000;
/** Of the SAEs whose limits are remembered. */
const maxKnown = 1024;

/** One call of a method, with all its requests. */
interface Call<T> {
  readonly method: KmeMethod;
  readonly peerSaeId: string;
  readonly body: Uint8Array | undefined;
  /** Reads an answer with the status 200. @throws HawserError ERR_HAWSER_PROTOCOL. */
  readonly read: (body: Uint8Array) => T;
  readonly keysOf: (result: T) => number;
  readonly signal: AbortSignal | undefined;
  /** By the clock's `now`. */
  readonly deadlineMs: number;
}

/**
 * Asks one KME, as one SAE, over HTTPS with mutual authentication.
 *
 * Requests for status and for new keys are made again, with growing delays, when the KME answers 429 or 5xx, cannot be reached, or is silent.
 * A request for keys by their ids is made again only when no connection came about, or when the KME answered 429 or 503, which says that it
 * delivered nothing: after any other failure the keys may be delivered, and are gone.
 */
export class KmeClient implements KeySource {
  readonly #settings: KmeClientSettings;
  readonly #known = new Map<string, { readonly status: KmeStatus; readonly atMs: number }>();
  readonly #closing = new AbortController();

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: KmeClientOptions) {
    this.#settings = checkKmeClientOptions(options);
    // As many as there are calls.
    setMaxListeners(0, this.#closing.signal);
  }

  /** Asks each time; `getKeys` relies on what it brought for a while. */
  async status(slaveSaeId: string, options: KeySourceCallOptions = {}): Promise<KmeStatus> {
    checkText('slaveSaeId', slaveSaeId, maxIdBytes);
    return this.#status(slaveSaeId, checkSignal(options.signal), this.#deadline());
  }

  /**
   * Asks for new keys, in as many requests as the KME's limit takes. When one of them fails, the keys of the others are wiped.
   *
   * @param wanted `number` 1 to 1024; `sizeBits` a multiple of 8 up to 8192, the KME's own choice by default.
   * @throws HawserError (rejects) as {@link KeySource} says, with ERR_HAWSER_KME_REFUSED too when the KME's limits exclude the size.
   */
  async getKeys(
    slaveSaeId: string,
    wanted: { readonly number: number; readonly sizeBits?: number },
    options: KeySourceCallOptions = {},
  ): Promise<readonly DeliveredKey[]> {
    checkText('slaveSaeId', slaveSaeId, maxIdBytes);
    const number = checkInteger('number', wanted.number, 1, maxKeys);
    const asked = wanted.sizeBits === undefined ? undefined : checkSize(wanted.sizeBits);
    const signal = checkSignal(options.signal);
    const deadlineMs = this.#deadline();
    const limits = await this.#limits(slaveSaeId, signal, deadlineMs);
    const sizeBits = asked ?? limits.keySizeBits;
    checkLimits(limits, sizeBits);
    const keys: DeliveredKey[] = [];
    try {
      while (keys.length < number) {
        const part = Math.min(number - keys.length, limits.maxKeysPerRequest);
        const more = await this.#call<readonly DeliveredKey[]>({
          method: 'enc_keys',
          peerSaeId: slaveSaeId,
          body: Buffer.from(JSON.stringify({ number: part, size: sizeBits })),
          read: (body) => readNewKeys(body, part, sizeBits),
          keysOf: (result) => result.length,
          signal,
          deadlineMs,
        });
        keys.push(...more);
      }
      if (new Set(keys.map(({ keyId }) => keyId)).size !== number) {
        throw protocolError('the KME gave two keys the same id');
      }
      return keys;
    } catch (error) {
      wipe(keys);
      throw error;
    }
  }

  /** See {@link KeySource}. @param keyIds 1 to 1024 different ones. */
  async getKeysWithIds(
    masterSaeId: string,
    keyIds: readonly string[],
    options: KeySourceCallOptions = {},
  ): Promise<readonly DeliveredKey[]> {
    checkText('masterSaeId', masterSaeId, maxIdBytes);
    const ids = checkArray('keyIds', keyIds, 1, maxKeys).map((id, at) =>
      checkText(`keyIds[${at}]`, id, maxIdBytes),
    );
    if (new Set(ids).size !== ids.length) throw argumentError('keyIds', 'different ids', 'one of them twice');
    return this.#call<readonly DeliveredKey[]>({
      method: 'dec_keys',
      peerSaeId: masterSaeId,
      body: Buffer.from(JSON.stringify({ key_IDs: ids.map((id) => ({ key_ID: id })) })),
      read: (body) => readNamedKeys(body, ids),
      keysOf: (result) => result.length,
      signal: checkSignal(options.signal),
      deadlineMs: this.#deadline(),
    });
  }

  /** Ends all calls with ERR_HAWSER_CLOSED, and all connections. Closing twice is closing once. */
  close(): void {
    this.#closing.abort();
    this.#known.clear();
    this.#settings.keptAgent.destroy();
    this.#settings.freshAgent.destroy();
  }

  #deadline(): number {
    return this.#settings.clock.now() + this.#settings.timeoutMs;
  }

  async #limits(slaveSaeId: string, signal: AbortSignal | undefined, deadlineMs: number): Promise<KmeStatus> {
    const known = this.#known.get(slaveSaeId);
    const { clock, statusMaxAgeMs } = this.#settings;
    if (known !== undefined && clock.now() - known.atMs < statusMaxAgeMs) return known.status;
    return this.#status(slaveSaeId, signal, deadlineMs);
  }

  async #status(slaveSaeId: string, signal: AbortSignal | undefined, deadlineMs: number): Promise<KmeStatus> {
    const status = await this.#call<KmeStatus>({
      method: 'status',
      peerSaeId: slaveSaeId,
      body: undefined,
      read: readStatus,
      keysOf: () => 0,
      signal,
      deadlineMs,
    });
    const [oldest] = this.#known.keys();
    this.#known.delete(slaveSaeId);
    if (oldest !== undefined && this.#known.size >= maxKnown) this.#known.delete(oldest);
    this.#known.set(slaveSaeId, { status, atMs: this.#settings.clock.now() });
    return status;
  }

  async #call<T>(call: Call<T>): Promise<T> {
    const { maxAttempts, retryMs, random } = this.#settings;
    const backoff = new Backoff({ initialMs: retryMs, maxMs: Math.max(retryMs, maxRetryMs) }, random);
    for (let attempt = 1; ; ++attempt) {
      this.#throwIfOver(call.signal);
      const result = await this.#attempt(call, attempt);
      if ('value' in result) return result.value;
      const delayMs = backoff.next();
      const inTime = this.#settings.clock.now() + delayMs < call.deadlineMs;
      if (!result.retry || attempt === maxAttempts || !inTime) throw result.error;
      await this.#pause(delayMs, call.signal);
    }
  }

  #throwIfOver(signal: AbortSignal | undefined): void {
    if (this.#closing.signal.aborted) throw new HawserError('ERR_HAWSER_CLOSED', 'the KME client is closed');
    throwIfAborted(signal);
  }

  async #attempt<T>(call: Call<T>, attempt: number): Promise<{ readonly value: T } | Failure> {
    const begun = this.#settings.clock.now();
    const tell = (status: number | null, keys: number, code: HawserErrorCode | null): void => {
      if (!kmeChannel.hasSubscribers) return;
      const { clock, origin: kme } = this.#settings;
      const { method, peerSaeId } = call;
      kmeChannel.publish({
        kme,
        method,
        peerSaeId,
        attempt,
        status,
        keys,
        durationMs: clock.now() - begun,
        code,
      });
    };
    try {
      const answer = await this.#exchange(call, begun);
      try {
        const failure = failureOfAnswer(call.method, answer);
        if (failure !== undefined) {
          tell(failure.status, 0, failure.error.code);
          return failure;
        }
        const value = call.read(answer.body);
        tell(answer.status, call.keysOf(value), null);
        return { value };
      } finally {
        answer.body.fill(0);
      }
    } catch (error) {
      const failure = failureOf(call.method, error, {
        origin: this.#settings.origin,
        signal: call.signal,
        isClosed: this.#closing.signal.aborted,
      });
      tell(failure.status, 0, failure.error.code);
      return failure;
    }
  }

  #exchange<T>(
    { method, peerSaeId, body, signal, deadlineMs }: Call<T>,
    begun: number,
  ): Promise<ExchangeAnswer> {
    const { host, port, prefix, kmeId, clock, connectTimeoutMs, answerTimeoutMs } = this.#settings;
    const left = Math.max(1, deadlineMs - begun);
    const consumes = method === 'dec_keys';
    const { keptAgent, freshAgent } = this.#settings;
    return exchange({
      // A connection that was idle may be over at the very moment, and nobody could say whether the request arrived.
      agent: consumes ? freshAgent : keptAgent,
      host,
      port,
      path: prefix + pathOf(method, peerSaeId),
      body,
      checkServerIdentity: (name, certificate) =>
        kmeId === undefined ? checkServerIdentity(name, certificate) : checkKmeId(kmeId, certificate),
      maxAnswerBytes,
      clock,
      connectTimeoutMs,
      // Giving up early would lose the keys.
      timeoutMs: consumes ? left : Math.min(left, answerTimeoutMs),
      signal: signal === undefined ? this.#closing.signal : AbortSignal.any([this.#closing.signal, signal]),
    });
  }

  #pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const signals = [this.#closing.signal, ...(signal === undefined ? [] : [signal])];
      const end = (): void => {
        timer.clear();
        for (const each of signals) each.removeEventListener('abort', end);
        resolve();
      };
      const timer = this.#settings.clock.setTimeout(end, delayMs);
      for (const each of signals) each.addEventListener('abort', end);
      if (signals.some(({ aborted }) => aborted)) end();
    });
  }
}
