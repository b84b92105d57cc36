// What `hawser sae demo` needs before it begins, made on the spot in a temporary folder: certificates, signing keys, configurations; and the
// two KMEs, which run in its own process.

import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CertificateAuthority } from '../keys/kme/certificates.js';
import { KeyPool } from '../keys/kme/key-pool.js';
import { KmeServer } from '../keys/kme/kme-server.js';
import { writeMasterKey } from '../keys/store/master-key.js';
import { formatKey, generateKey } from '../token/server-key.js';
import { privateKeyPem } from './private-key-pem.js';
import { writeSigningKey } from './sae-new-keys.js';
import { writeNewSecret } from './write-new-secret.js';

export const demoMaster = 'SAE_A';
export const demoSlave = 'SAE_B';

const poolKeys = 100;
const keysPerSecond = 1;
const clientId = 1;

/** How often the two SAEs of a demonstration rotate, in milliseconds. */
export interface DemoTimes {
  readonly intervalMs: number;
  readonly leadMs: number;
}

/** Keys that the KMEs have delivered. */
interface Delivered {
  master: number;
  slave: number;
}

/** The KMEs of a demonstration and the files of its SAEs. */
export class DemoSetup {
  readonly pool: KeyPool;
  readonly kmes: readonly KmeServer[];
  readonly delivered: Readonly<Delivered>;
  readonly #folder: string;
  readonly #times: DemoTimes;

  /** @throws HawserError, CommandError (rejects). */
  static async open(times: DemoTimes): Promise<DemoSetup> {
    const folder = mkdtempSync(join(tmpdir(), 'hawser-sae-'));
    const pool = new KeyPool({ capacity: poolKeys, refillPerSecond: keysPerSecond });
    const kmes: KmeServer[] = [];
    const delivered: Delivered = { master: 0, slave: 0 };
    try {
      const authority = CertificateAuthority.make({ name: 'hawser sae demo' });
      const file = (name: string): string => join(folder, name);
      writeFileSync(file('ca.pem'), authority.certificate);
      for (const [kmeId, targetKmeId] of [
        ['KME_A', 'KME_B'],
        ['KME_B', 'KME_A'],
      ] as const) {
        const { certificate, privateKey } = authority.kme({ id: kmeId });
        const key = privateKeyPem(privateKey);
        kmes.push(
          await KmeServer.listen({
            kmeId,
            targetKmeId,
            pool,
            ca: authority.certificate,
            cert: certificate,
            key,
            onRequest: ({ saeId, keys }) => {
              delivered[saeId === demoMaster ? 'master' : 'slave'] += keys;
            },
          }),
        );
        key.fill(0);
      }
      for (const saeId of [demoMaster, demoSlave]) {
        const { certificate, privateKey } = authority.sae({ id: saeId });
        writeFileSync(file(`${saeId}.crt`), certificate);
        const key = privateKeyPem(privateKey);
        writeNewSecret(file(`${saeId}.key`), key, '');
        key.fill(0);
        writeSigningKey(file(`${saeId}.sign`), generateKeyPairSync('ed25519').privateKey);
        writeMasterKey(file(`${saeId}.master`));
      }
      writeNewSecret(file('server.key'), `${formatKey(generateKey())}\n`, '');
      return new DemoSetup(folder, pool, kmes, delivered, times);
    } catch (error) {
      await Promise.all(kmes.map((kme) => kme.close()));
      pool.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor(
    folder: string,
    pool: KeyPool,
    kmes: readonly KmeServer[],
    delivered: Readonly<Delivered>,
    times: DemoTimes,
  ) {
    this.#folder = folder;
    this.pool = pool;
    this.kmes = kmes;
    this.delivered = delivered;
    this.#times = times;
  }

  /** Writes the configuration of the slave, to which the master connects. @returns its path. */
  slaveConfig(): string {
    return this.#writeConfig(demoSlave, demoMaster, this.kmes[1]?.url, {
      transport: { listen: '127.0.0.1:0', key: 'server.key' },
      peer: { clientId },
    });
  }

  /** Writes the configuration of the master. @param address of the slave. @returns its path. */
  masterConfig(address: string): string {
    return this.#writeConfig(demoMaster, demoSlave, this.kmes[0]?.url, {
      peer: { connect: { to: address, key: 'server.key', clientId }, intervalMs: this.#times.intervalMs },
    });
  }

  /** Ends the KMEs, wipes their keys, and deletes the folder. */
  async close(): Promise<void> {
    await Promise.all(this.kmes.map((kme) => kme.close()));
    this.pool.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #writeConfig(
    saeId: string,
    peerSaeId: string,
    url: string | undefined,
    { peer, ...rest }: { readonly peer: object; readonly transport?: object },
  ): string {
    const path = join(this.#folder, `${saeId}.json`);
    const config = {
      saeId,
      signingKey: `${saeId}.sign`,
      store: { path: `${saeId}.store`, masterKey: { file: `${saeId}.master` } },
      kme: { url, ca: 'ca.pem', cert: `${saeId}.crt`, key: `${saeId}.key` },
      persona: { type: 'transport' },
      ...rest,
      peers: [{ saeId: peerSaeId, publicKey: `${peerSaeId}.sign.pub`, leadMs: this.#times.leadMs, ...peer }],
    };
    writeFileSync(path, JSON.stringify(config, null, 2));
    return path;
  }
}
