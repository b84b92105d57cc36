// Two KMEs and two SAEs in processes of their own, as docs/cli.md sets them up.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import { askControl } from '../../src/cli/sae-control.js';
import type { PeerStatus, SaeStatus } from '../../src/keys/agent/status.js';
import { hawserHere } from './in-process.js';
import { RunningCommand } from './support.js';

const never = new AbortController().signal;

/** Which of the two. */
export type Side = 'master' | 'slave';

/** A master and a slave, with their KMEs. */
export class TestSaes implements AsyncDisposable {
  readonly folder: string;
  readonly #kmes: RunningCommand;
  readonly #running = new Map<Side, RunningCommand>();

  /** Makes certificates and keys, and starts the KMEs; no SAE yet. @param peer more settings of the peer, at both. */
  static async open(folder: string, peer: Readonly<Record<string, unknown>> = {}): Promise<TestSaes> {
    const file = (name: string): string => join(folder, name);
    const made = [
      ['kme', 'certs', '--out', file('certs'), '--kme', 'KME_A,KME_B', '--sae', 'SAE_A,SAE_B'],
      ['keygen', '--out', file('server.key')],
      ['sae', 'keygen', '--out', file('SAE_A.pem'), '--master-key', file('SAE_A.master')],
      ['sae', 'keygen', '--out', file('SAE_B.pem'), '--master-key', file('SAE_B.master')],
    ];
    for (const args of made) expect(await hawserHere(...args)).toMatchObject({ code: 0, stderr: '' });
    const kmes = new RunningCommand([
      ...['kme', '--certs', file('certs'), '--listen', '127.0.0.1:0,127.0.0.1:0'],
    ]);
    const [, first = ''] = await kmes.sees(/KME_A (https:\S+?),/);
    const [, second = ''] = await kmes.sees(/KME_B (https:\S+?),/);
    const saes = new TestSaes(folder, kmes);
    const listen = await freeAddress();
    // The files that docs/cli.md shows, with the ports that there are. A side that does not answer before the rotation, or confirms too long
    // after it, ends the session: there is more time for that than a process of a loaded machine stands still.
    const common = { leadMs: 10_000, lateMs: 60_000, graceMs: 200, retransmitMs: 100, ...peer };
    saes.edit('master', (config) => ({
      ...config,
      kme: { ...config.kme, url: first },
      peers: [{ ...config.peers[0], intervalMs: undefined, ...common }],
    }));
    saes.edit('slave', (config) => ({
      ...config,
      kme: { ...config.kme, url: second },
      // The master must find it there again after a restart.
      transport: { listen, key: 'server.key' },
      peers: [{ ...config.peers[0], ...common }],
    }));
    return saes;
  }

  private constructor(folder: string, kmes: RunningCommand) {
    this.folder = folder;
    this.#kmes = kmes;
    for (const side of ['master', 'slave']) {
      const example = new URL(`../../examples/keys/${side}.json`, import.meta.url);
      writeFileSync(join(folder, `${side}.json`), readFileSync(example));
    }
  }

  /** The configuration of one side. */
  config(side: Side): string {
    return join(this.folder, `${side}.json`);
  }

  edit(side: Side, change: (config: ExampleConfig) => unknown): void {
    const config: ExampleConfig = JSON.parse(readFileSync(this.config(side), 'utf8'));
    writeFileSync(this.config(side), JSON.stringify(change(config)));
  }

  /** Starts one side, the slave first; it writes JSON. */
  async start(side: Side): Promise<RunningCommand> {
    const command = new RunningCommand(['sae', side, '--config', this.config(side), '--json']);
    this.#running.set(side, command);
    const [line] = await command.sees(/^\{"event":"listening".*\}$/m);
    if (side === 'slave') {
      const { address }: { address: string } = JSON.parse(line);
      this.edit('master', (config) => ({
        ...config,
        peers: [
          {
            ...config.peers[0],
            connect: { to: address, key: 'server.key', clientId: 1, timeoutMs: 10_000 },
          },
        ],
      }));
    }
    return command;
  }

  /** Begins a rotation, without waiting for it. */
  rotate(): RunningCommand {
    return new RunningCommand(['sae', 'rotate', '--config', this.config('master'), '--json']);
  }

  /** As when its machine fails. */
  async kill(...sides: readonly Side[]): Promise<void> {
    for (const side of sides) this.#running.get(side)?.kill('SIGKILL');
    for (const side of sides) await this.#running.get(side)?.outcome;
  }

  /** How one side stands with the other. */
  async status(side: Side): Promise<PeerStatus> {
    const path = join(this.folder, side === 'master' ? 'SAE_A.store.sock' : 'SAE_B.store.sock');
    const answer = await askControl(path, { command: 'status' }, never);
    // Both ends are of this package.
    const { peers } = (answer?.result ?? { peers: [] }) as SaeStatus;
    return peers[0] ?? expect.fail(`the ${side} does not run`);
  }

  /** Waits until both are idle with the same key, which is not `before`. @returns its id. */
  settled(before: string | null): Promise<string> {
    return vi.waitFor(
      async () => {
        const [master, slave] = [await this.status('master'), await this.status('slave')];
        const key = master.productionKeyId;
        const both = JSON.stringify({ master, slave });
        if (key === null || key === before) throw new Error(`the master is not through: ${both}`);
        expect([master.session, slave.session, slave.productionKeyId], both).toEqual([
          undefined,
          undefined,
          key,
        ]);
        return key;
      },
      { timeout: 90_000, interval: 50 },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill('master', 'slave');
    this.#kmes.kill('SIGKILL');
    await this.#kmes.outcome;
  }
}

/** What of the examples is edited. */
interface ExampleConfig {
  readonly kme: Readonly<Record<string, unknown>>;
  readonly peers: readonly Readonly<Record<string, unknown>>[];
}
