// A reporter of vitest: writes everything that failed, as JSON, to the file that HAWSER_VITEST_FAILURES names. Unlike
// the JSON reporter it knows differences, what failed outside of tests, and suites that did not load.
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { root } from './process.mjs';

/** The beginning of a stack is enough: what the test called, and where. */
const mostFrames = 4;

/** @param {import('vitest').TestError | import('vitest').SerializedError} error */
function textOf({ name, message, stacks, stack, diff }) {
  const frames = stacks?.map(
    ({ file, line, column, method }) => `  at ${method || 'test'} ${relative(root, file)}:${line}:${column}`,
  );
  const where = frames?.length ? frames.slice(0, mostFrames).join('\n') : stack;
  return [`${name ?? 'Error'}: ${message}`, where, diff].filter(Boolean).join('\n');
}

export default class FailuresReporter {
  /**
   * @param {readonly import('vitest/node').TestModule[]} modules
   * @param {readonly import('vitest').SerializedError[]} unhandled
   */
  onTestRunEnd(modules, unhandled) {
    const failures = [];
    const add = (name, errors) => failures.push({ name, message: errors.map(textOf).join('\n') });
    for (const module of modules) {
      const file = module.relativeModuleId;
      if (module.errors().length > 0) add(file, module.errors());
      for (const suite of module.children.allSuites()) {
        if (suite.errors().length > 0) add(`${file} > ${suite.fullName}`, suite.errors());
      }
      for (const test of module.children.allTests()) {
        const { state, errors } = test.result();
        if (state === 'failed') add(`${file} > ${test.fullName}`, errors ?? []);
      }
    }
    for (const error of unhandled) {
      const near = [error.VITEST_TEST_PATH, error.VITEST_TEST_NAME].filter(Boolean).join(' > ');
      add(near === '' ? 'outside of every test' : `outside of every test, near ${near}`, [error]);
    }
    const file = process.env.HAWSER_VITEST_FAILURES;
    if (file !== undefined) writeFileSync(file, JSON.stringify(failures));
  }
}
