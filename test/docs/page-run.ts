// Runs the programs and commands of one page in a folder of its own, in their order, as its reader would.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { freePorts } from '../../scripts/lib/free-ports.mjs';
import { type Block, root } from './pages.js';

/** Ports that pages name. Each page gets free ones in their place, so that pages can be tried at once. */
const namedPorts = /\b(4433|4434|4480|4490|8443|40000)\b/g;
/** For whatever a page runs. */
const limitMs = 60_000;

/** What a program prints, against what a page says: `…` is any text, a line `...` any number of lines. */
export function printsAs(printed: string, said: string): boolean {
  const quoted = said.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const pattern = quoted.replaceAll(/^\\\.\\\.\\\.\n/gm, '(?:.*\\n)*').replaceAll('…', '.*');
  return new RegExp(`^${pattern}$`).test(printed);
}

/** One process of a page. */
class Running {
  readonly child: ChildProcessWithoutNullStreams;
  stdout = '';
  stderr = '';
  #onChange: () => void = () => undefined;
  ended = false;

  constructor(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv) {
    this.child = spawn(command, args, { cwd, env, detached: true });
    this.child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#onChange();
    });
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#onChange();
    });
    this.child.once('error', (error) => {
      this.stderr += error.message;
    });
    this.child.once('close', () => {
      this.ended = true;
      this.#onChange();
    });
  }

  /** Resolves when it has printed this, or ended. @throws Error after a minute. */
  async until(text: string | undefined): Promise<void> {
    const late = new Promise<boolean>((resolve) => {
      setTimeout(() => resolve(true), limitMs).unref();
    });
    const seen = (): boolean => text !== undefined && `${this.stdout}${this.stderr}`.includes(text);
    while (!this.ended && !seen()) {
      const expired = await Promise.race([late, this.#changed()]);
      if (expired) throw new Error(`still no ${text ?? 'end'} after ${limitMs} ms: ${this.output}`);
    }
    if (text !== undefined && !seen()) throw new Error(`it ended without "${text}": ${this.output}`);
  }

  /** The end of what it printed, for messages. */
  get output(): string {
    return `${this.stdout}${this.stderr}`.slice(-1500);
  }

  #changed(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#onChange = () => resolve(false);
    });
  }

  /** Presses Ctrl-C, and waits for the end. */
  async end(): Promise<void> {
    if (this.ended) return;
    this.signal('SIGINT');
    const late = setTimeout(() => this.signal('SIGKILL'), 20_000);
    if (!this.ended) await once(this.child, 'close');
    clearTimeout(late);
  }

  /** To the command and all that it has started. */
  signal(name: NodeJS.Signals): void {
    if (this.child.pid === undefined) return;
    try {
      process.kill(-this.child.pid, name);
    } catch {
      // It has just ended.
    }
  }
}

/** The folder of a page, its files and processes. */
export class PageRun {
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #ports = new Map<string, number>();
  readonly #running: Running[] = [];
  readonly #byFile = new Map<string, Running>();

  /** @param folder inside the package, so that `hawser` is the package. */
  constructor(folder: string) {
    this.#folder = folder;
    const commands = join(folder, '.bin');
    mkdirSync(commands, { recursive: true, mode: 0o700 });
    const main = join(root, 'dist', 'cli', 'main.js');
    const shims = {
      npx: `[ "$1" = hawser ] || exit 127\nshift\nexec "${process.execPath}" "${main}" "$@"`,
      npm: 'case "$1" in install|init) ;; *) exit 127 ;; esac',
    };
    for (const [name, lines] of Object.entries(shims)) {
      writeFileSync(join(commands, name), `#!/bin/sh\n${lines}\n`);
      chmodSync(join(commands, name), 0o755);
    }
    const { HAWSER_KEY: _, NODE_DEBUG: __, ...env } = process.env;
    this.#env = { ...env, PATH: `${commands}${delimiter}${env.PATH}`, XDG_RUNTIME_DIR: commands };
  }

  async #withPorts(text: string): Promise<string> {
    for (const [name] of text.matchAll(namedPorts)) {
      if (this.#ports.has(name)) continue;
      const [port = 0] = await freePorts(1);
      this.#ports.set(name, port);
    }
    return text.replaceAll(namedPorts, (name) => `${this.#ports.get(name)}`);
  }

  /** Writes a program without its types, as Node.js 22 would run it. */
  async #write(block: Block): Promise<string> {
    const name = block.wish.file ?? `line-${block.line}.${block.language === 'sh' ? 'sh' : 'js'}`;
    const code = await this.#withPorts(block.code);
    writeFileSync(join(this.#folder, name), code);
    if (block.language !== 'ts') return name;
    const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 };
    const runnable = name.replace(/\.ts$/, '.js');
    writeFileSync(join(this.#folder, runnable), ts.transpileModule(code, { compilerOptions }).outputText);
    return runnable;
  }

  /** Does what a block asks for. @returns what it printed on standard output. */
  async run(block: Block): Promise<string> {
    const { wish, language } = block;
    const file = await this.#write(block);
    // A file that is nothing to run by itself: somebody imports or reads it.
    const isProgram = language === 'sh' || wish.file === undefined || wish.until !== undefined || wish.stays;
    if (!isProgram && wish.tokenOf === undefined) return '';
    const args = wish.tokenOf === undefined ? [] : [this.#tokenOf(wish.tokenOf)];
    const [command, ...first] = language === 'sh' ? ['sh', '-e', file] : [process.execPath, file];
    const running = new Running(command ?? '', [...first, ...args], this.#folder, this.#env);
    this.#running.push(running);
    if (wish.file !== undefined) this.#byFile.set(wish.file, running);
    await running.until(wish.until === undefined ? undefined : await this.#withPorts(wish.until));
    if (wish.stays) return running.stdout;
    await running.end();
    const { exitCode } = running.child;
    if (wish.until === undefined && exitCode !== 0)
      throw new Error(`exit code ${exitCode}: ${running.output}`);
    return running.stdout;
  }

  /** Whether the last run printed what a block says. @returns what is wrong, or undefined. */
  async compare(block: Block, printed: string): Promise<string | undefined> {
    const said = await this.#withPorts(block.code);
    return printsAs(printed, said) ? undefined : `it printed:\n${printed}`;
  }

  /** Reads the configurations that the page has, as a gateway does. @throws HawserError (rejects) ERR_HAWSER_CONFIG. */
  async loadConfigurations(): Promise<void> {
    // That of the package: its configurations import `hawser`, too.
    const { loadConfig }: typeof import('../../src/gateway/index.js') = await import(
      pathToFileURL(join(root, 'dist', 'gateway', 'index.js')).href
    );
    for (const name of readdirSync(this.#folder)) {
      if (name.startsWith('hawser.config.')) await loadConfig(join(this.#folder, name));
    }
  }

  #tokenOf(file: string): string {
    // Every token begins with "HAWSER 1 ".
    return /\bSEFXU0VSIDE[\w-]+/.exec(this.#byFile.get(file)?.stdout ?? '')?.[0] ?? '';
  }

  /** Ends what still runs, the last first. */
  async end(): Promise<void> {
    for (const running of this.#running.reverse()) await running.end();
  }
}
