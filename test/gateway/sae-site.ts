// What the layer keys needs around it: KMEs, files with keys, and the other SAE, in this process.

import { generateKeyPairSync } from 'node:crypto';
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
 * A rotation takes its lead, of which both sides need a small part: the rest is for a process that stands still meanwhile, before it has
 * answered or when the time has come.
 */
const times = { leadMs: 6000, graceMs: 200, retransmitMs: 100, maxRetransmitMs: 1000, lateMs: 60_000 };
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

  /** SAE_2, which connects to the gateway with tokens of its client id. Its connection is what is rekeyed. @param role towards the gateway. */
  async connect(token: TokenSource, role: 'master' | 'slave' = 'slave'): Promise<Sae> {
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
    connection.connect();
    return sae;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#opened.splice(0).reverse()) await each.close();
    await this.#kmes[Symbol.asyncDispose]();
  }
}
