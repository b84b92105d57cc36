// Addons for macOS and Windows byte by byte, as far as their checks read them: no compiler of this machine makes any.

/** What every addon exports. */
export const exportsOfAddon: readonly string[] = [
  'napi_register_module_v1',
  'node_api_module_get_api_version_v1',
];

/** Where a part begins and how many of its bytes there are. */
interface Part {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** Numbers of 32 bits, the lowest byte first. */
function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value >>> 0, index * 4);
  return bytes;
}

/** Bytes behind which there are zeros up to a length. */
function filled(bytes: Buffer | string, length: number): Buffer {
  const all = Buffer.alloc(length);
  Buffer.from(bytes).copy(all);
  return all;
}

const upTo = (length: number, multiple: number): number => Math.ceil(length / multiple) * multiple;

/** Parts one behind the other, each at a multiple of 8. */
function layOut(start: number, parts: readonly Buffer[]): Part[] {
  let offset = start;
  return parts.map((bytes) => {
    const part = { offset, bytes };
    offset = upTo(offset + bytes.length, 8);
    return part;
  });
}

/** What differs between addons for macOS; the rest is as it must be. */
export interface MachO {
  readonly arch: 'x64' | 'arm64';
  readonly exported?: readonly string[];
  /** What it looks up in the program that loads it. */
  readonly wanted?: readonly string[];
  readonly libraries?: readonly string[];
  /** The oldest macOS, as major and minor; none is said when null. */
  readonly minimum?: readonly [number, number] | null;
  readonly signed?: boolean;
}

/** @returns the bytes of a library for macOS: loader.h of Apple names the numbers. */
export function machO(file: MachO): Buffer {
  const { arch, exported = exportsOfAddon, wanted = ['napi_create_object'] } = file;
  const { libraries = ['/usr/lib/libSystem.B.dylib'], minimum = [11, 0], signed = true } = file;
  const names = ['', ...wanted.map((name) => `_${name}`)];
  const symbols = wanted.map((_, index) => {
    const before = names.slice(0, index + 1).join('\0').length + 1;
    // Undefined, external, in whatever program there is.
    return Buffer.concat([words(before, 0xfe00_0001), Buffer.alloc(8)]);
  });
  const [trie, table, texts, signature] = layOut(0x1000, [
    exportTrie(exported.map((name) => `_${name}`)),
    Buffer.concat(symbols),
    Buffer.from(`${names.join('\0')}\0`),
    Buffer.alloc(16),
  ]) as [Part, Part, Part, Part];
  const end = signature.offset + signature.bytes.length;
  const commands = [
    segment('__TEXT', 0, 0x1000, 5),
    segment('__LINKEDIT', 0x1000, end - 0x1000, 1),
    dylib(0xd, 'hawser.node'),
    words(0x8000_0022, 48, 0, 0, 0, 0, 0, 0, 0, 0, trie.offset, trie.bytes.length),
    words(2, 24, table.offset, wanted.length, texts.offset, texts.bytes.length),
    ...(minimum === null ? [] : [words(0x32, 24, 1, (minimum[0] << 16) | (minimum[1] << 8), 0x000b_0000, 0)]),
    ...libraries.map((name) => dylib(0xc, name)),
    ...(signed ? [words(0x1d, 16, signature.offset, signature.bytes.length)] : []),
  ];
  const processor = { x64: [0x0100_0007, 3], arm64: [0x0100_000c, 0] }[arch];
  const all = Buffer.concat(commands);
  // A library, linked, whose names belong to one library each.
  const header = words(0xfeed_facf, ...processor, 6, commands.length, all.length, 0x84, 0);
  const bytes = filled(Buffer.concat([header, all]), end);
  for (const part of [trie, table, texts]) part.bytes.copy(bytes, part.offset);
  return bytes;
}

function segment(name: string, offset: number, length: number, protection: number): Buffer {
  const place = words(offset, 0, length, 0, offset, 0, length, 0);
  return Buffer.concat([words(0x19, 72), filled(name, 16), place, words(protection, protection, 0, 0)]);
}

function dylib(command: number, name: string): Buffer {
  const length = upTo(24 + name.length + 1, 8);
  return filled(
    Buffer.concat([words(command, length, 24, 0, 0x1_0000, 0x1_0000), Buffer.from(name)]),
    length,
  );
}

/** The root of the tree with a branch for each name; all of it is shorter than 128 bytes, but for the last leaf's end. */
function exportTrie(names: readonly string[]): Buffer {
  const leaf = Buffer.from([2, 0, 0, 0]);
  const branches = (end: number): Buffer =>
    Buffer.concat([
      Buffer.from([0, names.length]),
      ...names.map((name, index) => {
        const offset = end + index * leaf.length;
        // Numbers of two bytes, seven bits each, so that their length does not depend on their size.
        return Buffer.from([...Buffer.from(`${name}\0`), (offset & 0x7f) | 0x80, offset >> 7]);
      }),
    ]);
  const end = branches(0).length;
  return Buffer.concat([branches(end), ...names.map(() => leaf)]);
}

/** What differs between addons for Windows; the rest is as it must be. */
export interface Pe {
  readonly exported?: readonly string[];
  /** What it looks up by name when it is first called. */
  readonly wanted?: readonly string[];
  readonly libraries?: readonly string[];
  /** What the file says of how it may be loaded: 0x40 anywhere, 0x100 with a stack that is not executed. */
  readonly characteristics?: number;
  /** The processor. */
  readonly machine?: number;
}

const base = 0x1000;
const fileOffset = 0x400;

/** @returns the bytes of a library for Windows: PE32+, one section. */
export function pe(file: Pe): Buffer {
  const { exported = exportsOfAddon, wanted = ['napi_create_object'], libraries = ['KERNEL32.dll'] } = file;
  const { characteristics = 0x140, machine = 0x8664 } = file;
  const shown = exportTable(base, exported);
  const needed = importTable(base + upTo(shown.length, 16), libraries);
  const section = Buffer.concat([
    filled(shown, upTo(shown.length, 16)),
    needed,
    Buffer.from(`\0${wanted.join('\0')}\0`),
  ]);
  const size = upTo(section.length, 0x200);
  const directories = [base, shown.length, base + upTo(shown.length, 16), needed.length];
  const headers = Buffer.concat([
    filled(Buffer.concat([filled('MZ', 0x3c), words(0x40)]), 0x40),
    words(0x4550, machine | (1 << 16), 0, 0, 0, 240 | (0x2022 << 16)),
    optionalHeader(size, characteristics, directories),
    filled('.rdata', 8),
    words(section.length, base, size, fileOffset, 0, 0, 0, 0x4000_0040),
  ]);
  return Buffer.concat([filled(headers, fileOffset), filled(section, size)]);
}

function optionalHeader(size: number, characteristics: number, directories: readonly number[]): Buffer {
  const image = [0x8000_0000, 1, 0x1000, 0x200, 6, 0, 6, 0, base + upTo(size, 0x1000), fileOffset, 0];
  // A program for the console, as all libraries say; then the sizes of stack and heap.
  const rest = [3 | (characteristics << 16), 0x10_0000, 0, 0x1000, 0, 0x10_0000, 0, 0x1000, 0, 0, 16];
  return filled(words(0x20b, 0, size, 0, 0, base, ...image, ...rest, ...directories), 240);
}

/** The table of what it exports, for a place in memory. */
function exportTable(at: number, names: readonly string[]): Buffer {
  const count = names.length;
  const functions = at + 40;
  const pointers = functions + count * 4;
  const ordinals = pointers + count * 4;
  const texts = ordinals + count * 2;
  let text = 'hawser.node\0';
  const places = names.map((name) => {
    const place = texts + text.length;
    text += `${name}\0`;
    return place;
  });
  const numbers = Buffer.alloc(count * 2);
  for (let index = 0; index < count; index += 1) numbers.writeUInt16LE(index, index * 2);
  return Buffer.concat([
    words(0, 0, 0, texts, 1, count, count, functions, pointers, ordinals),
    words(...names.map(() => at)),
    words(...places),
    numbers,
    Buffer.from(text),
  ]);
}

/** The table of libraries, of which each is needed for one function. */
function importTable(at: number, libraries: readonly string[]): Buffer {
  const lists = at + (libraries.length + 1) * 20;
  const texts = lists + libraries.length * 16;
  const perLibrary = 64;
  const descriptors = libraries.map((_, index) => {
    const list = lists + index * 16;
    return words(list, 0, 0, texts + index * perLibrary + 16, list);
  });
  return Buffer.concat([
    ...descriptors,
    Buffer.alloc(20),
    ...libraries.map((_, index) => words(texts + index * perLibrary, 0, 0, 0)),
    ...libraries.map((name) => filled(`\0\0anything\0\0\0\0\0\0${name}`, perLibrary)),
  ]);
}
