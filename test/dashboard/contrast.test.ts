import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const theme = readFileSync(new URL('../../dashboard/style/theme.css', import.meta.url), 'utf8');

/** The colours of a block that begins at an offset, by name. */
function colours(from: number): ReadonlyMap<string, string> {
  const block = theme.slice(from, theme.indexOf('}', from));
  return new Map(
    [...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name = '', value = '']) => [name, value]),
  );
}

const light = colours(theme.indexOf(':root'));
const dark = new Map([
  ...light,
  ...colours(theme.indexOf(':root', theme.indexOf('prefers-color-scheme: dark'))),
]);

/** WCAG 2.2, "relative luminance". */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [bright = 0, dim = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (bright + 0.05) / (dim + 0.05);
}

const text: readonly [string, string][] = [
  ...['page', 'surface', 'raised'].flatMap((back): [string, string][] => [
    ['text', back],
    ['muted', back],
  ]),
  ['accent', 'surface'],
  ['accent', 'raised'],
  ['accent-text', 'accent'],
  ['good', 'good-back'],
  ['warn', 'warn-back'],
  ['bad', 'bad-back'],
];
const lines: readonly [string, string][] = [
  ['line-0', 'surface'],
  ['line-1', 'surface'],
];

it.each([
  ['light', light],
  ['dark', dark],
])('text has a contrast of 4.5 and lines have one of 3 in the %s scheme (WCAG 2.2 AA)', (_, scheme) => {
  const of = ([front, back]: readonly [string, string]): number => {
    return contrast(scheme.get(front) ?? '#000000', scheme.get(back) ?? '#000000');
  };
  expect(text.filter((pair) => of(pair) < 4.5).map((pair) => [...pair, of(pair)])).toEqual([]);
  expect(lines.filter((pair) => of(pair) < 3).map((pair) => [...pair, of(pair)])).toEqual([]);
});
