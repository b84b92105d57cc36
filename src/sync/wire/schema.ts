// Schema g2 as data: the union and its tables, each field with its id and its kind, ours at the end of each table (docs/sync.md).

/** What a message can be, in the order of the union's numbers: the first is 1; 0 is nothing. */
export const messageTypes = [
  'DataValue',
  'DataClean',
  'ChecksumModule',
  'Start',
  'StartAck',
  'End',
  'EndAck',
  'ReqRet',
  'DataContext',
  'DataBatch',
] as const;
export type MessageType = (typeof messageTypes)[number];

/** A vector of tables has their name. */
export type FieldKind = 'byte' | 'u32' | 'u64' | 'string' | 'bytes' | 'strings' | 'DataValue' | 'Pair';

/** A field of a table. Ids are never used again for something else, and new ones only follow the last. */
export interface Field {
  readonly id: number;
  readonly kind: FieldKind;
}

/** The envelope's own fields. */
export const envelope = { type: 0, content: 1 } as const;

export const tables = {
  DataValue: {
    seq: { id: 0, kind: 'u64' },
    session: { id: 1, kind: 'u64' },
    operation: { id: 2, kind: 'byte' },
    id: { id: 3, kind: 'string' },
    index: { id: 4, kind: 'string' },
    version: { id: 5, kind: 'u64' },
    data: { id: 6, kind: 'bytes' },
  },
  DataClean: {
    seq: { id: 0, kind: 'u64' },
    session: { id: 1, kind: 'u64' },
    index: { id: 2, kind: 'string' },
  },
  ChecksumModule: {
    session: { id: 0, kind: 'u64' },
    index: { id: 1, kind: 'string' },
    checksum: { id: 2, kind: 'string' },
  },
  Start: {
    module: { id: 0, kind: 'string' },
    mode: { id: 1, kind: 'byte' },
    size: { id: 2, kind: 'u64' },
    index: { id: 3, kind: 'strings' },
    option: { id: 4, kind: 'byte' },
    architecture: { id: 5, kind: 'string' },
    hostname: { id: 6, kind: 'string' },
    osname: { id: 7, kind: 'string' },
    osplatform: { id: 8, kind: 'string' },
    ostype: { id: 9, kind: 'string' },
    osversion: { id: 10, kind: 'string' },
    agentversion: { id: 11, kind: 'string' },
    agentname: { id: 12, kind: 'string' },
    agentid: { id: 13, kind: 'string' },
    groups: { id: 14, kind: 'strings' },
    global_version: { id: 15, kind: 'u64' },
    cluster_name: { id: 16, kind: 'string' },
    cluster_node: { id: 17, kind: 'string' },
    nonce: { id: 18, kind: 'u64' },
    generation: { id: 19, kind: 'u64' },
  },
  StartAck: {
    status: { id: 0, kind: 'byte' },
    session: { id: 1, kind: 'u64' },
    nonce: { id: 2, kind: 'u64' },
    retry_after_ms: { id: 3, kind: 'u32' },
    resumed: { id: 4, kind: 'byte' },
    generation: { id: 5, kind: 'u64' },
    reason: { id: 6, kind: 'byte' },
  },
  End: {
    session: { id: 0, kind: 'u64' },
  },
  EndAck: {
    status: { id: 0, kind: 'byte' },
    session: { id: 1, kind: 'u64' },
    rejected: { id: 2, kind: 'u64' },
    retry_after_ms: { id: 3, kind: 'u32' },
    reason: { id: 4, kind: 'byte' },
  },
  ReqRet: {
    seq: { id: 0, kind: 'Pair' },
    session: { id: 1, kind: 'u64' },
  },
  DataContext: {
    seq: { id: 0, kind: 'u64' },
    session: { id: 1, kind: 'u64' },
    id: { id: 2, kind: 'string' },
    index: { id: 3, kind: 'string' },
    data: { id: 4, kind: 'bytes' },
  },
  DataBatch: {
    values: { id: 0, kind: 'DataValue' },
  },
  Pair: {
    begin: { id: 0, kind: 'u64' },
    end: { id: 1, kind: 'u64' },
  },
} as const;
