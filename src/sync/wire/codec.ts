// Messages to bytes and back: FlatBuffers, schema g2 and our fields behind it (docs/sync.md). The many Data of a session go by
// data-writer.ts and item-reader.ts, which do the same faster.

import { Builder, type Offset } from 'flatbuffers';
import {
  argumentError,
  checkArray,
  checkBytes,
  checkInteger,
  checkOneOf,
  checkString,
  checkU64,
  describe,
  maxU32,
} from '../../base/check.js';
import {
  type AgentMetadata,
  type DataValue,
  type EndAck,
  limits,
  modes,
  operations,
  type Pair,
  type ReqRet,
  reasons,
  type Start,
  type StartAck,
  type SyncMessage,
  startOptions,
  statuses,
} from './messages.js';
import { envelope, type Field, messageTypes, tables } from './schema.js';
import { TableReader } from './table-reader.js';
import { SyncFormatError, verifyMessage, viewOf } from './verifier.js';

export { SyncFormatError } from './verifier.js';

/** A message whose type is none of schema g2: of a later version, or of nobody. */
export interface UnknownMessage {
  readonly type: 'Unknown';
  /** The number of its type, 0 to 255; 0 when it has none. */
  readonly number: number;
}

/** The fields of Start that are metadata, by their names in {@link AgentMetadata}. */
const metadataFields = {
  architecture: tables.Start.architecture,
  hostname: tables.Start.hostname,
  osName: tables.Start.osname,
  osPlatform: tables.Start.osplatform,
  osType: tables.Start.ostype,
  osVersion: tables.Start.osversion,
  agentVersion: tables.Start.agentversion,
  agentName: tables.Start.agentname,
  agentId: tables.Start.agentid,
  clusterName: tables.Start.cluster_name,
  clusterNode: tables.Start.cluster_node,
} as const satisfies Readonly<Record<Exclude<keyof AgentMetadata, 'groups'>, Field>>;
const metadataNames = Object.keys(metadataFields) as (keyof typeof metadataFields)[];

/** In bytes: a checksum is 40 of them, but what it says is looked at by whoever compares it. */
const checksumBytes = 256;

// ---- To bytes --------------------------------------------------------------------------------------------------------

/**
 * The bytes of a message, in memory of their own.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT when a part, or the whole, is not what messages.ts and its `limits` allow.
 */
export function encodeMessage(message: SyncMessage): Uint8Array {
  const type = checkOneOf('message.type', message.type, messageTypes);
  const builder = new Builder(256);
  const content = encodeContent(builder, message);
  builder.startObject(2);
  builder.addFieldOffset(envelope.content, content, 0);
  builder.addFieldInt8(envelope.type, messageTypes.indexOf(type) + 1, 0);
  builder.finish(builder.endObject());
  const bytes = builder.asUint8Array();
  if (bytes.length > limits.messageBytes) {
    throw argumentError('message', `at most ${limits.messageBytes} bytes long`, `${bytes.length} bytes`);
  }
  return bytes.slice();
}

function encodeContent(builder: Builder, message: SyncMessage): Offset {
  switch (message.type) {
    case 'Start':
      return encodeStart(builder, message);
    case 'StartAck':
      return encodeStartAck(builder, message);
    case 'DataValue':
      return encodeValue(builder, message);
    case 'DataBatch': {
      checkArray('values', message.values, 0, limits.messageBytes);
      const offsets = message.values.map((value) => encodeValue(builder, value));
      return encodeTable(builder, [[tables.DataBatch.values, encodeOffsets(builder, offsets)]]);
    }
    case 'DataContext':
      return encodeTable(builder, [
        [tables.DataContext.seq, checkU64('seq', message.seq)],
        [tables.DataContext.session, checkU64('session', message.session)],
        [tables.DataContext.id, encodeText(builder, 'id', message.id, limits.idBytes)],
        [tables.DataContext.index, encodeText(builder, 'index', message.index, limits.indexBytes)],
        [tables.DataContext.data, encodeData(builder, message.data)],
      ]);
    case 'DataClean':
      return encodeTable(builder, [
        [tables.DataClean.seq, checkU64('seq', message.seq)],
        [tables.DataClean.session, checkU64('session', message.session)],
        [tables.DataClean.index, encodeText(builder, 'index', message.index, limits.indexBytes)],
      ]);
    case 'ChecksumModule':
      return encodeTable(builder, [
        [tables.ChecksumModule.session, checkU64('session', message.session)],
        [tables.ChecksumModule.index, encodeText(builder, 'index', message.index, limits.indexBytes)],
        [tables.ChecksumModule.checksum, encodeText(builder, 'checksum', message.checksum, checksumBytes)],
      ]);
    case 'End':
      return encodeTable(builder, [[tables.End.session, checkU64('session', message.session)]]);
    case 'EndAck':
      return encodeEndAck(builder, message);
    case 'ReqRet':
      return encodeReqRet(builder, message);
  }
}

function encodeStart(builder: Builder, message: Start): Offset {
  const { metadata } = message;
  const entries: Entry[] = [
    [tables.Start.module, encodeText(builder, 'module', message.module, limits.moduleBytes)],
    [tables.Start.mode, modes.indexOf(checkOneOf('mode', message.mode, modes))],
    [tables.Start.size, checkU64('size', message.size)],
    [tables.Start.index, encodeTexts(builder, 'indices', message.indices, limits.indices, limits.indexBytes)],
    [tables.Start.option, startOptions.indexOf(checkOneOf('option', message.option, startOptions))],
    [tables.Start.global_version, checkU64('globalVersion', message.globalVersion)],
    [tables.Start.nonce, checkU64('nonce', message.nonce)],
    [tables.Start.generation, checkU64('generation', message.generation)],
  ];
  for (const name of metadataNames) {
    const text = metadata[name];
    if (text === undefined) continue;
    entries.push([
      metadataFields[name],
      encodeText(builder, `metadata.${name}`, text, limits.metadataBytes, true),
    ]);
  }
  if (metadata.groups !== undefined) {
    const groups = encodeTexts(
      builder,
      'metadata.groups',
      metadata.groups,
      limits.groups,
      limits.metadataBytes,
    );
    entries.push([tables.Start.groups, groups]);
  }
  return encodeTable(builder, entries);
}

function encodeStartAck(builder: Builder, message: StartAck): Offset {
  return encodeTable(builder, [
    [tables.StartAck.status, statuses.indexOf(checkOneOf('status', message.status, statuses))],
    [tables.StartAck.session, checkU64('session', message.session)],
    [tables.StartAck.nonce, checkU64('nonce', message.nonce)],
    [tables.StartAck.retry_after_ms, checkInteger('retryAfterMs', message.retryAfterMs, 0, maxU32)],
    [tables.StartAck.resumed, message.resumed ? 1 : 0],
    [tables.StartAck.generation, checkU64('generation', message.generation)],
    [tables.StartAck.reason, reasons.indexOf(checkOneOf('reason', message.reason, reasons))],
  ]);
}

function encodeValue(builder: Builder, value: Omit<DataValue, 'type'>): Offset {
  return encodeTable(builder, [
    [tables.DataValue.seq, checkU64('seq', value.seq)],
    [tables.DataValue.session, checkU64('session', value.session)],
    [tables.DataValue.operation, operations.indexOf(checkOneOf('operation', value.operation, operations))],
    [tables.DataValue.id, encodeText(builder, 'id', value.id, limits.idBytes)],
    [tables.DataValue.index, encodeText(builder, 'index', value.index, limits.indexBytes)],
    [tables.DataValue.version, checkU64('version', value.version)],
    [tables.DataValue.data, encodeData(builder, value.data)],
  ]);
}

function encodeEndAck(builder: Builder, message: EndAck): Offset {
  return encodeTable(builder, [
    [tables.EndAck.status, statuses.indexOf(checkOneOf('status', message.status, statuses))],
    [tables.EndAck.session, checkU64('session', message.session)],
    [tables.EndAck.rejected, checkU64('rejected', message.rejected)],
    [tables.EndAck.retry_after_ms, checkInteger('retryAfterMs', message.retryAfterMs, 0, maxU32)],
    [tables.EndAck.reason, reasons.indexOf(checkOneOf('reason', message.reason, reasons))],
  ]);
}

function encodeReqRet(builder: Builder, message: ReqRet): Offset {
  checkArray('ranges', message.ranges, 0, limits.ranges);
  const offsets = message.ranges.map(({ begin, end }) =>
    encodeTable(builder, [
      [tables.Pair.begin, checkU64('begin', begin)],
      [tables.Pair.end, checkU64('end', end)],
    ]),
  );
  return encodeTable(builder, [
    [tables.ReqRet.seq, encodeOffsets(builder, offsets)],
    [tables.ReqRet.session, checkU64('session', message.session)],
  ]);
}

/** A field and what it holds: a u64 as bigint, a byte or u32 as number, all else as the offset of what was written before. */
type Entry = readonly [field: Field, value: bigint | Offset];

/** Fields that hold 0 are left out: that is what they are when absent. */
function encodeTable(builder: Builder, entries: readonly Entry[]): Offset {
  builder.startObject(1 + Math.max(...entries.map(([{ id }]) => id)));
  // By size: so there is no gap between them but before the first.
  for (const [{ id }, value] of entries) if (typeof value === 'bigint') builder.addFieldInt64(id, value, 0n);
  for (const [{ id, kind }, value] of entries) {
    if (typeof value === 'bigint' || kind === 'byte') continue;
    if (kind === 'u32') builder.addFieldInt32(id, value, 0);
    else builder.addFieldOffset(id, value, 0);
  }
  for (const [{ id, kind }, value] of entries) {
    if (typeof value === 'number' && kind === 'byte') builder.addFieldInt8(id, value, 0);
  }
  return builder.endObject();
}

/** An empty text is left out unless it is to be told from an absent one. */
function encodeText(
  builder: Builder,
  name: string,
  value: unknown,
  maxBytes: number,
  emptyToo = false,
): Offset {
  const text = checkString(name, value);
  if (Buffer.byteLength(text) > maxBytes) {
    throw argumentError(name, `at most ${maxBytes} bytes of UTF-8`, describe(text));
  }
  if (!text.isWellFormed()) throw argumentError(name, 'without half a surrogate pair', describe(text));
  return text === '' && !emptyToo ? 0 : builder.createString(text);
}

function encodeTexts(
  builder: Builder,
  name: string,
  values: unknown,
  maxCount: number,
  maxBytes: number,
): Offset {
  const offsets = checkArray(name, values, 0, maxCount).map((value, n) =>
    encodeText(builder, `${name}[${n}]`, value, maxBytes, true),
  );
  return encodeOffsets(builder, offsets);
}

function encodeData(builder: Builder, data: unknown): Offset {
  return builder.createByteVector(checkBytes('data', data, 0, limits.dataBytes));
}

function encodeOffsets(builder: Builder, offsets: readonly Offset[]): Offset {
  builder.startVector(4, offsets.length, 4);
  for (const offset of offsets.toReversed()) builder.addOffset(offset);
  return builder.endVector();
}

// ---- From bytes ------------------------------------------------------------------------------------------------------

/**
 * The message that the bytes are. Missing texts are empty (in `metadata` absent), missing lists empty, missing numbers 0 and missing names
 * the first of theirs; lists of texts have each text once; `data` are views of the bytes. Bytes behind the message are accepted. Takes time linear in the length.
 *
 * @throws SyncFormatError ERR_HAWSER_PROTOCOL for all that is no message, has a text that is no UTF-8, goes beyond `limits`, or names a
 * mode, operation, option or status that schema g2 does not have. An unknown reason is `None`: what it explains is said by the status.
 */
export function decodeMessage(bytes: Uint8Array): SyncMessage | UnknownMessage {
  const view = viewOf(bytes);
  const { number, type, content } = verifyMessage(bytes, view);
  if (type === undefined) return { type: 'Unknown', number };
  if (content === 0) throw new SyncFormatError(`a message of the type ${type} without content`);
  const table = new TableReader(view, content);
  switch (type) {
    case 'Start':
      return decodeStart(table);
    case 'StartAck':
      return decodeStartAck(table);
    case 'DataValue':
      return { type, ...decodeValue(table) };
    case 'DataBatch':
      return { type, values: table.tables(tables.DataBatch.values, limits.messageBytes).map(decodeValue) };
    case 'DataContext':
      return {
        type,
        seq: table.u64(tables.DataContext.seq),
        session: table.u64(tables.DataContext.session),
        id: table.text(tables.DataContext.id, limits.idBytes),
        index: table.text(tables.DataContext.index, limits.indexBytes),
        data: decodeData(table, tables.DataContext.data),
      };
    case 'DataClean':
      return {
        type,
        seq: table.u64(tables.DataClean.seq),
        session: table.u64(tables.DataClean.session),
        index: table.text(tables.DataClean.index, limits.indexBytes),
      };
    case 'ChecksumModule':
      return {
        type,
        session: table.u64(tables.ChecksumModule.session),
        index: table.text(tables.ChecksumModule.index, limits.indexBytes),
        checksum: table.text(tables.ChecksumModule.checksum, checksumBytes),
      };
    case 'End':
      return decodeEnd(table);
    case 'EndAck':
      return decodeEndAck(table);
    case 'ReqRet':
      return {
        type,
        ranges: table.tables(tables.ReqRet.seq, limits.ranges).map(decodePair),
        session: table.u64(tables.ReqRet.session),
      };
  }
}

function decodeStart(table: TableReader): Start {
  const { Start } = tables;
  return {
    type: 'Start',
    module: table.text(Start.module, limits.moduleBytes),
    mode: decodeName(table, Start.mode, modes, 'mode'),
    size: table.u64(Start.size),
    indices: table.distinctTexts(Start.index, limits.indices, limits.indexBytes),
    option: decodeName(table, Start.option, startOptions, 'option'),
    metadata: decodeMetadata(table),
    globalVersion: table.u64(Start.global_version),
    nonce: table.u64(Start.nonce),
    generation: table.u64(Start.generation),
  };
}

function decodeMetadata(table: TableReader): AgentMetadata {
  const metadata: { -readonly [Name in keyof AgentMetadata]: AgentMetadata[Name] } = {};
  for (const name of metadataNames) {
    const field = metadataFields[name];
    if (table.has(field)) metadata[name] = table.text(field, limits.metadataBytes);
  }
  const { groups } = tables.Start;
  if (table.has(groups)) metadata.groups = table.distinctTexts(groups, limits.groups, limits.metadataBytes);
  return metadata;
}

function decodeStartAck(table: TableReader): StartAck {
  const { StartAck } = tables;
  return {
    type: 'StartAck',
    status: decodeName(table, StartAck.status, statuses, 'status'),
    session: table.u64(StartAck.session),
    nonce: table.u64(StartAck.nonce),
    retryAfterMs: table.u32(StartAck.retry_after_ms),
    resumed: table.byte(StartAck.resumed) !== 0,
    generation: table.u64(StartAck.generation),
    reason: reasons[table.byte(StartAck.reason)] ?? 'None',
  };
}

function decodeValue(table: TableReader): Omit<DataValue, 'type'> {
  const { DataValue } = tables;
  return {
    seq: table.u64(DataValue.seq),
    session: table.u64(DataValue.session),
    operation: decodeName(table, DataValue.operation, operations, 'operation'),
    id: table.text(DataValue.id, limits.idBytes),
    index: table.text(DataValue.index, limits.indexBytes),
    version: table.u64(DataValue.version),
    data: decodeData(table, DataValue.data),
  };
}

// The union number of End means another table in a later schema, whose bytes pass as an End with some session. It has more fields.
function decodeEnd(table: TableReader): SyncMessage {
  if (table.hasFieldsBeyond(tables.End.session)) throw new SyncFormatError('an End of another schema');
  return { type: 'End', session: table.u64(tables.End.session) };
}

function decodeEndAck(table: TableReader): EndAck {
  const { EndAck } = tables;
  return {
    type: 'EndAck',
    status: decodeName(table, EndAck.status, statuses, 'status'),
    session: table.u64(EndAck.session),
    rejected: table.u64(EndAck.rejected),
    retryAfterMs: table.u32(EndAck.retry_after_ms),
    reason: reasons[table.byte(EndAck.reason)] ?? 'None',
  };
}

function decodePair(table: TableReader): Pair {
  return { begin: table.u64(tables.Pair.begin), end: table.u64(tables.Pair.end) };
}

function decodeData(table: TableReader, field: Field): Uint8Array {
  const data = table.bytes(field);
  if (data.length <= limits.dataBytes) return data;
  throw new SyncFormatError(`data of ${data.length} bytes; at most ${limits.dataBytes} are allowed`);
}

function decodeName<const Name extends string>(
  table: TableReader,
  field: Field,
  names: readonly Name[],
  what: string,
): Name {
  const number = table.byte(field);
  const name = names[number];
  if (name === undefined) throw new SyncFormatError(`an unknown ${what}, ${number}`);
  return name;
}
