/** Search of places, devices and indicators; and the list of keys. Both float over the page, Esc closes. */

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { KEYS } from './actions';
import { lang, say, t, word } from './i18n';
import { search } from './reads';
import { go as turn, page } from './route';
import { view } from './map/view';
import { choose, drill, entities, entitiesRev, indicators, panel, picked, placesIn, scopeName, scopes } from './store';
import type { Item } from './wire';

interface Hit { what: string; label: string; sub: string; go: () => void }

const query = signal('');
const remote = signal<Item[]>([]);
const at = signal(0);

function scopeHit(row: number): Hit {
  return { what: t('kind.scope'), label: scopeName(row, lang.value), sub: scopes.value.code[row] ?? '', go: () => drill(row) };
}

/** What an entity found by the server needs to be picked, wherever it is. */
function openEntity(x: Item): void {
  const lon = Number(x.lon);
  const lat = Number(x.lat);
  if (Number.isFinite(lon)) view.fly(lon, lat, 14);
  const row = [...entities.values()].find((e) => e.code === x.code)?.row ?? -2 - (Math.abs(hash(String(x.code))) % 1e9);
  if (!entities.has(row)) {
    entities.set(row, { row, kind: String(x.kind ?? ''), code: String(x.code), name: String(x.name ?? ''), type: '', scope: Number(x.scope ?? 0) || 0, lon, lat, seen: NaN, state: '' });
    entitiesRev.value = entitiesRev.peek() + 1;
  }
  picked.value = { type: 'entity', row };
}

function hash(text: string): number {
  let h = 0;
  for (let i = 0; i < text.length; i++) h = (Math.imul(h, 31) + text.charCodeAt(i)) | 0;
  return h;
}

function hits(): Hit[] {
  const q = query.value.trim().toLowerCase();
  const inds = indicators.value.filter((i) => !q || [i.id, i.name.zh, i.name.en].some((s) => s?.toLowerCase().includes(q))).slice(0, q ? 12 : 30);
  const out: Hit[] = inds.map((i) => ({ what: t('kind.indicator'), label: say(i.name), sub: word('theme', i.theme), go: () => choose(i.id) }));
  if (!q) return out.concat(placesIn(0).map(scopeHit));
  const places = remote.value.filter((x) => x.what === 'scope').map((x) => scopes.value.code.indexOf(String(x.code))).filter((r) => r >= 0);
  const things = remote.value.filter((x) => x.what === 'entity').map((x): Hit => ({ what: word('kind', String(x.kind)), label: String((lang.value === 'en' ? x.name_en : '') || x.name || x.code), sub: String(x.code), go: () => openEntity(x) }));
  return [...out, ...places.map(scopeHit), ...things];
}

export function Search(): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  // before the next key comes in: what is typed right after `/` must not be lost on a busy machine
  useLayoutEffect(() => { query.value = ''; remote.value = []; at.value = 0; input.current?.focus(); }, []);
  useEffect(() => {
    const q = query.value.trim();
    at.value = 0;
    if (!q) { remote.value = []; return undefined; }
    const timer = setTimeout(() => void search(q).then((items) => { if (query.peek().trim() === q) remote.value = items; }, () => { remote.value = []; }), 120);
    return () => clearTimeout(timer);
  }, [query.value]);
  const list = hits();
  const go = (hit: Hit | undefined): void => { if (hit) { if (page.peek() === 'ops') turn('wall'); panel.value = null; hit.go(); } };
  const onKeyDown = (e: KeyboardEvent): void => {
    if (e.key === 'ArrowDown') at.value = Math.min(list.length - 1, at.value + 1);
    else if (e.key === 'ArrowUp') at.value = Math.max(0, at.value - 1);
    else if (e.key === 'Enter') go(list[at.value]);
    else return;
    e.preventDefault();
  };
  return (
    <div class="sheet" role="dialog" aria-label={t('search')} data-testid="search">
      <input ref={input} value={query.value} onInput={(e) => (query.value = e.currentTarget.value)} onKeyDown={onKeyDown} placeholder={t('search')} aria-label={t('search')} role="combobox" aria-expanded="true" aria-controls="hits" aria-activedescendant={`hit${at.value}`} />
      <ul id="hits" role="listbox" aria-label={t('search')}>
        {list.map((h, i) => <li key={`${h.what}${h.sub}${h.label}`} id={`hit${i}`} class="hit" role="option" aria-selected={i === at.value} onClick={() => go(h)} onMouseEnter={() => (at.value = i)}><span class="s d">{h.what}</span><span class="el">{h.label}</span><span class="s d">{h.sub}</span></li>)}
        {list.length === 0 && <li class="hit d"><span />{t('search.none')}</li>}
      </ul>
    </div>
  );
}

export function Help(): JSX.Element {
  return (
    <div class="sheet" role="dialog" aria-label={t('keys')} style={{ width: '26rem' }} data-testid="keys">
      <div class="keys"><h2>{t('keys')}</h2><dl>{KEYS.map((k) => [<dt key={k.key}>{k.key === 'Escape' ? 'Esc' : k.key}</dt>, <dd key={`${k.key}d`}>{t(`keys.${k.name}`)}</dd>])}</dl></div>
    </div>
  );
}
