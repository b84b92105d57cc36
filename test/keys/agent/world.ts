// Two SAEs in virtual time, with all that they need, and a network between them.

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { seededRandom } from '../../../src/base/random.js';
import { TimingWheel } from '../../../src/base/timing-wheel.js';
import type { SaeOptions } from '../../../src/keys/agent/options.js';
import type { LinkEnd } from '../../../src/keys/agent/peer-links.js';
import type { PeerOptions } from '../../../src/keys/agent/peer-options.js';
import { Sae } from '../../../src/keys/agent/sae.js';
import { RecordingPersona } from '../../../src/keys/personas/recording-persona.js';
import { MemoryKeyStore } from '../../../src/keys/store/memory-store.js';
import type { KeyStore } from '../../../src/keys/store/store.js';
import { TestKeyPool } from './key-pool.js';
import { type MachineClock, SaeTime } from './sae-time.js';

export interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** Made once: no test changes one. */
const pairs = new Map<string, Pair>();

export function keysOf(saeId: string): Pair {
  const pair = pairs.get(saeId) ?? generateKeyPairSync('ed25519');
  pairs.set(saeId, pair);
  return pair;
}

/** A store that outlives its SAE. */
export class SurvivingStore implements KeyStore {
  readonly inner: KeyStore;
  readonly incarnation: number;
  /** Refuses everything from now on, as a process that is gone does nothing. */
  dead = false;
  /** Told before and after each commit. */
  onCommit: (when: 'before' | 'after') => void = () => undefined;
  /** What the next commits reject with. */
  readonly failures: Error[] = [];

  constructor(inner: KeyStore, incarnation: number) {
    this.inner = inner;
    this.incarnation = incarnation;
  }

  keys: KeyStore['keys'] = (peer) => this.inner.keys(peer);
  key: KeyStore['key'] = (peer, keyId) => this.inner.key(peer, keyId);
  sessions: KeyStore['sessions'] = (peer) => this.inner.sessions(peer);
  peer: KeyStore['peer'] = (peer) => this.inner.peer(peer);
  peers: KeyStore['peers'] = () => this.inner.peers();
  withMaterial: KeyStore['withMaterial'] = (peer, keyId, use) => this.inner.withMaterial(peer, keyId, use);

  async commit(change: Parameters<KeyStore['commit']>[0]): Promise<void> {
    this.onCommit('before');
    if (this.dead) return new Promise(() => undefined);
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    await this.inner.commit(change);
    this.onCommit('after');
    if (this.dead) return new Promise(() => undefined);
  }

  closed = false;

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

/** What lies between two SAEs. */
export interface Network {
  delayMs: number;
  /** Of each message: 0 for none. */
  loss: number;
  duplication: number;
  delivers: boolean;
  /** Told of each message that is sent. @returns false to have it lost. */
  filter: (bytes: Uint8Array, from: string) => boolean;
}

export interface Side {
  readonly saeId: string;
  sae: Sae;
  readonly clock: MachineClock;
  wheel: TimingWheel;
  readonly persona: RecordingPersona;
  readonly pool: TestKeyPool;
  readonly memory: MemoryKeyStore;
  store: SurvivingStore;
  readonly events: string[];
}

export interface WorldOptions {
  readonly seed?: number;
  readonly aheadMs?: number;
  readonly master?: Partial<SaeOptions>;
  readonly slave?: Partial<SaeOptions>;
  readonly masterPeer?: Partial<PeerOptions>;
  readonly slavePeer?: Partial<PeerOptions>;
  readonly network?: Partial<Network>;
}

export const masterId = 'SAE_A';
export const slaveId = 'SAE_B';

export class World {
  readonly time = new SaeTime();
  readonly pool = new TestKeyPool();
  readonly network: Network;
  readonly options: WorldOptions;
  readonly random: () => number;
  master!: Side;
  slave!: Side;
  #ends: LinkEnd[] = [];
  /** Every message that was sent, in order. */
  readonly sent: { readonly from: string; readonly bytes: Uint8Array }[] = [];

  constructor(options: WorldOptions) {
    this.options = options;
    this.random = seededRandom(options.seed ?? 1);
    this.network = {
      delayMs: 10,
      loss: 0,
      duplication: 0,
      delivers: false,
      filter: () => true,
      ...options.network,
    };
  }

  static async open(options: WorldOptions = {}): Promise<World> {
    const world = new World(options);
    world.master = await world.#side(masterId, 0);
    world.slave = await world.#side(slaveId, options.aheadMs ?? 0);
    world.connect();
    await world.time.pass(0);
    return world;
  }

  /** Joins the two, each by a new link. */
  connect(): void {
    for (const end of this.#ends) end.close();
    const { master, slave } = this;
    const toSlave = { end: undefined as LinkEnd | undefined };
    const toMaster = { end: undefined as LinkEnd | undefined };
    toMaster.end = master.sae.link(slaveId, this.#link(masterId, toSlave));
    toSlave.end = slave.sae.link(masterId, this.#link(slaveId, toMaster));
    this.#ends = [toMaster.end, toSlave.end];
  }

  /** Ends a side as kill -9 does, and starts it again with what its store has. */
  async restart(side: Side, { forgetful = false } = {}): Promise<void> {
    this.kill(side);
    if (forgetful) side.persona.restart();
    await this.revive(side);
  }

  kill(side: Side): void {
    side.store.dead = true;
    side.wheel.clear();
    for (const end of this.#ends) end.close();
    this.#ends = [];
    side.persona.script = () => new Promise(() => undefined);
  }

  async revive(side: Side): Promise<void> {
    side.persona.script = undefined;
    side.store = new SurvivingStore(side.memory, side.store.incarnation + 1);
    side.wheel = new TimingWheel(side.clock);
    side.sae = await this.#openSae(side);
    this.connect();
  }

  /** A further master of the slave. */
  async third(saeId: string): Promise<{ readonly sae: Sae }> {
    const wheel = new TimingWheel(this.time.machine());
    const sae = await this.time.finish(
      Sae.open({
        saeId,
        signingKey: keysOf(saeId).privateKey,
        store: new MemoryKeyStore(),
        keySource: this.pool.source(),
        persona: new RecordingPersona(),
        wheel,
        random: this.random,
        peers: [{ saeId: slaveId, publicKey: keysOf(slaveId).publicKey, role: 'master', leadMs: 5000 }],
      }),
    );
    const { publicKey } = keysOf(saeId);
    await this.time.finish(this.slave.sae.addPeer({ saeId, publicKey, role: 'slave', leadMs: 5000 }));
    const toSlave = { end: undefined as LinkEnd | undefined };
    const toThird = { end: undefined as LinkEnd | undefined };
    toThird.end = sae.link(slaveId, this.#link(saeId, toSlave));
    toSlave.end = this.slave.sae.link(saeId, this.#link(slaveId, toThird));
    return { sae };
  }

  async close(): Promise<void> {
    await this.time.finish(Promise.all([this.master.sae.close(), this.slave.sae.close()]));
  }

  #link(from: string, to: { end: LinkEnd | undefined }) {
    return {
      delivers: this.network.delivers,
      send: (bytes: Uint8Array): boolean => {
        const copy = Uint8Array.from(bytes);
        this.sent.push({ from, bytes: copy });
        if (!this.network.filter(copy, from) || this.random() < this.network.loss) return true;
        const copies = this.random() < this.network.duplication ? 2 : 1;
        for (let count = 0; count < copies; ++count) {
          const jitterMs = this.network.loss > 0 ? this.random() * 50 : 0;
          this.time.clock.setTimeout(() => to.end?.receive(copy), this.network.delayMs + jitterMs);
        }
        return true;
      },
    };
  }

  async #side(saeId: string, aheadMs: number): Promise<Side> {
    const clock = this.time.machine(aheadMs);
    const memory = new MemoryKeyStore();
    const side = {
      saeId,
      clock,
      wheel: new TimingWheel(clock),
      persona: new RecordingPersona(),
      pool: this.pool,
      memory,
      store: new SurvivingStore(memory, 1),
      events: [],
    };
    const sae = await this.#openSae(side);
    return Object.assign(side, { sae });
  }

  async #openSae(side: Omit<Side, 'sae'>): Promise<Sae> {
    const isMaster = side.saeId === masterId;
    const other = isMaster ? slaveId : masterId;
    const { masterPeer, slavePeer, master, slave } = this.options;
    const opened = Sae.open({
      saeId: side.saeId,
      signingKey: keysOf(side.saeId).privateKey,
      store: side.store,
      keySource: this.pool.source(),
      persona: side.persona,
      wheel: side.wheel,
      random: this.random,
      peers: [
        {
          saeId: other,
          publicKey: keysOf(other).publicKey,
          role: isMaster ? 'master' : 'slave',
          leadMs: 5000,
          ...(isMaster ? masterPeer : slavePeer),
        },
      ],
      ...(isMaster ? master : slave),
    });
    const sae = await this.time.finish(opened);
    sae.on('state', ({ session, cause }) => side.events.push(`${session.state} by ${cause}`));
    sae.on('rotation', ({ outcome }) => side.events.push(`rotation ${outcome}`));
    sae.on('rotationFailed', ({ outcome, code }) => side.events.push(`rotationFailed ${outcome} ${code}`));
    sae.on('rejected', ({ code, messageType }) => side.events.push(`rejected ${code} ${messageType}`));
    sae.on('failure', ({ source }) => side.events.push(`failure ${source}`));
    sae.on('keyExpired', () => side.events.push('keyExpired'));
    sae.on('failedClosed', () => side.events.push('failedClosed'));
    return sae;
  }
}

/** What a side's device sends under. */
export function currentKey(side: Side): string | null {
  return side.persona.device(side.saeId === masterId ? slaveId : masterId).current;
}

/** What it can receive under. */
export function liveKeys(side: Side): readonly string[] {
  return [...side.persona.device(side.saeId === masterId ? slaveId : masterId).live];
}
