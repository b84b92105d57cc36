// What `hawser sync push` reads: the documents of a directory, or of a file with one on each line.

import { isUtf8 } from 'node:buffer';
import { createReadStream, type Dirent, statSync } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { basename, extname, join, relative, resolve, sep } from 'node:path';
import { limits } from '../sync/wire/messages.js';
import { CommandError, systemReason } from './errors.js';

/** A document of the source. */
export interface SourceDocument {
  readonly id: string;
  /** A JSON object in UTF-8, as it stands there. */
  readonly data: Uint8Array;
  /** The file, and the line, for people. */
  readonly where: string;
}

/** One that no message has room for. It was not looked at: it may be no document at all. */
export interface LongDocument extends Omit<SourceDocument, 'data'> {
  readonly data: undefined;
  readonly bytes: number;
}

export interface Source {
  /** Absolute. */
  readonly path: string;
  /** The index of its documents unless another is given: the name of the directory, or of the file without its ending. */
  readonly name: string;
  /**
   * Its documents, in the order of their ids or lines.
   *
   * @throws CommandError (rejects) at one that is none; it names the file and the line.
   */
  documents(): AsyncGenerator<SourceDocument | LongDocument>;
}

/**
 * @param path a directory, whose files `*.json`, also those in directories within, are a document each, with their relative path as id; or
 *   a file with a JSON object on each line.
 * @param idField the field of such an object that is its id: a text or a whole number.
 * @throws CommandError when there is no such thing.
 */
export function openSource(path: string, idField: string): Source {
  const absolute = resolve(path);
  let isDirectory: boolean;
  try {
    isDirectory = statSync(absolute).isDirectory();
  } catch (error) {
    throw new CommandError(`cannot read ${path}: ${systemReason(error)}`);
  }
  return {
    path: absolute,
    name: isDirectory ? basename(absolute) : basename(absolute, extname(absolute)),
    documents: () => (isDirectory ? ofDirectory(absolute) : ofLines(absolute, idField)),
  };
}

// ---- Directories ---------------------------------------------------------------------------------------------------

async function* ofDirectory(root: string): AsyncGenerator<SourceDocument | LongDocument> {
  for await (const path of jsonFiles(root)) {
    const content = await contentOf(path).catch((error: unknown) => {
      throw new CommandError(`cannot read ${path}: ${systemReason(error)}`);
    });
    if (content.data !== undefined) parseObject(content.data, path);
    yield { id: checkId(relative(root, path).split(sep).join('/'), path), ...content, where: path };
  }
}

type Content = Pick<SourceDocument, 'data'> | Pick<LongDocument, 'data' | 'bytes'>;

/** Nothing is read of a file that is too long: it may fill the memory. */
async function contentOf(path: string): Promise<Content> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    return size > limits.dataBytes ? { data: undefined, bytes: size } : contentIn(await file.readFile());
  } finally {
    await file.close();
  }
}

function contentIn(data: Uint8Array): Content {
  return data.length > limits.dataBytes ? { data: undefined, bytes: data.length } : { data };
}

/** The same order on every machine. */
function byName(a: Dirent, b: Dirent): number {
  return a.name < b.name ? -1 : 1;
}

async function* jsonFiles(directory: string): AsyncGenerator<string> {
  const entries = await readdir(directory, { withFileTypes: true }).catch((error: unknown) => {
    throw new CommandError(`cannot read ${directory}: ${systemReason(error)}`);
  });
  for (const entry of entries.sort(byName)) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* jsonFiles(path);
    else if (entry.isFile() && entry.name.endsWith('.json')) yield path;
  }
}

// ---- Lines ---------------------------------------------------------------------------------------------------------

/** A longer line is no document that anybody meant to write, and would fill the memory. */
const maxLineBytes = 2 ** 24;
const newline = 0x0a;

async function* ofLines(path: string, idField: string): AsyncGenerator<SourceDocument | LongDocument> {
  let number = 0;
  for await (const line of linesOf(path)) {
    const where = `${path}, line ${++number}`;
    const data = trimmed(line);
    if (data.length === 0) continue;
    const id = parseObject(data, where)[idField];
    if (typeof id !== 'string' && !Number.isSafeInteger(id)) {
      throw new CommandError(
        `${where}: the object has no ${JSON.stringify(idField)} that is a text or a whole number; --id-field names another field`,
      );
    }
    yield { id: checkId(String(id), where), ...contentIn(data), where };
  }
}

/** Its lines as bytes, without their ends. */
async function* linesOf(path: string): AsyncGenerator<Buffer> {
  /** Of a line that has not ended. */
  let pieces: Buffer[] = [];
  let heldBytes = 0;
  try {
    for await (const chunk of createReadStream(path)) {
      let bytes = Buffer.from(chunk);
      for (let end = bytes.indexOf(newline); end !== -1; end = bytes.indexOf(newline)) {
        yield Buffer.concat([...pieces, bytes.subarray(0, end)]);
        bytes = bytes.subarray(end + 1);
        pieces = [];
        heldBytes = 0;
      }
      pieces.push(bytes);
      heldBytes += bytes.length;
      if (heldBytes > maxLineBytes) throw new CommandError(`${path}: a line is longer than 16 MiB`);
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`cannot read ${path}: ${systemReason(error)}`);
  }
  yield Buffer.concat(pieces);
}

/** Without blanks around it, such as the CR of a line that ends with CR LF. */
function trimmed(line: Buffer): Buffer {
  let begin = 0;
  let end = line.length;
  while (begin < end && isBlank(line[begin])) ++begin;
  while (end > begin && isBlank(line[end - 1])) --end;
  return line.subarray(begin, end);
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}

// ---- Documents -----------------------------------------------------------------------------------------------------

function parseObject(data: Uint8Array, where: string): Readonly<Record<string, unknown>> {
  // What is none would be read as if it were, and refused by the manager.
  if (!isUtf8(data)) throw new CommandError(`${where}: it is not UTF-8`);
  const text = Buffer.from(data.buffer, data.byteOffset, data.length).toString();
  if (text.startsWith('\uFEFF')) {
    throw new CommandError(`${where}: it begins with a byte order mark, which JSON has not: save it without`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CommandError(`${where}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  throw new CommandError(`${where}: a document must be a JSON object`);
}

function checkId(id: string, where: string): string {
  const bytes = Buffer.byteLength(id);
  if (!id.isWellFormed()) throw new CommandError(`${where}: the id has half a surrogate pair in it`);
  if (bytes >= 1 && bytes <= limits.idBytes) return id;
  throw new CommandError(`${where}: an id has 1 to ${limits.idBytes} bytes; this one has ${bytes}`);
}
