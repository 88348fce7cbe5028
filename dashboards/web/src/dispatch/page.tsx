/** The dispatcher's page: queue and case on the left, map, units and timeline on the right, keys for everything. */

import '../css/dispatch.css';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { toggleLang, toggleTheme } from '../actions';
import { addressOf, type Page } from '../address';
import { followed } from '../header';
import { t, word } from '../i18n';
import { watchLooks } from '../looking';
import { theme } from '../store';
import { bar, focusQueue, sheet } from './act';
import { Bar, Notice } from './bar';
import { Batch } from './batch';
import { CasePanel } from './case';
import { Intake } from './form';
import { Handover } from './handover';
import { KEYS, onKey } from './keys';
import { Queue } from './list';
import { DeskMap } from './map';
import { SignIn } from './parts';
import { Alarms, Keys } from './sheets';
import { sentry } from './sound';
import { attend, me, selected } from './store';
import { Timeline, Units } from './units';
import { Warnings } from './warnings';

function Foot(): JSX.Element {
  const to = (page: Page): JSX.Element => <a href={addressOf(page, '')} onClick={followed(page)} data-testid={`page-${page}`}>{word('page', page)}</a>;
  return (
    <footer class="ft">
      {KEYS.filter((k) => k.foot).map((k) => <span key={k.key} class="nw"><kbd>{k.shown}</kbd> {word('dkeys', k.name)}</span>)}
      <nav class="e" aria-label={t('pages')}>{to('wall')}{to('lab')}{to('ops')}<button onClick={toggleTheme} data-testid="theme">{t(theme.value === 'light' ? 'desk.light' : 'desk.dark')}</button><button onClick={toggleLang} data-testid="lang">中 / EN</button></nav>
    </footer>
  );
}

function Sheets(): JSX.Element | null {
  switch (sheet.value) {
    case 'keys': return <Keys />;
    case 'alarms': return <Alarms />;
    case 'intake': return <Intake />;
    case 'handover': return <Handover />;
    case 'batch': return <Batch />;
    case 'warnings': return <Warnings />;
    default: return null;
  }
}

export function Dispatch(): JSX.Element {
  useEffect(() => {
    const stops = [attend(), sentry(), watchLooks(() => selected.value, () => bar.value.trim() !== '')];
    addEventListener('keydown', onKey);
    focusQueue();
    return () => { removeEventListener('keydown', onKey); stops.forEach((stop) => stop()); sheet.value = null; };
  }, []);
  if (me.value === 'out') return <SignIn />;
  return (
    <>
      <Bar />
      <Notice />
      <main class="lf"><Queue /><CasePanel /></main>
      <aside class="rg"><DeskMap /><Units /><Timeline /></aside>
      <Foot />
      <Sheets />
    </>
  );
}
