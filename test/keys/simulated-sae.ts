// An SAE whose process can be killed anywhere: its disk, its devices and the clock of its machine go on.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { HawserError } from '../../src/base/errors.js';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import type { LinkEnd } from '../../src/keys/agent/peer-links.js';
import type { PeerOptions } from '../../src/keys/agent/peer-options.js';
import { Sae } from '../../src/keys/agent/sae.js';
import type { SaeLink } from '../../src/keys/links/link.js';
import type { DeviceKey, Persona, PersonaContext } from '../../src/keys/personas/persona.js';
import { MemoryKeyStore } from '../../src/keys/store/memory-store.js';
import type { KeyStore, StoreChange } from '../../src/keys/store/store.js';
import type { Dice } from '../interaction/simulated-home.js';
import type { MachineClock, SaeTime } from './agent/sae-time.js';
import { keysOf } from './agent/world.js';
import { SimulatedKmes } from './simulated-kme.js';
import type { Oracle } from './simulated-oracle.js';

/** What may go wrong with processes, disks and devices; rates are likelihoods of each call. */
export interface SaeFaults {
  crashRate: number;
  storeFailures: number;
  deviceFailures: number;
  /** A device that does not answer for longer than it may. */
  deviceHangs: number;
  /** Whether a device forgets its keys when its SAE crashes. */
  devicesForget: boolean;
}

export interface SaeSettings {
  readonly time: SaeTime;
  readonly dice: Dice;
  readonly oracle: Oracle;
  readonly kmes: SimulatedKmes;
  readonly faults: SaeFaults;
  readonly failClosed: boolean;
  readonly peers: readonly Omit<PeerOptions, 'publicKey'>[];
  /** Has a link to a peer for a process that is up. */
  readonly linked: (sae: SimulatedSae) => void;
  /** A process is gone, for so many milliseconds. */
  readonly crashed: (sae: SimulatedSae) => void;
}

/** How long a device hangs that does. */
export const hangMs = 5000;

const goneError = new HawserError('ERR_HAWSER_CLOSED', 'the process is gone');

/** One run of the process. */
class Life {
  readonly wheel: TimingWheel;
  readonly ends = new Map<string, LinkEnd>();
  sae: Sae | undefined;
  isAlive = true;
  /** Whether its devices forgot their keys with it: what they were still asked for is not done. */
  devicesForgot = false;
  readonly #deaths = new Set<() => void>();

  constructor(clock: MachineClock) {
    this.wheel = new TimingWheel(clock);
  }

  end(): void {
    this.isAlive = false;
    this.wheel.clear();
    for (const death of Array.from(this.#deaths)) death();
    this.ends.clear();
    // What is left of it does nothing to anybody any more; it gives its memory back.
    void this.sae?.close();
  }

  /** Waits in virtual time; rejects when the process is gone, or the signal aborts. */
  pause(time: SaeTime, ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const over = (): void => {
        timer.clear();
        this.#deaths.delete(death);
        signal?.removeEventListener('abort', aborted);
      };
      const death = (): void => {
        over();
        reject(goneError);
      };
      const aborted = (): void => {
        over();
        reject(signal?.reason);
      };
      const timer = time.clock.setTimeout(() => {
        over();
        resolve();
      }, ms);
      if (!this.isAlive) return death();
      if (signal?.aborted === true) return aborted();
      this.#deaths.add(death);
      signal?.addEventListener('abort', aborted);
    });
  }
}

export class SimulatedSae {
  readonly id: string;
  readonly clock: MachineClock;
  readonly disk = new MemoryKeyStore();
  readonly #settings: SaeSettings;
  #incarnation = 0;
  #life: Life | undefined;
  /** Commits of each peer, in the order of the calls. */
  readonly #commits = new Map<string, Promise<void>>();
  readonly #seen = new Set<(peerSaeId: string, keyId: string) => void>();

  constructor(id: string, settings: SaeSettings) {
    this.id = id;
    this.#settings = settings;
    const { dice, time } = settings;
    this.clock = time.machine(dice.between(-3000, 3000));
  }

  /** Undefined while it is down, or opening. */
  get sae(): Sae | undefined {
    return this.#life?.sae;
  }

  get isDown(): boolean {
    return this.#life === undefined;
  }

  get peerIds(): readonly string[] {
    return this.#settings.peers.map(({ saeId }) => saeId);
  }

  start(): void {
    if (this.#life !== undefined) return;
    const life = new Life(this.clock);
    this.#life = life;
    this.#seen.clear();
    const { peers, dice, kmes, time, failClosed, linked } = this.#settings;
    const opened = Sae.open({
      saeId: this.id,
      signingKey: keysOf(this.id).privateKey,
      store: this.#store(life),
      keySource: kmes.source(this.id, (ms, signal) => life.pause(time, ms, signal)),
      persona: this.#persona(life),
      wheel: life.wheel,
      random: dice.random,
      failClosed,
      testRanges: true,
      peers: peers.map((peer) => ({ ...peer, publicKey: keysOf(peer.saeId).publicKey })),
    });
    void opened.then(
      (sae) => {
        if (!life.isAlive) return sae.close();
        life.sae = sae;
        linked(this);
        return undefined;
      },
      (error: unknown) => {
        if (life.isAlive) this.#settings.oracle.problem(`${this.id} cannot be opened: ${error}`);
      },
    );
  }

  kill(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#life = undefined;
    const { oracle, faults, dice, crashed } = this.#settings;
    life.devicesForgot = faults.devicesForget && dice.chance(0.5);
    if (life.devicesForgot) for (const peer of this.peerIds) oracle.forgot(this.id, peer);
    life.end();
    crashed(this);
  }

  /** Ends it in order. */
  async close(): Promise<void> {
    const life = this.#life;
    this.#life = undefined;
    await life?.sae?.close();
    life?.end();
  }

  /** @returns undefined when there is no process that could have it. */
  link(peerSaeId: string, link: SaeLink): LinkEnd | undefined {
    const life = this.#life;
    const end = life?.sae?.link(peerSaeId, link);
    if (life === undefined || end === undefined) return undefined;
    life.ends.set(peerSaeId, end);
    return end;
  }

  unlink(peerSaeId: string): void {
    const ends = this.#life?.ends;
    ends?.get(peerSaeId)?.close();
    ends?.delete(peerSaeId);
  }

  /** Tells of the devices that are set up again without a key. */
  tellReady(): void {
    const { oracle } = this.#settings;
    if (this.peerIds.every((peer) => oracle.device(this.id, peer).isUp)) return;
    for (const { peerSaeId, ready } of this.sae?.status().peers ?? [])
      if (ready) oracle.ready(this.id, peerSaeId);
  }

  receive(peerSaeId: string, bytes: Uint8Array): void {
    this.#life?.ends.get(peerSaeId)?.receive(bytes);
  }

  /** Its device has seen a packet of a peer. */
  sees(peerSaeId: string, keyId: string): void {
    for (const seen of this.#seen) seen(peerSaeId, keyId);
  }

  // ---- What the process has of the world -----------------------------------------------------------------------------

  /** Somewhere a process may be killed. */
  mayCrash(): void {
    const { dice, faults } = this.#settings;
    if (dice.chance(faults.crashRate)) this.kill();
  }

  #store(life: Life): KeyStore {
    const { disk } = this;
    return {
      incarnation: ++this.#incarnation,
      keys: (peer) => disk.keys(peer),
      key: (peer, keyId) => disk.key(peer, keyId),
      sessions: (peer) => disk.sessions(peer),
      peer: (peer) => disk.peer(peer),
      peers: () => disk.peers(),
      withMaterial: (peer, keyId, use) => disk.withMaterial(peer, keyId, use),
      commit: (change) => {
        const before = this.#commits.get(change.peerSaeId) ?? Promise.resolve();
        const commit = before.then(() => this.#commit(life, change));
        this.#commits.set(
          change.peerSaeId,
          commit.catch(() => undefined),
        );
        return commit;
      },
      close: () => Promise.resolve(),
    };
  }

  async #commit(life: Life, change: StoreChange): Promise<void> {
    const { time, dice, faults } = this.#settings;
    if (!life.isAlive) throw goneError;
    this.mayCrash();
    try {
      if (dice.chance(0.5)) await life.pause(time, dice.magnitude(1, 50));
      else await nextTurn();
    } finally {
      // The disk has it or not: who is killed meanwhile does not hear of it.
      const isKept = !life.isAlive && dice.chance(0.5);
      if (isKept) await this.#apply(change).catch(() => undefined);
    }
    if (!life.isAlive) throw goneError;
    if (dice.chance(faults.storeFailures)) throw new HawserError('ERR_HAWSER_STORE', 'the disk fails');
    await this.#apply(change);
    this.mayCrash();
    if (!life.isAlive) throw goneError;
  }

  async #apply(change: StoreChange): Promise<void> {
    await this.disk.commit(change);
    this.#settings.oracle.committed(this.id, change, this.disk);
  }

  #persona(life: Life): Persona {
    const { oracle } = this.#settings;
    const call = (context: PersonaContext, effect: () => void): Promise<void> =>
      this.#call(life, context, effect);
    return {
      name: 'simulated',
      validate: () => undefined,
      preConfigure: (key, context) =>
        call(context, () => {
          this.#judge(key);
          oracle.preConfigured(this.id, context.peerSaeId, key.keyId);
        }),
      rotate: (key, context) =>
        call(context, () => {
          if (key !== undefined) this.#judge(key);
          oracle.rotated(this.id, context.peerSaeId, key?.keyId ?? null);
        }),
      deleteKey: (keyId, context) => call(context, () => oracle.deleted(this.id, context.peerSaeId, keyId)),
      failClosed: (context) => call(context, () => oracle.failedClosed(this.id, context.peerSaeId)),
      status: async (context) => {
        await call(context, () => undefined);
        return { connected: true, service: 'operational' };
      },
      testConnection: async () => true,
      onPeerUses: (seen) => {
        this.#seen.add(seen);
      },
    };
  }

  async #call(life: Life, { signal }: PersonaContext, effect: () => void): Promise<void> {
    const { time, dice, faults } = this.#settings;
    if (!life.isAlive) throw goneError;
    this.mayCrash();
    const hangs = dice.chance(faults.deviceHangs);
    const isDeaf = dice.chance(0.5);
    try {
      await life.pause(time, hangs ? hangMs : dice.magnitude(1, 300), isDeaf ? undefined : signal);
    } catch (error) {
      // Cut off, it did what it was asked for or it did not.
      if (!life.devicesForgot && dice.chance(0.5)) effect();
      throw error;
    }
    const fails = dice.chance(faults.deviceFailures) ? dice.pick(['before', 'after'] as const) : undefined;
    if (fails !== 'before') effect();
    if (fails !== undefined) throw new HawserError('ERR_HAWSER_DEVICE', 'the device fails');
    this.mayCrash();
  }

  /** The very bytes of the key, in memory that was not wiped. */
  #judge({ keyId, material }: DeviceKey): void {
    if (material.wiped) return;
    if (SimulatedKmes.bytesOf(keyId).equals(material.bytes)) return;
    this.#settings.oracle.problem(`${this.id} gives its device other bytes for ${keyId}`);
  }
}
