// A device that a program of the user's knows how to give keys to.

import {
  argumentError,
  checkArray,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkString,
  describe,
} from '../../base/check.js';
import type { SecretBytes } from '../../base/secret-bytes.js';
import { deviceError, quoted } from './device-error.js';
import { hasKeyIn, type KeyEncoding, keyEncodings, withEncoded } from './key-encoding.js';
import type { DeviceKey, DeviceStatus, Persona, PersonaContext } from './persona.js';
import { type ProgramResult, runProgram } from './run-program.js';

/** What the program is asked to do: its last argument. */
export const execActions = [
  'preconfigure',
  'rotate',
  'rotate-none',
  'delete',
  'status',
  'test',
  'fail-closed',
] as const;

export type ExecAction = (typeof execActions)[number];

/** Options of {@link ExecPersona}. */
export interface ExecPersonaOptions {
  /** The program, by its path or found in PATH, and the arguments that come before the action. No shell sees them. */
  readonly command: readonly string[];
  /** The form in which key material comes on standard input: `binary` by default. */
  readonly encoding?: KeyEncoding;
  /** Variables of its environment beside PATH, which is ours, and those that docs/keys-personas.md lists. */
  readonly environment?: Readonly<Record<string, string>>;
  /** How much of each of its outputs is kept, in bytes, 256 to 1,048,576; 8,192 by default. */
  readonly maxOutputBytes?: number;
  /** From SIGTERM to SIGKILL when it takes too long, in milliseconds, 1 to 60,000; 2,000 by default. */
  readonly killAfterMs?: number;
}

const optionNames = ['command', 'encoding', 'environment', 'maxOutputBytes', 'killAfterMs'] as const;
const maxArguments = 64;
const maxArgumentLength = 4096;

/**
 * Calls a program for each step; exit code 0 means done. It must bear being called again for what it has done already, and answers `status`
 * with one line for people.
 */
export class ExecPersona implements Persona {
  readonly name = 'exec';
  readonly #command: readonly string[];
  readonly #encoding: KeyEncoding;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #maxOutputBytes: number;
  readonly #killAfterMs: number;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: ExecPersonaOptions) {
    checkOptions('options', options, optionNames);
    this.#command = checkCommand('command', options.command);
    this.#encoding = checkOneOf('encoding', options.encoding ?? 'binary', keyEncodings);
    this.#environment = checkEnvironment(options.environment ?? {});
    this.#maxOutputBytes = checkInteger('maxOutputBytes', options.maxOutputBytes ?? 8192, 256, 1_048_576);
    this.#killAfterMs = checkInteger('killAfterMs', options.killAfterMs ?? 2000, 1, 60_000);
  }

  /** Every size suits: the program is the judge of it. */
  validate(keySizeBits: number): void {
    checkInteger('keySizeBits', keySizeBits, 8, Number.MAX_SAFE_INTEGER);
  }

  async preConfigure(key: DeviceKey, context: PersonaContext): Promise<void> {
    await this.#run('preconfigure', context, key.keyId, key.material);
  }

  async rotate(key: DeviceKey | undefined, context: PersonaContext): Promise<void> {
    if (key === undefined) await this.#run('rotate-none', context);
    else await this.#run('rotate', context, key.keyId, key.material);
  }

  async deleteKey(keyId: string, context: PersonaContext): Promise<void> {
    await this.#run('delete', context, keyId);
  }

  /** What its program says. */
  async status(context: PersonaContext): Promise<DeviceStatus> {
    const result = await this.#call('status', context, undefined, undefined);
    const connected = result.code === 0 && !result.aborted;
    return { connected, service: quoted(connected ? result.stdout : result.stderr) || describeEnd(result) };
  }

  async testConnection(context: PersonaContext): Promise<boolean> {
    const result = await this.#call('test', context, undefined, undefined);
    return result.code === 0 && !result.aborted;
  }

  async failClosed(context: PersonaContext): Promise<void> {
    await this.#run('fail-closed', context);
  }

  /** @throws HawserError (rejects) ERR_HAWSER_DEVICE unless the program says that it has done it, in time. */
  async #run(
    action: ExecAction,
    context: PersonaContext,
    keyId?: string,
    material?: SecretBytes,
  ): Promise<void> {
    const result = await this.#call(action, context, keyId, material);
    if (result.code === 0 && !result.aborted) return;
    const said = material !== undefined && leaks(result, material) ? withheld : quoted(result.stderr);
    throw deviceError(this.name, `${action}: ${describeEnd(result)}${said === '' ? '' : `: ${said}`}`);
  }

  async #call(
    action: ExecAction,
    context: PersonaContext,
    keyId: string | undefined,
    material: SecretBytes | undefined,
  ): Promise<ProgramResult> {
    const run = (input: readonly Uint8Array[]): Promise<ProgramResult> =>
      runProgram({
        command: [...this.#command, action],
        environment: this.#environmentOf(action, context, keyId),
        input,
        signal: context.signal,
        killAfterMs: this.#killAfterMs,
        maxOutputBytes: this.#maxOutputBytes,
      });
    try {
      return await (material === undefined ? run([]) : withEncoded(material, this.#encoding, run));
    } catch (cause) {
      throw deviceError(this.name, `${action}: the program cannot be started`, cause);
    }
  }

  #environmentOf(
    action: ExecAction,
    context: PersonaContext,
    keyId: string | undefined,
  ): Record<string, string> {
    return {
      PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
      ...this.#environment,
      HAWSER_ACTION: action,
      HAWSER_PEER: context.peerSaeId,
      HAWSER_ROLE: context.role,
      HAWSER_SESSION: context.sessionId ?? '',
      HAWSER_KEY_ID: keyId ?? '',
      HAWSER_KEY_ENCODING: this.#encoding,
    };
  }
}

const withheld = 'what it said is withheld, for the key was in it';

function leaks({ stdout, stderr }: ProgramResult, material: SecretBytes): boolean {
  return hasKeyIn(stdout, material) || hasKeyIn(stderr, material);
}

function describeEnd({ code, signal, aborted }: ProgramResult): string {
  if (aborted) return 'the program took too long and was ended';
  return code === null
    ? `the program was ended by ${signal ?? 'a signal'}`
    : `the program ended with ${code}`;
}

/** A program and its arguments. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkCommand(name: string, value: unknown): readonly string[] {
  return checkArray(name, value, 1, maxArguments).map((each, index) => {
    const argument = checkString(`${name}[${index}]`, each, index === 0 ? 1 : 0, maxArgumentLength);
    if (!argument.includes('\0')) return argument;
    throw argumentError(`${name}[${index}]`, 'without a zero character', describe(argument));
  });
}

function checkEnvironment(value: unknown): Readonly<Record<string, string>> {
  const record = checkOptions('environment', value, Object.keys(Object(value)));
  const checked: Record<string, string> = {};
  for (const [name, each] of Object.entries(record)) {
    if (name === '' || /[=\0]/.test(name) || name.startsWith('HAWSER_')) {
      const rule = 'a name without "=" that does not begin with HAWSER_';
      throw argumentError('a variable of environment', rule, describe(name));
    }
    checked[name] = checkString(`environment.${name}`, each, 0, maxArgumentLength);
  }
  return checked;
}
