// Messages as JSON of the schema (test/sync/sync.fbs), written down apart from the codec: by the schema's names, numbers never left out.

import { type DataValue, modes, type SyncMessage } from '../../../src/sync/wire/messages.js';
import type { JsonMessage, JsonTable } from './flatc-oracle.js';

const modeNames = [
  'ModuleFull',
  'ModuleDelta',
  'ModuleCheck',
  'MetadataDelta',
  'MetadataCheck',
  'GroupDelta',
  'GroupCheck',
];

/** The fields that schema g2 does not have. */
export const ourFields: readonly string[] = [
  'nonce',
  'generation',
  'retry_after_ms',
  'resumed',
  'reason',
  'rejected',
];

export function toJson(message: SyncMessage): JsonMessage {
  return { content_type: message.type, content: contentOf(message) };
}

function contentOf(message: SyncMessage): JsonTable {
  switch (message.type) {
    case 'Start': {
      const { metadata } = message;
      return withoutAbsent({
        module: message.module || undefined,
        mode: modeNames[modes.indexOf(message.mode)],
        size: message.size,
        index: message.indices,
        option: message.option,
        architecture: metadata.architecture,
        hostname: metadata.hostname,
        osname: metadata.osName,
        osplatform: metadata.osPlatform,
        ostype: metadata.osType,
        osversion: metadata.osVersion,
        agentversion: metadata.agentVersion,
        agentname: metadata.agentName,
        agentid: metadata.agentId,
        groups: metadata.groups,
        global_version: message.globalVersion,
        cluster_name: metadata.clusterName,
        cluster_node: metadata.clusterNode,
        nonce: message.nonce,
        generation: message.generation,
      });
    }
    case 'StartAck':
      return {
        status: message.status,
        session: message.session,
        nonce: message.nonce,
        retry_after_ms: message.retryAfterMs,
        resumed: message.resumed,
        generation: message.generation,
        reason: message.reason,
      };
    case 'DataValue':
      return fieldsOf(message);
    case 'DataBatch':
      return { values: message.values.map(fieldsOf) };
    case 'DataContext': {
      const { seq, session, id, index, data } = message;
      return withoutAbsent({
        seq,
        session,
        id: id || undefined,
        index: index || undefined,
        data: signed(data),
      });
    }
    case 'DataClean':
      return withoutAbsent({
        seq: message.seq,
        session: message.session,
        index: message.index || undefined,
      });
    case 'ChecksumModule': {
      const { session, index, checksum } = message;
      return withoutAbsent({ session, index: index || undefined, checksum: checksum || undefined });
    }
    case 'End':
      return { session: message.session };
    case 'EndAck':
      return {
        status: message.status,
        session: message.session,
        rejected: message.rejected,
        retry_after_ms: message.retryAfterMs,
        reason: message.reason,
      };
    case 'ReqRet':
      return { seq: message.ranges.map(({ begin, end }) => ({ begin, end })), session: message.session };
  }
}

function fieldsOf(value: Omit<DataValue, 'type'>): JsonTable {
  const { seq, session, operation, id, index, version, data } = value;
  return withoutAbsent({
    seq,
    session,
    operation,
    id: id || undefined,
    index: index || undefined,
    version,
    data: signed(data),
  });
}

function signed(data: Uint8Array): number[] {
  return Array.from(new Int8Array(data));
}

function withoutAbsent(table: Readonly<Record<string, JsonTable[string] | undefined>>): JsonTable {
  return Object.fromEntries(
    Object.entries(table).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

/** JSON in one form, whoever wrote it: all numbers as text, bytes of a text as signed numbers, `''` as absent. */
export function normal(json: unknown, without: readonly string[] = []): unknown {
  if (typeof json === 'number' || typeof json === 'bigint') return String(json);
  if (Array.isArray(json)) return json.map((each) => normal(each, without));
  if (typeof json !== 'object' || json === null) return json;
  const entries = Object.entries(json);
  const [first] = entries;
  if (first?.[0] === '$uint') return String(first[1]);
  if (first?.[0] === '$utf8') {
    return Array.from(new Int8Array(new TextEncoder().encode(String(first[1]))), String);
  }
  return Object.fromEntries(
    entries
      .filter(([name, value]) => value !== '' && !without.includes(name))
      .map(([name, value]) => [name, normal(value, without)]),
  );
}
