// The calls of a persona for one peer: one at a time, and none for longer than it may take.

import { setMaxListeners } from 'node:events';
import { HawserError } from '../../base/errors.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import type { DeviceKey, DeviceStatus, Persona, PersonaContext } from '../personas/persona.js';
import type { KeyStore } from '../store/store.js';
import type { Role } from '../wire/messages.js';
import { type DeviceCallName, diagnostics } from './diagnostics.js';
import { closedError, reasonOf } from './errors.js';
import type { PeerClock } from './peer-clock.js';

/** For what a device is called. */
export interface CallFor {
  readonly role: Role;
  readonly sessionId: string | undefined;
  /** When the call is given up, in Unix milliseconds of the peer's clock. */
  readonly untilMs: number;
}

/** How a call ended. */
export type CallOutcome<T> =
  | { readonly ok: true; readonly value: T }
  | {
      readonly ok: false;
      readonly error: unknown;
      /** The store has no such key that may be used: the device was not called. */
      readonly noKey: boolean;
      /** It was given up, and may yet succeed. */
      readonly timedOut: boolean;
    };

export interface DeviceCallsParts {
  readonly saeId: string;
  readonly peerSaeId: string;
  readonly persona: Persona;
  readonly store: KeyStore;
  readonly wheel: TimingWheel;
  readonly clock: PeerClock;
}

/** So long `close` waits for a call that was aborted: its key is wiped afterwards. */
const closeMs = 5000;

export class DeviceCalls {
  readonly #parts: DeviceCallsParts;
  /** Settles with the last call, however that ends: also one that was given up holds up the next. */
  #last: Promise<void> = Promise.resolve();
  readonly #aborts = new Set<AbortController>();
  #closed = false;

  constructor(parts: DeviceCallsParts) {
    this.#parts = parts;
  }

  preConfigure(keyId: string, call: CallFor): Promise<CallOutcome<void>> {
    return this.#withKey('preConfigure', keyId, call, (key, context) =>
      this.#parts.persona.preConfigure(key, context),
    );
  }

  /** @param keyId null: under none of ours. */
  rotate(keyId: string | null, call: CallFor): Promise<CallOutcome<void>> {
    const { persona } = this.#parts;
    if (keyId === null)
      return this.#run('rotate', undefined, call, (context) => persona.rotate(undefined, context));
    return this.#withKey('rotate', keyId, call, (key, context) => persona.rotate(key, context));
  }

  deleteKey(keyId: string, call: CallFor): Promise<CallOutcome<void>> {
    return this.#run('deleteKey', keyId, call, (context) => this.#parts.persona.deleteKey(keyId, context));
  }

  status(call: CallFor): Promise<CallOutcome<DeviceStatus>> {
    return this.#run('status', undefined, call, (context) => this.#parts.persona.status(context));
  }

  /** Where the device cannot, nothing is done, and that is an outcome that is `ok` too. @returns whether it can. */
  failClosed(call: CallFor): Promise<CallOutcome<boolean>> {
    const { persona } = this.#parts;
    if (persona.failClosed === undefined) return Promise.resolve({ ok: true, value: false });
    return this.#run('failClosed', undefined, call, async (context) => {
      await persona.failClosed?.(context);
      return true;
    });
  }

  /** Aborts what is under way and waits for it, though not for ever. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const abort of this.#aborts) abort.abort(closedError());
    const { wheel } = this.#parts;
    await new Promise<void>((resolve) => {
      const timer = new WheelTimer(resolve);
      wheel.schedule(timer, wheel.clock.now() + closeMs);
      void this.#last.then(() => {
        wheel.cancel(timer);
        resolve();
      });
    });
  }

  #withKey(
    name: DeviceCallName,
    keyId: string,
    call: CallFor,
    use: (key: DeviceKey, context: PersonaContext) => Promise<void>,
  ): Promise<CallOutcome<void>> {
    const { peerSaeId, store } = this.#parts;
    return this.#run(name, keyId, call, async (context, called) => {
      called(false);
      await store.withMaterial(peerSaeId, keyId, (material) => {
        called(true);
        return use({ keyId, material }, context);
      });
    });
  }

  /** @param run is told by `called` whether it has come to the device, where it may fail before that. */
  async #run<T>(
    name: DeviceCallName,
    keyId: string | undefined,
    call: CallFor,
    run: (context: PersonaContext, called: (reached: boolean) => void) => Promise<T>,
  ): Promise<CallOutcome<T>> {
    const { peerSaeId, wheel, clock } = this.#parts;
    const abort = new AbortController();
    // A device may be many connections, each of which hears it.
    setMaxListeners(0, abort.signal);
    const timer = new WheelTimer(() =>
      abort.abort(new HawserError('ERR_HAWSER_TIMED_OUT', 'the device did not answer in time')),
    );
    this.#aborts.add(abort);
    if (this.#closed) abort.abort(closedError());
    else wheel.schedule(timer, clock.monotonicOf(call.untilMs));
    const beganMs = wheel.clock.now();
    let reached = true;
    const context = { peerSaeId, role: call.role, sessionId: call.sessionId, signal: abort.signal };
    const work = this.#last.then(async () => {
      abort.signal.throwIfAborted();
      return run(context, (value) => {
        reached = value;
      });
    });
    this.#last = work.then(ignore, ignore);
    const outcome = await Promise.race([settled(work), aborted(abort.signal)]);
    wheel.cancel(timer);
    this.#aborts.delete(abort);
    const result: CallOutcome<T> = outcome.ok
      ? outcome
      : { ...outcome, noKey: !reached && !abort.signal.aborted, timedOut: abort.signal.aborted };
    this.#tell(name, keyId, wheel.clock.now() - beganMs, result);
    return result;
  }

  #tell(
    call: DeviceCallName,
    keyId: string | undefined,
    durationMs: number,
    outcome: CallOutcome<unknown>,
  ): void {
    if (!diagnostics.device.hasSubscribers) return;
    const { saeId, peerSaeId, persona } = this.#parts;
    const error = outcome.ok ? undefined : reasonOf(outcome.error);
    diagnostics.device.publish({ saeId, peerSaeId, persona: persona.name, call, keyId, durationMs, error });
  }
}

type Settled<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

async function settled<T>(work: Promise<T>): Promise<Settled<T>> {
  try {
    return { ok: true, value: await work };
  } catch (error) {
    return { ok: false, error };
  }
}

function aborted(signal: AbortSignal): Promise<Settled<never>> {
  return new Promise((resolve) => {
    const end = (): void => resolve({ ok: false, error: signal.reason });
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

function ignore(): void {
  // What went wrong was told by the promise itself.
}
