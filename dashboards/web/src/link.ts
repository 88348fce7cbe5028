/** The line to the server: one WebSocket with subscriptions and resume, and what is read when it stands. */

import { batch, signal } from '@preact/signals';
import { extend } from './board';
import { definitionOf } from './definition';
import { stamped } from './hook';
import { read, signIn, token } from './reads';
import { page } from './route';
import { board, casesRev, cases, chosen, city, clock, entities, entitiesRev, focus, frame, health, INDEX, indicators, isOpen, link, noteExceedances, path, rates, rowByCode, scopes, ticker, trends, unknown } from './store';
import { LEVELS, type City, type Indicator, type Trend } from './types';
import { caseOf, healthOf, mergeTwin, patchOf, ratesOf, tickerOf, withScopes, type Dictionary, type Item, type Payload, type Presence, type ServerMessage } from './wire';

interface Wanted { channel: string; filter: Record<string, unknown>; hz: number }

const SUBS = { base: 1, sys: 2, cases: 3, ticker: 4, chosen: 5, devices: 6, units: 7, path: 10, desk: 20 } as const;
const SILENT_MS = 2_500;
const wanted = new Map<number, Wanted>();
/** Last complete seq of each subscription in this epoch, for resume. */
const seqs = new Map<number, number>();
const open = new Set<number>();
let epoch = '';
let definitions = '';
let channels: string[] = [];
let socket: WebSocket | null = null;
let heard = 0;
let tries = 0;
let timer = 0;
/** What was last said of who looks at a case, and how often the line was made: see looking.ts. */
export const presence = signal<Presence | null>(null);
export const welcomed = signal(0);
export const tally = { gaps: 0, frames: 0, conflated: 0, reconnects: 0 };

function dictionary(d: Dictionary | undefined): void {
  if (!d) return;
  const s = scopes.peek();
  if (d.k.some((k, i) => s.code[k] !== d.code[i])) scopes.value = withScopes(s, d);
}

async function loadCity(): Promise<void> {
  const [about, inds, tree] = await Promise.all([
    read<City & { title: Record<string, string> }>('/api/v1/city'),
    read<{ items: Item[] }>('/api/v1/indicators'),
    read<{ scopes: Dictionary }>('/api/v1/scopes'),
  ]);
  batch(() => {
    city.value = { name: about.name, title: about.title, timezone: about.timezone, edition: about.edition };
    dictionary(tree.scopes);
    define(inds.items.map(definitionOf));
  });
}

/** Take over definitions; the past of what is counted otherwise now is asked for anew. */
function define(items: Indicator[]): void {
  const old = new Map(indicators.peek().map((i) => [i.id, i.hash]));
  const other = new Set(items.filter((i) => old.has(i.id) && old.get(i.id) !== i.hash).map((i) => i.id));
  const of = (key: string): string => key.slice(0, key.lastIndexOf('/'));
  if (other.size) {
    for (const key of asked.keys()) if (other.has(of(key))) asked.delete(key);
    trends.value = new Map([...trends.peek()].filter(([key]) => !other.has(of(key))));
  }
  indicators.value = items;
  if (items.some((i) => i.id === chosen.value)) return;
  unknown.value = chosen.value;
  chosen.value = firstChoice(items);
}

/** Read the definitions again: one of them was edited. */
export async function redefine(): Promise<void> {
  const { items } = await read<{ items: Item[] }>('/api/v1/indicators');
  batch(() => define(items.map(definitionOf)));
}

/** The city index where it has cells, else the indicator with the smallest ones. */
function firstChoice(items: Indicator[]): string {
  const index = items.find((i) => i.id === INDEX && i.levels.includes('street'));
  if (index) return index.id;
  const deep = (i: Indicator): number => Math.max(...i.levels.map((l) => LEVELS.indexOf(l)));
  return [...items].filter((i) => i.theme !== 'composite').sort((a, b) => deep(b) - deep(a))[0]?.id ?? items[0]?.id ?? '';
}

/** Dead letters by reason, as the store of dead letters counts them. */
async function loadDead(): Promise<void> {
  if (link.peek().state !== 'live' || page.peek() === 'dispatch' || page.peek() === 'unit') return; // nobody there sees to them
  try {
    const got = await read<{ total: number; by_reason: Record<string, number> }>('/api/v1/deadletters/summary');
    health.value = { ...health.peek(), deadTotal: got.total, dead: Object.entries(got.by_reason), summary: true };
  } catch {
    health.value = { ...health.peek(), summary: false }; // the engine's own counts stand in
  }
}

// ---- series --------------------------------------------------------------------------------------------------------

const DAY = 86_400_000;
const STEP = 15 * 60_000;
/** A series that could not be read is not asked for again before this: redraws come with every frame. */
const AGAIN_MS = 10_000;
const asked = new Map<string, number>();
const queue: (() => Promise<void>)[] = [];
let busy = 0;

function pump(): void {
  while (busy < 3) {
    const job = queue.shift();
    if (!job) return;
    busy += 1;
    void job().finally(() => { busy -= 1; pump(); });
  }
}

/** Ask for the last 24 hours of an indicator at a scope, once; live values are added to it. */
export function wantTrend(id: string, row: number): void {
  const key = `${id}/${row}`;
  const code = scopes.peek().code[row];
  if (asked.has(key) || !code || link.peek().state !== 'live') return;
  asked.set(key, clock.peek().server);
  queue.push(() => loadTrend(id, row, code, key));
  pump();
}

async function loadTrend(id: string, row: number, code: string, key: string): Promise<void> {
  const end = Math.ceil(clock.peek().server / STEP) * STEP;
  try {
    const { series } = await read<{ series: { t: number[]; v: (number | null)[] } }>(`/api/v1/indicators/${id}/values?scope=${encodeURIComponent(code)}&from=${end - DAY}&to=${end}&step=${STEP}`);
    const values = new Array<number>(DAY / STEP).fill(NaN);
    series.t.forEach((t, i) => {
      const at = values.length - 1 - Math.floor((end - t) / STEP);
      if (at >= 0 && at < values.length) values[at] = series.v[i] ?? NaN;
    });
    const now = board.cell(id, row);
    const made: Trend = { end, step: STEP, values };
    trends.value = new Map(trends.peek()).set(key, Number.isFinite(now.value) && now.quality < 3 ? extend(made, now.at || end, now.value) : made);
  } catch {
    window.setTimeout(() => asked.delete(key), AGAIN_MS); // the server is away or has no history of it: a later redraw asks again
  }
}

/** Live values onto the ends of the known series. */
function growTrends(at: number): void {
  const old = trends.peek();
  let next: Map<string, Trend> | null = null;
  for (const [key, trend] of old) {
    const cut = key.lastIndexOf('/');
    const cell = board.cell(key.slice(0, cut), Number(key.slice(cut + 1)));
    const value = cell.quality < 3 ? cell.value : NaN;
    const last = trend.values.at(-1);
    if (at <= trend.end && (Object.is(last, value) || !Number.isFinite(value))) continue;
    next ??= new Map(old);
    next.set(key, extend(trend, at, value));
  }
  if (next) trends.value = next;
}

// ---- subscriptions -------------------------------------------------------------------------------------------------

export function send(message: Record<string, unknown>): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function subscribe(id: number, w: Wanted): void {
  const seq = seqs.get(id);
  open.add(id);
  send({ type: 'sub', id, channel: w.channel, filter: w.filter, max_hz: w.hz, ...(seq !== undefined && epoch ? { resume: { epoch, seq } } : {}) });
}

/** Have a subscription with this filter; null ends it. Told to the server at once when the line stands. */
function want(id: number, channel: string, filter: Record<string, unknown> | null, hz = 5): void {
  const old = wanted.get(id);
  if (filter === null) {
    if (!old) return;
    wanted.delete(id);
    seqs.delete(id);
    if (open.delete(id)) send({ type: 'unsub', id });
    return;
  }
  if (old && JSON.stringify(old.filter) === JSON.stringify(filter)) return;
  const next = { channel, filter, hz };
  wanted.set(id, next);
  if (open.has(id)) send({ type: 'resub', id, filter });
  else if (ready()) subscribe(id, next);
}

const ready = (): boolean => socket?.readyState === WebSocket.OPEN && epoch !== '' && link.peek().state !== 'lost';

/** All values of an indicator at the level that the map shows. */
export function wantValues(id: string, level: number): void {
  want(SUBS.chosen, 'ind', { ids: [id], level: LEVELS[level] ?? 'district' }, 2);
}

/** Devices and units within a box; none when it is null. */
export function wantMarks(box: [number, number, number, number] | null): void {
  const round = box?.map((v, i) => Math.round((v + (i < 2 ? -0.02 : 0.02)) * 50) / 50);
  if (channels.includes('twin/device')) want(SUBS.devices, 'twin/device', round ? { bbox: round } : null, 1);
  if (channels.includes('twin/unit')) want(SUBS.units, 'twin/unit', {}, 1);
}

/** The focus and the places above it, so that cards can fall back on the nearest level that has a value. */
export function wantPath(): void {
  const line = path(focus.value);
  for (let level = 1; level <= 4; level++) {
    const row = line[level];
    const code = row === undefined ? undefined : scopes.peek().code[row];
    want(SUBS.path + level, 'ind', code ? { scope: code, depth: level === line.length - 1 && level < 4 ? 1 : 0 } : null);
  }
}

/** Who else wants the rows of a channel; `drop`: codes that are no more. */
export interface Taker { take: (items: Item[]) => void; drop: (codes: string[]) => void; forget: () => void }
const takers = new Map<string, Taker>();

/** Hand the rows of a channel on, beside what this file does with them. */
export function listen(channel: string, taker: Taker): void {
  takers.set(channel, taker);
}

/** The channels of alarms and units, which not every server has; a handler has no alarms to see to. */
function wantDesk(): void {
  for (const [i, channel] of ['alarm', 'unit'].entries()) if (channels.includes(channel) && (channel === 'unit' || page.peek() !== 'unit')) want(SUBS.desk + i, channel, {});
}

// ---- messages ------------------------------------------------------------------------------------------------------

function payload(m: Payload): void {
  dictionary(m.scopes);
  if (m.values) for (const [id, columns] of Object.entries(m.values)) board.apply(id, patchOf(columns, m.t));
  if (m.twin) { mergeTwin(entities, m.channel.slice(5), m.twin); entitiesRev.value = entitiesRev.peek() + 1; }
  if (m.sys) {
    health.value = healthOf(m.sys, health.peek(), m.t);
    if (typeof m.sys.definitions === 'string' && definitions && m.sys.definitions !== definitions) {
      definitions = m.sys.definitions;
      redefine().catch(() => { definitions = 'unread'; }); // the next word about them reads them
    }
    rates.value = ratesOf(m.sys, rates.peek(), health.peek().rate, m.t);
  }
  if (m.items && m.channel === 'case') {
    for (const item of m.items) {
      if (typeof item.scope === 'string') item.scope = rowByCode.peek().get(item.scope) ?? 0;
      const made = caseOf(item, cases.get(String(item.code ?? item.id)));
      if (isOpen(made)) cases.set(made.id, made);
      else cases.delete(made.id);
    }
    casesRev.value = casesRev.peek() + 1;
  }
  if (m.items) takers.get(m.channel)?.take(m.items);
  if (m.items && m.channel === 'ticker') {
    const seen = new Set(ticker.peek().map((x) => x.seq));
    const fresh = m.items.map(tickerOf).filter((x) => !seen.has(x.seq));
    ticker.value = [...fresh, ...ticker.peek()].sort((a, b) => b.seq - a.seq).slice(0, 200);
  }
}

function forget(m: Payload): void {
  takers.get(m.channel)?.forget();
  if (m.channel === 'case') cases.clear();
  if (m.channel === 'ticker') ticker.value = [];
  if (m.channel.startsWith('twin/')) for (const [row, e] of entities) if (e.kind === m.channel.slice(5)) entities.delete(row);
}

function heardTime(now: number, lag: number): void {
  clock.value = { server: now, local: performance.now() };
  board.now = now;
  link.value = { state: 'live', lastData: now, lag, retryAt: 0 };
}

function renew(id: number): void {
  tally.gaps += 1;
  seqs.delete(id);
  send({ type: 'unsub', id });
  const w = wanted.get(id);
  if (w) subscribe(id, w);
}

function welcome(m: Extract<ServerMessage, { type: 'welcome' }>): void {
  if (epoch && epoch !== m.epoch) { seqs.clear(); board.clear(); trends.value = new Map(); asked.clear(); }
  epoch = m.epoch;
  channels = m.channels;
  tries = 0;
  open.clear();
  heardTime(m.now, 0);
  if (definitions !== m.definitions) { definitions = m.definitions; void loadCity(); }
  void loadDead();
  want(SUBS.sys, 'sys', {}, 1);
  want(SUBS.cases, 'case', {});
  wantDesk();
  if (page.peek() !== 'unit') { // a phone pays for what it is sent
    want(SUBS.base, 'ind', { depth: 1 });
    want(SUBS.ticker, 'ticker', {});
  }
  for (const [id, w] of wanted) if (!open.has(id)) subscribe(id, w);
  welcomed.value += 1;
}

function one(m: ServerMessage): boolean {
  switch (m.type) {
    case 'welcome':
      welcome(m);
      return true;
    case 'snap':
      if (m.mode !== 'diff' && m.part === 1) forget(m);
      if (m.drop_ids) takers.get(m.channel)?.drop(m.drop_ids);
      if (m.drop && m.channel.startsWith('twin/')) { for (const k of m.drop) entities.delete(k); entitiesRev.value = entitiesRev.peek() + 1; }
      payload(m);
      if (m.part === m.of) seqs.set(m.id, m.seq);
      return true;
    case 'live':
      seqs.set(m.id, m.seq);
      return false;
    case 'delta':
    case 'log':
      if (seqs.get(m.id) !== m.prev && wanted.has(m.id)) { renew(m.id); return false; }
      payload(m);
      seqs.set(m.id, m.seq);
      return true;
    case 'hb':
      heardTime(m.now, m.lag_ms);
      return false;
    case 'presence':
      presence.value = m;
      return false;
    case 'conflated':
      tally.conflated += m.n;
      return false;
    case 'error':
      if (m.id !== undefined && m.reason.startsWith('unknown')) { wanted.delete(m.id); open.delete(m.id); }
      return false;
    default:
      return false;
  }
}

/** One WebSocket frame: all its messages in one batch, so that map and cards change together. */
function take(text: string): void {
  const messages = JSON.parse(text) as ServerMessage[];
  heard = performance.now();
  batch(() => {
    let changed = false;
    let newest = 0;
    let seq = 0;
    for (const m of messages) {
      changed = one(m) || changed;
      if ('t' in m && m.t) newest = Math.max(newest, m.t);
      if (m.type === 'delta' && m.channel === 'ind') seq = m.seq;
    }
    if (newest > board.now) board.now = newest;
    if (!changed) return;
    tally.frames += 1;
    frame.value = frame.peek() + 1;
    growTrends(board.now);
    if (newest) noteExceedances(newest);
    if (seq) stamped(seq, newest);
  });
}

// ---- the line ------------------------------------------------------------------------------------------------------

function lost(): void {
  const old = socket;
  socket = null;
  presence.value = null;
  open.clear();
  if (old) { old.onclose = old.onmessage = old.onopen = null; old.close(); }
  tries += 1;
  tally.reconnects += 1;
  const wait = Math.min(4000, 250 * 2 ** Math.min(tries, 4)) * (0.8 + 0.4 * Math.random());
  const state = link.peek().lastData ? 'lost' : 'connecting';
  link.value = { ...link.peek(), state, retryAt: performance.now() + wait };
  clearTimeout(timer);
  timer = window.setTimeout(connect, wait);
}

/** Open the line; it reopens itself for ever. */
export function connect(): void {
  heard = performance.now();
  const made = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`, 'citytwin.v1+json');
  socket = made;
  made.onopen = () => made.send(JSON.stringify({ type: 'hello', id: 0, client: 'operator page', ...(token ? { token } : {}) }));
  made.onmessage = (event: MessageEvent<string>) => take(event.data);
  made.onclose = (event: CloseEvent) => { if (event.code === 4401) signIn(); if (socket === made) lost(); };
}

let checked = 0;

/**
 * Whether the line has been silent too long. A check that itself came late proves nothing: the page was busy, and what
 * was said in the meantime is still waiting to be heard.
 */
function silent(): boolean {
  const at = performance.now();
  const late = at - checked > 700;
  checked = at;
  if (!socket || late) return false;
  return at - heard > (socket.readyState === WebSocket.CONNECTING ? 10_000 : SILENT_MS);
}

/** Watch for silence: a line that says nothing is lost, whatever TCP thinks. */
export function watch(): void {
  window.setInterval(() => void loadDead(), 10_000);
  window.setInterval(() => { if (silent()) lost(); }, 250);
}
