// What the layer keys needs around it: KMEs, files with keys, and the other SAE, in this process.

import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Sae } from '../../src/keys/agent/sae.js';
import { keysConnector, SaeConnection } from '../../src/keys/links/over-hawser.js';
import { TransportPersona } from '../../src/keys/personas/transport-persona.js';
import { MemoryKeyStore } from '../../src/keys/store/memory-store.js';
import type { TokenSource } from '../../src/transport/token-source.js';
import { authority, openPair, type Pair, pemOf, saeIdentities } from '../keys/kme/support.js';

/** The client id of the other SAE, which the configuration knows it by. */
export const saeClientId = 30n;
/**
 * A rotation takes its lead, of which both sides need a small part on an idle machine. The rest is for a process that gets no processor time
 * before it has answered. Further rounds and `lateMs` are for one that gets none afterwards.
 */
const times = {
  leadMs: 10_000,
  graceMs: 200,
  maxRounds: 100,
  retransmitMs: 100,
  maxRetransmitMs: 1000,
  lateMs: 60_000,
};
const reconnection = { backoff: { initialMs: 50, maxMs: 500 } };
const keys = { SAE_1: generateKeyPairSync('ed25519'), SAE_2: generateKeyPairSync('ed25519') };

export class SaeSite implements AsyncDisposable {
  /** The section `sae` of the configuration of a gateway, which is SAE_1; it fits into JSON. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly #kmes: Pair;
  readonly #opened: { close(): Promise<void> }[] = [];

  /** @param folder where the files of the gateway go. */
  static async open(folder: string): Promise<SaeSite> {
    return new SaeSite(folder, await openPair());
  }

  private constructor(folder: string, kmes: Pair) {
    this.#kmes = kmes;
    mkdirSync(folder, { recursive: true });
    const file = (name: string, content: string | Buffer): string => {
      writeFileSync(join(folder, name), content, { mode: 0o600 });
      return join(folder, name);
    };
    this.config = {
      saeId: 'SAE_1',
      signingKey: file('SAE_1.pem', pemOf(keys.SAE_1.privateKey)),
      store: {
        path: join(folder, 'SAE_1.store'),
        masterKey: { file: file('SAE_1.master', Buffer.alloc(32, 5).toString('base64')) },
      },
      kme: {
        url: kmes.a.url,
        ca: file('ca.pem', authority.certificate),
        cert: file('kme.pem', saeIdentities.SAE_1.cert),
        key: file('kme.key', saeIdentities.SAE_1.key),
      },
      peers: [
        {
          saeId: 'SAE_2',
          publicKey: file('SAE_2.pub', keys.SAE_2.publicKey.export({ type: 'spki', format: 'pem' })),
          role: 'both',
          clientId: String(saeClientId),
          ...times,
        },
      ],
    };
  }

  /**
   * Opens SAE_2 and connects it to the gateway with tokens of its client id. Its connection is what is rekeyed.
   *
   * @param role towards the gateway.
   * @returns once it is connected: the lead of a rotation runs whether there is a connection or not.
   */
  async connect(
    token: TokenSource,
    role: 'master' | 'slave' = 'slave',
  ): Promise<{ readonly sae: Sae; readonly connection: SaeConnection }> {
    const persona = new TransportPersona();
    const sae = await Sae.open({
      saeId: 'SAE_2',
      signingKey: keys.SAE_2.privateKey,
      store: new MemoryKeyStore(),
      keySource: this.#kmes.client('SAE_2', this.#kmes.b),
      persona,
      peers: [{ saeId: 'SAE_1', publicKey: keys.SAE_1.publicKey, role, ...times }],
    });
    this.#opened.push(sae);
    const connector = keysConnector(token, { secretOf: persona.secretOf }, (connection) =>
      persona.attach('SAE_1', connection),
    );
    const connection = new SaeConnection({ sae, peerSaeId: 'SAE_1', connector, reconnection });
    this.#opened.push(connection);
    const connected = once(connection, 'connected');
    connection.connect();
    await connected;
    return { sae, connection };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#opened.splice(0).reverse()) await each.close();
    await this.#kmes[Symbol.asyncDispose]();
  }
}
