// `hawser gateway --config FILE` as a process of its own.

import { encodeToken, mintToken, parseKey } from '../../src/token/index.js';
import { jsonLines, type Outcome, RunningCommand } from '../cli/support.js';

/** What it says when it has begun. */
export interface Listening {
  readonly address: string;
  readonly listeners?: readonly {
    readonly name: string;
    readonly address: string;
    readonly layers: string[];
  }[];
  readonly config: string;
  readonly http: string | null;
  readonly admin?: string;
  readonly control?: string;
}

/** One that has begun, and writes JSON. Its control socket is where nobody else's is. */
export class GatewayProcess implements AsyncDisposable {
  readonly command: RunningCommand;
  readonly listening: Listening;

  /** @param folder of the test, for what it makes. */
  static async start(config: string, folder: string): Promise<GatewayProcess> {
    const command = begin(config, folder);
    const [line] = await command.sees(/^\{"event":"listening".*\}\n/m);
    return new GatewayProcess(command, JSON.parse(line));
  }

  private constructor(command: RunningCommand, listening: Listening) {
    this.command = command;
    this.listening = listening;
  }

  /** As when its machine fails. */
  async kill(): Promise<void> {
    this.command.kill('SIGKILL');
    await this.command.outcome;
  }

  /** SIGTERM, and the end. */
  terminate(): Promise<Outcome> {
    this.command.kill('SIGTERM');
    return this.command.outcome;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}

/** For one that may not come to begin. */
export function begin(config: string, folder: string): RunningCommand {
  return new RunningCommand(['gateway', '--config', config, '--json'], { XDG_RUNTIME_DIR: folder });
}

/** The last event that it wrote. */
export function lastEvent({ stdout }: Outcome): Record<string, unknown> {
  return jsonLines(stdout).at(-1) ?? {};
}

/**
 * Gives tokens for an address, as a backend with the key of the gateway does. Their timeout is the usual one: a connection survives that a
 * process stands still for a while, and pings often enough to hear soon that another gateway is in the place of its own.
 */
export function tokensFor(keyText: string, clientId: bigint, address: () => string): () => Promise<string> {
  const key = parseKey(keyText);
  return async () => {
    const addresses = [address()];
    return encodeToken(await mintToken({ protocolId: 1n, key, clientId, addresses }));
  };
}
