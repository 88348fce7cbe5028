/** Start: remembered choices, keys, the clock, the line, the page. */

import { effect } from '@preact/signals';
import { render } from 'preact';
import { onKey, recall, remember } from './actions';
import { App } from './app';
import './css/tokens.css';
import './css/base.css';
import './css/wall.css';
import './css/why.css';
import { expose } from './hook';
import { connect, tally, wantPath, watch } from './link';
import { writeAddress } from './route';
import { clock, link, now } from './store';

recall();
effect(remember);
effect(writeAddress);
effect(() => { if (link.value.state === 'live') wantPath(); });
expose(tally);
addEventListener('keydown', onKey);

/** The city's clock: the server's last word plus what passed here since, as long as the line stands. */
function tick(): void {
  const { server, local } = clock.peek();
  const at = link.peek().state === 'live' ? server + Math.min(2_500, performance.now() - local) : server;
  now.value = Math.floor(at / 250) * 250;
}
setInterval(tick, 250);

const root = document.getElementById('app');
if (root) render(<App />, root);
connect();
watch();
