import { counterKey, prefixes, prefixRange, progressKey } from '../../sessions/store/keys.js';
import { readKey } from '../../sessions/store/read-key.js';
import {
  decodeNumber,
  decodeResponse,
  decodeServerRequest,
  type OwnerRecord,
} from '../../sessions/store/records.js';
import type { SessionStore, StoreEntry } from '../../sessions/store/store.js';
import { type Command, defineCommand } from '../command.js';
import { exitCodes } from '../errors.js';
import {
  findSession,
  type Gateways,
  isOwned,
  type KeptSession,
  pagesOf,
  readable,
  readGateways,
  timeText,
} from '../kept-sessions.js';
import { flag, required, type Values } from '../options.js';
import { openKeptStore, storeAddress } from '../session-store.js';
import { bytes, painter, print, printable, printableJson } from '../terminal.js';

const options = {
  store: required(storeAddress, 'the store: lmdb:DIR, or etcd://HOST:PORT,...[/NAMESPACE]'),
  payloads: flag('print what the outcomes and server requests say, too'),
  json: flag('print lines of JSON: {"session"}, then each {"outcome"} and {"serverRequest"}'),
};

type ShowValues = Values<typeof options>;

export const sessionsShow: Command = defineCommand({
  name: 'sessions show',
  summary: 'shows all that a store keeps of a session',
  operand: 'ID',
  details: [
    'Outcomes are kept until the client has said that it has them, server requests until it acknowledges them. With LMDB no gateway may have the store open meanwhile.',
  ],
  options,
  run,
});

/** Each may be as long as 10 MiB. */
const entriesPerPage = 16;

async function run(values: ShowValues, sessionId: string): Promise<number> {
  const store = await openKeptStore(values.store);
  try {
    const session = await findSession(store, sessionId);
    const facts = await factsOf(store, session);
    await print(values.json ? jsonText({ session: facts }) : factsText(facts));
    let isReadable = session.owner !== undefined;
    for (const kind of [outcomes, serverRequests]) {
      const range = prefixRange(`${kind.prefix}${sessionId}/`);
      for await (const page of pagesOf(store, range, entriesPerPage)) {
        const items = page.map((entry) => itemOf(entry, kind));
        if (items.some(({ unreadable }) => unreadable)) isReadable = false;
        await print(items.map((item) => itemText(item, kind, values)).join('\n'));
      }
    }
    return isReadable ? exitCodes.ok : exitCodes.failure;
  } finally {
    await store.close();
  }
}

// ---- The session itself --------------------------------------------------------------------------------------------

type Facts = Readonly<Record<string, unknown>>;

async function factsOf(store: SessionStore, { sessionId, owner }: KeptSession): Promise<Facts> {
  const gateways = await readGateways(store);
  const lowest = await readNumber(store, progressKey(sessionId));
  const last = await readNumber(store, counterKey(sessionId));
  return {
    sessionId,
    ...(owner === undefined ? { unreadable: true } : ownerFacts(owner, gateways)),
    lowestPendingRequestId: lowest ?? null,
    lastServerRequestId: last ?? 0,
  };
}

function ownerFacts(owner: OwnerRecord, gateways: Gateways): Facts {
  const { identity, createdAt, delivery, capabilities, gateway, epoch } = owner;
  const gatewayLives = isOwned(owner, gateways);
  const advertise = gatewayLives ? gateways.get(gateway)?.advertise : undefined;
  return {
    identity,
    createdAt: timeText(createdAt),
    delivery,
    capabilities: Object.fromEntries(capabilities),
    gateway,
    epoch,
    gatewayLives,
    ...(advertise === undefined || advertise === '' ? {} : { advertise }),
  };
}

/** undefined when there is none, or none that can be read. */
async function readNumber(store: SessionStore, key: string): Promise<number | undefined> {
  const entry = await readKey(store, key);
  return entry === undefined ? undefined : readable(() => decodeNumber(entry.value));
}

/** Names for people, in the order in which they are shown. */
const rowNames: Readonly<Record<string, string>> = {
  sessionId: 'session',
  unreadable: 'unreadable',
  identity: 'identity',
  createdAt: 'created',
  delivery: 'delivery',
  capabilities: 'capabilities',
  gateway: 'gateway',
  epoch: 'epoch',
  gatewayLives: 'gateway lives',
  advertise: 'reached at',
  lowestPendingRequestId: 'lowest pending id',
  lastServerRequestId: 'last server request',
};
const nameColumns = 19;

function factsText(facts: Facts): string {
  const paint = painter(process.stdout);
  const rows = Object.entries(rowNames).filter(([name]) => Object.hasOwn(facts, name));
  return rows
    .map(([name, shown]) => `${paint('dim', shown.padEnd(nameColumns))} ${printable(valueText(facts[name]))}`)
    .join('\n');
}

function valueText(value: unknown): string {
  if (value === null) return 'unknown';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

// ---- What is kept beside it ----------------------------------------------------------------------------------------

/** Outcomes, or server requests. */
interface ItemKind {
  readonly prefix: typeof prefixes.responses | typeof prefixes.serverRequests;
  readonly json: 'outcome' | 'serverRequest';
  readonly shown: string;
  /** @throws HawserError ERR_HAWSER_STORE_FORMAT. */
  decode(value: Uint8Array): { readonly fields: Facts; readonly payload: Uint8Array };
}

const outcomes: ItemKind = {
  prefix: prefixes.responses,
  json: 'outcome',
  shown: 'outcome of request',
  decode: (value) => {
    const { outcome, payload } = decodeResponse(value);
    return { fields: { outcome }, payload };
  },
};

const serverRequests: ItemKind = {
  prefix: prefixes.serverRequests,
  json: 'serverRequest',
  shown: 'server request',
  decode: (value) => {
    const { payload, createdAt } = decodeServerRequest(value);
    return { fields: { createdAt: timeText(createdAt) }, payload };
  },
};

type Item = { readonly requestId: number } & (
  | { readonly unreadable: true }
  | { readonly unreadable: false; readonly fields: Facts; readonly payload: Uint8Array }
);

function itemOf({ key, value }: StoreEntry, { decode }: ItemKind): Item {
  const requestId = Number.parseInt(key.slice(key.lastIndexOf('/') + 1), 16);
  const item = readable(() => decode(value));
  return item === undefined ? { requestId, unreadable: true } : { requestId, unreadable: false, ...item };
}

function itemText(item: Item, { json, shown }: ItemKind, values: ShowValues): string {
  const { requestId } = item;
  if (item.unreadable) {
    return values.json
      ? jsonText({ [json]: { requestId, unreadable: true } })
      : `${shown} ${requestId} cannot be read`;
  }
  const { fields, payload } = item;
  if (values.json) {
    const content = values.payloads ? { payloadBase64: Buffer.from(payload).toString('base64') } : {};
    return jsonText({ [json]: { requestId, ...fields, bytes: payload.length, ...content } });
  }
  const line = `${shown} ${requestId}: ${Object.values(fields).join(', ')}, ${bytes(payload.length)}`;
  return values.payloads ? `${line}\n  ${payloadText(payload)}` : line;
}

/** As a JSON string where it is UTF-8. */
function payloadText(payload: Uint8Array): string {
  try {
    return printableJson(JSON.stringify(new TextDecoder('utf-8', { fatal: true }).decode(payload)));
  } catch {
    return `base64 ${Buffer.from(payload).toString('base64')}`;
  }
}

function jsonText(content: Facts): string {
  return printableJson(JSON.stringify(content));
}
