// Text that others may have chosen, made fit for a terminal or a line of a log.

/** What a terminal obeys or takes for the end of a line, and what turns the order of text around. */
const commanding = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

function codeOf(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16);
}

/** Text that others may have chosen, so that it stays what it looks like, on its line: an escape character is `\u{1b}`. */
export function printable(text: string): string {
  return text.replaceAll(commanding, (character) => `\\u{${codeOf(character)}}`);
}

/** As `printable`, of JSON in one line, which means the same afterwards. */
export function printableJson(json: string): string {
  return json.replaceAll(commanding, (character) =>
    // Between tokens, where no escape may be; within them there is none.
    character === '\t' ? ' ' : `\\u${codeOf(character).padStart(4, '0')}`,
  );
}
