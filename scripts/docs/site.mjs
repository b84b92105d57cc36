// Makes the site: pages and API in one, by typedoc.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Application, LogLevel } from 'typedoc';
import { root } from '../lib/process.mjs';
import { contents } from './contents.mjs';
import { undocumented } from './undocumented.mjs';

/**
 * @param {string} out the folder of the site; what is in it is replaced
 * @returns {Promise<string[]>} one line for each thing that is wrong with the comments; what typedoc itself complains of is printed
 */
export async function buildSite(out) {
  const app = await Application.bootstrapWithPlugins({
    options: join(root, 'typedoc.json'),
    projectDocuments: contents().map(({ page }) => join(root, page)),
    logLevel: LogLevel.Warn,
  });
  const project = await app.convert();
  if (project === undefined) return ['typedoc could not read the sources'];
  app.validate(project);
  rmSync(out, { recursive: true, force: true });
  await app.generateDocs(project, out);
  const problems = undocumented(project).map((name) => `without a comment: ${name}`);
  if (app.logger.hasWarnings() || app.logger.hasErrors()) problems.push('typedoc has complained, see above');
  return problems;
}
