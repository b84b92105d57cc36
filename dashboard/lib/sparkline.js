// Small lines over time, in SVG.

const namespace = 'http://www.w3.org/2000/svg';
const width = 300;
const height = 40;

/** @typedef {{ readonly timeMs: number, readonly value: number }} Dot */

/** One or two lines over the same time. */
export class Sparkline {
  /** @type {SVGSVGElement} */
  element;
  /** @type {SVGPathElement[]} */
  #lines;
  /** @type {SVGPathElement} */
  #area;

  /** @param {number} lines 1 or 2 */
  constructor(lines = 1) {
    this.element = document.createElementNS(namespace, 'svg');
    this.element.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.element.setAttribute('preserveAspectRatio', 'none');
    // The number beside it says what there is to say.
    this.element.setAttribute('aria-hidden', 'true');
    this.element.classList.add('spark');
    this.#area = this.#path('area');
    this.#lines = Array.from({ length: lines }, (_, index) => this.#path(`line line-${index}`));
  }

  /**
   * @param {readonly (readonly Dot[])[]} series one for each line
   * @param {number} fromMs the left end
   * @param {number} toMs the right end
   * @param {number} least what the top stands for at least
   */
  draw(series, fromMs, toMs, least) {
    const top = Math.max(least, ...series.flat().map(({ value }) => value)) * 1.08;
    /** @param {Dot} dot */
    const place = ({ timeMs, value }) => {
      const x = ((timeMs - fromMs) / (toMs - fromMs)) * width;
      return `${x.toFixed(1)} ${(height - 1.5 - (value / top) * (height - 4)).toFixed(1)}`;
    };
    this.#lines.forEach((line, index) => {
      const dots = (series[index] ?? []).filter(({ timeMs }) => timeMs >= fromMs);
      const path = dots.length < 2 ? '' : `M${dots.map(place).join('L')}`;
      line.setAttribute('d', path);
      if (index !== 0) return;
      const [first] = dots;
      const closed =
        path === '' || first === undefined ? '' : `${path}V${height}H${place(first).split(' ')[0]}Z`;
      this.#area.setAttribute('d', closed);
    });
  }

  /** @param {string} classes */
  #path(classes) {
    const path = document.createElementNS(namespace, 'path');
    path.setAttribute('class', classes);
    this.element.append(path);
    return path;
  }
}
