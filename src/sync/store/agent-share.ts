// What one agent may keep in a manager's store, and up to where a store takes documents.

import { checkInteger } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';

/** How many indices may have documents of one agent, and for how many modules the last session applied is remembered. */
export const mostIndices = 1024;
export const mostModules = 1024;

/** LMDB gives data of about half a page and more pages of their own. */
const pageBytes = 4096;
const inPagesFromBytes = 1984;
/** Of the others, a third is free. */
const perByteUsed = 1.5;
/** What stands beside a document besides its key, twice: its version, its SHA-1, twice, and what LMDB adds. */
const besideBytes = 80;

/** What is left free of documents, so that agents can bring the sessions by which they delete. */
const documentsPart = 0.95;

/** What a document counts for, which is what it takes on the disk, more or less: both lengths in bytes, the id in UTF-8. */
export function documentBytes(dataBytes: number, idBytes: number): number {
  const beside = 2 * idBytes + besideBytes;
  if (dataBytes < inPagesFromBytes) return Math.ceil((dataBytes + beside) * perByteUsed);
  return Math.ceil(dataBytes / pageBytes) * pageBytes + beside * perByteUsed;
}

/** With so many bytes a store takes no documents any more. */
export function fullOfDocuments(maxBytes: number): number {
  return Math.floor(maxBytes * documentsPart);
}

/** What an agent has, in one index or in all: how many documents, and what they count for. */
export interface Extent {
  readonly count: number;
  readonly bytes: number;
}

export const noExtent: Extent = { count: 0, bytes: 0 };

export function sumOf(extents: Iterable<Extent>): Extent {
  let count = 0;
  let bytes = 0;
  for (const each of extents) {
    count += each.count;
    bytes += each.bytes;
  }
  return { count, bytes };
}

/** How much there is of one agent. */
export interface AgentUsage extends Extent {
  /** What its documents may count for. */
  readonly maxBytes: number;
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkShare(given: number | undefined, maxBytes: number): number {
  return checkInteger('maxBytesPerAgent', given ?? Math.ceil(maxBytes / 4), 1, maxBytes);
}

/** What is thrown when a session is ended because its agent may not keep more. */
export function quotaError(what: string): HawserError {
  return new HawserError('ERR_HAWSER_STORE_QUOTA', `the agent has its share of the store: ${what}`);
}

/** What is thrown when documents were not taken although their agent may have them. */
export function fullError(maxBytes: number): HawserError {
  const message = `the store takes no more documents: it has nearly all of its ${maxBytes} bytes`;
  return new HawserError('ERR_HAWSER_STORE_FULL', message);
}
