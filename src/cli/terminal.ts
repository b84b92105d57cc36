// Text for people: colours, numbers with units, bars, and lines that are drawn again in place.

import { stripVTControlCharacters, styleText } from 'node:util';

export { printable, printableJson } from '../base/printable.js';

type Style = Parameters<typeof styleText>[0];

/** Whether a stream wants colours: a terminal, unless NO_COLOR is set (https://no-color.org). */
export function wantsColour(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv = process.env): boolean {
  return stream.isTTY && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
}

/** Applies a style, or nothing. */
export type Paint = (style: Style, text: string) => string;

export function painter(stream: NodeJS.WriteStream): Paint {
  return wantsColour(stream) ? (style, text) => styleText(style, text) : (_, text) => text;
}

/** Prints a line, or several, on standard output, and waits for who reads slowly: there may be more of them than fit into memory. */
export async function print(lines: string): Promise<void> {
  if (!process.stdout.write(`${lines}\n`)) {
    await new Promise((resolve) => process.stdout.once('drain', resolve));
  }
}

// ---- Numbers -------------------------------------------------------------------------------------------------------

/** 12345 -> `12,345`. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-GB');
}

/** Bytes with a binary unit: `1.9 KiB`. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let scaled = Math.abs(value);
  let unit = 0;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    ++unit;
  }
  return `${value < 0 ? '-' : ''}${scaled.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

/** Microseconds as a time that is easy to read: `380 µs`, `1.24 ms`. */
export function micros(value: number): string {
  if (value < 1000) return `${Math.round(value)} µs`;
  if (value < 1_000_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} ms`;
  return `${(value / 1_000_000).toFixed(2)} s`;
}

/** A share as a percentage with enough digits to tell a little from nothing. */
export function percent(share: number): string {
  const value = share * 100;
  return `${value.toFixed(value !== 0 && Math.abs(value) < 0.1 ? 3 : 1)} %`;
}

/** Seconds as `0:07`, `12:34` or `1:02:03`. */
export function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

// ---- Drawing -------------------------------------------------------------------------------------------------------

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `width` columns, `share` (0 to 1) of it full. */
export function bar(share: number, width: number): { readonly full: string; readonly empty: string } {
  const steps = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  const full = '█'.repeat(Math.floor(steps / 8)) + (eighths[steps % 8] ?? '');
  return { full, empty: '░'.repeat(width - full.length) };
}

const levels = '▁▂▃▄▅▆▇█';

/** The newest `width` values as a line of columns, the highest of them full. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const highest = Math.max(...shown, Number.MIN_VALUE);
  return shown
    .map((value) => levels[Math.min(levels.length - 1, Math.floor((value / highest) * levels.length))] ?? '')
    .join('');
}

/** Cuts a line to a number of columns, leaving styles whole. */
export function clip(line: string, width: number): string {
  if (stripVTControlCharacters(line).length <= width) return line;
  let room = width - 1;
  let cut = '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one.
  for (const part of line.match(/\x1b\[[\d;]*m|[^\x1b]/gu) ?? []) {
    if (part.startsWith('\x1b')) cut += part;
    else if (room > 0) {
      cut += part;
      --room;
    }
  }
  return `${cut}…\x1b[0m`;
}

/** What a screen needs of a terminal's stream. One that does not know its size says 0. */
export interface TerminalOutput {
  readonly columns: number;
  readonly rows: number;
  write(text: string): unknown;
}

/** Lines that are drawn over those drawn before. The cursor is hidden until `end`. */
export class Screen {
  readonly #stream: TerminalOutput;
  #drawn = 0;
  #begun = false;

  constructor(stream: TerminalOutput) {
    this.#stream = stream;
  }

  draw(lines: readonly string[]): void {
    const columns = this.#stream.columns || 80;
    const rows = this.#stream.rows || 24;
    // A line more than fits would scroll, and the next drawing would begin in the wrong place.
    const shown = lines.slice(0, Math.max(1, rows - 1)).map((line) => clip(line, columns));
    // One write for all, between the marks of synchronized output, so that no half of it is ever seen.
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : '';
    const hide = this.#begun ? '' : '\x1b[?25l';
    const body = shown.map((line) => `\x1b[2K${line}\n`).join('');
    this.#stream.write(`\x1b[?2026h${hide}${up}\r${body}\x1b[0J\x1b[?2026l`);
    this.#drawn = shown.length;
    this.#begun = true;
  }

  /** Takes the last drawing away. */
  clear(): void {
    if (this.#drawn > 0) this.#stream.write(`\x1b[${this.#drawn}A\r\x1b[0J`);
    this.#drawn = 0;
  }

  /** Leaves the last drawing where it is and gives the cursor back. */
  end(): void {
    if (this.#begun) this.#stream.write('\x1b[?25h');
    this.#begun = false;
    this.#drawn = 0;
  }
}
