/** The centre: map, its title, tools, legend, inset and scale. Signals in, CityMap calls out. */

import { computed, effect, signal, untracked } from '@preact/signals';
import type { FeatureCollection } from 'geojson';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { toggle } from '../actions';
import { open } from '../dispatch/alarms';
import { allAlarms, caseNow } from '../dispatch/store';
import { num } from '../format';
import { lang, say, t } from '../i18n';
import { show } from '../hook';
import { classOf, classOfLevel, edges, listed, ramp } from '../level';
import { wantMarks, wantValues } from '../link';
import { asOf, Icon, Mark, QualityTag, windowText, unit } from '../parts';
import { layer } from '../reads';
import { board, cases, casesRev, cellFor, chosen, chosenIndicator, drill, effective, entities, entitiesRev, flags, focus, frame, now, openCases, path, picked, rowOf, scopeName, scopes, theme } from '../store';
import { LEVELS, type Case, type Indicator, type Level } from '../types';
import { CityMap } from './citymap';
import { union, type Area, type Areas } from './geometry';
import { AREAS } from './style';
import { detach, view } from './view';

export const moved = signal(0);
const zoom = signal(9.5);
const loaded = signal(0);
const districts = signal<Area[]>([]);
let city: CityMap | null = null;
/** Whether another page draws on the map: then its values are a ground, and holes in it would be noise. */
let visited = false;

/** Finest level worth showing at a zoom, within what the indicator has. */
export function levelAt(z: number, ind: Pick<Indicator, 'levels' | 'theme'> | undefined, inside: number): number {
  // a score of small places is mostly noise: what is put together from everything is shown a level coarser
  const want = (z < 8.8 ? 1 : z < 9.9 ? 2 : z < 12.4 ? 3 : 4) - (ind?.theme === 'composite' && z >= 8.8 && inside < 2 ? 1 : 0);
  const finest = ind ? Math.max(...ind.levels.map((l) => LEVELS.indexOf(l))) : 1;
  return Math.max(1, Math.min(finest, Math.max(want, Math.min(4, inside + 1))));
}

/** From here on devices are shown and asked for. */
const NEAR = 10.8;
/** Coarsest level at which most cells of an indicator have a value, learned when a finer one turned out to be mostly empty. */
const filled = signal<ReadonlyMap<string, number>>(new Map());

/** The level to show: as fine as the zoom allows, but not one that is mostly holes, unless the reader went close. */
function shownLevel(): number {
  const ind = chosenIndicator.value;
  const inside = scopes.value.level[focus.value] ?? 0;
  const level = levelAt(zoom.value, ind, inside);
  return (zoom.value >= 12.4 && !visited) || !ind ? level : Math.max(Math.min(level, inside + 1), Math.min(level, filled.value.get(ind.id) ?? level));
}

/** Remember it when less than half of the cells of a level have a value. */
function learn(id: string, level: number, rows: Iterable<number>): void {
  let known = 0;
  let all = 0;
  for (const row of rows) {
    all += 1;
    if (Number.isFinite(board.value(id, row))) known += 1;
  }
  // only when it is news: who reads it here would else be called again without end
  if (known > 0 && known < all / 2 && level > 1 && (filled.peek().get(id) ?? 4) > level - 1) filled.value = new Map(filled.peek()).set(id, level - 1);
}

/** Ramp edges of the chosen indicator; without bands they follow the data of the districts. */
function cuts(ind: Indicator): number[] {
  return ramp(ind, scopes.value.children.get(0)?.map((r) => board.value(ind.id, r)) ?? []);
}

/** Map class of a scope: by the edges, or by the band that the engine gave it where edges differ from place to place. */
function classAt(ind: Indicator, row: number, cut: readonly number[]): number {
  if (!ind.of) return classOf(board.value(ind.id, row), cut, ind.better);
  const cell = board.cell(ind.id, row);
  return Number.isFinite(cell.value) ? classOfLevel(effective(ind, cell)) : -1;
}

async function loadAreas(map: CityMap, level: number): Promise<void> {
  const name = AREAS[level - 1];
  if (!name || map.areas.has(name)) return;
  const data = (await layer(name)) as Areas;
  if (map.areas.has(name) || city !== map) return;
  map.addAreas(name, data, scopes.value);
  if (name === 'districts') districts.value = data.features;
  loaded.value = loaded.peek() + 1;
}

async function loadAll(map: CityMap, small: boolean, guest?: Guest): Promise<void> {
  await loadAreas(map, 1);
  const whole = city === map && !guest?.placed() ? map.whole() : null;
  if (whole) map.fit(whole, small ? 16 : 40);
  for (const name of ['water', 'metro'] as const) await loadLayer(map, name);
  await loadAreas(map, 2);
  if (!guest?.plain) await loadAreas(map, 3);
  if (city !== map) return;
  if (focus.value === 0 && !small) map.home();
  for (const name of ['roads', 'buildings'] as const) await loadLayer(map, name);
}

/** A layer beside the areas; a map that was left meanwhile takes none. */
async function loadLayer(map: CityMap, name: 'water' | 'metro' | 'roads' | 'buildings'): Promise<void> {
  const data = (await layer(name)) as FeatureCollection;
  if (city === map) map.addLayer(name, data);
}

/** Colours and contours of what is shown; cheap when nothing changed. */
function paint(map: CityMap): void {
  const ind = chosenIndicator.value;
  const name = AREAS[shownLevel() - 1];
  if (!ind || !name) return;
  if (!map.areas.has(name)) { void loadAreas(map, shownLevel()); return; }
  map.show(name);
  learn(ind.id, shownLevel(), map.areas.get(name)?.keys() ?? []);
  const cut = cuts(ind);
  map.colour(name, (row) => classAt(ind, row, cut));
  map.contours(name, (row) => effective(ind, board.cell(ind.id, row)));
}

/** Changes every 10 s, so that cases turn overdue on the map by the clock alone. */
const slow = computed(() => Math.floor(now.value / 10_000));

/** Alarms of I and II that nobody has acknowledged and no case stands for: at the middle of their place. */
function alarmMarks(map: CityMap): Case[] {
  return allAlarms.value.filter((a) => open(a) && (a.priority === 1 || a.priority === 2) && !caseNow(a.case)).slice(0, 40).flatMap((a): Case[] => {
    const row = rowOf(a.scope);
    const at = row < 0 ? null : map.middle(path(row));
    return at ? [{ id: a.code, row: -1, category: '', title: a.title, stage: '', level: a.priority, scope: row, lon: at[0], lat: at[1], reported: a.since, due: NaN, closed: NaN }] : [];
  });
}

let placed = false;

/** A city without geometry is looked at where its cases are, once. */
function placeByCases(map: CityMap): void {
  if (placed || map.areas.get('districts')?.size !== 0) return;
  const spots = openCases.peek().filter((c) => Number.isFinite(c.lon) && Number.isFinite(c.lat));
  if (!spots.length) return;
  placed = true;
  map.fit(union(spots.map((c) => [c.lon, c.lat, c.lon, c.lat])), 80);
}

/** A page that draws something of its own above the values: told when the map stands, it gives what ends it. */
export interface Guest {
  attach: (map: CityMap, scale: number) => () => void;
  /** Whether it has chosen what is looked at, so that the whole city is not. */
  placed: () => boolean;
  /** Whether places are enough: no values, and no areas below the streets. */
  plain?: boolean;
}

/** `small`: a map of values alone, without cases, devices and units. */
function wire(map: CityMap, small: boolean, guest?: Guest): () => void {
  const stops: (() => void)[] = small ? [] : [
    effect(() => { void casesRev.value; void slow.value; void loaded.value; map.setCases([...openCases.value, ...alarmMarks(map)], now.peek()); placeByCases(map); }),
    effect(() => { void entitiesRev.value; map.setEntities([...entities.values()], now.peek()); }),
    effect(() => map.visible(['entities'], flags.value.devices)),
    effect(() => { const on = flags.value.three; untracked(() => map.three(on)); }),
  ];
  if (!guest?.plain) stops.push(effect(() => { void frame.value; void loaded.value; void zoom.value; void focus.value; if (chosen.value) { wantValues(chosen.value, shownLevel()); paint(map); } }));
  stops.push(
    effect(() => map.language(lang.value)),
    effect(() => { void theme.value; queueMicrotask(() => { if (city === map) map.theme(); }); }),
    effect(() => map.visible(['district-names', 'street-names', 'station-names', 'water-names'], flags.value.labels)),
    effect(() => { void loaded.value; map.outline(picked.value?.type === 'scope' ? picked.value.row : focus.value || null); }),
  );
  if (guest) stops.push(guest.attach(map, parseFloat(getComputedStyle(document.documentElement).fontSize) / 16));
  let first = true;
  stops.push(effect(() => {
    const row = focus.value;
    if (first || guest) { first = false; return; }
    const box = map.boxes.get(row);
    if (row === 0) untracked(() => { if (small) view.whole(); else map.home(); });
    else if (box) untracked(() => map.fit(box, 60));
    else void loadAreas(map, scopes.peek().level[row] ?? 1).then(() => { const b = map.boxes.get(row); if (b && city === map) map.fit(b, 60); });
  }));
  return () => stops.forEach((stop) => stop());
}

function attach(map: CityMap, small: boolean): void {
  view.home = () => map.home();
  view.whole = () => { const box = map.whole(); if (box) map.fit(box, small ? 16 : 40); };
  view.scope = (row) => { const box = map.boxes.get(row); if (box) map.fit(box, 60); };
  view.fly = (lon, lat, z = 13) => { map.map.flyTo({ center: [lon, lat], zoom: Math.max(z, map.map.getZoom()), duration: matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 600 }); };
  view.project = (lon, lat) => map.map.project([lon, lat]);
}

/** The map's own box; made once. */
function Canvas({ small, guest }: { small: boolean; guest?: Guest | undefined }): JSX.Element {
  const node = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!node.current) return undefined;
    let stop = (): void => undefined;
    const map = new CityMap(node.current, {
      pick: (what) => { if (guest) return; if (!small) picked.value = what?.type === 'case' && !cases.has(what.id) ? null : what; else if (what?.type === 'scope') drill(what.row); },
      drill: (row) => { if (!guest) drill(row); },
      still: (box) => wantMarks(!small && map.map.getZoom() > NEAR ? box : null),
      moved: () => { moved.value = moved.peek() + 1; const z = Math.round(map.map.getZoom() * 10) / 10; if (z !== zoom.peek()) zoom.value = z; },
      ready: () => { stop = wire(map, small, guest); void loadAll(map, small, guest); },
    }, t('map.aria'));
    city = map;
    visited = guest !== undefined;
    show(map.map);
    attach(map, small);
    return () => { stop(); wantMarks(null); city = null; detach(); map.map.remove(); };
  }, []);
  return <div class="map" ref={node} data-testid="map" />;
}

/** Whether the cells below the districts are made up: then every level that is put together from them is, too. */
const madeUp = computed(() => scopes.value.synthetic.some((s, row) => s && scopes.value.level[row] === 4));

function Title({ ind }: { ind: Indicator }): JSX.Element {
  void frame.value;
  const cell = cellFor(ind, focus.value);
  const level = shownLevel();
  const name = t(`scope.${LEVELS[level] ?? 'district'}`);
  return (
    <div class="ov mt" data-testid="maptitle">
      <div class="t el">{say(ind.name)} <span class="u" style={{ fontSize: '1rem' }}>{unit(ind.unit)}</span></div>
      <div class="s d">{scopeName(cell.row, lang.value)} <b style={{ color: 'var(--text)' }}>{num(cell.value, ind.decimals)}</b><Mark level={effective(ind, cell)} size={0.75} />{asOf(cell, ind)}<QualityTag cell={cell} ind={ind} /><span>{windowText(ind.window)}</span><span>· {t(level > 1 && madeUp.value ? 'map.synthetic' : 'map.real', name)}</span></div>
    </div>
  );
}

function Tools({ small }: { small: boolean }): JSX.Element {
  const f = flags.value;
  if (small) return <div class="ov tb" role="toolbar" aria-label={t('map.aria')}><button class="in" onClick={() => { drill(0); view.whole(); }}><Icon name="city" size={0.9375} />{t('map.city')}</button></div>;
  return (
    <div class="ov tb" role="toolbar" aria-label={t('map.aria')}>
      <button class="in" onClick={() => view.home()}><Icon name="home" size={0.9375} />{t('map.home')}</button>
      <button class="in" onClick={() => view.whole()}><Icon name="city" size={0.9375} />{t('map.city')}</button>
      <button class="in" aria-pressed={f.three} onClick={() => toggle('three')}><Icon name="cube" size={0.9375} />{t('map.3d')}</button>
      <button class="in" aria-pressed={f.devices} onClick={() => toggle('devices')}><Icon name="device" size={0.9375} />{t('map.devices')}</button>
      <button class="in" aria-pressed={f.labels} onClick={() => toggle('labels')}><Icon name="label" size={0.9375} />{t('map.labels')}</button>
    </div>
  );
}

/** What stands under the ramp: its edges with the levels among them; shares where bands are relative, at the class of each level. */
function ticks(ind: Indicator): { at: number; text: string; level: Level }[] {
  if (ind.of) return listed(ind.bands).map(({ edge, level }) => ({ at: classOfLevel(level), text: `${num(edge * 100, 0)} %`, level }));
  const text = (v: number): string => num(v, Math.min(ind.decimals, Number.isInteger(v) ? 0 : 2));
  const marks = edges(ind);
  return cuts(ind).map((v, i) => ({ at: i + 1, text: text(v), level: marks.find((e) => e.edge === v)?.level ?? 0 }));
}

/** The ramp with its edges; without bands they follow the data. */
export function Legend({ ind, small = false }: { ind: Indicator; small?: boolean }): JSX.Element {
  void frame.value;
  return (
    <div class={small ? 'leg flat' : 'ov leg'} data-testid="legend">
      <div class="s m" style={{ display: 'flex', justifyContent: 'space-between', gap: '.5rem' }}><span class="el">{say(ind.name)} {unit(ind.unit)}</span><span class="d nw"><span class="hatch" style={{ width: '1.25rem', height: '.625rem', border: 'var(--hair) solid var(--m-hatch)' }} /> {t('map.nodata')}</span></div>
      <div class="ramp" style={{ gridTemplateColumns: 'repeat(6,1fr)' }}>{[0, 1, 2, 3, 4, 5].map((i) => <i key={i} style={{ background: `var(--m${i})` }} />)}</div>
      <div class="rl">
        {ticks(ind).map(({ at, text, level }) => [<span key={at} style={{ left: `${(at * 100) / 6}%` }}>{text}</span>, level > 0 && <span class="lm" key={`m${at}`} style={{ left: `${(at * 100) / 6}%` }}><Mark level={level} size={0.75} /></span>])}
      </div>
      <div class="s d">{Object.keys(ind.bands).length > 0 && `${t('map.iso')} · `}{t(ind.better === 'none' ? (theme.value === 'dark' ? 'map.higher' : 'map.higherLight') : theme.value === 'dark' ? 'map.worse' : 'map.worseLight')}</div>
      {small ? <div class="s d">© OpenStreetMap</div> : <div class="s d marks">
        <span><svg viewBox="0 0 12 12" style={{ width: '.75rem', height: '.75rem' }} aria-hidden="true"><path d="M2 2h8v8H2z" fill="var(--text-3)" /></svg>{t('map.cases')}</span>
        <span><svg viewBox="0 0 12 12" style={{ width: '.75rem', height: '.75rem' }} aria-hidden="true"><path d="M0 0h12v12H0z" fill="var(--text)" /></svg>{t('map.late')}</span>
        <span><svg viewBox="0 0 12 12" style={{ width: '.625rem', height: '.625rem' }} aria-hidden="true"><circle cx="6" cy="6" r="4" fill="var(--text-2)" /></svg>{t('map.device')}</span>
        <span class="nw">© OpenStreetMap</span>
      </div>}
    </div>
  );
}

const INSET = { w: 160, h: 118 };

/** The whole city in small, with the part that the map shows. */
function Inset({ ind }: { ind: Indicator }): JSX.Element | null {
  void moved.value;
  void frame.value;
  const whole = city?.whole();
  if (!whole || !city) return null;
  const k = Math.cos(((whole[1] + whole[3]) / 2) * (Math.PI / 180));
  const s = Math.min(INSET.w / ((whole[2] - whole[0]) * k), INSET.h / (whole[3] - whole[1]));
  const x = (lon: number): number => INSET.w / 2 + (lon - (whole[0] + whole[2]) / 2) * k * s;
  const y = (lat: number): number => INSET.h / 2 - (lat - (whole[1] + whole[3]) / 2) * s;
  const b = city.map.getBounds();
  const cut = cuts(ind);
  const [x0, x1] = [Math.max(0, x(b.getWest())), Math.min(INSET.w, x(b.getEast()))];
  const [y0, y1] = [Math.max(0, y(b.getNorth())), Math.min(INSET.h, y(b.getSouth()))];
  return (
    <div class="ov inset">
      <div class="s m" style={{ display: 'flex', justifyContent: 'space-between' }}><span>{scopeName(0, lang.value)}</span><span class="d">{t('map.districts', districts.value.length)}</span></div>
      <svg viewBox={`0 0 ${INSET.w} ${INSET.h}`} style={{ width: '10rem', height: '7.375rem' }} aria-hidden="true" onClick={() => view.whole()}>
        {districts.value.map((f) => {
          const row = f.properties.row;
          const c = classAt(ind, row, cut);
          return <path key={row} d={outlineOf(f, x, y)} style={{ fill: c < 0 ? 'var(--m0)' : `var(--m${c})`, stroke: 'var(--m-dist)', strokeWidth: 0.5 }} />;
        })}
        {x1 > x0 && y1 > y0 && <rect x={x0} y={y0} width={x1 - x0} height={y1 - y0} fill="none" stroke="var(--text)" stroke-width="1.2" />}
      </svg>
    </div>
  );
}

const outlines = new WeakMap<Area, string>();

/** A thinned path of a district for the inset, kept. */
function outlineOf(f: Area, x: (lon: number) => number, y: (lat: number) => number): string {
  const kept = outlines.get(f);
  if (kept !== undefined) return kept;
  const rings = f.geometry.type === 'Polygon' ? [f.geometry.coordinates] : f.geometry.coordinates;
  const path = rings.map((r) => {
    let last = '';
    const points = (r[0] ?? []).flatMap(([lon = 0, lat = 0]) => {
      const p = `${x(lon).toFixed(1)},${y(lat).toFixed(1)}`;
      if (p === last) return [];
      last = p;
      return [p];
    });
    return points.length > 3 ? `M${points.join('L')}z` : '';
  }).join('');
  outlines.set(f, path);
  return path;
}

/** A bar of a round length at the middle of the map. */
function Scale(): JSX.Element | null {
  void moved.value;
  if (!city) return null;
  const metres = (40_075_016.7 * Math.cos((city.map.getCenter().lat * Math.PI) / 180)) / 2 ** (city.map.getZoom() + 9);
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const most = metres * 6 * rem;
  const unitSize = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].map((k) => k * unitSize).find((l) => l <= most) ?? unitSize;
  return <div class="ov scale" style={{ width: `${length / metres}px` }} aria-hidden="true"><span>{length >= 1000 ? `${length / 1000} km` : `${length} m`}</span></div>;
}

/** The map; `small` is one of values alone that a column holds, its legend stands below it; a guest draws on such a one. */
export function MapBox({ children, small = false, guest }: { children?: ComponentChildren; small?: boolean; guest?: Guest }): JSX.Element {
  const ind = chosenIndicator.value;
  void loaded.value;
  return (
    <div class="mapbox">
      <Canvas small={small} guest={guest} />
      {ind && !small && <Title ind={ind} />}
      {!guest && <Tools small={small} />}
      {ind && !small && <Legend ind={ind} />}
      {ind && !small && <Inset ind={ind} />}
      <Scale />
      {children}
    </div>
  );
}
