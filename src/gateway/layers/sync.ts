// The layer `sync`: a manager on a store of its own, and what a view shows of it.

import { SyncManager } from '../../sync/manager/manager.js';
import { type SyncChannels, serveSync } from '../../sync/over-hawser.js';
import { openStore } from '../../sync/store/lmdb-store.js';
import { MemoryStore } from '../../sync/store/memory-store.js';
import type { SyncStore } from '../../sync/store/store.js';
import type { ChannelMap } from '../../transport/channels.js';
import type { Server } from '../../transport/server.js';
import type { GatewayHandlers } from '../handlers.js';
import { LimitedLog } from '../log/limited-log.js';
import type { SyncPlan } from '../plan.js';
import type { LayerSnapshots } from '../snapshot.js';
import { SyncView } from '../view/sync-view.js';
import type { Layer, LayerContext } from './layer.js';

export class SyncLayer implements Layer {
  readonly manager: SyncManager;
  readonly #store: SyncStore & { close(): Promise<void> };
  readonly #view: SyncView;
  readonly #agentOf: GatewayHandlers['agentOf'];

  /** @throws HawserError (rejects) as `openStore`. */
  static async open(
    { directory, options, storeOptions }: SyncPlan,
    context: LayerContext,
  ): Promise<SyncLayer> {
    const store =
      directory === undefined ? new MemoryStore(storeOptions) : await openStore(directory, storeOptions);
    try {
      return new SyncLayer(store, options, context);
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  private constructor(
    store: SyncStore & { close(): Promise<void> },
    options: SyncPlan['options'],
    { handlers, log }: LayerContext,
  ) {
    const { allowIndex, onMetadata, onContext, agentOf } = handlers;
    this.#store = store;
    this.#agentOf = agentOf;
    this.manager = new SyncManager({
      ...options,
      store,
      ...(allowIndex !== undefined && { allowIndex }),
      ...(onMetadata !== undefined && { onMetadata }),
      ...(onContext !== undefined && { onContext }),
    });
    this.#view = new SyncView(this.manager);
    const failures = new LimitedLog(log);
    this.manager.on('listenerError', (error, source) => {
      failures.tell(
        source,
        'error',
        { err: error, layer: 'sync', source },
        `${source} of the layer sync failed`,
      );
    });
  }

  serve(server: Server<ChannelMap>): void {
    const agentOf = this.#agentOf;
    // A listener with this layer declares its channels.
    const own = server as unknown as Server<ChannelMap & SyncChannels>;
    serveSync(own, this.manager, agentOf === undefined ? {} : { agentOf: (peer) => agentOf(peer as never) });
  }

  snapshot(): NonNullable<LayerSnapshots['sync']> {
    return { ...this.manager.stats, ...this.#view.snapshot() };
  }

  drain(): Promise<void> {
    return this.manager.drain();
  }

  async close(): Promise<void> {
    await this.manager.close();
    await this.#store.close();
  }
}
