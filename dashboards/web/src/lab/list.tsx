/** The left column: every indicator by theme, found by words of both languages, with how it stands. */

import { computed, signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { answers, isLocal } from '../definition';
import { num } from '../format';
import { both, say, t, word } from '../i18n';
import { Mark, unit } from '../parts';
import { cellFor, choose, chosen, effective, focus, frame, indicators, listing, slowNow } from '../store';
import type { Indicator } from '../types';
import { checking, states } from './watch';

const query = signal('');
type Which = 'all' | 'bad' | 'local' | 'error' | 'own';
const which = signal<Which>('all');
const isError = (ind: Indicator): boolean => { const s = states.value.get(ind.id); return s !== undefined && (s.error !== '' || s.quarantined); };
const TESTS: Record<Which, (ind: Indicator) => boolean> = {
  all: () => true,
  bad: (ind) => { void frame.value; return effective(ind, cellFor(ind, focus.value)) > 0; },
  local: (ind) => isLocal(ind, slowNow.value),
  error: isError,
  own: (ind) => (states.value.get(ind.id)?.origin ?? 'builtin') !== 'builtin',
};

const found = computed(() => {
  const q = query.value.trim();
  return indicators.value.filter((i) => TESTS[which.value](i) && (!q || answers(i, q, both('theme', i.theme))));
});

/** Themes in the order of the catalogue, with those of theirs that were found. */
const themes = computed(() => {
  const out = new Map<string, Indicator[]>();
  for (const ind of indicators.value) if (!out.has(ind.theme)) out.set(ind.theme, []);
  for (const ind of found.value) out.get(ind.theme)?.push(ind);
  return [...out].filter(([, list]) => list.length > 0);
});

/** How an indicator stands: where it comes from and its check in grey; what is unusual as a tag. */
function Standing({ ind }: { ind: Indicator }): JSX.Element {
  const s = states.value.get(ind.id);
  // what is built in was checked with its release, a file when it was read
  const checked = !s || s.error ? '' : Number.isFinite(s.checkedAt) ? t('lab.ok') : s.origin === 'file' ? t('lab.unchecked') : '';
  return (
    <>
      <span class="el d">{ind.id}</span>
      <span class="std">
        {s?.quarantined && <i class="od">{t('lab.quarantined')}</i>}
        {s && s.error !== '' && !s.quarantined && <i class="od">{t('lab.error')}</i>}
        {isLocal(ind, slowNow.value) && <i class="tag dot">{t('lab.local')}</i>}
        {s && s.origin !== 'builtin' && <i class="tag" title={s.place}>{word('origin', s.origin)}</i>}
        {s && <span class="d nw">{s.origin === 'builtin' ? `${word('origin', 'builtin')}${checked ? ' · ' : ''}` : ''}{checked}</span>}
      </span>
    </>
  );
}

function Line({ ind }: { ind: Indicator }): JSX.Element {
  void frame.value;
  const cell = cellFor(ind, focus.value);
  const level = effective(ind, cell);
  const on = chosen.value === ind.id;
  const ref = useRef<HTMLButtonElement>(null);
  useEffect(() => { if (on) ref.current?.scrollIntoView({ block: 'nearest' }); }, [on]);
  return (
    <button ref={ref} class={`ln in${on ? ' on1' : ''}`} aria-current={on} onClick={() => choose(ind.id, false)} data-indicator={ind.id}>
      <span><Mark level={level} size={0.75} /></span>
      <span class="el nm">{say(ind.name) || ind.id}</span>
      <span class={`v nw${level ? ' ab' : ''}${cell.quality === 3 ? ' d' : ''}`}>{num(cell.quality >= 4 ? NaN : cell.value, ind.decimals)} <span class="u">{unit(ind.unit)}</span></span>
      <span class="s sub"><Standing ind={ind} /></span>
    </button>
  );
}

function Chips(): JSX.Element {
  const all = indicators.value;
  return (
    <div class="chips" role="group" aria-label={t('lab.show')}>
      {(Object.keys(TESTS) as Which[]).map((key) => {
        const n = all.filter(TESTS[key]).length;
        return (n > 0 || key === 'all' || key === which.value) && <button key={key} class="chip" aria-pressed={which.value === key} onClick={() => (which.value = key)}>{t(`lab.show.${key}`)} {n}</button>;
      })}
    </div>
  );
}

/** What a file or package wanted to bring and could not: known to the workshop, but no indicator of the city. */
function Refused(): JSX.Element | null {
  const out = [...states.value.values()].filter((s) => s.error !== '' && !indicators.value.some((i) => i.id === s.id));
  if (out.length === 0 && checking.value.length === 0) return null;
  return (
    <section data-testid="lab-refused">
      <h2 class="gh"><b>{t('lab.refused')}</b><span class="e">{out.length + checking.value.length}</span></h2>
      {checking.value.map((file) => <p class="rf ck" key={file}><span class="el">{file}</span><i class="tag dash">{t('lab.checking')}</i></p>)}
      {out.map((s) => <details class="rf" key={s.id}><summary><span class="el">{s.id}</span><i class="od">{t('lab.error')}</i><span class="s d el">{s.place || word('origin', s.origin)}</span></summary><pre>{s.error}</pre></details>)}
    </section>
  );
}

export function List(): JSX.Element {
  const ids = themes.value.flatMap(([, list]) => list.map((i) => i.id));
  useEffect(() => { listing.value = ids; }, [ids.join()]);
  const onKeyDown = (e: KeyboardEvent): void => {
    const at = ids.indexOf(chosen.value);
    const to = e.key === 'ArrowDown' ? ids[at + 1] : e.key === 'ArrowUp' ? ids[Math.max(0, at - 1)] : e.key === 'Enter' ? ids[0] : undefined;
    if (e.key === 'Escape') { query.value = ''; e.currentTarget instanceof HTMLElement && e.currentTarget.blur(); e.stopPropagation(); return; }
    if (!to) return;
    choose(to, false);
    e.preventDefault();
  };
  return (
    <nav class="list" aria-label={t('all')} data-testid="lab-list">
      <div class="find2"><input id="lab-find" type="search" value={query.value} onInput={(e) => (query.value = e.currentTarget.value)} onKeyDown={onKeyDown} placeholder={t('lab.find')} aria-label={t('lab.find')} autocomplete="off" /></div>
      <Chips />
      <div class="rows" tabIndex={-1}>
        {indicators.value.length === 0 && <p class="d none">{t('banner.start')}</p>}
        {indicators.value.length > 0 && ids.length === 0 && <p class="d none">{t('search.none')}</p>}
        <Refused />
        {themes.value.map(([theme, list]) => (
          <section key={theme}>
            <h2 class="gh"><b>{word('theme', theme)}</b><span class="e">{list.length}</span></h2>
            {list.map((ind) => <Line key={ind.id} ind={ind} />)}
          </section>
        ))}
      </div>
    </nav>
  );
}
