// How long the file of an addon has to be by its own headers. The system maps a file without a look at its length: one that was
// truncated would end the process with a bus error when it is loaded. Contents are not judged: an addon may be signed again.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** No header of a library is shorter than that of ELF for 64 bits. */
const leastBytes = 64;

/** A file whose headers reach beyond its end. */
class Beyond extends Error {
  readonly end: number;

  constructor(end: number) {
    super('beyond the end of the file');
    this.end = end;
  }
}

/** Numbers in a part of a file, at their offsets in that part. */
interface Header {
  u16(at: number): number;
  u32(at: number): number;
  /** Rounded where it is above 2^53, which is beyond every file. */
  u64(at: number): number;
}

/** The part of a file from `offset` on. @throws Beyond */
type ReadHeader = (offset: number, length: number, littleEndian: boolean) => Header;

/**
 * Checks that a file is as long as its headers say: those of ELF, Mach-O or PE. Files of other formats are not judged.
 *
 * @throws Error whose message says how long the file is, and how long it has to be; an error of the system.
 */
export function checkAddonLength(path: string): void {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const needed = neededBytes(size, (bytes, offset) => readSync(file, bytes, 0, bytes.length, offset));
    if (size >= needed) return;
    throw new Error(`file too short: it has ${size} bytes, and its headers say ${needed}`);
  } finally {
    closeSync(file);
  }
}

/**
 * How many bytes the headers of a file say that it has at least.
 *
 * @param size of the file
 * @param readInto fills bytes with those of the file from an offset on; they are in the file. @returns how many it has read
 */
export function neededBytes(size: number, readInto: (bytes: Uint8Array, offset: number) => number): number {
  if (size < leastBytes) return leastBytes;
  const read: ReadHeader = (offset, length, littleEndian) => {
    const end = offset + length;
    if (end > size) throw new Beyond(end);
    const bytes = new Uint8Array(length);
    // The file was truncated after its size was read.
    if (readInto(bytes, offset) < length) throw new Beyond(end);
    const view = new DataView(bytes.buffer);
    return {
      u16: (at) => view.getUint16(at, littleEndian),
      u32: (at) => view.getUint32(at, littleEndian),
      u64: (at) => Number(view.getBigUint64(at, littleEndian)),
    };
  };
  try {
    return Math.max(leastBytes, endOf(read));
  } catch (error) {
    if (error instanceof Beyond) return error.end;
    throw error;
  }
}

/** The end of what the headers name. */
function endOf(read: ReadHeader): number {
  const magic = read(0, 4, false).u32(0);
  switch (magic) {
    case 0x7f454c46:
      return endOfElf(read);
    case 0xfeedface:
    case 0xfeedfacf:
    case 0xcefaedfe:
    case 0xcffaedfe:
      return endOfMachO(read, 0);
    case 0xcafebabe:
      return endOfFat(read, 20);
    case 0xcafebabf:
      return endOfFat(read, 32);
    default:
      return magic >>> 16 === 0x4d5a ? endOfPe(read) : 0;
  }
}

/** ELF: the tables of segments and sections, and the segments. The offsets are those of `Elf64_Ehdr` and `Elf32_Ehdr`. */
function endOfElf(read: ReadHeader): number {
  const identity = read(4, 2, false).u16(0);
  const is64 = identity >>> 8 === 2;
  const littleEndian = (identity & 0xff) === 1;
  const header = read(0, is64 ? 64 : 52, littleEndian);
  const segments = is64 ? header.u64(32) : header.u32(28);
  const sections = is64 ? header.u64(40) : header.u32(32);
  const sizes = is64 ? 54 : 42;
  const segmentBytes = header.u16(sizes);
  const segmentCount = header.u16(sizes + 2);
  const sectionBytes = header.u16(sizes + 4);
  const sectionCount = header.u16(sizes + 6);
  let end = sections === 0 ? 0 : sections + sectionBytes * sectionCount;
  for (let index = 0; index < segmentCount; index += 1) {
    const segment = read(segments + index * segmentBytes, is64 ? 56 : 32, littleEndian);
    end = Math.max(end, is64 ? segment.u64(8) + segment.u64(32) : segment.u32(4) + segment.u32(16));
  }
  return Math.max(end, segments + segmentBytes * segmentCount);
}

const segment32 = 1;
const segment64 = 0x19;

/** Mach-O: the load commands, and the segments. The offsets are those of `mach_header` and `segment_command`. */
function endOfMachO(read: ReadHeader, start: number): number {
  const magic = read(start, 4, false).u32(0);
  const littleEndian = (magic & 0xff) === 0xfe;
  const is64 = magic === 0xfeedfacf || magic === 0xcffaedfe;
  const headerBytes = is64 ? 32 : 28;
  const header = read(start, headerBytes, littleEndian);
  const commands = header.u32(16);
  const commandsEnd = start + headerBytes + header.u32(20);
  let end = commandsEnd;
  let at = start + headerBytes;
  for (let index = 0; index < commands; index += 1) {
    const command = read(at, 8, littleEndian);
    const kind = command.u32(0);
    if (kind === segment64) {
      const segment = read(at, 72, littleEndian);
      end = Math.max(end, start + segment.u64(40) + segment.u64(48));
    } else if (kind === segment32) {
      const segment = read(at, 56, littleEndian);
      end = Math.max(end, start + segment.u32(32) + segment.u32(36));
    }
    // Commands that reach nowhere would be read for ever; the system refuses them.
    if (command.u32(4) < 8) break;
    at += command.u32(4);
  }
  return end;
}

const mostParts = 32;

/** Mach-O for several processors: each part, and what its own headers say. */
function endOfFat(read: ReadHeader, entryBytes: 20 | 32): number {
  const count = read(0, 8, false).u32(4);
  // Class files of Java begin likewise, with a version in this place.
  if (count > mostParts) return 0;
  let end = 8 + count * entryBytes;
  for (let index = 0; index < count; index += 1) {
    const entry = read(8 + index * entryBytes, entryBytes, false);
    const is64 = entryBytes === 32;
    const offset = is64 ? entry.u64(8) : entry.u32(8);
    const length = is64 ? entry.u64(16) : entry.u32(12);
    end = Math.max(end, offset + length, endOfMachO(read, offset));
  }
  return end;
}

/** PE: the headers, the sections, and the signature. The offsets are those of `IMAGE_NT_HEADERS`. */
function endOfPe(read: ReadHeader): number {
  const start = read(0, 0x40, true).u32(0x3c);
  const file = read(start, 24, true);
  const optionalBytes = file.u16(20);
  const optional = read(start + 24, optionalBytes, true);
  const table = start + 24 + optionalBytes;
  let end = table;
  if (optionalBytes >= 64) end = Math.max(end, optional.u32(60));
  // The directory of signatures has an offset in the file where all others have addresses.
  const directories = optionalBytes >= 2 && optional.u16(0) === 0x20b ? 112 : 96;
  const signature = directories + 4 * 8;
  if (optionalBytes >= signature + 8 && optional.u32(directories - 4) > 4) {
    end = Math.max(end, optional.u32(signature) + optional.u32(signature + 4));
  }
  for (let index = 0; index < file.u16(6); index += 1) {
    const section = read(table + index * 40, 40, true);
    end = Math.max(end, section.u32(16) === 0 ? 0 : section.u32(16) + section.u32(20));
  }
  return end;
}
