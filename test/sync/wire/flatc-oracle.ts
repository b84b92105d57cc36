// FlatBuffers' own compiler and verifier as oracles: `flatc` turns messages into JSON and back by test/sync/sync.fbs, and a program of its
// C++ runtime says which bytes are messages.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const schema = fileURLToPath(new URL('sync.fbs', import.meta.url));
const program = fileURLToPath(new URL('verifier-oracle.cpp', import.meta.url));

export interface JsonMessage {
  readonly content_type: string;
  readonly content: JsonTable;
}
export type JsonTable = { readonly [field: string]: JsonValue };
export type JsonValue = number | string | boolean | bigint | readonly JsonValue[] | JsonTable;

export class FlatcOracle implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'hawser-flatc-'));
  #verifier: string | undefined;

  /** What flatc reads, absent numbers too; u64 as bigint, other numbers as number. */
  read(messages: readonly Uint8Array[]): JsonMessage[] {
    const names = messages.map((bytes, n) => this.#write(`m${n}.bin`, bytes));
    this.#flatc('--json', '--strict-json', '--defaults-json', '--raw-binary', schema, '--', ...names);
    return messages.map((_, n) => parseJson(readFileSync(join(this.#folder, `m${n}.json`), 'utf8')));
  }

  /** What flatc makes of them. */
  write(messages: readonly JsonMessage[]): Uint8Array[] {
    const names = messages.map((message, n) => this.#write(`w${n}.json`, stringifyJson(message)));
    this.#flatc('--binary', schema, ...names);
    return messages.map((_, n) => readFileSync(join(this.#folder, `w${n}.bin`)));
  }

  /** Which of them the C++ verifier accepts. */
  verify(messages: readonly Uint8Array[]): boolean[] {
    const input = messages.flatMap((bytes) => {
      const length = new Uint8Array(4);
      new DataView(length.buffer).setUint32(0, bytes.length, true);
      return [length, bytes];
    });
    const output = execFileSync(this.#compile(), {
      input: Buffer.concat(input),
      maxBuffer: messages.length + 1,
    });
    return Array.from(output.toString('latin1'), (verdict) => verdict === '1');
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true });
  }

  #compile(): string {
    if (this.#verifier !== undefined) return this.#verifier;
    this.#flatc('--cpp', schema);
    const [compiler = 'c++', ...words] = (process.env.CXX ?? 'c++').split(' ');
    const output = join(this.#folder, 'verifier');
    execFileSync(compiler, [...words, '-std=c++20', '-O1', '-I', this.#folder, '-o', output, program]);
    this.#verifier = output;
    return output;
  }

  #flatc(...args: readonly string[]): void {
    execFileSync('flatc', args, { cwd: this.#folder, stdio: 'pipe' });
  }

  #write(name: string, content: string | Uint8Array): string {
    writeFileSync(join(this.#folder, name), content);
    return name;
  }
}

const longInteger = /: (\d{10,})(?=[,\s])/g;

function parseJson(text: string): JsonMessage {
  const quoted = text.replace(longInteger, ': {"$u64": "$1"}');
  return JSON.parse(quoted, (_, value) => (value?.$u64 === undefined ? value : BigInt(value.$u64)));
}

function stringifyJson(message: JsonMessage): string {
  const text = JSON.stringify(message, (_, value) => (typeof value === 'bigint' ? `$u64:${value}` : value));
  return text.replace(/"\$u64:(\d+)"/g, '$1');
}
