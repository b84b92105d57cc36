import { checkCaptureAddress } from '../../gateway/capture/capture-options.js';
import { streamFromGateway } from '../../gateway/control/ask-gateway.js';
import { CaptureBlocks } from '../capture-blocks.js';
import { type CaptureOutput, openCaptureOutput } from '../capture-output.js';
import { type Command, defineCommand } from '../command.js';
import { CommandError, exitCodes, UsageError } from '../errors.js';
import { findGateway, gatewayDetails, gatewayOperand, notRunning } from '../find-gateway.js';
import { duration, flag, integer, type Kind, letter, optional, text, type Values } from '../options.js';
import { watchSignals } from '../signals.js';
import { bytes, clock, count, Screen } from '../terminal.js';

const dayMs = 86_400_000;

const address: Kind<string> = {
  placeholder: 'IP[:PORT]',
  parse: (given) => {
    try {
      checkCaptureAddress(given);
    } catch {
      throw new Error(
        `must be an IP address with or without a port, such as 192.0.2.1 or [2001:db8::1]:4433; got ${JSON.stringify(given)}`,
      );
    }
    return given;
  },
};

const options = {
  write: letter(
    'w',
    optional(
      text('FILE|-'),
      'a new file that only you can read, or - for standard output (default: hawser-DATE-TIME.pcapng)',
    ),
  ),
  force: flag('replace a file that is there'),
  listener: optional(text('NAME'), 'one listener of the gateway (default: all)'),
  address: optional(address, 'only what comes from or goes to this address of a peer'),
  plaintext: flag('also the decrypted packets: whoever has the file reads all that was said'),
  snap: optional(integer(64, 65_535), 'at most so many bytes of each datagram (default: all)'),
  seconds: optional(duration(1, 30 * dayMs), 'end after this time'),
  packets: optional(integer(1, Number.MAX_SAFE_INTEGER), 'end after so many datagrams and packets'),
  maxBytes: optional(integer(1, Number.MAX_SAFE_INTEGER), 'end before the file is larger'),
};

type CaptureValues = Values<typeof options>;

export const capture: Command = defineCommand({
  name: 'capture',
  summary: 'records what a gateway that runs receives and sends, for Wireshark',
  details: [
    'Ctrl-C ends it. With -w - it can be read while it goes on: hawser capture -w - | wireshark -k -i - . docs/wireshark/hawser.lua shows Wireshark what the datagrams say (docs/capture.md).',
    gatewayDetails,
  ],
  options,
  operand: gatewayOperand,
  run,
});

const plaintextWarning =
  'warning: with --plaintext everything that peers and gateway say to each other can be read in the capture. Keep it as you keep their data, and delete it when you are done. The gateway logs that this was asked for.';

const drawMs = 250;

async function run(values: CaptureValues, operand: string): Promise<number> {
  if (values.write === '-' && process.stdout.isTTY)
    throw new UsageError('a capture is not for a terminal: write it to a file, or into another program');
  const interruption = watchSignals();
  const over = new AbortController();
  try {
    const path = await findGateway(operand);
    const limit = values.seconds === undefined ? [] : [AbortSignal.timeout(values.seconds)];
    const signal = AbortSignal.any([interruption.signal, over.signal, ...limit]);
    const stream = await streamFromGateway(path, { command: 'capture', options: requested(values) }, signal);
    if (stream === undefined) throw notRunning(path);
    if (values.plaintext) process.stderr.write(`${plaintextWarning}\n`);
    const file = values.write ?? defaultFile(new Date());
    await new Recording(values, file).record(stream);
    const hasLimit = [values.seconds, values.packets, values.maxBytes].some((given) => given !== undefined);
    return interruption.signal.aborted && hasLimit ? exitCodes.interrupted : exitCodes.ok;
  } catch (error) {
    if (interruption.signal.aborted && !(error instanceof CommandError)) return exitCodes.interrupted;
    throw error;
  } finally {
    // The gateway goes on as long as somebody listens.
    over.abort();
    interruption.dispose();
  }
}

/** As the gateway takes it. */
function requested({ listener, address, plaintext, snap }: CaptureValues): Record<string, unknown> {
  return {
    plaintext,
    ...(listener === undefined ? {} : { listener }),
    ...(address === undefined ? {} : { address }),
    ...(snap === undefined ? {} : { snapLengthBytes: snap }),
  };
}

/** `hawser-20261123-101502.pcapng`, in UTC. */
function defaultFile(now: Date): string {
  const [date, time = ''] = now
    .toISOString()
    .replaceAll(/[-:]|\..*/g, '')
    .split('T');
  return `hawser-${date}-${time}.pcapng`;
}

/** Writes a capture, and says how it goes on on standard error. */
class Recording {
  readonly #limits: Pick<CaptureValues, 'packets' | 'maxBytes'>;
  readonly #force: boolean;
  readonly #path: string;
  readonly #blocks = new CaptureBlocks();
  readonly #startMs = performance.now();
  #packets = 0;
  #bytes = 0;

  constructor({ packets, maxBytes, force }: CaptureValues, path: string) {
    this.#limits = { packets, maxBytes };
    this.#force = force;
    this.#path = path;
  }

  /** Until the stream ends or a limit is reached. */
  async record(stream: AsyncIterable<Uint8Array>): Promise<void> {
    const output = await openCaptureOutput(this.#path, this.#force);
    process.stderr.write(`capturing${this.#target()}; Ctrl-C ends it\n`);
    const end = this.#show();
    try {
      for await (const piece of stream) if (!(await this.#take(piece, output))) break;
    } finally {
      end();
      await output.close();
    }
    process.stderr.write(`${this.#line()}${this.#target()}\n`);
  }

  #target(): string {
    return this.#path === '-' ? '' : `, into ${this.#path}`;
  }

  /** @returns whether to go on. */
  async #take(piece: Uint8Array, output: CaptureOutput): Promise<boolean> {
    const { packets: mostPackets = Number.POSITIVE_INFINITY, maxBytes = Number.POSITIVE_INFINITY } =
      this.#limits;
    const taken: Buffer[] = [];
    let full = false;
    for (const block of this.#blocks.push(piece)) {
      full = block.isPacket && (this.#packets === mostPackets || this.#bytes + block.bytes.length > maxBytes);
      if (full) break;
      if (block.isPacket) ++this.#packets;
      this.#bytes += block.bytes.length;
      taken.push(block.bytes);
    }
    if (taken.length > 0) await output.write(Buffer.concat(taken));
    return !full && this.#packets < mostPackets;
  }

  #line(): string {
    const { dropped } = this.#blocks;
    const lost =
      dropped === 0 ? '' : `, ${count(dropped)} dropped: they came faster than they could be taken`;
    const seconds = (performance.now() - this.#startMs) / 1000;
    return `${clock(seconds)}  ${count(this.#packets)} datagrams and packets, ${bytes(this.#bytes)}${lost}`;
  }

  #show(): () => void {
    if (!process.stderr.isTTY) return () => undefined;
    const screen = new Screen(process.stderr);
    const timer = setInterval(() => screen.draw([this.#line()]), drawMs);
    return () => {
      clearInterval(timer);
      screen.clear();
      screen.end();
    };
  }
}
