// JSON of RFC 8259 from bytes that anybody may have sent. Other than JSON.parse it refuses names that come twice, of which readers differ
// in the one they take, and objects within each other without end; and no name means anything to it, `__proto__` as little as others.

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
/** The members of an object, by name. */
export type JsonObject = ReadonlyMap<string, JsonValue>;

export interface JsonLimits {
  readonly bytes: number;
  /** Objects and arrays within each other, the outermost included. */
  readonly depth: number;
}

// A byte order mark is no JSON (RFC 8259 section 8.1), so it is kept and then refused.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

// Each matches at one place only and in one way only, so that no text takes more than linear time.
// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 8259 section 7 excludes them.
const string = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y;
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const word = /true|false|null/y;

/** Bytes that are no JSON, or break a limit. Its message has nothing of them. */
export class JsonError extends Error {}

/**
 * The value that the bytes are the JSON of.
 *
 * @throws JsonError when they are too many, no UTF-8, or no JSON, when it is too deep, or when an object has a name twice.
 */
export function parseJson(bytes: Uint8Array, limits: JsonLimits): JsonValue {
  if (bytes.length > limits.bytes) throw new JsonError(`more than ${limits.bytes} bytes`);
  return new Parser(textOf(bytes), limits.depth).parse();
}

function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new JsonError('no UTF-8');
  }
}

class Parser {
  readonly #text: string;
  #at = 0;
  /** How many objects and arrays may still begin within each other. */
  #depth: number;

  constructor(text: string, depth: number) {
    this.#text = text;
    this.#depth = depth;
  }

  parse(): JsonValue {
    const value = this.#value();
    if (this.#at !== this.#text.length) throw new JsonError(`no JSON: more follows at ${this.#at}`);
    return value;
  }

  /** A value, and the blanks around it. */
  #value(): JsonValue {
    this.#skipBlanks();
    const value = this.#bareValue();
    this.#skipBlanks();
    return value;
  }

  #bareValue(): JsonValue {
    switch (this.#text[this.#at]) {
      case '{':
        return this.#nested(() => this.#object());
      case '[':
        return this.#nested(() => this.#array());
      case '"':
        return this.#string();
      case 't':
      case 'f':
      case 'n':
        return this.#word();
      default:
        return Number(this.#expect(number, 'a value'));
    }
  }

  #nested<T>(read: () => T): T {
    if (this.#depth === 0) throw new JsonError('too deep');
    --this.#depth;
    ++this.#at;
    const value = read();
    ++this.#depth;
    return value;
  }

  #object(): JsonObject {
    const members = new Map<string, JsonValue>();
    this.#skipBlanks();
    if (this.#skip('}')) return members;
    do {
      this.#skipBlanks();
      const name = this.#string();
      if (members.has(name)) throw new JsonError('a name comes twice');
      this.#skipBlanks();
      if (!this.#skip(':')) throw this.#error('a colon');
      members.set(name, this.#value());
    } while (this.#skip(','));
    if (!this.#skip('}')) throw this.#error('the end of an object');
    return members;
  }

  #array(): readonly JsonValue[] {
    const items: JsonValue[] = [];
    this.#skipBlanks();
    if (this.#skip(']')) return items;
    do items.push(this.#value());
    while (this.#skip(','));
    if (!this.#skip(']')) throw this.#error('the end of an array');
    return items;
  }

  #string(): string {
    const quoted = this.#expect(string, 'a string');
    if (!quoted.includes('\\')) return quoted.slice(1, -1);
    const text: unknown = JSON.parse(quoted);
    if (typeof text !== 'string') throw this.#error('a string');
    return text;
  }

  #word(): boolean | null {
    const text = this.#expect(word, 'a value');
    return text === 'null' ? null : text === 'true';
  }

  /** RFC 8259 section 2: space, tab, line feed and carriage return. */
  #skipBlanks(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d) return;
      ++this.#at;
    }
  }

  #skip(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    ++this.#at;
    return true;
  }

  /** What the pattern matches here, which is never nothing. */
  #expect(pattern: RegExp, what: string): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) throw this.#error(what);
    this.#at += found.length;
    return found;
  }

  #error(missing: string): JsonError {
    return new JsonError(`no JSON: ${missing} is missing at ${this.#at}`);
  }
}
