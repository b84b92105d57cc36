// What a gateway can write to its log, as it stands in the source.

import ts from 'typescript';
import { logLevels } from '../../../src/gateway/log/logger.js';
import { sourceFiles } from '../metrics/source-files.js';

/** A message; what is filled in when it is written stands as `…`. */
export interface WrittenLine {
  /** Undefined where it depends on what has happened. */
  readonly level: string | undefined;
  readonly message: string;
}

/** Every message of src/gateway that stands there as a text, or is chosen among texts. */
export function writtenLines(): readonly WrittenLine[] {
  return sourceFiles()
    .filter(({ path }) => path.startsWith('gateway/'))
    .flatMap(({ path, text }) => linesOf(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)));
}

function linesOf(file: ts.SourceFile): WrittenLine[] {
  const found: WrittenLine[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) found.push(...ofCall(node, file));
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** `line(level, message, fields)` of event-lines.ts, `log.level(fields, message)`, and `tell(kind, level, fields, message)` of a LimitedLog. */
function ofCall({ expression, arguments: given }: ts.CallExpression, file: ts.SourceFile): WrittenLine[] {
  const name = ts.isPropertyAccessExpression(expression) ? expression.name.text : expression.getText(file);
  const isLog =
    ts.isPropertyAccessExpression(expression) && /log$/i.test(expression.expression.getText(file));
  if (name === 'line') return all(given[0], given[1], file);
  if (name === 'tell' && given.length === 4) return all(given[1], given[3], file);
  const level: string | undefined = logLevels.find((each) => each === name);
  return isLog && level !== undefined ? textsOf(given[1], file).map((message) => ({ level, message })) : [];
}

function all(
  levelNode: ts.Expression | undefined,
  message: ts.Expression | undefined,
  file: ts.SourceFile,
): WrittenLine[] {
  const level = levelNode !== undefined && ts.isStringLiteral(levelNode) ? levelNode.text : undefined;
  return textsOf(message, file).map((text) => ({ level, message: text }));
}

/** The texts that an expression can be; none where they come from elsewhere. */
function textsOf(node: ts.Node | undefined, file: ts.SourceFile): string[] {
  if (node === undefined) return [];
  if (ts.isStringLiteralLike(node)) return [node.text];
  if (ts.isTemplateExpression(node)) {
    return [node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join('')];
  }
  if (ts.isConditionalExpression(node))
    return [node.whenTrue, node.whenFalse].flatMap((each) => textsOf(each, file));
  if (ts.isElementAccessExpression(node)) return textsOf(node.expression, file);
  if (ts.isAsExpression(node)) return textsOf(node.expression, file);
  if (ts.isObjectLiteralExpression(node)) {
    return node.properties.flatMap((each) =>
      ts.isPropertyAssignment(each) ? textsOf(each.initializer, file) : [],
    );
  }
  return ts.isIdentifier(node) ? textsOf(initializerOf(node, file), file) : [];
}

/** Of a constant of the same block, or of the file. */
function initializerOf(name: ts.Identifier, file: ts.SourceFile): ts.Expression | undefined {
  for (let scope: ts.Node | undefined = name.parent; scope !== undefined; scope = scope.parent) {
    if (!ts.isBlock(scope) && scope !== file) continue;
    for (const statement of (scope as ts.Block | ts.SourceFile).statements) {
      if (!ts.isVariableStatement(statement)) continue;
      const { declarations } = statement.declarationList;
      const found = declarations.find((each) => each.name.getText(file) === name.text);
      if (found !== undefined) return found.initializer;
    }
  }
  return undefined;
}
