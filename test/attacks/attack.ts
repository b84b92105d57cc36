// An attack on a real gateway with honest peers: three processes, the attacker in the test's own or in a fourth. `npm run attack` runs the
// long form of each attack and asserts latency too; `npm test` runs the short form, which asserts counts only.

import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterEach, expect } from 'vitest';
import { bytes, reliable, type ServerOptions, unreliable } from '../../src/index.js';
import { type MintTokenOptions, mintToken } from '../../src/token/index.js';
import { type ChannelDeclaration, channelMode } from '../reference/hawser1.js';

/** Seconds of each attack in the long form; undefined in the short form. */
const longSeconds = process.env.HAWSER_ATTACK_SECONDS;
/** True when latency is asserted and attacks last longer. */
export const isLong = longSeconds !== undefined;

/** @param shortSeconds of the short form. @returns seconds that the attack lasts. */
export const attackSeconds = (shortSeconds: number): number => Number(longSeconds ?? shortSeconds);

/** Channels of the attacked gateway. */
export const channels = {
  chat: reliable(bytes(), { maxMessageBytes: 65_536 }),
  state: unreliable(bytes()),
  feed: reliable(bytes(), { maxMessageBytes: 1_048_576 }),
};

/** The same, in the form of the reference implementation. */
export const gatewayChannels: readonly ChannelDeclaration[] = [
  { name: 'chat', mode: channelMode.reliable, codec: 'bytes', maxMessageBytes: 65_536 },
  { name: 'state', mode: channelMode.unreliable, codec: 'bytes', maxMessageBytes: 0 },
  { name: 'feed', mode: channelMode.reliable, codec: 'bytes', maxMessageBytes: 1_048_576 },
];
export const channel = { chat: 0, state: 1, feed: 2 } as const;

const key = { id: 1, key: new Uint8Array(32).fill(5) };
/** Client ids of honest peers begin here; those of hostile ones are given by the tests, below. */
const firstHonestId = 1_000_000n;
const protocolId = 1n;
/** 0.8 Gbit/s in datagrams of 1,200 bytes. */
const floodPerSecond = 83_333;
const tokenTimeoutMs = 20_000;
/** Time that honest messages may take at most to come back once an attack is over. */
const patienceMs = 12_000;

export interface GatewayReport {
  readonly rssBytes: number;
  readonly nativeBytes: number;
  readonly connected: readonly string[];
  readonly endings: readonly { readonly clientId: string; readonly result: string; readonly code: number }[];
  readonly counters: Readonly<Record<string, number>>;
  readonly drops: Readonly<Record<string, number>>;
}

/** What honest peers saw. Times are from send() to the echo. */
export interface HonestReport {
  readonly sent: number;
  /** Reliable messages that did not come back within 12 s of the end. */
  readonly lost: number;
  readonly stateSent: number;
  readonly stateLost: number;
  readonly disconnected: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
}

const children = new Set<ChildProcess>();

afterEach(async () => {
  await Promise.all(
    [...children].map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    }),
  );
  children.clear();
});

const program = (name: string): string => fileURLToPath(new URL(`children/${name}.mjs`, import.meta.url));

async function start(name: string, argument: object): Promise<{ child: ChildProcess; first: unknown }> {
  const child = fork(program(name), [JSON.stringify(argument)], { execArgv: ['--expose-gc'] });
  children.add(child);
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${name} ended with ${signal ?? `exit code ${code}`}`);
  });
  const [first] = await Promise.race([once(child, 'message'), ended]);
  return { child, first };
}

async function request<T>(child: ChildProcess, message: object): Promise<T> {
  const answer = once(child, 'message');
  child.send(message);
  const ended = once(child, 'exit').then(() => expect.fail('the process ended during the attack'));
  const [value] = await Promise.race([answer, ended]);
  return value;
}

export class AttackedGateway {
  readonly address: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, address: string) {
    this.#child = child;
    this.address = address;
  }

  /** @param options of Server.listen, as far as JSON carries them. */
  static async start(options: Partial<ServerOptions> = {}): Promise<AttackedGateway> {
    const { child, first } = await start('gateway', { key: Buffer.from(key.key).toString('hex'), options });
    return new AttackedGateway(child, (first as { address: string }).address);
  }

  get port(): number {
    return Number(this.address.split(':')[1]);
  }

  /** The gateway's memory after garbage collection, its peers, how connections ended, counters. */
  report(): Promise<GatewayReport> {
    return request(this.#child, { report: true });
  }

  /** @param address that the token lists; it must be one of the gateway's public addresses. */
  token(clientId: bigint, options: Partial<MintTokenOptions> = {}): Promise<Uint8Array> {
    return mintToken({
      protocolId,
      key,
      clientId,
      addresses: [this.address],
      timeoutMs: tokenTimeoutMs,
      ...options,
    });
  }
}

export interface HonestOptions {
  readonly count: number;
  /** Messages a second of all of them together. */
  readonly perSecond: number;
  /** Bytes of a reliable message. */
  readonly chatBytes: number;
}

export class HonestPeers {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async connect(gateway: AttackedGateway, options: HonestOptions): Promise<HonestPeers> {
    const tokens: string[] = [];
    for (let index = 0; index < options.count; ++index)
      tokens.push(Buffer.from(await gateway.token(firstHonestId + BigInt(index))).toString('base64'));
    const { child } = await start('honest', { ...options, tokens });
    return new HonestPeers(child);
  }

  /** Talks until `work` is over. @returns what the peers saw meanwhile, and the result of `work`. */
  async during<T>(work: () => Promise<T>): Promise<{ honest: HonestReport; result: T }> {
    await request(this.#child, { start: true });
    const result = await work();
    const honest = await request<HonestReport>(this.#child, { stop: true, patienceMs });
    return { honest, result };
  }
}

export interface FloodOptions {
  readonly seconds: number;
  readonly perSecond: number;
  /** A datagram: each junk datagram has its length and its first `keep` bytes, the rest is random. */
  readonly template: Uint8Array;
  readonly keep: number;
  /** Number of source addresses, each in a network of its own; 0 for one port of 127.0.0.1. */
  readonly sources: number;
}

/**
 * Floods the gateway at 0.8 Gbit/s with junk REQUESTs or RESPONSEs from 10,000 addresses, by a native program; for the long form.
 *
 * @returns how many datagrams were sent.
 */
export async function nativeFlood(
  gateway: AttackedGateway,
  kind: 'requests' | 'responses',
  seconds: number,
): Promise<number> {
  const command = process.env.HAWSER_UDP_FLOOD ?? expect.fail('run the long form with `npm run attack`');
  const args = [gateway.port, protocolId, key.id, floodPerSecond, 1000 * seconds, kind].map(String);
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return JSON.parse(output).sent;
}

/** Floods the gateway from another process. @returns how many datagrams were sent. */
export async function flood(gateway: AttackedGateway, options: FloodOptions): Promise<number> {
  const argument = {
    ...options,
    port: gateway.port,
    template: Buffer.from(options.template).toString('base64'),
  };
  const child = spawn(process.execPath, [program('flooder'), JSON.stringify(argument)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  const [sent] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return Number(sent);
}

const silent: HonestReport = {
  sent: 0,
  lost: 0,
  stateSent: 0,
  stateLost: 0,
  disconnected: 0,
  p50Ms: 0,
  p99Ms: 0,
  longestMs: 0,
};

/** Prints what honest peers saw without and with the attack. */
export function show(name: string, quiet: HonestReport = silent, attacked: HonestReport = silent): void {
  if (!isLong) return;
  console.log(`\n${name}`);
  console.table({ 'before the attack': quiet, 'during the attack': attacked });
}

/**
 * Asserts what every attack must leave alone: honest peers lose no reliable message and no connection. In the long form their p99 may double,
 * from a floor of `floorMs`, below which the machine's noise is larger than the attack.
 */
export function expectUnharmed(quiet: HonestReport, attacked: HonestReport, floorMs = 25): void {
  expect(attacked.sent).toBeGreaterThan(0);
  expect({ lost: attacked.lost, disconnected: attacked.disconnected }).toEqual({ lost: 0, disconnected: 0 });
  if (isLong) expect(attacked.p99Ms).toBeLessThan(2 * Math.max(quiet.p99Ms, floorMs));
}

/** Waits for a number of milliseconds: the time that an attack or a quiet phase lasts. */
export const lasting = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
