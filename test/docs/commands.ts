// Whether the commands that pages show exist, with the options that they are given.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { hawserHere } from '../cli/in-process.js';
import { type Block, root } from './pages.js';

const helps = new Map<string, Promise<string>>();

async function helpOf(command: readonly string[]): Promise<string> {
  const { stdout } = await hawserHere(...command, '--help');
  return stdout;
}

function remembered(command: readonly string[]): Promise<string> {
  const key = command.join(' ');
  const known = helps.get(key) ?? helpOf(command);
  helps.set(key, known);
  return known;
}

/** The words of a command line without comment, quotes and redirections. */
function wordsOf(line: string): readonly string[] {
  return (
    line
      .replace(/\s#.*$/, '')
      .split(/\s+[|&;>]/)[0]
      ?.trim()
      .split(/\s+/) ?? []
  );
}

async function hawserProblem(words: readonly string[]): Promise<string | undefined> {
  const all = await remembered([]);
  const names = [...all.matchAll(/^ {2}(\S+(?: \S+)?) {2,}/gm)].map(([, name = '']) => name);
  const name = [words.slice(0, 2).join(' '), words[0] ?? ''].find((each) => names.includes(each));
  if (words.every((word) => word.startsWith('--'))) return undefined;
  if (name === undefined) return `there is no "hawser ${words.join(' ')}"`;
  const help = await remembered(name.split(' '));
  const unknown = words
    .filter((word) => /^--?\w/.test(word))
    .map((word) => word.split('=')[0] ?? '')
    .find((option) => !new RegExp(`(^|[ ,])${option}\\b`, 'm').test(help));
  return unknown === undefined ? undefined : `"hawser ${name}" has no ${unknown}`;
}

function scriptProblem(words: readonly string[]): string | undefined {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const [verb = '', name = ''] = words;
  if (verb === 'run') return name in scripts ? undefined : `there is no script "${name}"`;
  if (['start', 'test'].includes(verb)) return undefined;
  return ['install', 'ci', 'init', 'pack', 'sbom', 'audit', 'ls'].includes(verb) ? undefined : `npm ${verb}?`;
}

/** Programs that a page may call besides: of the system, or of others. */
const others =
  /^(sudo|apt-get|apt|brew|apk|cd|mkdir|cp|cat|echo|export|node|git|curl|wget|kubectl|docker|systemctl|journalctl|sysctl|install|useradd|chmod|chown|kill|tshark|wireshark|capinfos|promtool|etcdctl|tc|ip|openssl|unzip|tar|chrome|npm|npx|cmake|ctest|python3|gdb|perf|ssh|grep|head|ls|rm|jq|setcap|sed|esbuild)$/;

/** @returns a line for each command of a block that does not exist. */
export async function commandProblems(block: Block): Promise<readonly string[]> {
  const problems: (string | undefined)[] = [];
  const lines = block.code.replaceAll(/\\\n\s*/g, ' ').split('\n');
  for (const line of lines.filter((each) => each.trim() !== '' && !each.startsWith('#'))) {
    const words = wordsOf(line.replace(/^(\w+=\S+\s+)+/, '').replace(/^sudo (-u \S+ |-\w+ )*/, ''));
    const [first = '', ...rest] = words;
    if (first === 'npx' && rest[0] === 'hawser') problems.push(await hawserProblem(rest.slice(1)));
    else if (first === 'hawser') problems.push(await hawserProblem(rest));
    else if (first === 'npm') problems.push(scriptProblem(rest));
    else if (!others.test(first)) problems.push(`"${first}" is no known command`);
  }
  return problems
    .filter((problem) => problem !== undefined)
    .map((problem) => `${block.page}:${block.line}: ${problem}`);
}
