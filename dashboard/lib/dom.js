// Elements. Text becomes text and nothing else: what peers call themselves can be no markup.

/** @typedef {Node | string | undefined} Child */

/**
 * Makes an element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Readonly<Record<string, string>>} attributes `class`, `title`, `aria-...`; no handlers
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

/**
 * The element of an id, which the page has.
 *
 * @template {HTMLElement} Type
 * @param {string} id
 * @param {new () => Type} type
 * @returns {Type}
 */
export function byId(id, type) {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`the page has no ${type.name} #${id}`);
}

/**
 * Changes a text only where it is another one: what somebody has selected, or has read to them, stays.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Shows pairs of a name and a value, in the same elements as before as long as the names are the same.
 *
 * @param {HTMLDListElement} list
 * @param {readonly (readonly [name: string, value: string])[]} pairs
 */
export function setPairs(list, pairs) {
  const names = pairs.map(([name]) => name).join('\n');
  if (list.dataset.names !== names) {
    list.dataset.names = names;
    list.replaceChildren(
      ...pairs.map(([name]) => element('div', {}, element('dt', {}, name), element('dd'))),
    );
  }
  pairs.forEach(([, value], index) => {
    const place = list.children[index]?.lastElementChild;
    if (place) setText(place, value);
  });
}
