/** The workshop of those who make indicators: catalogue, definition, living values. */

import '../css/lab.css';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { Header } from '../header';
import { say, t, word } from '../i18n';
import { byId, choose, chosenIndicator, indicators, link, unknown } from '../store';
import { List } from './list';
import { Live } from './live';
import { Sheet } from './sheet';
import { dismiss, states, toasts, watchLab } from './watch';

/** How many indicators, of how many themes, and how their checks went. */
function Tally(): JSX.Element {
  const all = indicators.value;
  const bad = [...states.value.values()].filter((s) => s.error || s.quarantined).length;
  const themes = new Set(all.map((i) => i.theme)).size;
  return (
    <div class="tally" data-testid="lab-tally">
      <span><b>{all.length}</b> {t('lab.nIndicators')}</span><span><b>{themes}</b> {t('lab.nThemes')}</span>
      {states.value.size > 0 && <span class={bad ? '' : 'd'}>{bad ? t('lab.nBad', bad) : t('lab.nOk')}</span>}
    </div>
  );
}

function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" data-testid="toasts">
      {toasts.value.map(({ key, edit }) => (
        <div class="toast" key={key}>
          <span><b>{word('edit', edit.kind)}</b> {say(byId.value.get(edit.id)?.name) || edit.id}{edit.error && <span class="s d el blk">{edit.error.split('\n')[0]}</span>}</span>
          {byId.value.has(edit.id) && <button class="btn" onClick={() => { choose(edit.id, false); dismiss(key); }}>{t('lab.see')}</button>}
          <button class="x" aria-label={t('pop.close')} onClick={() => dismiss(key)}>✕</button>
        </div>
      ))}
      {unknown.value && link.value.state === 'live' && <div class="toast"><span>{t('lab.unknown', unknown.value)}</span><button class="x" aria-label={t('pop.close')} onClick={() => (unknown.value = '')}>✕</button></div>}
    </div>
  );
}

export function Lab(): JSX.Element {
  useEffect(() => watchLab(), []);
  const ind = chosenIndicator.value;
  return (
    <>
      <Header><Tally /></Header>
      <List />
      {ind ? <Sheet ind={ind} /> : <main class="sheet2"><p class="d">{t(indicators.value.length ? 'lab.choose' : 'banner.start')}</p></main>}
      {ind ? <Live ind={ind} /> : <aside class="live2" />}
      <Toasts />
    </>
  );
}
