// What agent and manager say to each other (source document, "Message Types"), as values. Names and numbers are those of schema g2 of the
// Wazuh project, the last one with this handshake; docs/sync.md has the table.

/** The modes of a session, in the order of their numbers (source document, "Special Synchronization Modes"). */
export const modes = [
  'FULL',
  'DELTA',
  'CHECK',
  'METADATA_DELTA',
  'METADATA_CHECK',
  'GROUP_DELTA',
  'GROUP_CHECK',
] as const;
/**
 * - `FULL`: the manager deletes what it has of the indices of Start, then applies the Data.
 * - `DELTA`: the manager applies the Data to what it has.
 * - `CHECK`: the manager compares a checksum; nothing changes.
 * - `METADATA_...`, `GROUP_...`: what Start itself says of the agent and its groups; there is no Data.
 */
export type Mode = (typeof modes)[number];
/** The modes of `synchronizeModule`. */
export type ModuleMode = Extract<Mode, 'FULL' | 'DELTA'>;
/** The modes of `synchronizeMetadataOrGroups`. */
export type AgentMode = Extract<Mode, `METADATA_${string}` | `GROUP_${string}`>;

/** In the order of their numbers. */
export const operations = ['Upsert', 'Delete'] as const;
/** One of {@link operations}. */
export type Operation = (typeof operations)[number];

/** In the order of their numbers. The source document says Success and Failed for the first two. */
export const statuses = ['Ok', 'Error', 'Offline', 'ChecksumMismatch', 'Processing'] as const;
/**
 * - `Ok`: accepted; of EndAck: applied, and on the disk.
 * - `Error`: refused for good.
 * - `Offline`: the manager cannot now; later it may.
 * - `ChecksumMismatch`: the answer to a CHECK whose checksum differs.
 * - `Processing`: everything has arrived and is being applied.
 */
export type Status = (typeof statuses)[number];

/** In the order of their numbers. Carried for managers that tell them apart; ours does not. */
export const startOptions = ['Sync', 'VDFirst', 'VDSync'] as const;
/** One of {@link startOptions}. */
export type StartOption = (typeof startOptions)[number];

/** Why a manager of ours refuses, in the order of their numbers; others leave it `None`. */
export const reasons = [
  'None',
  'Busy',
  'TooManyItems',
  'TooManyBytes',
  'AgentLocked',
  'StaleGeneration',
  'UnknownSession',
  'SessionExpired',
  'InvalidSize',
  'IndexNotAllowed',
  'EmptyIndex',
  'InvalidMessage',
  'NoProgress',
  'StoreFull',
  'StoreFailed',
  'ShuttingDown',
  'AgentFull',
] as const;
/** One of {@link reasons}. */
export type Reason = (typeof reasons)[number];

/** What a refused Start is answered with instead of a session. */
export const noSession: bigint = 2n ** 64n - 1n;

/** Everything about the agent that Start carries: metadata of schema g2, all optional, each at most 1,024 bytes of UTF-8. */
export interface AgentMetadata {
  /** Of its machine. */
  readonly architecture?: string;
  /** Of its machine. */
  readonly hostname?: string;
  /** Of its operating system. */
  readonly osName?: string;
  /** Of its operating system. */
  readonly osPlatform?: string;
  /** Of its operating system. */
  readonly osType?: string;
  /** Of its operating system. */
  readonly osVersion?: string;
  /** Of its program. */
  readonly agentVersion?: string;
  /** What it calls itself. */
  readonly agentName?: string;
  /** What it says that its id is; ours is that of its token. */
  readonly agentId?: string;
  /** At most 1,024. */
  readonly groups?: readonly string[];
  /** Where it was managed before. */
  readonly clusterName?: string;
  /** Where it was managed before. */
  readonly clusterNode?: string;
}

/** Agent to manager: begins a session. */
export interface Start {
  readonly type: 'Start';
  /** The module that it is of. */
  readonly module: string;
  /** What kind of session it is. */
  readonly mode: Mode;
  /** How many items follow: u64. */
  readonly size: bigint;
  /** What its Data may be of. */
  readonly indices: readonly string[];
  /** For managers that tell them apart. */
  readonly option: StartOption;
  /** What the agent says of itself. */
  readonly metadata: AgentMetadata;
  /** u64. */
  readonly globalVersion: bigint;
  /**
   * Ours: random, of the snapshot that this session sends: u64, never 0. A Start with the nonce of a session that the manager knows is
   * that session again. 0: an agent that has none.
   */
  readonly nonce: bigint;
  /** Ours: grows with each snapshot of (agent, module): u64, never 0. 0: an agent that has none. */
  readonly generation: bigint;
}

/** Manager to agent: answers Start. */
export interface StartAck {
  readonly type: 'StartAck';
  readonly status: Status;
  /** u64; {@link noSession} where there is none. */
  readonly session: bigint;
  /** Ours: that of Start, so that several modules of one agent can begin at once. */
  readonly nonce: bigint;
  /** Ours: of Offline, in how many milliseconds to try again: u32; 0 for not said. */
  readonly retryAfterMs: number;
  /** Ours: the manager has had this session before, perhaps with some or all of its Data: ask by End what is missing. */
  readonly resumed: boolean;
  /** Ours: of StaleGeneration, the greatest generation that the manager has seen of (agent, module): u64. */
  readonly generation: bigint;
  /** Ours. */
  readonly reason: Reason;
}

interface ItemOfSession {
  /** From 0: u64. */
  readonly seq: bigint;
  readonly session: bigint;
}

/** Agent to manager: one difference; `Data` of the source document. */
export interface DataValue extends ItemOfSession {
  readonly type: 'DataValue';
  /** What happened to the document. */
  readonly operation: Operation;
  readonly id: string;
  readonly index: string;
  /** u64; 0 for a document without versions. */
  readonly version: bigint;
  readonly data: Uint8Array;
}

/** Agent to manager: several differences. */
export interface DataBatch {
  readonly type: 'DataBatch';
  readonly values: readonly Omit<DataValue, 'type'>[];
}

/** Agent to manager: a document that others are to be seen with. */
export interface DataContext extends ItemOfSession {
  readonly type: 'DataContext';
  readonly id: string;
  readonly index: string;
  readonly data: Uint8Array;
}

/** Agent to manager: delete everything of an index. */
export interface DataClean extends ItemOfSession {
  readonly type: 'DataClean';
  readonly index: string;
}

/** Agent to manager, between StartAck and End of a CHECK. */
export interface ChecksumModule {
  readonly type: 'ChecksumModule';
  readonly session: bigint;
  readonly index: string;
  /** 40 hexadecimal digits; docs/sync.md says of what. */
  readonly checksum: string;
}

/** Agent to manager: all Data were sent. */
export interface End {
  readonly type: 'End';
  readonly session: bigint;
}

/** Manager to agent: answers End. */
export interface EndAck {
  readonly type: 'EndAck';
  readonly status: Status;
  readonly session: bigint;
  /** Ours: how many items were not applied, for they were invalid or of an index that is not allowed: u64. */
  readonly rejected: bigint;
  /** Ours: of Offline, as in StartAck. */
  readonly retryAfterMs: number;
  /** Ours. */
  readonly reason: Reason;
}

/** A range of sequence numbers, both ends included: u64. */
export interface Pair {
  readonly begin: bigint;
  readonly end: bigint;
}

/** Manager to agent: these Data have not arrived. */
export interface ReqRet {
  readonly type: 'ReqRet';
  readonly ranges: readonly Pair[];
  readonly session: bigint;
}

/** What an agent sends. */
export type AgentMessage = Start | DataValue | DataBatch | DataContext | DataClean | ChecksumModule | End;
/** What a manager sends. */
export type ManagerMessage = StartAck | EndAck | ReqRet;
export type SyncMessage = AgentMessage | ManagerMessage;

/** One item of a session, in the form in which it is sent, or was. Its sequence number is its place in the snapshot. */
export type DataItem =
  | {
      readonly kind: 'value';
      /** What happened to the document. */
      readonly operation: Operation;
      /** The index that the document is in. */
      readonly index: string;
      /** Names the document in its index. */
      readonly id: string;
      /** u64; 0 for a document without versions. */
      readonly version: bigint;
      /** The document: JSON. */
      readonly data: Uint8Array;
    }
  | { readonly kind: 'context'; readonly index: string; readonly id: string; readonly data: Uint8Array }
  | { readonly kind: 'clean'; readonly index: string };

/** What one message and its parts may be: of this package's agents and managers, in both directions. */
export const limits = {
  /** One message in bytes. */
  messageBytes: 65_536,
  /** The data of one item in bytes: what fits into one message with the rest. */
  dataBytes: 61_440,
  /** In bytes of UTF-8. */
  indexBytes: 256,
  /** The id of a document, in bytes of UTF-8. */
  idBytes: 1024,
  /** The name of a module, in bytes of UTF-8. */
  moduleBytes: 256,
  /** Each text of the metadata, in bytes of UTF-8. */
  metadataBytes: 1024,
  /** The indices of one Start. */
  indices: 1024,
  /** The groups of one Start. */
  groups: 1024,
  /** The items of one session. */
  items: 4_294_967_296,
  /** The ranges of one ReqRet. */
  ranges: 1024,
} as const;
