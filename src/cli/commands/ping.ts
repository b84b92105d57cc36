import { performance } from 'node:perf_hooks';
import { HawserError } from '../../base/errors.js';
import type { Wire } from '../../base/wire.js';
import { wireOfToken } from '../../token/netcode-format.js';
import { connect } from '../../transport/client.js';
import type { Connection } from '../../transport/connection.js';
import type { DisconnectInfo } from '../../transport/results.js';
import type { TokenSource } from '../../transport/token-source.js';
import { type Command, defineCommand } from '../command.js';
import { CommandError, exitCodes, UsageError } from '../errors.js';
import { LatencyHistogram } from '../latency.js';
import { impairmentNotice, simulateOption } from '../network-profile.js';
import { content, duration, flag, integer, optional, type Values, withDefault } from '../options.js';
import { pause, watchSignals } from '../signals.js';
import { micros, percent } from '../terminal.js';
import { randomClientId, tokenFactory, tokenOptions, wireOf } from '../tokens.js';
import { checkMessageBytes, connectFailure, longestMessageBytes } from '../wires.js';

/** u32 sequence, then what no other message of a gateway begins with by chance. */
const headerBytes = 16;

/** So long at least an echo may take before it counts as lost, however short the interval is. */
const leastWaitMs = 1000;

const options = {
  token: optional(content('TOKEN|@FILE|-'), 'connect with this token'),
  ...tokenOptions,
  count: optional(integer(1, 1_000_000_000), 'how many messages (default: until Ctrl-C)'),
  interval: withDefault(duration(10, 3_600_000), '1s', 'time between messages'),
  size: withDefault(
    integer(headerBytes, longestMessageBytes),
    '64',
    'size of each message in bytes; at most 1158, with netcode 1200',
  ),
  connectTimeout: withDefault(duration(100, 3_600_000), '10s', 'how long to try to connect'),
  simulate: simulateOption,
  silent: flag(
    'send no messages, only watch the round trip of the session itself: for gateways that send nothing back',
  ),
  json: flag('print one line of JSON for each message, and one for the statistics'),
};

export const ping: Command = defineCommand({
  name: 'ping',
  summary: 'connects and shows round trip and clock offset',
  details: [
    'Each message is timed until the gateway has sent it back, as "hawser gateway" does, and counts as lost when it has not after the interval, or a second if that is longer. Beside it stand the round trip and the clock offset that the session measures by itself, which netcode has not: the offset is between the monotonic clocks of the two ends, whose origins are arbitrary.',
    'Exit code 1 when no message came back.',
  ],
  options,
  run,
});

async function run(values: Values<typeof options>): Promise<number> {
  const source = await tokenSource(values);
  if (values.simulate !== undefined) {
    const notice = impairmentNotice(values.simulate);
    process.stdout.write(`${values.json ? JSON.stringify({ notice }) : notice}\n`);
  }
  const interruption = watchSignals();
  const began = performance.now();
  let connection: Connection;
  try {
    connection = await connect(source, {
      timeoutMs: values.connectTimeout,
      signal: interruption.signal,
      ...(values.simulate === undefined ? {} : { simulate: values.simulate.options }),
    });
  } catch (error) {
    if (interruption.signal.aborted) return exitCodes.interrupted;
    throw error instanceof HawserError ? new CommandError(connectFailure(error)) : error;
  }
  const pinger = new Pinger(connection, values, performance.now() - began);
  await pinger.run(interruption.signal);
  pinger.finish();
  const { ended } = pinger;
  await connection.close();
  interruption.dispose();
  if (ended !== undefined && ended.result !== 'closed') {
    throw new CommandError(
      `the connection ended: ${ended.result}${ended.reason === '' ? '' : ` (${ended.reason})`}`,
    );
  }
  return pinger.answered ? exitCodes.ok : exitCodes.failure;
}

/** @throws UsageError. */
async function tokenSource(values: Values<typeof options>): Promise<TokenSource> {
  if (values.token === undefined) {
    checkWire(values, values.wire);
    return mintedTokens(values);
  }
  if (values.key !== undefined || values.tokenUrl !== undefined || values.server.length > 0) {
    throw new UsageError('--token excludes --key, --server and --token-url');
  }
  // A file may hold the bytes of a token, or its text.
  const token = wireOfToken(values.token) === undefined ? values.token.toString().trim() : values.token;
  const wire = wireOf(token) ?? values.wire;
  if (values.wire === 'netcode' && wire !== 'netcode')
    throw new UsageError('--wire netcode: the --token is one of hawser');
  checkWire(values, wire);
  return token;
}

/** @throws UsageError for what the wire format has not. */
function checkWire({ size, silent }: Values<typeof options>, wire: Wire): void {
  checkMessageBytes(size, wire);
  if (silent && wire === 'netcode')
    throw new UsageError('--silent has nothing to show with netcode: its sessions measure no round trip');
}

/** The first token is there already, so that the time of connecting is that of the handshake. */
async function mintedTokens(values: Values<typeof options>): Promise<TokenSource> {
  const tokens = await tokenFactory(values);
  const clientId = randomClientId();
  let first: Uint8Array | string | undefined = await tokens(clientId);
  // An endpoint gives what its gateway speaks to those who do not ask for netcode.
  checkWire(values, wireOf(first) ?? values.wire);
  return () => {
    const token = first ?? tokens(clientId);
    first = undefined;
    return token;
  };
}

class Pinger {
  /** How the connection ended, if it did. */
  ended: DisconnectInfo | undefined;
  readonly #connection: Connection;
  readonly #values: Values<typeof options>;
  readonly #rtt = new LatencyHistogram();
  readonly #message: Uint8Array;
  readonly #sentAt = new Map<number, number>();
  readonly #end = new AbortController();
  readonly #started = performance.now();
  #sent = 0;
  #heard = false;

  constructor(connection: Connection, values: Values<typeof options>, connectMs: number) {
    this.#connection = connection;
    this.#values = values;
    this.#message = crypto.getRandomValues(new Uint8Array(values.size));
    connection.on('message', (data) => this.#receive(data));
    connection.on('goaway', ({ elsewhere }) => {
      this.#print(
        { goaway: elsewhere ?? null },
        `the gateway asks to leave${elsewhere === undefined ? '' : ` for ${elsewhere}`}`,
      );
      this.#end.abort();
    });
    connection.on('reset', () =>
      this.#print({ reset: true }, 'the gateway lost the connection; connecting again'),
    );
    connection.on('disconnect', (info) => {
      this.ended = info;
      this.#end.abort();
    });
    this.#print(
      { connected: connection.address, connectMicros: round(connectMs * 1000) },
      `connected to ${connection.address} in ${micros(connectMs * 1000)}`,
    );
  }

  /** Whether anything came back. */
  get answered(): boolean {
    return this.#values.silent ? this.#heard : this.#rtt.count > 0;
  }

  /** Goes on until the wanted number has come back or is lost, the signal is aborted or the connection has ended. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = AbortSignal.any([signal, this.#end.signal]);
    while (!stop.aborted && this.#sent < (this.#values.count ?? Number.POSITIVE_INFINITY)) {
      const sequence = ++this.#sent;
      if (this.#values.silent) this.#watch(sequence);
      else this.#send(sequence);
      await pause(this.#values.interval, stop);
      this.#giveUp();
    }
    // The last ones have as much time as those before them.
    for (let oldest = this.#oldest(); oldest !== undefined && !stop.aborted; oldest = this.#oldest()) {
      await pause(Math.max(1, oldest + this.#waitMs - performance.now()), stop);
      this.#giveUp();
    }
  }

  get #waitMs(): number {
    return Math.max(leastWaitMs, this.#values.interval);
  }

  /** When the oldest message was sent of those that have not come back and are not given up. */
  #oldest(): number | undefined {
    return this.#sentAt.values().next().value;
  }

  /** Tells which messages have been away for too long. */
  #giveUp(): void {
    const now = performance.now();
    for (const [sequence, sentAt] of this.#sentAt) {
      if (now - sentAt < this.#waitMs) return;
      this.#sentAt.delete(sequence);
      this.#print({ sequence, lost: true }, `seq=${sequence} no echo within ${this.#waitMs} ms`);
    }
  }

  #send(sequence: number): void {
    new DataView(this.#message.buffer).setUint32(0, sequence, true);
    this.#sentAt.set(sequence, performance.now());
    this.#connection.send(this.#message);
  }

  #receive(data: Uint8Array): void {
    if (data.length !== this.#message.length) return;
    const sequence = new DataView(data.buffer, data.byteOffset, data.length).getUint32(0, true);
    if (!data.subarray(4).every((byte, index) => byte === this.#message[4 + index])) return;
    const sentAt = this.#sentAt.get(sequence);
    if (sentAt === undefined) return;
    this.#sentAt.delete(sequence);
    const rttMicros = (performance.now() - sentAt) * 1000;
    this.#rtt.record(rttMicros);
    this.#print(
      { sequence, bytes: data.length, rttMicros: round(rttMicros), ...this.#session() },
      `${data.length} bytes from ${this.#connection.address}: seq=${sequence} time=${micros(rttMicros)}${this.#sessionText(' ')}`,
    );
    if (this.#sent === this.#values.count && this.#sentAt.size === 0) this.#end.abort();
  }

  #watch(sequence: number): void {
    this.#heard ||= this.#connection.rttMs > 0;
    this.#print({ sequence, ...this.#session() }, `${this.#connection.address}: ${this.#sessionText()}`);
  }

  /** What the protocol itself measures; nothing with netcode. */
  #session(): Record<string, unknown> {
    if (this.#connection.wire === 'netcode') return {};
    const { rttMs, rttVariationMs, clockOffsetMs, clockSettled } = this.#connection;
    const session = {
      rttMicros: round(rttMs * 1000),
      variationMicros: round(rttVariationMs * 1000),
      clockOffsetMicros: round(clockOffsetMs * 1000),
      clockSettled,
    };
    return { session };
  }

  /** @param before what stands before it, when there is any. */
  #sessionText(before = ''): string {
    if (this.#connection.wire === 'netcode') return '';
    const { rttMs, rttVariationMs, clockOffsetMs, clockSettled } = this.#connection;
    const offset = `${clockOffsetMs >= 0 ? '+' : ''}${clockOffsetMs.toFixed(3)} ms`;
    return `${before}session=${micros(rttMs * 1000)} ±${micros(rttVariationMs * 1000)} offset=${offset}${clockSettled ? '' : ' (settling)'}`;
  }

  /** Prints the statistics. */
  finish(): void {
    const seconds = (performance.now() - this.#started) / 1000;
    const address = this.#connection.address;
    const echoed = this.#rtt.count;
    const { p50, max } = this.#rtt.latency();
    const { minMicros, meanMicros, deviationMicros } = this.#rtt;
    const lost = this.#sent - echoed;
    const rttMicros = {
      min: minMicros,
      p50,
      mean: round(meanMicros),
      max,
      deviation: round(deviationMicros),
    };
    const session = this.#session();
    if (this.#values.silent) {
      this.#print(
        { statistics: { seconds: round(seconds), ...session } },
        `\n${address}: ${this.#sessionText()}`,
      );
      return;
    }
    this.#print(
      { statistics: { seconds: round(seconds), sent: this.#sent, echoed, lost, rttMicros, ...session } },
      [
        '',
        `--- ${address} ---`,
        `${this.#sent} sent, ${echoed} echoed, ${percent(lost / Math.max(1, this.#sent))} lost, ${seconds.toFixed(1)} s`,
        `rtt min ${micros(minMicros)}, mean ${micros(meanMicros)}, p50 ${micros(p50)}, max ${micros(max)}, deviation ${micros(deviationMicros)}`,
      ].join('\n'),
    );
  }

  #print(object: unknown, line: string): void {
    process.stdout.write(`${this.#values.json ? JSON.stringify(object) : line}\n`);
  }
}

/** Three digits behind the point are more than any of these clocks can tell. */
function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
