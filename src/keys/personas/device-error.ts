// The errors of personas.

import { HawserError } from '../../base/errors.js';

/** The longest piece of a device's own words that an error repeats, in characters. */
const maxQuoted = 300;
/** What a terminal obeys or takes for the end of a line, and what turns the order of text around. */
const commanding = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]+/gu;

/** ERR_HAWSER_DEVICE. @param what completes "persona: ..."; no key material in it. */
export function deviceError(persona: string, what: string, cause?: unknown): HawserError {
  return new HawserError(
    'ERR_HAWSER_DEVICE',
    `${persona}: ${what}`,
    cause === undefined ? undefined : { cause },
  );
}

/** What a device said, as one line that stays what it looks like: of bounded length, without anything that a terminal obeys. */
export function quoted(output: Uint8Array): string {
  const text = new TextDecoder().decode(output.subarray(0, maxQuoted * 4));
  const line = text.replaceAll(commanding, ' ').trim();
  return line.length <= maxQuoted ? line : `${line.slice(0, maxQuoted)} ...`;
}
