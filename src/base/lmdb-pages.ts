// Whether a file is an LMDB environment with all its pages, found out without LMDB: that maps the file, and a page beyond its end, or a page
// size of 0, ends the process. What the pages hold is not looked at unless pages are missing.

import { fstatSync, readSync } from 'node:fs';

/** A page: the header, where its nodes are, the nodes. Offsets of nodes count from behind the header. */
const page = { flags: 18, nodesEnd: 20, headerBytes: 24 } as const;
const pageFlags = { branch: 0x01, leaf: 0x02, meta: 0x08, withoutNodes: 0x20 } as const;
const node = { pageTop: 4, flags: 4, keyBytes: 6, headerBytes: 8 } as const;
const nodeFlags = { overflow: 0x01, tree: 0x02 } as const;
/** What a node holds whose data are in pages of their own. */
const overflow = { first: 0, count: 16 } as const;
/** A tree, in a meta page or in a node. */
const tree = { depth: 6, root: 40 } as const;
/** The first two pages: the one with the greater transaction says what is current. */
const meta = {
  magic: 24,
  version: 28,
  pageBytes: 48,
  freeTree: 48,
  mainTree: 96,
  lastPage: 144,
  transaction: 152,
  bytes: 160,
} as const;

const magic = 0xbeefc0de;
const format = 2;
const minPageBytes = 4096;
const maxPageBytes = 65_536;
/** LMDB goes no deeper. */
const maxDepth = 32;
const noPage = 2n ** 64n - 1n;

/** - `foreign`: no LMDB environment. - `incomplete`: one of which pages are missing. */
export type FileState = 'complete' | 'incomplete' | 'foreign';

/** @param file the descriptor of a file that is not empty. */
export function stateOfLmdbFile(file: number): FileState {
  const first = readMeta(file, 0);
  if (first === undefined) return 'foreign';
  const second = readMeta(file, first.pageBytes);
  // Who cut it within the first two pages has left nothing to tell it by.
  if (second === undefined || second.pageBytes !== first.pageBytes) return 'foreign';
  const { bytes, pageBytes, lastPage } = first.transaction < second.transaction ? second : first;
  // After the meta pages: others write pages first, and then the meta page that needs them.
  const pages = Math.floor(fstatSync(file).size / pageBytes);
  const roots = [meta.freeTree, meta.mainTree].map((at) => bytes.readBigUInt64LE(at + tree.root));
  if (roots.some((root) => root !== noPage && (root < 2n || root > lastPage))) return 'foreign';
  if (lastPage < BigInt(pages)) return 'complete';
  // Pages at the end that a transaction took and gave back were never written.
  return new PageWalk(file, pageBytes, pages).hasAll(bytes) ? 'complete' : 'incomplete';
}

interface Meta {
  readonly bytes: Buffer;
  readonly pageBytes: number;
  readonly lastPage: bigint;
  readonly transaction: bigint;
}

function readMeta(file: number, position: number): Meta | undefined {
  const bytes = Buffer.alloc(meta.bytes);
  if (readSync(file, bytes, 0, bytes.length, position) < bytes.length) return undefined;
  const pageBytes = bytes.readUInt32LE(meta.pageBytes);
  const isMeta =
    (bytes.readUInt16LE(page.flags) & pageFlags.meta) !== 0 &&
    bytes.readUInt32LE(meta.magic) === magic &&
    (bytes.readUInt32LE(meta.version) & 0xffff) === format &&
    pageBytes >= minPageBytes &&
    pageBytes <= maxPageBytes &&
    (pageBytes & (pageBytes - 1)) === 0;
  if (!isMeta) return undefined;
  const lastPage = bytes.readBigUInt64LE(meta.lastPage);
  return { bytes, pageBytes, lastPage, transaction: bytes.readBigUInt64LE(meta.transaction) };
}

/** Follows all trees from the meta page, to see whether each page that they lead to is there. */
class PageWalk {
  readonly #file: number;
  readonly #pageBytes: number;
  readonly #pages: number;
  #visited = 0;

  constructor(file: number, pageBytes: number, pages: number) {
    this.#file = file;
    this.#pageBytes = pageBytes;
    this.#pages = pages;
  }

  hasAll(metaPage: Buffer): boolean {
    try {
      return this.#hasTree(metaPage, meta.freeTree) && this.#hasTree(metaPage, meta.mainTree);
    } catch (error) {
      // A node that lies beyond its page.
      if (error instanceof RangeError) return false;
      throw error;
    }
  }

  #hasTree(bytes: Buffer, at: number): boolean {
    const root = bytes.readBigUInt64LE(at + tree.root);
    return root === noPage || this.#hasPage(Number(root), bytes.readUInt16LE(at + tree.depth));
  }

  #hasPage(number: number, depth: number): boolean {
    // No page is in two places: more visits than pages are a circle.
    if (number >= this.#pages || depth < 1 || depth > maxDepth || ++this.#visited > this.#pages) return false;
    const bytes = Buffer.alloc(this.#pageBytes);
    readSync(this.#file, bytes, 0, bytes.length, number * this.#pageBytes);
    const flags = bytes.readUInt16LE(page.flags);
    if ((flags & pageFlags.withoutNodes) !== 0) return true;
    if ((flags & (pageFlags.branch | pageFlags.leaf)) === 0) return false;
    const isBranch = (flags & pageFlags.branch) !== 0;
    const count = bytes.readUInt16LE(page.nodesEnd) >>> 1;
    for (let n = 0; n < count; ++n) {
      const at = page.headerBytes + bytes.readUInt16LE(page.headerBytes + 2 * n);
      const has = isBranch ? this.#hasPage(childOf(bytes, at), depth - 1) : this.#hasDataOf(bytes, at);
      if (!has) return false;
    }
    return true;
  }

  #hasDataOf(bytes: Buffer, at: number): boolean {
    const flags = bytes.readUInt16LE(at + node.flags);
    const data = at + node.headerBytes + bytes.readUInt16LE(at + node.keyBytes);
    if ((flags & nodeFlags.overflow) !== 0) {
      const first = bytes.readBigUInt64LE(data + overflow.first);
      return first + bytes.readBigUInt64LE(data + overflow.count) <= BigInt(this.#pages);
    }
    return (flags & nodeFlags.tree) === 0 || this.#hasTree(bytes, data);
  }
}

/** The page that a node of a branch leads to: 48 bits, the highest where leaves have flags. */
function childOf(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt16LE(at + node.pageTop) * 2 ** 32;
}
