// What the keys of `hawser top` do: from the bytes of a terminal to what is shown next.

import { type PeerOrder, peerOrders } from '../gateway/snapshot.js';

/** A key, by its name, or the character that it types. */
export type Key =
  | 'up'
  | 'down'
  | 'pageUp'
  | 'pageDown'
  | 'home'
  | 'end'
  | 'enter'
  | 'escape'
  | 'erase'
  | 'quit'
  | string;

const sequences: Readonly<Record<string, Key>> = {
  '\x1b[A': 'up',
  '\x1bOA': 'up',
  '\x1b[B': 'down',
  '\x1bOB': 'down',
  '\x1b[5~': 'pageUp',
  '\x1b[6~': 'pageDown',
  '\x1b[H': 'home',
  '\x1bOH': 'home',
  '\x1b[1~': 'home',
  '\x1b[F': 'end',
  '\x1bOF': 'end',
  '\x1b[4~': 'end',
  '\r': 'enter',
  '\n': 'enter',
  '\x1b': 'escape',
  '\x7f': 'erase',
  '\b': 'erase',
  // In raw mode Ctrl-C and Ctrl-D are keys as any other.
  '\x03': 'quit',
  '\x04': 'quit',
};

// Escape sequences first, then what is typed; of sequences that mean nothing here the whole is passed over.
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one.
const keyPattern = /\x1b(?:\[[\d;]*[@-~]|O[A-Z])|[\s\S]/gu;

/** The keys of one piece of input, which may hold several. */
export function keysOf(input: string): Key[] {
  return (input.match(keyPattern) ?? []).flatMap((text) => {
    const named = sequences[text];
    if (named !== undefined) return [named];
    return /^[\p{L}\p{N}\p{P}\p{S} ]$/u.test(text) ? [text] : [];
  });
}

/** What the user has chosen to see. */
export interface TopChoice {
  readonly order: PeerOrder;
  /** What client ids or addresses begin with; '' for all. */
  readonly search: string;
  /** Whether the search is being typed. */
  readonly searching: boolean;
  /** How many peers are above the first one that is shown. */
  readonly offset: number;
  /** Which of those that are shown is marked, from 0. */
  readonly marked: number;
  /** The id of the peer that is shown in full; undefined for the list. */
  readonly peer: string | undefined;
}

/** What a key works on. */
export interface TopContext {
  /** The ids of the peers that are shown, in order. */
  readonly shown: readonly string[];
  /** How many match. */
  readonly total: number;
  /** How many fit. */
  readonly room: number;
}

const maxSearchLength = 64;

/** @returns what is chosen then; undefined to end. */
export function press(key: Key, choice: TopChoice, context: TopContext): TopChoice | undefined {
  if (key === 'quit') return undefined;
  if (choice.searching) return type(key, choice);
  if (choice.peer !== undefined) return pressInDetail(key, choice);
  return pressInList(key, choice, context);
}

function type(key: Key, choice: TopChoice): TopChoice {
  const { search } = choice;
  switch (key) {
    case 'enter':
      return { ...choice, searching: false };
    case 'escape':
      return { ...choice, searching: false, search: '', offset: 0, marked: 0 };
    case 'erase':
      return { ...choice, search: search.slice(0, -1), offset: 0, marked: 0 };
    default: {
      const isTyped = [...key].length === 1 && search.length < maxSearchLength;
      return isTyped ? { ...choice, search: search + key, offset: 0, marked: 0 } : choice;
    }
  }
}

function pressInDetail(key: Key, choice: TopChoice): TopChoice | undefined {
  if (key === 'q' || key === 'escape' || key === 'enter' || key === 'erase')
    return { ...choice, peer: undefined };
  return choice;
}

function pressInList(key: Key, choice: TopChoice, context: TopContext): TopChoice | undefined {
  switch (key) {
    case 'q':
      return undefined;
    case 'o':
      return { ...choice, order: otherOrder(choice.order, 1), offset: 0, marked: 0 };
    case 'O':
      return { ...choice, order: otherOrder(choice.order, -1), offset: 0, marked: 0 };
    case '/':
      return { ...choice, searching: true };
    case 'escape':
      return { ...choice, search: '', offset: 0, marked: 0 };
    case 'enter':
      return { ...choice, peer: context.shown[choice.marked] };
    default:
      return move(key, choice, context);
  }
}

function otherOrder(order: PeerOrder, by: 1 | -1): PeerOrder {
  const index = peerOrders.indexOf(order) + by;
  return peerOrders.at(index % peerOrders.length) ?? order;
}

function move(key: Key, choice: TopChoice, { total, room }: TopContext): TopChoice {
  const position = choice.offset + choice.marked;
  switch (key) {
    case 'up':
    case 'k':
      return moveTo(position - 1, choice, total, room);
    case 'down':
    case 'j':
      return moveTo(position + 1, choice, total, room);
    case 'pageUp':
      return moveTo(position - room, choice, total, room);
    case 'pageDown':
      return moveTo(position + room, choice, total, room);
    case 'home':
      return moveTo(0, choice, total, room);
    case 'end':
      return moveTo(total - 1, choice, total, room);
    default:
      return choice;
  }
}

/** Marks a peer by its place among all, and moves what is shown no more than that takes. */
function moveTo(wanted: number, choice: TopChoice, total: number, room: number): TopChoice {
  const position = Math.max(0, Math.min(total - 1, wanted));
  const offset = Math.max(0, Math.min(choice.offset, position), position - Math.max(1, room) + 1);
  return { ...choice, offset, marked: position - offset };
}
