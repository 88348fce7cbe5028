/** The pages: composition only. The wall is here, the workshop comes when it is first opened. */

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { RateStrip, Strip, Ticker } from './bottom';
import { Depth, Desk } from './extra';
import { hms } from './format';
import { Header } from './header';
import { t } from './i18n';
import { MapBox } from './map/map';
import { Popover } from './popover';
import { Right } from './right';
import { page } from './route';
import { Help, Search } from './search';
import { city, link, now, panel } from './store';
import { Catalogue, Vitals } from './vitals';
import { Why } from './why';

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

function Wall(): JSX.Element {
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
      <Why />
      <Panel />
    </div>
  );
}

const workshop = signal<(() => JSX.Element) | null>(null);
const failed = signal(false);

/** The workshop, brought when it is first opened; it may fail to come while the server is away. */
function Lab(): JSX.Element {
  const Page = workshop.value;
  const bring = (): void => {
    failed.value = false;
    void import('./lab/page').then((m) => { workshop.value = m.Lab; }, () => { failed.value = true; });
  };
  useEffect(() => { if (!workshop.peek()) bring(); }, []);
  return (
    <div class={`lab${link.value.state === 'lost' ? ' lost' : ''}`}>
      {Page ? <Page /> : <><Header><span /></Header><main class="wait">{failed.value ? <p role="alert">{t('lab.notHere')} <button class="btn" onClick={bring}>{t('why.again')}</button></p> : <p class="d">{t('lab.coming')}</p>}</main></>}
      <Banner />
      <Why />
      <Panel />
    </div>
  );
}

export function App(): JSX.Element {
  return page.value === 'lab' ? <Lab key="lab" /> : <Wall key="wall" />;
}
