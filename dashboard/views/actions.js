// What an operator can have the gateway do.

import { get, post } from '../lib/api.js';
import { byId, setText } from '../lib/dom.js';

/** @import { ReloadReport } from '../../src/gateway/observed-gateway.js' */

const noticeMs = 15_000;

export async function makeActions() {
  const confirm = byId('confirm', HTMLDialogElement);
  byId('reload', HTMLButtonElement).addEventListener('click', () => void reload());
  byId('drain', HTMLButtonElement).addEventListener('click', () => confirm.showModal());
  byId('confirm-no', HTMLButtonElement).addEventListener('click', () => confirm.close());
  byId('confirm-yes', HTMLButtonElement).addEventListener('click', () => {
    confirm.close();
    void drain();
  });
  const { login } = await get('/api/access');
  byId('logout', HTMLFormElement).hidden = !login;
}

async function drain() {
  try {
    await post('/drain');
  } catch (error) {
    tell(`It could not be drained: ${reasonOf(error)}`);
  }
}

async function reload() {
  try {
    tell(reportText(await post('/reload')));
  } catch (error) {
    tell(`Nothing was changed: ${reasonOf(error)}`);
  }
}

/** @param {ReloadReport} report */
function reportText({ changed, needRestart }) {
  const done =
    changed.length === 0 ? 'Nothing else is in the configuration.' : `Changed: ${changed.join(', ')}.`;
  return needRestart.length === 0 ? done : `${done} Needs a restart: ${needRestart.join(', ')}.`;
}

/** @param {unknown} error */
const reasonOf = (error) => (error instanceof Error ? error.message : String(error));

/** @type {ReturnType<typeof setTimeout> | undefined} */
let hiding;

/** @param {string} text */
function tell(text) {
  const notice = byId('notice', HTMLElement);
  setText(notice, text);
  notice.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => {
    notice.hidden = true;
  }, noticeMs);
}
