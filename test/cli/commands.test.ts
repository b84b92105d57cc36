// The list by which a command is found before it is loaded.

import { describe, expect, test } from 'vitest';
import { commands } from '../../src/cli/commands.js';

describe('the list of commands', () => {
  test.each(commands)('says of $name what the command says of itself', async ({ name, summary, load }) => {
    const command = await load();
    expect({ name, summary }).toEqual({ name: command.name, summary: command.summary });
  });

  test('has each name once', () => {
    const names = commands.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(20);
    expect(new Set(names).size).toBe(names.length);
  });
});
