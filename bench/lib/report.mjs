// The page of a run: one file that needs nothing else and no script.
import {
  alignedFigures,
  exactFigure,
  formatDuration,
  formatFigure,
  formatRatio,
  runsText,
} from './format.mjs';
import { driverText } from './hawser.mjs';
import { barsPlot, labelOf, quantilesPlot, seriesPlots, standingAxis, standingPlot } from './plots.mjs';
import { headline } from './results.mjs';
import { styles } from './styles.mjs';
import { contendersIn, countedMark, doubtful, ours } from './summary.mjs';
import { element, escapeText } from './svg.mjs';
import { conditionSign } from './targets.mjs';

/** @typedef {import('./results.mjs').Document} Document */
/** @typedef {import('./results.mjs').MeasuredRow} MeasuredRow */

/**
 * @param {Document} results
 * @returns {string} HTML
 */
export function reportPage(results) {
  const groups = groupsOf(results.rows);
  const head = [
    element('meta', { charset: 'utf-8' }),
    element('meta', { name: 'viewport', content: 'width=device-width, initial-scale=1' }),
    element('meta', { name: 'color-scheme', content: 'light dark' }),
    element('title', {}, `hawser, measured on ${results.measuredAt.slice(0, 10)}`),
    `<style>${styles}</style>`,
  ];
  const body = [
    headOf(results),
    element('main', {}, [
      summaryTable(groups),
      reading(results),
      ...failures(results),
      ...groups.flatMap(({ title, rows }) => [
        element('h2', { class: 'group' }, escapeText(title)),
        ...rows.map((row) => rowSection(row, results)),
      ]),
    ]),
  ];
  return `<!doctype html>\n<html lang="en">\n<head>\n${head.join('\n')}\n</head>\n<body>\n${body.join('\n')}\n</body>\n</html>\n`;
}

/**
 * @typedef {object} Group
 * @property {string} title
 * @property {readonly MeasuredRow[]} rows
 */

/**
 * @param {readonly MeasuredRow[]} rows
 * @returns {Group[]} the rows of the headline in their order, then the others
 */
export function groupsOf(rows) {
  const first = headline.flatMap((id) => rows.find((row) => row.id === id) ?? []);
  const rest = rows.filter(({ id }) => !headline.includes(id));
  const groups = [
    { title: 'Main rows', rows: first },
    { title: 'Further rows', rows: rest },
  ];
  return groups.filter(({ rows: members }) => members.length > 0);
}

/** @param {Document} results */
function headOf({ measuredAt, machine, driver, versions, size, runs, rows }) {
  const gib = (machine.memoryBytes / 2 ** 30).toFixed(0);
  const seconds = rows.reduce((sum, row) => sum + row.seconds, 0);
  const commit = versions.commit === null ? '' : `, commit ${versions.commit}`;
  const rivals = Object.entries(versions.rivals).map(([name, version]) => `${name} ${version}`);
  const limits = Object.entries(machine.limits).map(([name, bytes]) => `${name} ${exactFigure(bytes)}`);
  const set = driverText(driver);
  /** @type {[string, string][]} */
  const facts = [
    ['hawser', `${versions.hawser}${commit}${versions.changes === null ? '' : ', with changes'}`],
    ['processor', `${machine.cpu}, ${machine.cores} cores${machine.virtualised ? ', virtual machine' : ''}`],
    ['frequency', machine.governor ?? 'governor not known'],
    ['memory', `${gib} GiB`],
    ['system', [machine.kernel, machine.libc ?? []].flat().join(', ')],
    ['Node.js', machine.node],
    ...(set === '' ? [] : [/** @type {[string, string]} */ (['input and output', set])]),
    ['socket buffers', limits.length > 0 ? `${limits.join(', ')} bytes` : 'limits not known'],
    ['load', `${machine.load.toFixed(2)} processes when it began`],
    ['rivals', rivals.join(', ') || 'none installed'],
    [
      'runs',
      `${runs} of each contender${size === 'quick' ? ', short' : ''}, ${formatDuration(seconds)} min in all`,
    ],
  ];
  const list = facts.map(([name, value]) =>
    element('div', {}, [element('dt', {}, escapeText(name)), element('dd', {}, escapeText(value))]),
  );
  return element('header', {}, [
    element('h1', {}, 'hawser: figures'),
    element('p', { class: 'date' }, [
      'Measured on ',
      element(
        'time',
        { datetime: measuredAt },
        escapeText(`${measuredAt.slice(0, 10)} at ${measuredAt.slice(11, 16)} UTC`),
      ),
      size === 'quick' ? ' in a quick run: good for a look, not for a comparison' : '',
    ]),
    element('dl', { class: 'facts' }, list),
  ]);
}

/** @param {readonly Group[]} groups */
function summaryTable(groups) {
  const headings = [
    cell('th', 'row', ''),
    cell('th', 'hawser', 'num'),
    cell('th', 'unit', 'unit'),
    cell('th', 'best rival', 'num', { colspan: '2' }),
    cell('th', 'ratio', 'num'),
    cell('th', 'limit', 'num'),
    element('th', { class: 'strip' }, ['<span>hawser = 1×</span>', standingAxis()]),
    cell('th', 'target', ''),
  ];
  const bodies = groups.map(({ rows }) => element('tbody', {}, rows.map(summaryLine)));
  const head = element('thead', {}, element('tr', {}, headings));
  return element('section', { 'aria-label': 'Summary' }, [
    element('div', { class: 'wide' }, element('table', { class: 'summary' }, [head, ...bodies])),
  ]);
}

/** @param {MeasuredRow} row */
function summaryLine(row) {
  const best = contendersIn(row).find(({ name }) => name in row.rivals);
  const title = [
    element('a', { href: `#${row.id}` }, escapeText(row.id)),
    element('small', {}, escapeText(row.title)),
  ];
  return element('tr', {}, [
    element('th', { scope: 'row' }, title),
    cell('td', formatFigure(row.ours) + countedMark(row, ours), 'num ours'),
    cell('td', row.unit, 'unit'),
    cell('td', best === undefined ? '' : formatFigure(best.value) + countedMark(row, best.name), 'num'),
    cell('td', best?.name ?? '', 'unit'),
    cell('td', row.ratio === null ? '' : formatRatio(row.ratio), 'num'),
    cell(
      'td',
      row.limit === null ? '' : formatFigure(row.limit) + countedMark(row, row.limitName ?? ''),
      'num',
    ),
    element('td', { class: 'strip' }, standingPlot(row)),
    element('td', { class: 'target' }, verdict(row, conditionSign)),
  ]);
}

/**
 * @param {MeasuredRow} row
 * @param {(condition: import('./targets.mjs').Judged) => string} [say]
 * @returns {string} HTML; empty without a target
 */
function verdict({ target }, say = ({ text }) => text) {
  return (target?.conditions ?? [])
    .map((condition) => {
      const word = condition.reached === null ? 'unknown' : condition.reached ? 'reached' : 'missed';
      return element('span', { class: word }, [element('b', {}, word), ` ${escapeText(say(condition))}`]);
    })
    .join('<br>');
}

/** @param {Document} results */
function reading({ runs }) {
  return element('p', { class: 'reading' }, [
    `A figure is the median of ${runsText(runs)} in fresh processes; the whiskers of a bar go from the least run to the greatest. `,
    'The ratio says how many times better hawser is than the best rival, whichever way the unit counts: above 1 is better. ',
    'Rivals do different things, which stands beside them: compare an encrypted one with an encrypted one. ',
    `With ${doubtful} it does not count: a run of it missed a condition of the row. `,
    'The limit is a C program that moves as many bytes through the kernel and does nothing else. Where it is more than twice as long as all other bars of a plot, its own is broken, //, and has no whiskers: only its figure says how long it is. ',
    'In the strips of the table every contender stands at how many times as good as hawser it is: dots are hawser and its rivals, the upright line is the limit, and what is to the left of hawser is worse. An arrowhead is one beyond the ends of the strip.',
  ]);
}

/** @param {Document} results */
function failures({ failures: all, skipped = {} }) {
  const texts = Object.entries({ ...all, ...skipped }).map(([id, why]) =>
    element('li', {}, [element('b', {}, escapeText(id)), ` ${escapeText(why)}`]),
  );
  if (texts.length === 0) return [];
  return [
    element('section', { class: 'failures' }, [element('h2', {}, 'Not measured'), element('ul', {}, texts)]),
  ];
}

/**
 * @param {MeasuredRow} row
 * @param {Document} results
 */
function rowSection(row, results) {
  const distribution = Object.keys(row.distribution).length > 0;
  const plots = [
    element('figure', {}, barsPlot(row)),
    ...(distribution ? [element('figure', {}, quantilesPlot(row))] : []),
    ...(Object.keys(row.series).length > 0 ? [element('figure', { class: 'small' }, seriesPlots(row))] : []),
  ];
  const runs = row.runs === results.runs ? '' : ` ${runsText(row.runs)} of each contender.`;
  const later =
    row.measuredAt.slice(0, 10) === results.measuredAt.slice(0, 10) && row.commit === results.versions.commit
      ? []
      : [
          ` Measured on ${escapeText(row.measuredAt.slice(0, 10))}${row.commit ? `, commit ${escapeText(row.commit)}` : ''}.`,
        ];
  return element('section', { class: 'row', id: row.id }, [
    element('h3', {}, [element('code', {}, escapeText(row.id)), ` ${escapeText(row.title)}`]),
    element('p', { class: 'note' }, [withCode(row.note), runs, ...later]),
    element(
      'p',
      { class: 'verdict' },
      verdict(row, ({ text }) => `the target of ${text}`),
    ),
    ...warnings(row),
    element('div', { class: 'evidence' }, [
      element('div', { class: 'plots' }, plots),
      element('div', { class: 'tables' }, [
        contendersTable(row),
        ...(distribution ? [quantilesTable(row)] : []),
        ...seriesTables(row),
        ...detailsTable(row),
      ]),
    ]),
  ]);
}

/** @param {MeasuredRow} row */
function warnings({ missed, unavailable }) {
  const texts = [
    ...missed.map((condition) => `Does not count: ${condition}.`),
    ...Object.entries(unavailable).map(([name, why]) => `${name} could not run here: ${why}.`),
  ];
  return texts.length === 0
    ? []
    : [
        element(
          'ul',
          { class: 'warnings' },
          texts.map((text) => element('li', {}, escapeText(text))),
        ),
      ];
}

/** @param {MeasuredRow} row */
function contendersTable(row) {
  const contenders = contendersIn(row);
  const told = contenders.some(({ name }) => row.does[name] !== undefined);
  const column = (/** @type {(contender: {name: string, value: number}) => number} */ value) =>
    alignedFigures(contenders.map(value));
  const values = column(({ value }) => value);
  const least = column(({ name, value }) => row.spread[name]?.min ?? value);
  const greatest = column(({ name, value }) => row.spread[name]?.max ?? value);
  const lines = contenders.map(({ name }, index) => [
    cell('th', name + countedMark(row, name), name === ours ? 'ours' : '', { scope: 'row' }),
    cell('td', values[index] ?? '', name === ours ? 'num ours' : 'num'),
    cell('td', least[index] ?? '', 'num quiet'),
    cell('td', greatest[index] ?? '', 'num quiet'),
    ...(told ? [element('td', { class: 'does' }, doesText(row, name))] : []),
  ]);
  return table(
    [
      ['', ''],
      [row.unit, 'num'],
      ['least', 'num'],
      ['greatest', 'num'],
      ...(told ? [['what it does', '']] : []),
    ],
    lines,
  );
}

/**
 * @param {MeasuredRow} row
 * @param {string} contender
 */
function doesText(row, contender) {
  const parts = [labelOf(row, contender), row.does[contender]?.note ?? ''].filter((part) => part !== '');
  if (contender === row.limitName) parts.unshift('the limit');
  return withCode(parts.join('; '));
}

/** @param {MeasuredRow} row */
function quantilesTable({ distribution, unit }) {
  const names = Object.keys(distribution);
  const percents = Object.values(distribution)[0]?.map(({ percent }) => percent) ?? [];
  const columns = names.map((name) => alignedFigures((distribution[name] ?? []).map(({ value }) => value)));
  const lines = percents.map((percent, index) => [
    cell('th', `${percent} %`, 'num', { scope: 'row' }),
    ...columns.map((column, at) => cell('td', column[index] ?? '', names[at] === ours ? 'num ours' : 'num')),
  ]);
  return folded(`Quantiles, ${unit}`, table([['', ''], ...names.map((name) => [name, 'num'])], lines));
}

/** @param {MeasuredRow} row */
function seriesTables({ axes, series }) {
  return Object.entries(axes?.lines ?? {}).flatMap(([name, { title, unit }]) =>
    Object.entries(series).map(([contender, points]) => {
      const own = points.filter((point) => point.name === name);
      const values = alignedFigures(own.map(({ value }) => value));
      const lines = own.map(({ x }, index) => [
        cell('th', exactFigure(x), 'num', { scope: 'row' }),
        cell('td', values[index] ?? '', contender === ours ? 'num ours' : 'num'),
      ]);
      const heading = contender === ours ? `${title}, ${unit}` : `${title}, ${unit}, ${contender}`;
      return table(
        [
          [axes?.x ?? '', 'num'],
          [heading, 'num'],
        ],
        lines,
      );
    }),
  );
}

/** @param {MeasuredRow} row */
function detailsTable({ details }) {
  const contenders = Object.keys(details).filter((name) => Object.keys(details[name] ?? {}).length > 0);
  const names = [...new Set(contenders.flatMap((contender) => Object.keys(details[contender] ?? {})))];
  if (names.length === 0) return [];
  const lines = names.map((name) => [
    cell('th', name, '', { scope: 'row' }),
    ...contenders.map((contender) => {
      const value = details[contender]?.[name];
      return cell(
        'td',
        value === undefined ? '' : formatFigure(value),
        contender === ours ? 'num ours' : 'num',
      );
    }),
  ]);
  return [
    folded(
      'Other figures of the same runs',
      table([['', ''], ...contenders.map((name) => [name, 'num'])], lines),
    ),
  ];
}

/**
 * @param {string} title
 * @param {string} content
 */
function folded(title, content) {
  return element('details', {}, [element('summary', {}, escapeText(title)), content]);
}

/**
 * @param {readonly (readonly string[])[]} headings text and class of each
 * @param {readonly (readonly string[])[]} lines of cells
 */
function table(headings, lines) {
  const head = headings.map(([text = '', style = '']) => cell('th', text, style));
  const body = lines.map((cells) => element('tr', {}, cells));
  return element(
    'div',
    { class: 'wide' },
    element('table', {}, [element('thead', {}, element('tr', {}, head)), element('tbody', {}, body)]),
  );
}

/**
 * @param {'td' | 'th'} name
 * @param {string} text
 * @param {string} style classes
 * @param {Readonly<Record<string, string>>} [attributes]
 */
function cell(name, text, style, attributes = {}) {
  const list = { ...attributes, class: style === '' ? undefined : style };
  // An empty cell is no void element.
  return element(name, list, text === '' ? '<!---->' : escapeText(text));
}

/**
 * @param {string} text with `code` in it
 * @returns {string} HTML
 */
function withCode(text) {
  return escapeText(text).replace(/`([^`]+)`/g, '<code>$1</code>');
}
