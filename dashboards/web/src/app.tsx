/** The operator page: composition only. */

import type { JSX } from 'preact';
import { RateStrip, Strip, Ticker } from './bottom';
import { Depth, Desk } from './extra';
import { hms } from './format';
import { Header } from './header';
import { t } from './i18n';
import { MapBox } from './map/map';
import { Popover } from './popover';
import { Right } from './right';
import { Help, Search } from './search';
import { city, link, now, panel } from './store';
import { Catalogue, Vitals } from './vitals';

/** Plain words while the line is down: what was last known, and when it is tried again. */
function Banner(): JSX.Element | null {
  const { state, lastData, retryAt } = link.value;
  void now.value;
  if (state === 'live') return null;
  const wait = Math.max(0, Math.ceil((retryAt - performance.now()) / 1000));
  return (
    <div class="banner" role="alert" data-testid="banner">
      {state === 'lost' ? t('banner.lost', hms(lastData, city.value.timezone)) : t('banner.start')}
      <span>{wait > 0 ? t('banner.retry', wait) : t('banner.retrying')}</span>
    </div>
  );
}

function Panel(): JSX.Element | null {
  const which = panel.value;
  if (!which) return null;
  return (
    <div class="veil" onClick={(e) => { if (e.target === e.currentTarget) panel.value = null; }}>
      {which === 'search' && <Search />}
      {which === 'help' && <Help />}
      {which === 'all' && <Catalogue />}
    </div>
  );
}

const wide = matchMedia('(min-aspect-ratio:22/10)');

export function App(): JSX.Element {
  return (
    <div class={`wall${link.value.state === 'lost' ? ' lost' : ''}`}>
      <Header />
      <Vitals />
      {wide.matches && <Depth />}
      <main class="ct"><MapBox><Popover /></MapBox><Strip /></main>
      {wide.matches && <Desk />}
      <Right />
      <RateStrip />
      <Ticker />
      <Banner />
      <Panel />
    </div>
  );
}
