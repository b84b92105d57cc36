// Text of SVG and HTML.

/**
 * @param {unknown} value
 * @returns {string} for text and for attributes in double quotes
 */
export function escapeText(value) {
  return String(value)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/**
 * @param {string} name
 * @param {Readonly<Record<string, string | number | undefined>>} attributes those that are undefined are left out
 * @param {string | readonly string[]} [content] markup
 * @returns {string}
 */
export function element(name, attributes, content = []) {
  const list = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? round(value) : escapeText(value)}"`)
    .join('');
  const inside = typeof content === 'string' ? content : content.join('');
  return inside === '' ? `<${name}${list}/>` : `<${name}${list}>${inside}</${name}>`;
}

/**
 * @param {number} x
 * @param {number} y
 * @param {string} text
 * @param {Readonly<Record<string, string | number | undefined>>} [attributes]
 * @returns {string}
 */
export function label(x, y, text, attributes = {}) {
  return element('text', { x, y, ...attributes }, escapeText(text));
}

/**
 * @param {number} x1
 * @param {number} y1
 * @param {number} x2
 * @param {number} y2
 * @param {string} style a class
 * @returns {string}
 */
export function line(x1, y1, x2, y2, style) {
  return element('line', { x1, y1, x2, y2, class: style });
}

/**
 * A plot that says in words what it shows; a table beside it has the figures.
 *
 * @param {{width: number, height: number, alternative: string, style?: string}} frame
 * @param {readonly string[]} content
 * @returns {string}
 */
export function plot({ width, height, alternative, style = 'plot' }, content) {
  const attributes = {
    class: style,
    viewBox: `0 0 ${round(width)} ${round(height)}`,
    width,
    height,
    role: 'img',
    'aria-label': alternative,
  };
  return element('svg', attributes, content);
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 100) / 100;
}
