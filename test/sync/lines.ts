// What child processes say, line by line.

import type { Readable } from 'node:stream';

/** Calls `heard` for each line that has an end: what a process has only begun to say when it is killed is nothing. */
export function onWholeLines(output: Readable, heard: (line: string) => void): void {
  let begun = '';
  output.setEncoding('utf8').on('data', (text: string) => {
    const lines = (begun + text).split('\n');
    begun = lines.pop() ?? '';
    for (const line of lines) heard(line);
  });
}
