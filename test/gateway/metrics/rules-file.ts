// Reads files of alerting rules in the one form that docs/alerts/ is written in, which is YAML: anything else is an error.

export interface AlertRule {
  readonly group: string;
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly severity: string;
  readonly summary: string;
  readonly description: string;
}

const quoted = '"([^"\\\\]+)"';

/** @throws Error that names the line. */
export function readRules(text: string): readonly AlertRule[] {
  const lines = text
    .split('\n')
    .map((line, index) => ({ line, number: index + 1 }))
    .filter(({ line }) => !/^ *(#.*)?$/.test(line));
  let next = 0;
  const matches = (pattern: string): RegExpExecArray | null =>
    new RegExp(`^${pattern}$`).exec(lines[next]?.line ?? '');
  const take = (pattern: string): string => {
    const match = matches(pattern);
    if (match === null) throw new Error(`line ${lines[next]?.number}: not ${pattern}`);
    ++next;
    return match[1] ?? '';
  };
  const takeBlock = (indent: number): string => {
    const block: string[] = [];
    while (matches(` {${indent}}.*`) !== null) block.push(take(` {${indent}}(.*)`));
    if (block.length === 0) throw new Error(`line ${lines[next]?.number}: no expression`);
    return block.join('\n');
  };

  const rules: AlertRule[] = [];
  take('groups:');
  while (next < lines.length) {
    const group = take(' {2}- name: ([a-z-]+)');
    take(' {4}rules:');
    while (matches(' {6}- .*') !== null) {
      const alert = take(' {6}- alert: (\\w+)');
      take(' {8}expr: \\|');
      const expr = takeBlock(10);
      const duration = take(' {8}for: (\\d+[sm])');
      take(' {8}labels:');
      const severity = take(' {10}severity: (\\w+)');
      take(' {8}annotations:');
      const summary = take(` {10}summary: ${quoted}`);
      const description = take(` {10}description: ${quoted}`);
      rules.push({ group, alert, expr, for: duration, severity, summary, description });
    }
  }
  return rules;
}
