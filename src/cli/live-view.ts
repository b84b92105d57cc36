// How a command shows what goes on: drawn in place on a terminal, a line each second elsewhere.

import { type Paint, painter, Screen } from './terminal.js';

/** What is shown, as it is when it is asked for. */
export interface LiveView {
  readonly lines: (paint: Paint) => readonly string[];
  readonly line: () => string;
}

const lineIntervalMs = 1000;

/**
 * Shows a view on the standard output until `end` is called; calling that again does nothing.
 *
 * @param drawIntervalMs between two pictures on a terminal.
 */
export function showLive(view: LiveView, drawIntervalMs: number): { readonly end: () => void } {
  if (!process.stdout.isTTY) {
    const timer = setInterval(() => process.stdout.write(`${view.line()}\n`), lineIntervalMs);
    return { end: () => clearInterval(timer) };
  }
  const screen = new Screen(process.stdout);
  const paint = painter(process.stdout);
  const draw = (): void => screen.draw(view.lines(paint));
  draw();
  const timer = setInterval(draw, drawIntervalMs);
  return {
    end: () => {
      clearInterval(timer);
      screen.clear();
      screen.end();
    },
  };
}
