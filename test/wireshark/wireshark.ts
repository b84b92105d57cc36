// tshark and capinfos, with the dissector of docs/wireshark, for tests.

import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const dissector = fileURLToPath(new URL('../../docs/wireshark/hawser.lua', import.meta.url));

/** Why tests with tshark cannot run here; undefined where they can. */
export const tsharkMissing: string | undefined = ['tshark', 'capinfos'].some(
  (program) => spawnSync(program, ['--version']).status !== 0,
)
  ? 'tshark is not installed'
  : undefined;

/** What a program printed. */
export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/** Reads a file with tshark and the dissector. @param args further arguments. @throws when tshark fails. */
export async function tshark(file: string, args: readonly string[]): Promise<Output> {
  const all = ['-n', '-X', `lua_script:${dissector}`, '-r', file, ...args];
  return promisify(execFile)('tshark', all, { maxBuffer: 256 * 1024 * 1024 });
}

/** The values of some fields for each packet: one array of texts for each field, for a field may occur several times. */
export async function fieldsOf(
  file: string,
  fields: readonly string[],
  args: readonly string[] = [],
): Promise<string[][][]> {
  const wanted = fields.flatMap((field) => ['-e', field]);
  const form = ['-E', 'separator=/t', '-E', 'aggregator=;', '-E', 'occurrence=a'];
  const { stdout } = await tshark(file, ['-T', 'fields', ...wanted, ...form, ...args]);
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split('\t').map((cell) => (cell === '' ? [] : cell.split(';'))));
}

/** The complaints of Lua, anywhere in what tshark says of a file. */
export async function luaErrors(file: string): Promise<string[]> {
  const { stdout, stderr } = await tshark(file, ['-V', '-O', 'hawser,hawser.netcode,hawser.plain,_ws.lua']);
  return `${stdout}\n${stderr}`
    .split('\n')
    .filter((line) => /lua/i.test(line) && !/root|dangerous/.test(line));
}

/** What capinfos says of a file, by its own names. @throws when it finds the file damaged. */
export async function capinfos(file: string): Promise<string> {
  return (await promisify(execFile)('capinfos', ['-M', file])).stdout;
}
