/** The pages: composition only. The wall is here, the others come when they are first opened. */

import { signal, type Signal } from '@preact/signals';
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
import type { Page } from './address';
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

type Later = { page: Signal<(() => JSX.Element) | null>; failed: Signal<boolean>; get: () => Promise<() => JSX.Element> };
const later = (get: Later['get']): Later => ({ page: signal(null), failed: signal(false), get });
const workshop = later(() => import('./lab/page').then((m) => m.Lab));
const operations = later(() => import('./ops/page').then((m) => m.Ops));
const desk = later(() => import('./dispatch/page').then((m) => m.Dispatch));
const field = later(() => import('./unit/page').then((m) => m.UnitPage));

/** A page that is brought when it is first opened; it may fail to come while the server is away. */
function Brought({ from, bare = false }: { from: Later; bare?: boolean }): JSX.Element {
  const Page = from.page.value;
  const bring = (): void => {
    from.failed.value = false;
    void from.get().then((found) => { from.page.value = found; }, () => { from.failed.value = true; });
  };
  useEffect(() => { if (!from.page.peek()) bring(); }, []);
  return Page ? <Page /> : <>{!bare && <Header><span /></Header>}<main class="wait">{from.failed.value ? <p role="alert">{t('page.notHere')} <button class="btn" onClick={bring}>{t('why.again')}</button></p> : <p class="d">{t('page.coming')}</p>}</main></>;
}

function Lab(): JSX.Element {
  return <div class={`lab${link.value.state === 'lost' ? ' lost' : ''}`}><Brought from={workshop} /><Banner /><Why /><Panel /></div>;
}

/** Without the banner: this page says itself when nobody answers. */
function Ops(): JSX.Element {
  return <div class="ops"><Brought from={operations} /><Panel /></div>;
}

function Dispatch(): JSX.Element {
  return <div class={`dp${link.value.state === 'lost' ? ' lost' : ''}`}><Brought from={desk} bare /><Banner /></div>;
}

/** Without the banner: what waits and why is part of the page. */
function Unit(): JSX.Element {
  return <div class="uni"><Brought from={field} bare /></div>;
}

const SHOWN: Record<Page, () => JSX.Element> = { wall: Wall, dispatch: Dispatch, lab: Lab, ops: Ops, unit: Unit };

export function App(): JSX.Element {
  const One = SHOWN[page.value];
  return <One key={page.value} />;
}
