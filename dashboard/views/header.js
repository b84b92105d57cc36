// Which gateway this is, how it is, and what stands above all else: that it drains, or that it does not answer.

import { byId, setText } from '../lib/dom.js';
import { dateAndTime, duration } from '../lib/format.js';

/** @import { GatewaySnapshot, GatewayState } from '../../src/gateway/snapshot.js' */

/** @type {Readonly<Record<GatewayState, string>>} */
const kinds = { STARTING: 'warn', RUNNING: 'good', DRAINING: 'warn', STOPPED: 'bad' };

export function makeHeader() {
  const name = byId('name', HTMLElement);
  const state = byId('state', HTMLElement);
  const facts = byId('facts', HTMLElement);
  const banner = byId('banner', HTMLElement);
  const about = byId('about', HTMLElement);
  let isConnected = true;
  /** @type {GatewaySnapshot | undefined} */
  let last;

  const showBanner = () => {
    const text = bannerText(isConnected, last);
    banner.hidden = text === '';
    setText(banner, text);
    document.body.classList.toggle('lost', !isConnected);
  };

  return {
    /** @param {GatewaySnapshot} snapshot */
    show(snapshot) {
      last = snapshot;
      setText(name, snapshot.name);
      if (document.title !== `${snapshot.name} · hawser`) document.title = `${snapshot.name} · hawser`;
      setText(state, snapshot.state.toLowerCase());
      state.className = `badge ${kinds[snapshot.state] ?? 'plain'}`;
      setText(facts, `hawser ${snapshot.version} · up ${duration(snapshot.timeMs - snapshot.startedAtMs)}`);
      setText(about, aboutText(snapshot));
      showBanner();
    },
    /** @param {boolean} is */
    connection(is) {
      isConnected = is;
      if (!is) {
        setText(state, 'no answer');
        state.className = 'badge bad';
      }
      showBanner();
    },
  };
}

/** @param {boolean} isConnected @param {GatewaySnapshot | undefined} last */
function bannerText(isConnected, last) {
  if (!isConnected) {
    if (last === undefined) return 'The gateway does not answer. Trying again…';
    const since = dateAndTime(last.timeMs);
    if (last.state === 'DRAINING' || last.state === 'STOPPED')
      return `The gateway has stopped. Last heard of: ${since}.`;
    return `Connection lost. What is shown is of ${since}. Trying again…`;
  }
  if (last?.state !== 'DRAINING') return '';
  const peers = last.listeners.reduce((sum, listener) => sum + listener.peers, 0);
  const left =
    last.drainsUntilMs === null ? '' : `, at the latest in ${duration(last.drainsUntilMs - last.timeMs)}`;
  return `Draining: no new peers, ${peers} still here. The gateway stops when they have left${left}.`;
}

/** @param {GatewaySnapshot} snapshot */
function aboutText({ node, pid, startedAtMs, configFile }) {
  const file = configFile === null ? '' : ` · ${configFile}`;
  return `Node.js ${node.replace(/^v/, '')} · process ${pid} · started ${dateAndTime(startedAtMs)}${file}`;
}
