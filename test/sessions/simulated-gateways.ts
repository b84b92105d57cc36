// Gateways of a simulation: servers of sessions, each a process that can be paused, killed, cut off from the store and started again under its
// name.

import type { MessageConnection, MessageReceiver } from '../../src/base/message-connection.js';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import type { RequestContext, RequestOutcome } from '../../src/sessions/server/handler.js';
import type { SessionServerOptions } from '../../src/sessions/server/options.js';
import { SessionServer } from '../../src/sessions/server/session-server.js';
import type { MemorySessionStore } from '../../src/sessions/store/memory-store.js';
import type { VirtualClock } from '../../src/testing/virtual-clock.js';
import type { Dice } from '../interaction/simulated-home.js';
import type { Ledger } from './simulated-ledger.js';
import { Process } from './simulated-process.js';
import type { Harbour } from './simulated-roads.js';
import { StoreOfGateway, type StoreWay } from './simulated-store.js';

/** What the handlers of the simulation are asked for: `TOKEN KIND TARGET`. */
export const kinds = ['count', 'count', 'own', 'own', 'own', 'tell', 'refuse', 'throw'] as const;
export type Kind = (typeof kinds)[number];

const madeToFail = 'made to fail';
/** What handlers may fail with: as they are told to, or since others were faster each time. */
const failures = [madeToFail, 'what the handler reads was written again each time'];

const clockSettlesMs = 2000;

export interface GatewaySettings {
  readonly clock: VirtualClock;
  readonly dice: Dice;
  readonly ledger: Ledger;
  readonly root: MemorySessionStore;
  readonly leaseTtlMs: number;
  readonly way: StoreWay;
  /** A handler takes so long at the most. */
  readonly handlerMs: number;
  readonly options: Partial<SessionServerOptions>;
}

interface Life {
  readonly process: Process;
  readonly store: StoreOfGateway;
  readonly wheel: TimingWheel;
  readonly server: SessionServer;
}

/** A gateway by its name, with one process after another. */
export class SimulatedGateway implements Harbour {
  readonly name: string;
  readonly address: string;
  readonly #settings: GatewaySettings;
  #life: Life | undefined;

  constructor(name: string, settings: GatewaySettings) {
    this.name = name;
    this.address = `${name}.example:4000`;
    this.#settings = settings;
  }

  get process(): Process | undefined {
    return this.#life?.process;
  }

  get server(): SessionServer | undefined {
    return this.#life?.server;
  }

  get store(): StoreOfGateway | undefined {
    return this.#life?.store;
  }

  accept(connection: MessageConnection, client: Process): MessageReceiver {
    const { clock } = this.#settings;
    if (this.#life === undefined) throw new Error('there is no gateway');
    const sinceMs = clock.now();
    // The transport has measured the other side's clock after a while.
    const remoteTimeMs = (): number | undefined =>
      clock.now() - sinceMs > clockSettlesMs ? client.now() : undefined;
    return this.#life.server.accept(connection, { identity: client.name, remoteTimeMs });
  }

  start(): void {
    const { clock, dice, ledger, root, leaseTtlMs, way, options } = this.#settings;
    if (this.#life !== undefined) return;
    const process = new Process(clock, this.name, dice.between(-3_000_000, 3_000_000));
    ledger.gateway(process, this.name);
    const store = new StoreOfGateway({ root, leaseTtlMs, process, dice, history: ledger });
    store.way = way;
    const wheel = new TimingWheel(process, (error) =>
      ledger.problem(`a timer of ${this.name} threw ${error}`),
    );
    const server = new SessionServer({
      ...options,
      store,
      gateway: this.name,
      advertise: this.address,
      wheel,
      random: dice.random,
      onRequest: (request) => this.#handle(process, request),
      onQuery: async (query) => (await query.get('counter')) ?? Buffer.from('0'),
      onExpire: ({ sessionId }, end) => {
        if (end === 'expired') ledger.expiring(process, sessionId);
        return { writes: new Map([[`ended/${sessionId}`, Buffer.from(end)]]) };
      },
    });
    server.on('listenerError', (error, source) => {
      if (!failures.some((each) => String(error).includes(each)))
        ledger.problem(`${source} of ${this.name} told ${error}`);
    });
    this.#life = { process, store, wheel, server };
    server.start().catch(() => undefined);
  }

  /** Without a word; its lease runs out. */
  kill(): void {
    this.#life?.process.kill();
    this.#life = undefined;
  }

  /** It ends in order. */
  async close(): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    await life.server.close();
    if (this.#life === life) this.#life = undefined;
    // It was killed meanwhile.
    if (!life.process.isAlive) return;
    await life.store.close();
    if (life.wheel.size > 0) this.#settings.ledger.problem(`${this.name} leaves ${life.wheel.size} timers`);
    life.process.kill();
  }

  async #handle(process: Process, request: RequestContext): Promise<RequestOutcome> {
    const { dice, handlerMs } = this.#settings;
    const { sessionId } = request;
    const [token = '', kind, target = ''] = Buffer.from(request.payload).toString().split(' ');
    const name = kind === 'own' ? `own/${sessionId}` : 'counter';
    const count = Number(Buffer.from((await request.get(name)) ?? []).toString()) + 1;
    if (dice.chance(0.3)) await process.sleep(dice.random() * handlerMs);
    if (kind === 'throw') throw new Error(madeToFail);
    const answer = Buffer.from(`${token} ${count}`);
    const writes = new Map([
      [name, Buffer.from(`${count}`)],
      [`log/${sessionId}`, answer],
    ]);
    if (kind === 'refuse') return { error: answer, writes };
    if (kind !== 'tell') return { result: answer, writes };
    const serverRequests = [
      { sessionId: target, payload: Buffer.from(`${token} for ${target}`) },
      { payload: Buffer.from(`${token} for itself`) },
    ];
    return { result: answer, writes, serverRequests };
  }
}
