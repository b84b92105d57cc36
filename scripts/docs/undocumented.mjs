// Which public names say nothing of themselves. typedoc has a check of its own, but for it every name is alike: here what documents
// itself is left out, and parameters are looked at, too.
import { ReflectionKind } from 'typedoc';

/**
 * @typedef {import('typedoc').DeclarationReflection} DeclarationReflection
 * @typedef {import('typedoc').SignatureReflection} SignatureReflection
 * @typedef {import('typedoc').Reflection} Reflection
 */

const kinds =
  ReflectionKind.Class |
  ReflectionKind.Interface |
  ReflectionKind.TypeAlias |
  ReflectionKind.Variable |
  ReflectionKind.Function |
  ReflectionKind.Method |
  ReflectionKind.Property |
  ReflectionKind.Accessor |
  ReflectionKind.Enum |
  ReflectionKind.EnumMember;

/** The names of numbers that say their unit themselves. */
const unitInName =
  /(Ms|Micros|Bytes|Bits|PerSecond|Rate|Count|Length|Index|Port|Id|Seq)$|^(ms|port|count|index|seed|length|attempt|code|n)$/;
/** Numbers that are the same everywhere: their pages say what they are. */
const glossary = /^(endpoint|feature|command|sequence|slot|generation)$/;

/** @param {import('typedoc').Comment | undefined} comment */
const hasText = (comment) =>
  comment !== undefined &&
  (comment.summary.some(({ text }) => text.trim() !== '') || comment.blockTags.length > 0);

/**
 * A property that can have one text for a value only: the tag of a member of a union, or the entry of a table of texts.
 *
 * @param {DeclarationReflection} reflection
 */
function saysItself(reflection) {
  return reflection.type?.type === 'literal' && typeof reflection.type.value === 'string';
}

/**
 * A member of an object type without a name that is not a table of constants: `{ readonly bytes: number }` as the type of a parameter, a
 * property or a member of a union. What has that type says what it is.
 *
 * @param {DeclarationReflection} reflection
 */
function isInline(reflection) {
  const owner = reflection.parent;
  return (
    owner?.kindOf(ReflectionKind.TypeLiteral) === true &&
    owner.parent?.kindOf(ReflectionKind.Variable) !== true
  );
}

/** `[Symbol.dispose]()` closes, wherever it is. @param {DeclarationReflection} reflection */
const isDispose = (reflection) => /^\[(async)?dispose\]$/i.test(reflection.name);

/** The names of a member's parents that say where it is. @param {Reflection} reflection */
function nameOf(reflection) {
  const names = [];
  for (
    let at = /** @type {Reflection | undefined} */ (reflection);
    at !== undefined && !at.isProject();
    at = at.parent
  ) {
    if (!at.name.startsWith('__')) names.unshift(at.name);
  }
  return names.join('.');
}

/** @param {Reflection} reflection */
function fileOf(reflection) {
  for (let at = /** @type {Reflection | undefined} */ (reflection); at !== undefined; at = at.parent) {
    const symbol = at.project.getSymbolIdFromReflection(at);
    if (symbol !== undefined) return symbol.packagePath;
  }
  return '';
}

/**
 * Whether the text of a comment has the name of a parameter as code.
 *
 * @param {SignatureReflection} signature
 * @param {string} name
 */
function mentions(signature, name) {
  const parts = [
    ...(signature.comment?.summary ?? []),
    ...(signature.comment?.blockTags ?? []).flatMap((tag) => tag.content),
  ];
  return parts.some(({ text }) => text.includes(`\`${name}\``) || text.includes(`\`${name}.`));
}

/**
 * The parameters of a signature that are numbers without a unit, and that nothing is said of.
 *
 * @param {SignatureReflection} signature
 */
function unclearParameters(signature) {
  return (signature.parameters ?? []).filter((parameter) => {
    const isNumber = parameter.type?.type === 'intrinsic' && parameter.type.name === 'number';
    return (
      isNumber &&
      !unitInName.test(parameter.name) &&
      !glossary.test(parameter.name) &&
      !hasText(parameter.comment) &&
      !mentions(signature, parameter.name)
    );
  });
}

/**
 * Every public name needs a comment: classes, interfaces, types, functions and all their members. Left out are inherited members,
 * constructors (the class says what it is), dispose methods, members of types without a name, and properties that can have one text for a
 * value only. A parameter that is a number needs its unit in its name, an `@param`, or a word about it in the text.
 *
 * @param {import('typedoc').ProjectReflection} project
 * @returns {string[]} one line for each name, with its file
 */
export function undocumented(project) {
  const problems = new Set();
  for (const reflection of project.getReflectionsByKind(kinds | ReflectionKind.Constructor)) {
    if (!reflection.isDeclaration()) continue;
    if (reflection.inheritedFrom !== undefined || reflection.flags.isExternal || reflection.flags.isPrivate)
      continue;
    const signatures = reflection.getAllSignatures();
    for (const signature of signatures) {
      if (signature.inheritedFrom !== undefined) continue;
      for (const { name } of unclearParameters(signature))
        problems.add(`${fileOf(reflection)}: ${nameOf(reflection)}(${name})`);
    }
    if (reflection.kindOf(ReflectionKind.Constructor) || saysItself(reflection)) continue;
    if (isInline(reflection) || isDispose(reflection)) continue;
    const typeSignatures =
      reflection.type?.type === 'reflection' ? (reflection.type.declaration.signatures ?? []) : [];
    const said = [reflection, ...signatures, ...typeSignatures].some(({ comment }) => hasText(comment));
    if (!said) problems.add(`${fileOf(reflection)}: ${nameOf(reflection)}`);
  }
  return [...problems].sort();
}
