/** The header: city, LIVE dot, clock, lag, counts by level, breadcrumb, search, language, theme, full screen. */

import type { ComponentChildren, JSX } from 'preact';
import { toggleFull, toggleLang, toggleTheme } from './actions';
import { alarming, counts as alarmCounts, unacked } from './dispatch/store';
import { age, day, hms } from './format';
import { lang, say, t } from './i18n';
import { Icon, Mark, NUMERAL } from './parts';
import { addressOf, TITLES, type Page } from './address';
import { go, page } from './route';
import { city, counts, drill, focus, health, link, now, panel, path, scopeName, scopes } from './store';
import { LEVELS, type Level } from './types';

function Clock(): JSX.Element {
  const { state, lag, lastData } = link.value;
  const at = state === 'live' ? now.value : lastData;
  const tz = city.value.timezone;
  const past = state === 'live' && !health.value.live;
  const lacking = state === 'live' && !past ? health.value.lacking : [];
  const shards = lacking.map((s) => (s === 'desk' ? t('ops.desk') : s)).join(', ');
  return (
    <div class="lv2">
      <span class={`live${state === 'live' && !past && !lacking.length ? '' : ' off'}`} aria-hidden="true" />
      <span class="m" data-testid="link">{lacking.length ? t('lacking', shards) : t(past ? 'past' : state === 'live' ? 'live' : state === 'lost' ? 'lost' : 'connecting')}</span>
      <span class="clk" data-testid="clock">{hms(at, tz)}</span>
      <span class="lag"><span>{at ? day(at, tz, lang.value) : ''}</span><span>{t('lag', lag < 60_000 ? `${(lag / 1000).toFixed(1)} s` : age(lag))}</span></span>
    </div>
  );
}

/** Alarms by level where the server has any, else the values that are out of band. */
function Counts(): JSX.Element {
  const name = alarming.value ? t('bar.counts') : t('levels.now');
  return (
    <div class="cnt" title={name} role="group" aria-label={name}>
      {(alarming.value ? alarmCounts : counts).value.map((n, i) => (
        <span key={i} class={n ? 'c' : 'c z'} data-testid={`count-${i + 1}`} aria-label={`${t(`level.${(i + 1) as 1 | 2 | 3 | 4}`)}: ${n}`}>
          <Mark level={(i + 1) as Level} size={1.25} bare /><i>{NUMERAL[i + 1]}</i><b>{n}</b>
        </span>
      ))}
      {unacked.value > 0 && <b class="od" data-testid="unacked">{t('bar.unacked', unacked.value)}</b>}
    </div>
  );
}

function Path(): JSX.Element {
  const line = path(focus.value);
  const level = scopes.value.level[focus.value] ?? 0;
  return (
    <nav class="bc" aria-label={t('path')}>
      {line.map((row, i) => [
        i > 0 && <i key={`s${row}`}>›</i>,
        row === focus.value ? <b key={row} class="el" data-testid="here">{scopeName(row, lang.value)}</b> : <button key={row} onClick={() => drill(row)}>{scopeName(row, lang.value)}</button>,
      ])}
      {LEVELS.slice(level + 1).map((name) => [<i key={`s${name}`}>›</i>, <span key={name}>{t(`scope.${name}`)}</span>])}
    </nav>
  );
}

/** What a plain click on a link to a page does: go there without a reload. Others (new tab, middle button) are the browser's. */
export function followed(to: Page): (event: MouseEvent) => void {
  return (event) => {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(to);
  };
}

function Pages(): JSX.Element {
  const one = (to: Page): JSX.Element => <a href={addressOf(to, '')} aria-current={page.value === to ? 'page' : undefined} onClick={followed(to)} data-testid={`page-${to}`}>{t(`page.${to}`)}</a>;
  return <nav class="pages" aria-label={t('pages')}>{one('wall')}{one('dispatch')}{one('lab')}{one('ops')}</nav>;
}

/** The header of all pages; what stands between clock and path is the page's own. */
export function Header({ children }: { children?: ComponentChildren }): JSX.Element {
  return (
    <header class="hd">
      <div class="ti"><h1><span>{say(city.value.title) || city.value.name}</span><b>{t(TITLES[page.value])}</b></h1><Pages /></div>
      <Clock />
      {children ?? <Counts />}
      <Path />
      <div class="tools">
        <button class="find" onClick={() => (panel.value = 'search')} aria-keyshortcuts="/"><Icon name="search" size={1} /><span>{t('search')}</span><kbd>/</kbd></button>
        <button onClick={toggleLang} aria-label={t('lang')} data-testid="lang">中 / EN</button>
        <button onClick={toggleTheme} aria-label={t('theme')} data-testid="theme"><Icon name="theme" /></button>
        <button onClick={toggleFull} aria-label={t('full')}><Icon name="full" /></button>
        <button onClick={() => (panel.value = 'help')} aria-label={t('keys')} data-testid="help">?</button>
      </div>
    </header>
  );
}
