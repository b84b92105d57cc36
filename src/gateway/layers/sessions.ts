// The layer `sessions`: a session server on its store, and what its clients and operators are to know of its cluster.

import { randomInt } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { throwIfAborted, unlessAborted } from '../../base/abort.js';
import { parseAddress } from '../../base/address.js';
import { HawserError } from '../../base/errors.js';
import { systemRandom } from '../../base/random.js';
import { systemWheel } from '../../base/timing-wheel.js';
import { Members } from '../../sessions/cluster/members.js';
import { type SessionChannels, serveSessions } from '../../sessions/over-hawser.js';
import type { SessionServerOptions } from '../../sessions/server/options.js';
import { SessionServer } from '../../sessions/server/session-server.js';
import type { SessionStore } from '../../sessions/store/store.js';
import type { ChannelMap } from '../../transport/channels.js';
import type { Server } from '../../transport/server.js';
import type { GatewayHandlers } from '../handlers.js';
import { LimitedLog } from '../log/limited-log.js';
import type { SessionsPlan } from '../plan.js';
import { openStoreAt, type StoreAddress } from '../session-store.js';
import type { LayerSnapshots } from '../snapshot.js';
import type { Layer, LayerContext } from './layer.js';

const retryMs = 1000;
const complainMs = 5000;

export class SessionsLayer implements Layer {
  readonly #plan: SessionsPlan;
  readonly #store: SessionStore;
  readonly #context: LayerContext;
  /** Of a store that other gateways may have, too. */
  readonly #members: Members | undefined;
  /** Where the listeners with this layer are reached. */
  readonly #own: string[] = [];
  /** Made with the first listener: its address is what clients of other gateways are told. */
  #server: SessionServer | undefined;
  #ending: Promise<void> | undefined;

  /**
   * Opens the store. One that is elsewhere is waited for.
   *
   * @throws HawserError (rejects) as `openStoreAt`; ERR_HAWSER_ABORTED.
   */
  static async open(plan: SessionsPlan, context: LayerContext, signal: AbortSignal): Promise<SessionsLayer> {
    for (let saidMs = Number.NEGATIVE_INFINITY; ; ) {
      throwIfAborted(signal);
      try {
        return new SessionsLayer(plan, await openStoreAt(plan.store), context);
      } catch (error) {
        if (!(error instanceof HawserError && error.code === 'ERR_HAWSER_STORE_UNAVAILABLE')) throw error;
        if (performance.now() - saidMs >= complainMs) {
          sayUnreachable(context, plan.store, error.message);
          saidMs = performance.now();
        }
        await wait(retryMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  private constructor(plan: SessionsPlan, store: SessionStore, context: LayerContext) {
    this.#plan = plan;
    this.#store = store;
    this.#context = context;
    this.#members = store.shared
      ? new Members({ store, wheel: systemWheel(), random: systemRandom })
      : undefined;
  }

  /** Undefined before the first listener is served. */
  get server(): SessionServer | undefined {
    return this.#server;
  }

  serve(server: Server<ChannelMap>): void {
    this.#own.push(...server.publicAddresses);
    this.#server ??= this.#makeServer(server);
    const { identityOf } = this.#context.handlers;
    // A listener with this layer declares its channels.
    const own = server as unknown as Server<ChannelMap & SessionChannels>;
    const options =
      identityOf === undefined ? {} : { identityOf: (peer: unknown) => identityOf(peer as never) };
    serveSessions(own, this.#server, options);
  }

  #makeServer({ publicAddresses, address }: Server<ChannelMap>): SessionServer {
    const advertise = this.#plan.advertise ?? publicAddresses[0] ?? address;
    const { handlers, log } = this.#context;
    const server = new SessionServer({
      store: this.#store,
      gateway: advertise,
      advertise,
      cluster: this.#plan.cluster,
      ...this.#plan.times,
      ...sessionHandlers(handlers),
    });
    const failures = new LimitedLog(log);
    server.on('listenerError', (error, source) => {
      failures.tell(
        source,
        'error',
        { err: error, layer: 'sessions', source },
        `${source} of the layer sessions failed`,
      );
    });
    return server;
  }

  /** Resolves once the gateway has its lease. @throws HawserError (rejects) ERR_HAWSER_ABORTED, and as `SessionServer.start`. */
  async start(signal: AbortSignal): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#members?.start();
    const complaints = setInterval(() => {
      sayUnreachable(this.#context, this.#plan.store, 'this gateway has no lease yet');
    }, complainMs);
    try {
      const started = server.start();
      // When it fails after all, nobody waits for it.
      started.catch(() => undefined);
      await unlessAborted(started, signal);
    } finally {
      clearInterval(complaints);
    }
  }

  /**
   * Where a client may go, at most `limit`: this gateway, then the others that live, in any order, so that the clients of one that dies do
   * not all meet at one other.
   */
  addresses(limit: number): readonly string[] {
    const others = Array.from(this.#members?.all() ?? [], ([, { advertise }]) => advertise);
    const advertise = this.#plan.advertise ?? [];
    return [...new Set([advertise, this.#own, shuffled(others.filter(isAddress))].flat())].slice(0, limit);
  }

  snapshot(): LayerSnapshots['sessions'] {
    const server = this.#server;
    if (server === undefined) return undefined;
    const members = Array.from(this.#members?.all() ?? [], ([, { advertise }]) => advertise);
    return {
      ...server.stats,
      gateway: server.gateway,
      store: this.#plan.store.text,
      cluster: this.#plan.cluster,
      members: members.length > 0 ? members.sort() : [server.gateway],
    };
  }

  /** Tells the clients, and gives up the lease, so that others can go on with them at once. */
  drain(): Promise<void> {
    this.#members?.[Symbol.dispose]();
    return this.#server?.close() ?? Promise.resolve();
  }

  close(): Promise<void> {
    this.#ending ??= this.drain().then(() => this.#store.close());
    return this.#ending;
  }
}

function sayUnreachable({ log }: LayerContext, { text }: StoreAddress, reason: string): void {
  log.warn(
    { layer: 'sessions', store: text },
    `cannot reach the store ${text}: ${reason}; trying again until it answers (Ctrl-C ends). Is etcd running there?`,
  );
}

/** Without a handler every request and query is answered with what it says. */
function sessionHandlers({
  onRequest,
  onQuery,
  onExpire,
}: GatewayHandlers): Pick<SessionServerOptions, 'onRequest' | 'onQuery' | 'onExpire'> {
  if (onRequest === undefined && onQuery === undefined && onExpire === undefined) {
    return { onRequest: ({ payload }) => ({ result: payload }), onQuery: ({ payload }) => payload };
  }
  return {
    ...(onRequest !== undefined && { onRequest }),
    ...(onQuery !== undefined && { onQuery }),
    ...(onExpire !== undefined && { onExpire }),
  };
}

/** What other gateways say of themselves may be anything. */
function isAddress(text: string): boolean {
  try {
    return parseAddress(text).port > 0;
  } catch {
    return false;
  }
}

function shuffled<T>(values: readonly T[]): T[] {
  const left = [...values];
  return values.flatMap(() => left.splice(randomInt(left.length), 1));
}
