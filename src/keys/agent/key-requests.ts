// Keys for the sessions with one peer: from the store where it has them, from the KME otherwise.

import { Backoff } from '../../base/backoff.js';
import { HawserError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import type { DeliveredKey } from '../kme/key-source.js';
import type { OperationResult } from '../protocol/steps.js';
import type { KeyRecord, KeyStore } from '../store/store.js';
import { isId } from '../wire/field-reader.js';
import { closedError, reasonOf } from './errors.js';
import type { PeerClock } from './peer-clock.js';
import type { PeerSettings } from './peer-options.js';

export interface KeyRequestsParts {
  readonly settings: PeerSettings;
  readonly store: KeyStore;
  readonly wheel: TimingWheel;
  readonly clock: PeerClock;
  readonly random: Random;
  /** Told of each attempt that failed. */
  readonly failed: (source: 'kme' | 'store', error: unknown) => void;
}

/** So many keys of a pair are kept at most: a peer that announces keys and rotates to none must not fill the store of all others. */
const mostKeys = 1024;

/** Until a KME that has no keys now is asked again: as arnika does, five times within the first seconds. */
const retry = { initialMs: 100, maxMs: 5000, jitter: 0.5 } as const;

export class KeyRequests {
  readonly #parts: KeyRequestsParts;
  /** Keys that are being fetched, with what ends when each is in the store, or will not come. */
  readonly #fetching = new Map<string, Promise<OperationResult>>();
  readonly #aborts = new Set<AbortController>();
  #closed = false;

  constructor(parts: KeyRequestsParts) {
    this.#parts = parts;
  }

  /** As the master: keys for a session. Those that are left of sessions that came to nothing come first. */
  async request(): Promise<OperationResult> {
    const { settings, clock } = this.#parts;
    const kept = this.#available().slice(0, settings.keysPerRotation);
    const number = settings.keysPerRotation - kept.length;
    if (number === 0) return { ok: true, keyIds: kept };
    const wanted = { number, sizeBits: settings.keySizeBits };
    const result = await this.#bring(
      (signal) => settings.keySource.getKeys(settings.peerSaeId, wanted, { signal }),
      (keys) => this.#problemOfNew(keys, number),
      clock.nowMs() + settings.kmeTimeoutMs,
      'kme_unavailable',
    );
    return result.ok ? { ok: true, keyIds: [...kept, ...(result.keyIds ?? [])] } : result;
  }

  /**
   * As the slave: those keys. What is being fetched is never asked for twice, also when an earlier call has given it up: a KME delivers a
   * key once.
   */
  async fetch(keyIds: readonly string[], untilMs: number): Promise<OperationResult> {
    const unusable = keyIds.filter((keyId) => this.#isUnusable(keyId));
    if (unusable.length > 0) return unavailable('keys are used up, expired or revoked', unusable);
    const missing = keyIds.filter((keyId) => this.#record(keyId) === undefined);
    const { settings, store } = this.#parts;
    if (missing.length > 0 && store.keys(settings.peerSaeId).length + missing.length > mostKeys) {
      const reason = 'more keys of this pair would be kept than may be';
      return { ok: false, code: 'kme_unavailable', reason, timedOut: false };
    }
    const fresh = missing.filter((keyId) => !this.#fetching.has(keyId));
    if (fresh.length > 0) this.#beginFetch(fresh);
    const waiting = new Set(missing.map((keyId) => this.#fetching.get(keyId)));
    const results = await this.#within(untilMs, [...waiting]);
    if (results === undefined) {
      const reason = 'the KME has not delivered the keys in time';
      return { ok: false, code: 'kme_unavailable', reason, timedOut: true };
    }
    const failed = results.find((result) => result !== undefined && !result.ok);
    if (failed !== undefined) return failed;
    const lost = keyIds.filter((keyId) => this.#record(keyId) === undefined || this.#isUnusable(keyId));
    return lost.length > 0 ? unavailable('keys are not in the store', lost) : { ok: true, keyIds };
  }

  /** Aborts what is under way; what a KME delivers nevertheless is wiped. */
  close(): void {
    this.#closed = true;
    for (const abort of this.#aborts) abort.abort(closedError());
  }

  #record(keyId: string): KeyRecord | undefined {
    const { store, settings } = this.#parts;
    return store.key(settings.peerSaeId, keyId);
  }

  #isUnusable(keyId: string): boolean {
    const record = this.#record(keyId);
    if (record === undefined) return false;
    return (record.status !== 'available' && record.status !== 'assigned') || this.#isExpired(record);
  }

  #isExpired({ expiresAtMs }: KeyRecord): boolean {
    return expiresAtMs !== null && expiresAtMs <= this.#parts.clock.nowMs();
  }

  /** The ids of keys that a session may begin with, the oldest first. */
  #available(): string[] {
    const { store, settings } = this.#parts;
    return store
      .keys(settings.peerSaeId)
      .filter((key) => key.status === 'available' && key.sizeBits === settings.keySizeBits)
      .filter((key) => !this.#isExpired(key))
      .sort((a, b) => a.receivedAtMs - b.receivedAtMs || (a.keyId < b.keyId ? -1 : 1))
      .map((key) => key.keyId);
  }

  #beginFetch(keyIds: readonly string[]): void {
    const { settings, clock } = this.#parts;
    const fetched = this.#bring(
      (signal) => settings.keySource.getKeysWithIds(settings.peerSaeId, keyIds, { signal }),
      (keys) => this.#problemOfFetched(keys, keyIds),
      clock.nowMs() + settings.kmeTimeoutMs,
      // It has delivered something, and what it delivered is gone.
      'key_unavailable',
    );
    const ended = fetched.then((result) => {
      for (const keyId of keyIds) this.#fetching.delete(keyId);
      return result.ok || result.code !== 'key_unavailable' ? result : { ...result, keyIds };
    });
    for (const keyId of keyIds) this.#fetching.set(keyId, ended);
  }

  /** Asks the KME, checks what it says, and keeps it. Never rejects. @param ifWrong what an answer means that is none. */
  async #bring(
    ask: (signal: AbortSignal) => Promise<readonly DeliveredKey[]>,
    problemOf: (keys: readonly DeliveredKey[]) => string | undefined,
    untilMs: number,
    ifWrong: 'kme_unavailable' | 'key_unavailable',
  ): Promise<OperationResult> {
    let keys: readonly DeliveredKey[];
    try {
      keys = await this.#ask(ask, untilMs);
    } catch (error) {
      return resultOf(error, ifWrong);
    }
    try {
      const problem = problemOf(keys);
      if (problem !== undefined) {
        this.#parts.failed('kme', new HawserError('ERR_HAWSER_PROTOCOL', problem));
        return { ok: false, code: ifWrong, reason: problem, timedOut: false };
      }
      await this.#keep(keys);
      return { ok: true, keyIds: keys.map((key) => key.keyId) };
    } catch (error) {
      this.#parts.failed('store', error);
      // The KME has delivered them, and will not again.
      return unavailable(`the keys could not be kept: ${reasonOf(error)}`, []);
    } finally {
      wipe(keys);
    }
  }

  async #keep(keys: readonly DeliveredKey[]): Promise<void> {
    const { settings, store, clock } = this.#parts;
    if (this.#closed) throw closedError();
    const receivedAtMs = clock.nowMs();
    const add = keys.map(({ keyId, material }) => ({
      material,
      record: {
        keyId,
        peerSaeId: settings.peerSaeId,
        status: 'available' as const,
        sizeBits: material.length * 8,
        receivedAtMs,
        expiresAtMs: Math.min(receivedAtMs + settings.keyLifetimeMs, Number.MAX_SAFE_INTEGER),
        sessionId: null,
        inProductionAtMs: null,
        rolledAtMs: null,
      },
    }));
    await store.commit({ peerSaeId: settings.peerSaeId, add });
  }

  /** Asks until there is an answer, or none may be hoped for. */
  async #ask(
    ask: (signal: AbortSignal) => Promise<readonly DeliveredKey[]>,
    untilMs: number,
  ): Promise<readonly DeliveredKey[]> {
    const { wheel, clock, random } = this.#parts;
    const abort = new AbortController();
    const timer = new WheelTimer(() =>
      abort.abort(new HawserError('ERR_HAWSER_KME_UNAVAILABLE', 'the KME did not answer in time')),
    );
    this.#aborts.add(abort);
    if (this.#closed) abort.abort(closedError());
    else wheel.schedule(timer, clock.monotonicOf(untilMs));
    const backoff = new Backoff(retry, random);
    try {
      for (;;) {
        abort.signal.throwIfAborted();
        try {
          return await orAborted(ask(abort.signal), abort.signal);
        } catch (error) {
          this.#parts.failed('kme', error);
          if (abort.signal.aborted || !isPassing(error)) throw error;
          await this.#pause(backoff.next(), abort.signal);
        }
      }
    } finally {
      wheel.cancel(timer);
      this.#aborts.delete(abort);
    }
  }

  #pause(delayMs: number, signal: AbortSignal): Promise<void> {
    const { wheel } = this.#parts;
    return new Promise((resolve) => {
      const end = (): void => {
        wheel.cancel(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = new WheelTimer(end);
      wheel.schedule(timer, wheel.clock.now() + delayMs);
      signal.addEventListener('abort', end);
    });
  }

  /** @returns what the promises brought; undefined when the time was over first. */
  #within<T>(
    untilMs: number,
    promises: readonly Promise<T>[] | readonly (Promise<T> | undefined)[],
  ): Promise<(T | undefined)[] | undefined> {
    const { wheel, clock } = this.#parts;
    return new Promise((resolve) => {
      const timer = new WheelTimer(() => resolve(undefined));
      wheel.schedule(timer, clock.monotonicOf(untilMs));
      void Promise.all(promises).then((results) => {
        wheel.cancel(timer);
        resolve(results);
      });
    });
  }

  // ---- What a KME may deliver: a key source may be anybody's -----------------------------------------------------------

  #problemOfNew(keys: readonly DeliveredKey[], number: number): string | undefined {
    const { settings } = this.#parts;
    if (keys.length !== number) return `the KME delivered ${keys.length} keys instead of ${number}`;
    // One that no message can name would be tried with each rotation.
    if (!keys.every((key) => isId(key.keyId))) return 'the KME delivered a key whose id is none';
    const ids = new Set(keys.map((key) => key.keyId));
    if (ids.size !== number) return 'the KME delivered two keys of one id';
    if (keys.some((key) => this.#record(key.keyId) !== undefined)) return 'the KME delivered a key twice';
    const sized = keys.every((key) => key.material.length * 8 === settings.keySizeBits);
    return sized ? undefined : `the KME delivered keys of another size than ${settings.keySizeBits} bits`;
  }

  #problemOfFetched(keys: readonly DeliveredKey[], keyIds: readonly string[]): string | undefined {
    const { persona } = this.#parts.settings;
    if (keys.length !== keyIds.length || keys.some((key, index) => key.keyId !== keyIds[index])) {
      return 'the KME delivered other keys than it was asked for';
    }
    try {
      for (const { material } of keys) persona.validate(material.length * 8);
    } catch (error) {
      return reasonOf(error);
    }
    return undefined;
  }
}

/** @returns what the promise does, unless the signal aborts first; keys that come later are wiped. */
function orAborted(
  asked: Promise<readonly DeliveredKey[]>,
  signal: AbortSignal,
): Promise<readonly DeliveredKey[]> {
  return new Promise((resolve, reject) => {
    const end = (): void => reject(signal.reason);
    signal.addEventListener('abort', end, { once: true });
    asked.then(
      (keys) => {
        signal.removeEventListener('abort', end);
        if (signal.aborted) wipe(keys);
        resolve(keys);
      },
      (error: unknown) => {
        signal.removeEventListener('abort', end);
        reject(error);
      },
    );
  });
}

function wipe(keys: readonly DeliveredKey[]): void {
  for (const { material } of keys) material.wipe();
}

/** Whether another attempt may succeed. */
function isPassing(error: unknown): boolean {
  return error instanceof HawserError && error.code === 'ERR_HAWSER_KME_UNAVAILABLE';
}

function resultOf(error: unknown, ifWrong: 'kme_unavailable' | 'key_unavailable'): OperationResult {
  const code = error instanceof HawserError ? error.code : undefined;
  if (code === 'ERR_HAWSER_KEY_UNAVAILABLE') return unavailable(reasonOf(error), []);
  const isAnswer = code === 'ERR_HAWSER_PROTOCOL';
  return {
    ok: false,
    code: isAnswer ? ifWrong : 'kme_unavailable',
    reason: reasonOf(error),
    timedOut: false,
  };
}

function unavailable(reason: string, keyIds: readonly string[]): OperationResult {
  return { ok: false, code: 'key_unavailable', reason, timedOut: false, keyIds };
}
