/** The map of the desk: the case, others near it, units that may come, rings of distance, over the values of the wall. */

import { effect, untracked } from '@preact/signals';
import type { MapLayerMouseEvent, MapLayerTouchEvent, MapMouseEvent, MapTouchEvent } from 'maplibre-gl';
import type { JSX } from 'preact';
import { hm } from '../format';
import { say, t } from '../i18n';
import { edges } from '../level';
import type { CityMap } from '../map/citymap';
import { MapBox, type Guest } from '../map/map';
import { EMPTY, Overlay, turn, type Scene, type Spot } from '../map/overlay';
import { Mark } from '../parts';
import { cellFor, chosenIndicator, frame, path, rowOf, scopeName, theme } from '../store';
import { lang } from '../i18n';
import { candidates } from './act';
import { open, titled } from './alarms';
import type { Alarm } from './nouns';
import { brief } from './grammar';
import { recentre } from './keys';
import { middle, pin, pinning, rounded, sought, under } from './pin';
import { apart, metres, span } from './queue';
import { allAlarms, caseNow, file, queue, select, selected, unitNow, fleet } from './store';

/** Name of the pin among the marks: no case has it. */
const PIN = '\u0000pin';
const FENCE_M = 200;
const RINGS_M = [500, 1000, 1500];
const ZOOM = 14.05;

/** Units so far from the case are shown though nobody asked for them. */
const NEAR_M = 3_000;
/** About ten metres: a unit that stands is not drawn anew. */
const round = (degrees: number): number => Math.round(degrees * 1e4) / 1e4;

const placed = (x: { lon: number; lat: number } | undefined): boolean => x !== undefined && Number.isFinite(x.lon) && Number.isFinite(x.lat);

/** Cases as marks: the chosen one last, so that it lies on top; those that may be the same with how far they are. */
function spots(): Spot[] {
  const at = file.value;
  const near = new Map(at?.duplicates.map((d) => [d.code, d]));
  const out = queue.value.filter((c) => placed(c) && c.code !== at?.code).map((c): Spot => {
    const d = near.get(c.code);
    return { id: c.code, lon: c.lon, lat: c.lat, icon: `lv${c.level}`, label: '', below: d ? t('map.maybe', brief(c.code), metres(d.distance)) : '' };
  });
  if (at && placed(at)) out.push({ id: at.code, lon: at.lon, lat: at.lat, icon: `lv${at.level}`, label: brief(at.code), loud: true });
  return out;
}

/** Alarms of I and II that no case stands for yet, at the middle of their place: one mark for a place, of the worst, with how many more. */
function alarmSpots(map: CityMap): Spot[] {
  const known = new Set(queue.value.map((c) => c.code));
  const places = new Map<number, Alarm[]>();
  for (const a of allAlarms.value) {
    const row = rowOf(a.scope);
    if (row >= 0 && open(a) && (a.priority === 1 || a.priority === 2) && !known.has(a.case)) places.set(row, [...(places.get(row) ?? []), a]);
  }
  const spots = [...places].flatMap(([row, list]): Spot[] => {
    const [worst, ...more] = [...list].sort((a, b) => a.priority - b.priority || b.since - a.since);
    const at = map.middle(path(row));
    return at && worst ? [{ id: worst.case || worst.code, lon: at[0], lat: at[1], icon: `lv${worst.priority}`, label: [say(titled(worst)), more.length ? `+${more.length}` : ''].join(' ').trim(), rank: worst.priority }] : [];
  });
  return spots.sort((a, b) => (a.rank ?? 0) - (b.rank ?? 0)).slice(0, 40).reverse(); // the worst lie on top
}

/** Units that may come, with their time; arrows point to the case. */
function arrows(): { units: Spot[]; routes: Scene['routes'] } {
  const at = file.value;
  const units: Spot[] = [];
  const routes: Scene['routes'] = [];
  const asked = new Map(candidates.value.slice(0, 9).map((c) => [c.unit, c]));
  const sent = new Map(at?.units.map((u) => [u.unit, u]));
  for (const u of fleet.value) {
    if (!placed(u) || u.state === 'off') continue;
    const c = asked.get(u.code);
    const to = at && placed(at) && (c || sent.has(u.code));
    if (!to && !(at && placed(at) && apart(u.lon, u.lat, at.lon, at.lat) < NEAR_M)) continue; // hundreds that move are laid out anew each second
    units.push({ id: u.code, lon: round(u.lon), lat: round(u.lat), icon: 'unit', label: c ? `${u.code}\n${span(c.eta)}` : u.code, rank: c ? 0 : 1, turn: to && at ? turn(u.lon, u.lat, at.lon, at.lat) : 0 });
  }
  const first = [...sent.keys()].map(unitNow).find((u) => u && placed(u) && u.state !== 'on_scene') ?? (sent.size ? undefined : unitNow(candidates.value.find((c) => c.feasible)?.unit ?? ''));
  if (at && first && placed(at) && placed(first)) routes.push([[round(first.lon), round(first.lat)], [at.lon, at.lat]]);
  return { units, routes };
}

/** The pin of the form for reports, on top of all. */
function pinSpots(): Spot[] {
  const at = pin.value;
  return pinning.value && at ? [{ id: PIN, lon: at.lon, lat: at.lat, icon: 'pin', label: '' }] : [];
}

function scene(map: CityMap): Scene {
  const at = file.value;
  return { ...EMPTY, spots: [...alarmSpots(map), ...spots(), ...pinSpots()], ...arrows(), centre: at && placed(at) ? [at.lon, at.lat] : null, fence: FENCE_M, rings: RINGS_M };
}

const calm = (): number => (matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 300);

/** Look at the case; asked again, at the case and those who may come. */
function aim(map: CityMap, wide: boolean): void {
  const at = file.peek() ?? caseNow(selected.peek());
  if (!at || !placed(at)) return;
  const near = candidates.peek().filter((c) => c.feasible).slice(0, 3).map((c) => unitNow(c.unit)).filter((u) => placed(u));
  if (!wide || near.length === 0) { map.map.easeTo({ center: [at.lon, at.lat], zoom: ZOOM, duration: calm() }); return; }
  const all = [at, ...near.flatMap((u) => (u ? [u] : []))];
  map.fit([Math.min(...all.map((p) => p.lon)), Math.min(...all.map((p) => p.lat)), Math.max(...all.map((p) => p.lon)), Math.max(...all.map((p) => p.lat))], 70);
}

/** The map is drawn after the lists: a key is answered first. At most so long after what changed, ms. */
const DRAW_MS = 80;
/** The map goes to a case when one stays at it for so long, ms: whoever walks down the queue is not held up by it. */
const STAY_MS = 150;

/** Do the same thing once, a while after it was last (`rest`) or first asked for. */
function soon(run: () => void, wait: number, rest: boolean): { ask: () => void; stop: () => void } {
  let timer = 0;
  const go = (): void => { timer = 0; run(); };
  return { ask: () => { if (timer && !rest) return; clearTimeout(timer); timer = window.setTimeout(go, wait); }, stop: () => clearTimeout(timer) };
}

/** All that a scene is made of; reading it is what makes it drawn anew. */
function watched(): void {
  void [lang.value, file.value, queue.value, allAlarms.value, candidates.value, fleet.value, pin.value, pinning.value];
}

/** While a report is taken the map sets the pin by a click and moves it as it is dragged. */
function pinned(map: CityMap): () => void {
  const gl = map.map;
  let held = false;
  const put = (to: { lng: number; lat: number }): void => { pin.value = rounded({ lon: to.lng, lat: to.lat }); };
  const grasp = (e: MapLayerMouseEvent | MapLayerTouchEvent): void => {
    if (!pinning.peek() || !e.features?.some((f) => f.properties.id === PIN)) return;
    e.preventDefault(); // or the map itself would be dragged
    held = true;
  };
  const move = (e: MapMouseEvent | MapTouchEvent): void => { if (held) put(e.lngLat); };
  const drop = (): void => { held = false; };
  gl.on('mousedown', 'desk-spots', grasp); gl.on('touchstart', 'desk-spots', grasp);
  gl.on('mousemove', move); gl.on('touchmove', move);
  gl.on('mouseup', drop); gl.on('touchend', drop);
  gl.on('click', (e) => { if (pinning.peek()) put(e.lngLat); });
  middle.of = () => { const c = gl.getCenter(); return rounded({ lon: c.lng, lat: c.lat }); };
  const stops = [
    effect(() => { const at = pin.value; under.value = at ? map.rowAt(at.lon, at.lat) : -1; }),
    effect(() => { if (sought.value > 0) { const at = pin.peek(); if (at) gl.easeTo({ center: [at.lon, at.lat], zoom: Math.max(gl.getZoom(), ZOOM), duration: calm() }); } }),
    () => { middle.of = () => null; },
  ];
  return () => stops.forEach((stop) => stop());
}

const guest: Guest = {
  placed: () => placed(file.peek() ?? undefined),
  attach: (map, scale) => {
    const overlay = new Overlay(map.map, scale);
    let wide = false;
    let seen = '';
    const drawing = soon(() => untracked(() => overlay.draw(scene(map))), DRAW_MS, false);
    const going = soon(() => {
      const code = file.peek() && placed(file.peek() ?? undefined) ? (file.peek()?.code ?? '') : '';
      if (code && code !== seen) { seen = code; wide = false; aim(map, false); }
    }, STAY_MS, true);
    map.map.on('click', 'desk-spots', (e) => { const code = String(e.features?.[0]?.properties.id ?? ''); if (caseNow(code) && !pinning.peek()) select(code); });
    map.map.on('mouseenter', 'desk-spots', () => { map.map.getCanvas().style.cursor = 'pointer'; });
    map.map.on('mouseleave', 'desk-spots', () => { map.map.getCanvas().style.cursor = ''; });
    const stops = [
      effect(() => { watched(); drawing.ask(); }),
      effect(() => { void theme.value; queueMicrotask(() => overlay.repaint()); }),
      effect(() => { if (file.value && placed(file.value)) going.ask(); }),
      drawing.stop, going.stop, pinned(map),
      effect(() => { if (recentre.value > 0) { wide = !wide; aim(map, wide); } }),
    ];
    return () => stops.forEach((stop) => stop());
  },
};

/** What is shown, in one line. */
function Caption(): JSX.Element {
  void frame.value;
  const ind = chosenIndicator.value;
  const at = file.value;
  const cell = ind && cellFor(ind, 0);
  return (
    <div class="mcap" data-testid="mapcap">
      {at && <><b>{brief(at.code)}</b> · {t('map.units', candidates.value.filter((c) => c.feasible).length)} · {t('map.same', at.duplicates.length)} · {t('map.fence', FENCE_M)} · </>}
      {ind && cell && <span class="d">{t('map.shade', say(ind.name) || scopeName(0, lang.value))} {cell.at > 0 ? hm(cell.at, 'UTC') && '' : ''}{edges(ind).slice(-2).map((e) => <span key={e.level} class="nw"> <Mark level={e.level} size={0.75} bare /> {e.edge}</span>)}</span>}
      <span class="d"> © OpenStreetMap</span>
    </div>
  );
}

export function DeskMap(): JSX.Element {
  return <MapBox small guest={guest}><Caption /></MapBox>;
}
