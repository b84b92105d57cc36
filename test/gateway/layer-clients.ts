// One real client of each layer over UDP, as their packages' users make them.

import { once } from 'node:events';
import {
  hawserConnector,
  InteractionClient,
  type InteractionClientOptions,
} from '../../src/interaction/index.js';
import type { SaeConnection } from '../../src/keys/links/sae-connection.js';
import { SessionClient, sessionConnector } from '../../src/sessions/index.js';
import { checksumOf, documentSha1, MemoryQueue, SyncClient, syncConnector } from '../../src/sync/index.js';
import type { TokenSource } from '../../src/transport/token-source.js';

/** Who was away does not stay away long. */
const reconnection = { backoff: { initialMs: 50, maxMs: 500 } };

/** A device of one value. */
export const endpoint = 1;
export const feature = 1;
export const attribute = 1;

/** A client of the layer interaction. */
export class Controller implements AsyncDisposable {
  readonly client: InteractionClient;

  constructor(token: TokenSource) {
    const options: InteractionClientOptions = { connector: hawserConnector(token), reconnection };
    this.client = new InteractionClient(options);
  }

  async write(value: number): Promise<unknown> {
    await this.client.write(endpoint, feature, new Map([[attribute, value]]));
    return (await this.client.read(endpoint, feature)).get(attribute);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.client.close();
  }
}

/** A client of the layer sync, whose documents are those that it was told of. */
export class MeterAgent implements AsyncDisposable {
  readonly client: SyncClient;
  readonly #agent: ReturnType<SyncClient['agent']>;
  readonly #documents = new Map<string, Uint8Array>();

  constructor(token: TokenSource) {
    this.client = new SyncClient({ connector: syncConnector(token), reconnection });
    this.#agent = this.client.agent({ module: 'meters', queue: new MemoryQueue() });
  }

  /** Tells the manager of a document. */
  async tell(id: string, text: string): Promise<void> {
    const document = Buffer.from(text);
    this.#documents.set(id, document);
    await this.#agent.persistDifference(id, 'MODIFY', 'meters', document);
    const { success, failureReason } = await this.#agent.synchronizeModule('DELTA');
    if (!success) throw new Error(`not told: ${failureReason}`);
  }

  /** Whether the manager has what this agent has. */
  check(): Promise<unknown> {
    return this.#agent.requiresFullSync(
      'meters',
      checksumOf(Array.from(this.#documents.values(), documentSha1)),
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.client.close();
  }
}

/** A client of the layer sessions, which has a gateway count. */
export class Counting implements AsyncDisposable {
  readonly client: SessionClient;
  /** Why it was sent away. */
  readonly redirected: unknown[] = [];

  constructor(token: TokenSource) {
    this.client = new SessionClient({ connector: sessionConnector(token), reconnection });
    this.client.on('redirected', (reason) => this.redirected.push(reason));
  }

  async say(text: string): Promise<string> {
    return Buffer.from(await this.client.request(Buffer.from(text))).toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
  }
}

/** Resolves when clients that are connected have lost that connection and made another. Call it before they lose it. */
export async function connectedAgain(
  ...clients: readonly (SyncClient | InteractionClient | SessionClient | SaeConnection)[]
): Promise<void> {
  await Promise.all(clients.map((client) => once(client, 'connected')));
}
