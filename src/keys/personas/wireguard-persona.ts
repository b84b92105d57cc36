// WireGuard: the preshared key of a peer, by the program `wg`.

import { argumentError, checkOptions, checkString, describe } from '../../base/check.js';
import { randomSecret, type SecretBytes } from '../../base/secret-bytes.js';
import { deviceError, quoted } from './device-error.js';
import { checkCommand } from './exec-persona.js';
import { withEncoded } from './key-encoding.js';
import type { DeviceKey, DeviceStatus, Persona, PersonaContext } from './persona.js';
import { type ProgramResult, runProgram } from './run-program.js';

/** Options of {@link WireguardPersona}. */
export interface WireguardPersonaOptions {
  /** The interface: 1 to 15 characters, as Linux allows them. */
  readonly interface: string;
  /** By the id of an SAE, the public key of its WireGuard peer: 32 bytes in base64. */
  readonly peers: Readonly<Record<string, string>>;
  /** How `wg` is called: `['wg']` by default, and for example `['ip', 'netns', 'exec', 'blue', 'wg']`. */
  readonly program?: readonly string[];
}

const optionNames = ['interface', 'peers', 'program'] as const;
const interfacePattern = /^[A-Za-z0-9_=+.][A-Za-z0-9_=+.-]{0,14}$/;
/** 32 bytes: of the last digit only four bits are used. */
const publicKeyPattern = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;
/** What WireGuard takes as a preshared key. */
const keyBytes = 32;
/** REJECT_AFTER_TIME: the longest that a session goes on under the keys of its handshake, in seconds. */
const rejectAfterSeconds = 180;
const maxOutputBytes = 1_048_576;
const killAfterMs = 1000;
/**
 * `wg` opens /dev/stdin by its name. Linux refuses that where standard input is a socket, which is what Node.js gives to programs; behind
 * `cat` it is a pipe. The text is always this one: what varies comes as arguments.
 */
const throughPipe = ['/bin/sh', '-c', 'cat | "$@"', 'sh'] as const;

/**
 * Sets the preshared key of a WireGuard peer. There is one slot for it, which counts at the next handshake (every 120 s while there is
 * traffic); until then a session goes on as it is. So both ends receive throughout a rotation if the master follows the slave within what is
 * left of a session whose handshake fails, 15 to 60 s: docs/keys-personas.md.
 */
export class WireguardPersona implements Persona {
  readonly name = 'wireguard';
  readonly #interface: string;
  readonly #peers: ReadonlyMap<string, string>;
  readonly #program: readonly string[];
  readonly #devices = new Map<string, { readonly live: Set<string>; current: string | null }>();

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: WireguardPersonaOptions) {
    checkOptions('options', options, optionNames);
    this.#interface = checkString('interface', options.interface);
    if (!interfacePattern.test(this.#interface))
      throw argumentError('interface', 'the name of an interface', describe(options.interface));
    this.#peers = checkPeers(options.peers);
    this.#program = checkCommand('program', options.program ?? ['wg']);
  }

  validate(keySizeBits: number): void {
    if (keySizeBits !== keyBytes * 8)
      throw argumentError('keySizeBits', `${keyBytes * 8}, as WireGuard wants it`, describe(keySizeBits));
  }

  /** There is no second slot: it is made sure that the peer is there and that `wg` may be used, so that `rotate` has no reason to fail. */
  async preConfigure(key: DeviceKey, context: PersonaContext): Promise<void> {
    this.#checkSize(key);
    const publicKey = this.#publicKeyOf(context);
    const handshakes = await this.#handshakes(context);
    if (!handshakes.has(publicKey))
      throw deviceError(this.name, `the interface ${this.#interface} has no peer ${publicKey}`);
    this.#device(context).live.add(key.keyId);
  }

  async rotate(key: DeviceKey | undefined, context: PersonaContext): Promise<void> {
    if (key === undefined) {
      // An empty file: no preshared key.
      await this.#set(context, []);
    } else {
      this.#checkSize(key);
      await withEncoded(key.material, 'base64', (pieces) => this.#set(context, pieces));
    }
    const device = this.#device(context);
    device.current = key?.keyId ?? null;
    if (key !== undefined) device.live.add(key.keyId);
  }

  async deleteKey(keyId: string, context: PersonaContext): Promise<void> {
    const device = this.#device(context);
    if (device.current === keyId) throw deviceError(this.name, `the key ${keyId} is in use`);
    device.live.delete(keyId);
  }

  /** What `wg` says of the peer. */
  async status(context: PersonaContext): Promise<DeviceStatus> {
    const { current, live } = this.#device(context);
    const known = { currentKeyId: current, liveKeyIds: [...live] };
    let handshakes: ReadonlyMap<string, number>;
    try {
      handshakes = await this.#handshakes(context);
    } catch (error) {
      return { connected: false, service: error instanceof Error ? error.message : 'wireguard', ...known };
    }
    const at = handshakes.get(this.#publicKeyOf(context));
    if (at === undefined) return { connected: false, service: 'wireguard: no such peer', ...known };
    if (at === 0) return { connected: false, service: 'wireguard: no handshake yet', ...known };
    const ageSeconds = Math.max(0, Math.floor(Date.now() / 1000) - at);
    const service = `wireguard: last handshake ${ageSeconds} s ago`;
    return { connected: ageSeconds <= rejectAfterSeconds, service, ...known };
  }

  /** Whether `wg` may be used and the interface has the peer; not whether the peer answers, which `status` tells. */
  async testConnection(context: PersonaContext): Promise<boolean> {
    try {
      return (await this.#handshakes(context)).has(this.#publicKeyOf(context));
    } catch {
      return false;
    }
  }

  /** Sets a key that nobody knows: no handshake succeeds any more, and traffic ends with the session, 180 s later at most. */
  async failClosed(context: PersonaContext): Promise<void> {
    const unknown = randomSecret(keyBytes);
    try {
      await withEncoded(unknown, 'base64', (pieces) => this.#set(context, pieces));
      this.#device(context).current = null;
    } finally {
      unknown.wipe();
    }
  }

  #publicKeyOf({ peerSaeId }: PersonaContext): string {
    const publicKey = this.#peers.get(peerSaeId);
    if (publicKey !== undefined) return publicKey;
    throw deviceError(this.name, `no WireGuard peer is configured for ${describe(peerSaeId)}`);
  }

  #checkSize({ keyId, material }: { readonly keyId: string; readonly material: SecretBytes }): void {
    if (material.length === keyBytes) return;
    throw deviceError(this.name, `the key ${keyId} has ${material.length} bytes, not ${keyBytes}`);
  }

  #device({ peerSaeId }: PersonaContext): { readonly live: Set<string>; current: string | null } {
    let device = this.#devices.get(peerSaeId);
    if (device === undefined) {
      device = { live: new Set(), current: null };
      this.#devices.set(peerSaeId, device);
    }
    return device;
  }

  async #set(context: PersonaContext, input: readonly Uint8Array[]): Promise<void> {
    const args = ['set', this.#interface, 'peer', this.#publicKeyOf(context), 'preshared-key', '/dev/stdin'];
    await this.#wg(context, args, input);
  }

  /** Unix seconds of the last handshake by public key; 0 for none. `wg show ... dump` would tell all keys, this tells none. */
  async #handshakes(context: PersonaContext): Promise<ReadonlyMap<string, number>> {
    const { stdout } = await this.#wg(context, ['show', this.#interface, 'latest-handshakes'], []);
    const handshakes = new Map<string, number>();
    for (const line of new TextDecoder().decode(stdout).split('\n')) {
      const [publicKey = '', at = ''] = line.split('\t');
      if (publicKeyPattern.test(publicKey) && /^\d{1,15}$/.test(at)) handshakes.set(publicKey, Number(at));
    }
    return handshakes;
  }

  /** @throws HawserError (rejects) ERR_HAWSER_DEVICE with what to do about it. `wg` does not repeat keys in what it says. */
  async #wg(
    { signal }: PersonaContext,
    args: readonly string[],
    input: readonly Uint8Array[],
  ): Promise<ProgramResult> {
    const what = `wg ${args[0]} ${this.#interface}`;
    let result: ProgramResult;
    try {
      result = await runProgram({
        command: [...throughPipe, ...this.#program, ...args],
        environment: {
          PATH: process.env.PATH ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        },
        input,
        signal,
        killAfterMs,
        maxOutputBytes,
      });
    } catch (cause) {
      throw deviceError(this.name, `${what}: /bin/sh cannot be started`, cause);
    }
    if (result.aborted) throw deviceError(this.name, `${what}: it took too long and was ended`);
    if (result.code === 0) return result;
    // What a shell says of a program that is not there, or may not be run.
    if (result.code === 127 || result.code === 126) {
      const program = this.#program.join(' ');
      throw deviceError(
        this.name,
        `${what}: '${program}' cannot be run; install wireguard-tools, or set program`,
      );
    }
    const end =
      result.code === null ? `ended by ${result.signal ?? 'a signal'}` : `ended with ${result.code}`;
    const said = quoted(result.stderr);
    throw deviceError(this.name, `${what}: ${end}${said === '' ? '' : `: ${said}`}`);
  }
}

function checkPeers(value: unknown): ReadonlyMap<string, string> {
  const record = checkOptions('peers', value, Object.keys(Object(value)));
  const peers = new Map<string, string>();
  for (const [saeId, publicKey] of Object.entries(record)) {
    if (typeof publicKey !== 'string' || !publicKeyPattern.test(publicKey)) {
      const rule = 'the public key of a WireGuard peer: 32 bytes in base64';
      throw argumentError(`peers[${describe(saeId)}]`, rule, describe(publicKey));
    }
    if ([...peers.values()].includes(publicKey))
      throw argumentError(`peers[${describe(saeId)}]`, "no other SAE's peer", 'the same public key twice');
    peers.set(saeId, publicKey);
  }
  return peers;
}
