// A device that is none: it keeps the ids of keys, and notices what no device would bear. For tests and dry runs.

import { deviceError } from './device-error.js';
import type { DeviceKey, DeviceStatus, Persona, PersonaContext } from './persona.js';

/** One call that was made. */
export interface RecordedCall {
  /** What was asked for. */
  readonly call: 'preConfigure' | 'rotate' | 'deleteKey' | 'failClosed';
  /** The other SAE. */
  readonly peerSaeId: string;
  /** Null where the call names none. */
  readonly keyId: string | null;
  /** The session; undefined or null where there is none. */
  readonly sessionId: string | undefined;
  /** Whether it did its work. */
  readonly done: boolean;
}

/** What a device knows of the keys with one peer. */
export interface RecordedDevice {
  /** What it can receive under, in the order in which it came. */
  readonly live: ReadonlySet<string>;
  /** What it sends under. */
  readonly current: string | null;
  /** Whether its traffic is stopped. */
  readonly failedClosed: boolean;
}

/**
 * Decides how a call goes: an error makes it fail and do nothing; a promise makes it wait, and `after` lets the call do its work and fail
 * all the same, as a device does whose answer is lost.
 */
export type Script = (
  call: Omit<RecordedCall, 'done'>,
  context: PersonaContext,
) => Outcome | undefined | Promise<Outcome | undefined>;

/** See {@link Script}. */
export type Outcome = {
  /** Whether it fails before its work is done, or after. */
  readonly fail: 'before' | 'after';
};

/** The calls that are kept; older ones are forgotten. */
const maxCalls = 10_000;

interface Device {
  readonly live: Set<string>;
  current: string | null;
  failedClosed: boolean;
}

/** No material is kept or looked at. */
export class RecordingPersona implements Persona {
  readonly name = 'recording';
  /** The last 10,000 calls, in order. */
  readonly calls: RecordedCall[] = [];
  /** What was asked of it against the contract of `Persona`: nobody may have to read the calls to see it. */
  readonly violations: string[] = [];
  /** How calls go; without it they all succeed at once. */
  script: Script | undefined;
  /** What `testConnection` answers. */
  reachable = true;
  readonly #devices = new Map<string, Device>();
  /** By peer: of the call that is open. Whose time is over need not be waited for. */
  readonly #open = new Map<string, AbortSignal>();
  readonly #seen: ((peerSaeId: string, keyId: string) => void)[] = [];

  /** Of one peer, as it is now; a live view. */
  device(peerSaeId: string): RecordedDevice {
    return this.#device(peerSaeId);
  }

  /** Lets the device forget everything, as a restart does. */
  restart(): void {
    this.#devices.clear();
  }

  /** Has the device tell that the peer's first packet under a key has come. */
  see(peerSaeId: string, keyId: string): void {
    for (const seen of this.#seen) seen(peerSaeId, keyId);
  }

  /** Every size suits. */
  validate(): void {
    return;
  }

  async preConfigure(key: DeviceKey, context: PersonaContext): Promise<void> {
    if (key.material.wiped) this.violations.push(`the material of ${key.keyId} is wiped already`);
    await this.#do('preConfigure', key.keyId, context, (device) => {
      device.live.add(key.keyId);
    });
  }

  async rotate(key: DeviceKey | undefined, context: PersonaContext): Promise<void> {
    const keyId = key?.keyId ?? null;
    await this.#do('rotate', keyId, context, (device) => {
      if (keyId !== null && !device.live.has(keyId))
        this.violations.push(`rotate to ${keyId}, which was not preconfigured, with ${context.peerSaeId}`);
      device.current = keyId;
      device.failedClosed = false;
    });
  }

  async deleteKey(keyId: string, context: PersonaContext): Promise<void> {
    await this.#do('deleteKey', keyId, context, (device) => {
      if (device.current === keyId)
        this.violations.push(`delete of ${keyId}, which is current, with ${context.peerSaeId}`);
      device.live.delete(keyId);
    });
  }

  /** What it knows of the keys with a peer. */
  async status({ peerSaeId }: PersonaContext): Promise<DeviceStatus> {
    const { live, current } = this.#device(peerSaeId);
    const service = `recording: ${live.size} live`;
    return { connected: this.reachable, service, currentKeyId: current, liveKeyIds: [...live] };
  }

  async testConnection(): Promise<boolean> {
    return this.reachable;
  }

  async failClosed(context: PersonaContext): Promise<void> {
    await this.#do('failClosed', null, context, (device) => {
      device.current = null;
      device.failedClosed = true;
    });
  }

  onPeerUses(seen: (peerSaeId: string, keyId: string) => void): void {
    this.#seen.push(seen);
  }

  async #do(
    call: RecordedCall['call'],
    keyId: string | null,
    context: PersonaContext,
    work: (device: Device) => void,
  ): Promise<void> {
    const { peerSaeId, sessionId, signal } = context;
    if (this.#open.get(peerSaeId)?.aborted === false)
      this.violations.push(`${call} before the last call for ${peerSaeId} had ended`);
    this.#open.set(peerSaeId, signal);
    let done = false;
    try {
      const outcome = await this.script?.({ call, peerSaeId, keyId, sessionId }, context);
      if (outcome?.fail === 'before') throw deviceError(this.name, `${call} fails, as it was told to`);
      work(this.#device(peerSaeId));
      done = true;
      if (outcome?.fail === 'after')
        throw deviceError(this.name, `${call} is done, and fails as it was told to`);
    } finally {
      if (this.#open.get(peerSaeId) === signal) this.#open.delete(peerSaeId);
      this.calls.push({ call, peerSaeId, keyId, sessionId, done });
      if (this.calls.length > maxCalls) this.calls.shift();
    }
  }

  #device(peerSaeId: string): Device {
    let device = this.#devices.get(peerSaeId);
    if (device === undefined) {
      device = { live: new Set(), current: null, failedClosed: false };
      this.#devices.set(peerSaeId, device);
    }
    return device;
  }
}
