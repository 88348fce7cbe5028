/** "Why is this number?": formula, parameters, parts to go down into, bands, and the events behind it. A drawer of both pages. */

import { signal, useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { addressOf } from './address';
import { bodyOf, explainedOf, isTime, joined, plain, type Behind, type Explained, type Part } from './explain';
import { hms, num, stamp } from './format';
import { lang, say, t, word } from './i18n';
import { pieces } from './lab/code';
import { isLocal } from './definition';
import { read, Refused } from './reads';
import { BandList, Figure, Mark, unit, windowText } from './parts';
import { ask, page as shown, why, type Question } from './route';
import { byId, city, link, path, placeName, placesIn, rowByCode, scopeName, scopes, slowNow } from './store';
import { Quality, type Indicator } from './types';
import type { Item } from './wire';

/** Events per page. */
const PAGE = 50;
/** Events kept in the drawer at once: who wants more asks the interface. */
const KEPT = 2_000;

interface Answer { key: string; state: 'loading' | 'ready' | 'error'; error: string; got: Explained | null; more: boolean }
const BLANK: Answer = { key: '', state: 'loading', error: '', got: null, more: false };
const answer = signal<Answer>(BLANK);
/** Entities of registers, asked for when they are opened: there may be thousands, and events matter first. */
const facts = signal<{ list: Behind[]; next: string; busy: boolean }>({ list: [], next: '', busy: false });
/** Only what this parameter rests on; '' = all. */
const only = signal('');
const copied = signal<'' | 'done' | 'hand'>('');

const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));

async function page(q: Question, after: string): Promise<Explained> {
  const query = new URLSearchParams({ scope: q.scope, limit: String(PAGE) });
  if (after) query.set('after', after);
  if (only.peek()) query.set('parameter', only.peek());
  return explainedOf(await read<Item>(`/api/v1/indicators/${encodeURIComponent(q.id)}/explain?${query}`));
}

const keyOf = (q: Question): string => `${q.id}\n${q.scope}\n${only.peek()}`;

/** How often a server that is busy is asked again by itself, and the longest wait between. */
const TRIES = 5;
const LONGEST_MS = 5_000;

/** Ask the server; of several questions only the newest is answered here. One that asks for patience is asked again. */
async function load(q: Question, tried = 0): Promise<void> {
  const key = keyOf(q);
  const { got: old } = answer.peek();
  answer.value = { ...BLANK, key, got: old?.id === q.id ? old : null };
  facts.value = { list: [], next: '', busy: false };
  try {
    const got = await page(q, 'events');
    if (answer.peek().key === key) answer.value = { ...BLANK, key, state: 'ready', got };
  } catch (error) {
    if (answer.peek().key !== key) return;
    if (error instanceof Refused && error.wait >= 0 && tried < TRIES) {
      answer.value = { ...answer.peek(), error: error.message };
      window.setTimeout(() => { if (why.peek()?.at.id === q.id && answer.peek().key === key) void load(q, tried + 1); }, Math.min(LONGEST_MS, error.wait));
    } else answer.value = { ...BLANK, key, state: 'error', error: words(error) };
  }
}

async function loadMore(q: Question): Promise<void> {
  const { key, got } = answer.peek();
  if (!got?.next) return;
  answer.value = { ...answer.peek(), more: true, error: '' };
  try {
    const found = await page(q, got.next);
    if (answer.peek().key === key) answer.value = { ...answer.peek(), got: { ...got, events: joined(got.events, found.events), next: found.next }, more: false };
  } catch (error) {
    if (answer.peek().key === key) answer.value = { ...answer.peek(), more: false, error: words(error) };
  }
}

/** The next page of entities; they come before the events. */
async function loadFacts(q: Question): Promise<void> {
  const { key } = answer.peek();
  const { list, next, busy } = facts.peek();
  if (busy || (list.length > 0 && !next)) return;
  facts.value = { list, next, busy: true };
  try {
    const found = await page(q, next);
    if (answer.peek().key === key) facts.value = { list: joined(list, found.entities), next: found.events.length ? '' : found.next, busy: false };
  } catch (error) {
    if (answer.peek().key !== key) return;
    facts.value = { list, next, busy: false };
    answer.value = { ...answer.peek(), error: words(error) };
  }
}

/** Put the link to this answer on the clipboard; where the browser forbids it, show it to be copied by hand. */
async function copy(q: Question): Promise<void> {
  const link = location.origin + addressOf(shown.peek(), q.id, q.scope);
  try {
    await navigator.clipboard.writeText(link);
    copied.value = 'done';
  } catch {
    copied.value = 'hand';
  }
}

export function Code({ source }: { source: string }): JSX.Element {
  return <pre class="code" tabIndex={0}>{pieces(source).map((p, i) => (p.tone ? <span key={i} class={`c-${p.tone}`}>{p.text}</span> : p.text))}</pre>;
}

/** The places one may ask about from here: up to the city, and one level down. */
function Places({ q, ind }: { q: Question; ind: Indicator | undefined }): JSX.Element {
  const row = rowByCode.value.get(q.scope) ?? -1;
  const up = path(Math.max(0, row));
  const name = (r: number): string => scopeName(r, lang.value);
  const go = (r: number): void => { const code = scopes.value.code[r]; if (code) why.value = { at: { id: q.id, scope: code }, trail: why.peek()?.trail ?? [] }; };
  return (
    <select class="place" aria-label={t('why.place')} value={String(row)} onChange={(e) => go(Number(e.currentTarget.value))} data-testid="why-place">
      {up.map((r) => <option key={r} value={String(r)}>{name(r)}</option>)}
      {ind && placesIn(Math.max(0, row)).map((r) => <option key={r} value={String(r)}>{'\u00a0\u00a0'}{name(r)}</option>)}
    </select>
  );
}

function Head({ q, ind }: { q: Question; ind: Indicator | undefined }): JSX.Element {
  const trail = why.value?.trail ?? [];
  return (
    <>
      <div class="top"><h2>{t('why.title')}</h2>
        <button class="btn" onClick={() => void copy(q)} data-testid="why-copy">{t(copied.value === 'done' ? 'why.copied' : 'why.copy')}</button>
        <button class="x" aria-label={t('pop.close')} onClick={() => (why.value = null)}>✕</button></div>
      {copied.value === 'hand' && <input class="byhand" readOnly value={location.origin + addressOf(shown.value, q.id, q.scope)} aria-label={t('why.copy')} onFocus={(e) => e.currentTarget.select()} ref={(el) => el?.focus()} />}
      {trail.length > 0 && (
        <nav class="trail s" aria-label={t('why.trail')}>
          {trail.map((back, i) => [<button key={i} onClick={() => ask(back.id, back.scope, trail.slice(0, i))}>{say(byId.value.get(back.id)?.name) || back.id}</button>, <i key={`s${i}`} class="d">›</i>])}
          <b class="el">{ind ? say(ind.name) : q.id}</b>
        </nav>
      )}
      <div class="who"><b class="el">{ind ? say(ind.name) : q.id}</b><Places q={q} ind={ind} /></div>
    </>
  );
}

/** `03:21:16 – 03:26:16`, or the kind of window where it has no bounds. */
function bounds(got: Explained, ind: Indicator): string {
  const tz = city.value.timezone;
  const { from, to, text } = got.window;
  if (!Number.isFinite(to)) return windowText(text || ind.window);
  return `${Number.isFinite(from) ? stamp(from, to, tz) : '…'} – ${hms(to, tz)}`;
}

/** The number with its quality in words, n of m inputs, and the bounds of its window. */
function Value({ got, ind }: { got: Explained; ind: Indicator }): JSX.Element {
  const tz = city.value.timezone;
  const differs = Number.isFinite(got.computed) && num(got.computed, ind.decimals) !== num(got.value, ind.decimals);
  return (
    <>
      <div class="val">
        <span class={`v${got.level ? ' ab' : ''}`} data-testid="why-value"><Figure value={got.value} ind={ind} /></span><Mark level={got.level} />
        <dl class="s">
          <div><dt>{t('why.quality')}</dt><dd data-testid="why-quality">{t(`quality.${got.quality as 0}`)}{got.expected > 0 && ` · ${t('why.inputs', num(got.fresh, 0), num(got.expected, 0))}`}</dd></div>
          <div><dt>{t('why.window')}</dt><dd>{bounds(got, ind)}</dd></div>
          <div><dt>{t('why.asof')}</dt><dd>{hms(got.at || slowNow.value, tz)}</dd></div>
        </dl>
      </div>
      {Number.isFinite(got.closed) && <p class="s d">{t('ind.closed', `${num(got.closed, ind.decimals)} ${unit(ind.unit)}`)}</p>}
      {differs && <p class="s d">{t(got.quality >= Quality.NODATA ? 'why.blanked' : 'why.computed', num(got.computed, ind.decimals))}</p>}
      {got.notes.map((note) => <p class="s" key={note} role="note">{note}</p>)}
    </>
  );
}

/** A part that is another indicator: open it to go down. */
function Read({ p, down }: { p: Part; down: () => void }): JSX.Element {
  const other = byId.value.get(p.reads);
  return (
    <button class="pt in" onClick={down}>
      <span class="el"><b>{say(other?.name) || p.reads}</b> {p.quality > 0 && <i class="tag">{t(`quality.${p.quality as 0}`)}</i>}</span>
      <span class="pv">{other ? num(p.value, other.decimals) : plain(p.value)} <span class="u">{other ? unit(other.unit) : ''}</span></span><span class="s d r">{t('why.down')} ›</span>
    </button>
  );
}

/** A declaration; a long one shows its first lines until it is clicked. */
function Long({ text }: { text: string }): JSX.Element {
  const open = useSignal(false);
  if (text.length < 160) return <span class="s d tx">{text}</span>;
  return <button class={`s d tx${open.value ? '' : ' cl2'}`} aria-expanded={open.value} onClick={() => (open.value = !open.value)}>{text}</button>;
}

function Parts({ got, q }: { got: Explained; q: Question }): JSX.Element {
  if (got.parts.length === 0) return <p class="s d">{t('why.noParts')}</p>;
  const counted = (p: Part): string => [p.events > 0 ? t('why.count', num(p.events, 0)) : '', p.rows > 0 && p.rows !== p.events ? t('why.rows', num(p.rows, 0)) : ''].filter(Boolean).join(' · ');
  return (
    <div class="parts" data-testid="why-parts">
      {got.parts.map((p) => (p.reads ? <Read key={p.name} p={p} down={() => ask(p.reads, q.scope, [...(why.peek()?.trail ?? []), q])} /> : (
        <div class="pt" key={p.name}><span class="el"><b>{p.name}</b> <span class="m">{word('agg', p.kind)}</span></span><span class="pv">{plain(p.value)}</span><span class="s d r">{counted(p)}</span><Long text={p.text} /></div>
      )))}
    </div>
  );
}

function Filter({ got }: { got: Explained }): JSX.Element | null {
  const names = got.parts.filter((p) => !p.reads).map((p) => p.name);
  if (names.length < 2) return null;
  return (
    <div class="chips" role="group" aria-label={t('why.only')}>
      {['', ...names].map((name) => <button key={name} class="chip" aria-pressed={only.value === name} onClick={() => (only.value = name)}>{name || t('why.all')}</button>)}
    </div>
  );
}

/** Where an event happened: district and street, else the code. */
function place(code: string): string {
  const row = rowByCode.value.get(code);
  return row === undefined ? code : placeName(row, lang.value) || code;
}

/** An event, or an entity of a register, with what it gives to which parameter. */
function BehindRow({ e }: { e: Behind }): JSX.Element {
  const said = e.fields.map(([k, v]) => `${k} ${isTime(v) ? stamp(Number(v), slowNow.value, city.value.timezone) : v}`).join(' · ');
  const entity = !Number.isFinite(e.at);
  return (
    <tr>
      <td class="nw d">{entity ? t('lab.table') : stamp(e.at, slowNow.value, city.value.timezone)}</td>
      <td><span class="el" title={`${e.type} ${e.subject}`}>{word(entity ? 'kind' : 'event', e.type)} <span class="d">{e.subject}</span></span><span class="el s d" title={said}>{[place(e.scope), said].filter(Boolean).join(' · ')}</span></td>
      <td class="r">{e.gives.length === 0 && <span class="d s">{t('why.read')}</span>}{e.gives.slice(0, 3).map(([k, v]) => <span key={k} class="gv"><b>{v}</b> <span class="s d">{k}</span></span>)}{e.gives.length > 3 && <span class="s d">{t('strip.more', e.gives.length - 3)}</span>}</td>
    </tr>
  );
}

function Table({ list, adds, id }: { list: Behind[]; adds: boolean; id: string }): JSX.Element {
  return (
    <table class={`evs${adds ? '' : ' fact'}`} data-testid={id}>
      <thead><tr><th>{t('why.time')}</th><th>{t(adds ? 'why.event' : 'why.entity')}</th><th class="r">{t('why.adds')}</th></tr></thead>
      <tbody>{list.map((e) => <BehindRow key={e.key} e={e} />)}</tbody>
    </table>
  );
}

function Events({ got, q }: { got: Explained; q: Question }): JSX.Element {
  const { more, error, state } = answer.value;
  const none = got.parts.some((p) => p.reads) ? 'why.noEventsParts' : got.entitiesTotal > 0 ? 'why.noEventsFacts' : 'why.noEvents';
  return (
    <>
      <h3>{t('why.events')} <span class="e">{t('why.shown', num(got.events.length, 0), num(got.eventsTotal, 0))}</span></h3>
      <Filter got={got} />
      {got.events.length === 0 ? <p class="s d">{t(state === 'loading' ? 'why.loading' : none)}</p> : <Table list={got.events} adds id="why-events" />}
      {got.next && got.events.length < KEPT && <button class="btn more" disabled={more} onClick={() => void loadMore(q)} data-testid="why-more">{t(more ? 'why.loading' : 'why.more')}</button>}
      {got.next && got.events.length >= KEPT && <p class="s d">{t('why.most', num(KEPT, 0))}</p>}
      {error && state === 'ready' && <p class="s" role="alert">{t('why.error', error)}</p>}
    </>
  );
}

/** Entities of registers whose attributes were read, closed until somebody wants them. */
function Facts({ got, q }: { got: Explained; q: Question }): JSX.Element | null {
  const { list, next, busy } = facts.value;
  if (got.entitiesTotal === 0) return null;
  return (
    <details class="facts2" key={`${q.scope}${only.value}`} onToggle={(e) => { if (e.currentTarget.open && facts.peek().list.length === 0) void loadFacts(q); }} data-testid="why-facts">
      <summary>{t('why.facts')} <span class="e">{list.length > 0 ? t('why.shown', num(list.length, 0), num(got.entitiesTotal, 0)) : num(got.entitiesTotal, 0)}</span></summary>
      {list.length > 0 && <Table list={list} adds={false} id="why-entities" />}
      {busy && <p class="s d">{t('why.loading')}</p>}
      {next && !busy && list.length < KEPT && <button class="btn more" onClick={() => void loadFacts(q)}>{t('why.more')}</button>}
      {next && list.length >= KEPT && <p class="s d">{t('why.most', num(KEPT, 0))}</p>}
    </details>
  );
}

function Limits({ got, ind }: { got: Explained; ind: Indicator }): JSX.Element {
  const held = got.threshold;
  const local = held ? held.status === 'L' : isLocal(ind, slowNow.value);
  return (
    <div class="kv s">
      <span>{t('ind.bands')}</span><BandList ind={ind} bands={got.bands} />
      {got.of && Number.isFinite(got.scale) && <><span>{got.of}</span><span>{plain(got.scale)}</span></>}
      <span>{t('ind.source')}</span><span>{held?.source || ind.source || '—'} {local && <i class="tag dot">{t('lab.local')}</i>}</span>
      {held?.edition && <><span>{t('lab.edition')}</span><span>{held.edition}</span></>}
    </div>
  );
}

function Answered({ got, ind, q }: { got: Explained; ind: Indicator; q: Question }): JSX.Element {
  return (
    <>
      <Value got={got} ind={ind} />
      <h3>{t('ind.formula')}</h3>
      {say(ind.meaning) && <p class="m">{say(ind.meaning)}</p>}
      {got.formula && <p class="m">{got.formula}</p>}
      {(got.code || ind.code) && <Code source={bodyOf(got.code || ind.code)} />}
      <h3>{t('why.parts')}</h3>
      <Parts got={got} q={q} />
      <h3>{t('lab.thresholds')}</h3>
      <Limits got={got} ind={ind} />
      <Events got={got} q={q} />
      <Facts got={got} q={q} />
    </>
  );
}

function Drawer({ q }: { q: Question }): JSX.Element {
  const ind = byId.value.get(q.id);
  const live = link.value.state === 'live';
  const filter = only.value;
  useEffect(() => { only.value = ''; copied.value = ''; }, [q.id]);
  useEffect(() => { copied.value = ''; if (live && ind) void load(q); }, [q.id, q.scope, filter, live, ind?.hash]);
  const { state, error, got } = answer.value;
  const mine = got && got.id === q.id ? got : null;
  return (
    <section class="why" role="dialog" aria-label={t('why.title')} data-testid="why">
      <Head q={q} ind={ind} />
      <div class="body" tabIndex={0}>
        {!ind && <p class="d">{live ? t('lab.unknown', q.id) : t('banner.start')}</p>}
        {ind && state === 'loading' && !mine && <p class="d">{t('why.loading')}{error && <span class="blk">{t('why.busy', error)}</span>}</p>}
        {ind && state === 'error' && <p role="alert">{t('why.error', error)} <button class="btn" onClick={() => void load(q)}>{t('why.again')}</button></p>}
        {ind && mine && state !== 'error' && <Answered got={mine} ind={ind} q={q} />}
      </div>
    </section>
  );
}

/** The drawer, while something is asked. */
export function Why(): JSX.Element | null {
  const asked = why.value;
  return asked ? <Drawer q={asked.at} /> : null;
}
