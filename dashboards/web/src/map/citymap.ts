/** The map as an object: it is told what to show and says what was clicked. No signals in here but reading them. */

import type { Feature, FeatureCollection, Geometry } from 'geojson';
import { type GeoJSONSource, Map as GlMap, type MapMouseEvent, setWorkerUrl } from 'maplibre-gl';
import 'maplibre-gl/dist/maplibre-gl.css';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import type { Case, Entity, Level, Scopes } from '../types';
import { borders, boxOf, labelPoint, union, within, type Area, type Areas, type Border, type Box } from './geometry';
import { images } from './icons';
import { AREAS, nameOf, palette, repaint, style, type AreaLayer, type Palette } from './style';

setWorkerUrl(workerUrl);

export type Picked = { type: 'scope' | 'entity'; row: number } | { type: 'case'; id: string };

export interface Listener {
  pick: (what: Picked | null) => void;
  drill: (row: number) => void;
  moved: () => void;
  still: (box: Box) => void;
  ready: () => void;
}

/** A device whose newest reading is older is drawn hollow. */
const QUIET_MS = 3 * 3_600_000;

const NO_FEATURES: FeatureCollection = { type: 'FeatureCollection', features: [] };

function point(lon: number, lat: number, properties: Record<string, unknown>): Feature {
  return { type: 'Feature', geometry: { type: 'Point', coordinates: [lon, lat] }, properties };
}

export class CityMap {
  readonly map: GlMap;
  readonly areas = new Map<AreaLayer, Map<number, Area>>();
  readonly boxes = new Map<number, Box>();
  private readonly classes = new Map<AreaLayer, Map<number, number>>();
  private readonly lines = new Map<AreaLayer, Border[]>();
  private readonly marks = new Map<string, string>();
  private homeBox: Box | null = null;
  private colours: Palette;
  private readonly scale: number;
  private isoKey = '';
  private voidKey = '';
  private shown: AreaLayer | null = null;
  ready = false;

  constructor(node: HTMLElement, private readonly listener: Listener, title: string) {
    this.scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
    this.colours = palette();
    this.map = new GlMap({
      container: node, style: style(this.colours, this.scale), center: [114.3, 30.58], zoom: 9.5, attributionControl: false,
      doubleClickZoom: false, maxPitch: 60, fadeDuration: 0, locale: { 'Map.Title': title }, // the shaders smooth their own edges; multisampling would cost a machine without a GPU most of each frame
      canvasContextAttributes: { antialias: false },
    });
    this.map.on('load', () => {
      this.addImages(false);
      this.ready = true;
      this.listener.ready();
    });
    this.map.on('moveend', () => { const b = this.map.getBounds(); this.listener.still([b.getWest(), b.getSouth(), b.getEast(), b.getNorth()]); });
    this.map.on('move', () => this.listener.moved());
    this.map.on('click', (e) => this.listener.pick(this.under(e)));
    this.map.on('dblclick', (e) => {
      const hit = this.under(e);
      if (hit?.type === 'scope') this.listener.drill(hit.row);
    });
    for (const layer of ['cases', 'cases-quiet', 'entities']) {
      this.map.on('mouseenter', layer, () => { this.map.getCanvas().style.cursor = 'pointer'; });
      this.map.on('mouseleave', layer, () => { this.map.getCanvas().style.cursor = ''; });
    }
  }

  private addImages(update: boolean): void {
    const dpr = window.devicePixelRatio || 1;
    for (const [name, image] of Object.entries(images(this.colours, this.scale * dpr))) {
      if (update && this.map.hasImage(name)) this.map.removeImage(name);
      this.map.addImage(name, image, { pixelRatio: dpr });
    }
  }

  private under(e: MapMouseEvent): Picked | null {
    const reach = 5 * this.scale;
    const box: [[number, number], [number, number]] = [[e.point.x - reach, e.point.y - reach], [e.point.x + reach, e.point.y + reach]];
    const marks = this.map.queryRenderedFeatures(box, { layers: ['cases', 'cases-quiet', 'entities'] });
    const mark = marks.find((m) => m.layer.id.startsWith('cases')) ?? marks[0];
    if (mark?.layer.id.startsWith('cases')) return { type: 'case', id: String(mark.properties.id) };
    if (mark) return { type: 'entity', row: Number(mark.properties.row) };
    const built = this.map.queryRenderedFeatures(e.point, { layers: ['buildings', 'stations'] })[0];
    if (built && Number.isFinite(Number(built.properties.row))) return { type: 'entity', row: Number(built.properties.row) };
    const area = this.map.queryRenderedFeatures(e.point, { layers: AREAS.map((a) => `${a}-fill`) })[0];
    return area ? { type: 'scope', row: Number(area.properties.row) } : null;
  }

  private set(source: string, data: FeatureCollection): void {
    void (this.map.getSource(source) as GeoJSONSource | undefined)?.setData(data);
  }

  /** Points of a source, handed on only when one of them looks different: each time the whole map is laid out and drawn anew. */
  private setMarks(source: 'cases' | 'entities', marks: Feature[]): void {
    const key = JSON.stringify(marks);
    if (this.marks.get(source) === key) return;
    this.marks.set(source, key);
    this.set(source, { type: 'FeatureCollection', features: marks });
  }

  /** Geometry of a scope level; a feature's `row` is its key for values. */
  addAreas(name: AreaLayer, data: Areas, scopes: Scopes): void {
    const byRow = new Map(data.features.map((f) => [f.properties.row, f]));
    this.areas.set(name, byRow);
    for (const [row, f] of byRow) this.boxes.set(row, boxOf(f.geometry));
    const features = data.features.map((f) => ({ ...f, id: f.properties.row, properties: { row: f.properties.row } }));
    this.set(name, { type: 'FeatureCollection', features });
    this.classes.set(name, new Map());
    if (name === 'districts' || name === 'streets') this.set(name === 'districts' ? 'names' : 'streetnames', this.labels(data, scopes));
    if (name === 'communities' && data.features.length) this.homeBox = this.core(data);
  }

  private labels(data: Areas, scopes: Scopes): FeatureCollection {
    const features = data.features.map((f) => {
      const [lon = 0, lat = 0] = labelPoint(f.geometry);
      const row = f.properties.row;
      return point(lon, lat, { row, name: scopes.name[row] ?? '', name_en: scopes.nameEn[row] || scopes.name[row] || '' });
    });
    return { type: 'FeatureCollection', features };
  }

  /** Where the city is densest: the middle of the small cells. */
  private core(data: Areas): Box {
    const boxes = data.features.map((f) => boxOf(f.geometry)).sort((a, b) => (a[2] - a[0]) * (a[3] - a[1]) - (b[2] - b[0]) * (b[3] - b[1]));
    const dense = boxes.slice(0, Math.ceil(boxes.length * 0.4));
    const mid = (i: 0 | 1): number[] => dense.map((b) => (b[i] + b[(i + 2) as 2 | 3]) / 2).sort((a, b) => a - b);
    const at = (list: number[], q: number): number => list[Math.floor(q * (list.length - 1))] ?? 0;
    const [xs, ys] = [mid(0), mid(1)];
    return [at(xs, 0.12), at(ys, 0.12), at(xs, 0.88), at(ys, 0.88)];
  }

  /** Other layers: water, metro, roads, buildings. Labels are made for those that have names. */
  addLayer(name: 'water' | 'metro' | 'roads' | 'buildings', data: FeatureCollection): void {
    this.set(name, data);
    if (name === 'water') {
      const wet = data.features.filter((f) => f.properties?.name && f.geometry.type.endsWith('Polygon')).map((f) => {
        const [lon = 0, lat = 0] = labelPoint(f.geometry);
        return point(lon, lat, { ...f.properties });
      });
      this.set('wet', { type: 'FeatureCollection', features: wet });
    }
    if (name === 'metro') this.set('stations', { type: 'FeatureCollection', features: data.features.filter((f) => f.geometry.type === 'Point') });
  }

  /** Show one level of areas and hide the others. */
  show(name: AreaLayer): void {
    if (this.shown === name || !this.areas.has(name)) return;
    this.shown = name;
    for (const a of AREAS) {
      for (const part of ['fill', 'line']) this.map.setLayoutProperty(`${a}-${part}`, 'visibility', a === name ? 'visible' : 'none');
    }
    this.isoKey = this.voidKey = '';
  }

  /** Class of each row (-1 no data, 0..5) of a level; only changes reach the map. */
  colour(name: AreaLayer, classOf: (row: number) => number): void {
    const known = this.classes.get(name);
    const rows = this.areas.get(name);
    if (!known || !rows) return;
    const empty: number[] = [];
    for (const row of rows.keys()) {
      const c = classOf(row);
      if (c === -1) empty.push(row);
      if (known.get(row) === c) continue;
      known.set(row, c);
      this.map.setFeatureState({ source: name, id: row }, { c });
    }
    this.hatch(rows, empty);
  }

  /** Hatch the cells without data; a layer of these alone, since one over all cells is paid for even where it is clear. */
  private hatch(rows: Map<number, Area>, empty: number[]): void {
    const key = empty.join();
    if (key === this.voidKey) return;
    this.voidKey = key;
    const features = empty.flatMap((row): Feature[] => { const f = rows.get(row); return f ? [{ type: 'Feature', geometry: f.geometry, properties: {} }] : []; });
    this.set('void', { type: 'FeatureCollection', features });
  }

  /** Lines where neighbours lie in different bands. */
  contours(name: AreaLayer, levelOf: (row: number) => Level): void {
    const rows = this.areas.get(name);
    if (!rows) return;
    if (!this.lines.has(name)) this.lines.set(name, borders([...rows.values()]));
    const levels = new Map([...rows.keys()].map((row) => [row, levelOf(row)]));
    const key = name + [...levels.values()].join('');
    if (key === this.isoKey) return;
    this.isoKey = key;
    const features: Feature[] = [];
    for (const b of this.lines.get(name) ?? []) {
      const la = levels.get(b.a) ?? 0;
      const lb = levels.get(b.b) ?? 0;
      const l = Math.min(la || 9, lb || 9);
      if (la !== lb && l <= 3) features.push({ type: 'Feature', geometry: { type: 'LineString', coordinates: b.line }, properties: { l } });
    }
    this.set('iso', { type: 'FeatureCollection', features });
  }

  setCases(list: Case[], at: number): void {
    const features = list.filter((c) => Number.isFinite(c.lon) && Number.isFinite(c.lat)).map((c) => point(c.lon, c.lat, { id: c.id, name: c.row === -1 ? '' : c.id, icon: c.level ? `lv${c.level}` : c.due > 0 && c.due < at ? 'late' : 'lv0', level: c.level || (c.due > 0 && c.due < at ? 4.5 : 5), quiet: !c.level && !(c.due > 0 && c.due < at), loud: c.row !== -1 && (c.level === 1 || c.level === 2) ? c.id : '' }));
    this.setMarks('cases', features);
  }

  setEntities(list: Entity[], at: number): void {
    const features = list.filter((e) => Number.isFinite(e.lon) && Number.isFinite(e.lat)).map((e) => point(e.lon, e.lat, { row: e.row, label: e.name || e.code, icon: e.kind === 'unit' ? 'unit' : at - e.seen < QUIET_MS ? 'on' : 'off' }));
    this.setMarks('entities', features);
  }

  /** Outline of the chosen area. */
  outline(row: number | null): void {
    let found: Geometry | null = null;
    if (row !== null) for (const rows of this.areas.values()) found = rows.get(row)?.geometry ?? found;
    this.set('pick', found ? { type: 'FeatureCollection', features: [{ type: 'Feature', geometry: found, properties: {} }] } : NO_FEATURES);
  }

  /** The smallest place of those whose outlines are known in which a point lies; -1 outside of all. */
  rowAt(lon: number, lat: number): number {
    for (const name of [...AREAS].reverse()) {
      for (const [row, f] of this.areas.get(name) ?? []) {
        const b = this.boxes.get(row);
        if (b && lon >= b[0] && lat >= b[1] && lon <= b[2] && lat <= b[3] && within(f.geometry, lon, lat)) return row;
      }
    }
    return -1;
  }

  /** The middle of a place, or of the nearest one above it whose outline is known. */
  middle(line: readonly number[]): [number, number] | null {
    for (const row of [...line].reverse()) { const b = this.boxes.get(row); if (b) return [(b[0] + b[2]) / 2, (b[1] + b[3]) / 2]; }
    return null;
  }

  language(lang: string): void {
    for (const layer of ['water-names', 'street-names', 'station-names', 'district-names']) this.map.setLayoutProperty(layer, 'text-field', nameOf(lang));
  }

  theme(): void {
    this.colours = palette();
    repaint((layer, name, value) => this.map.setPaintProperty(layer, name as 'fill-color', value as string), this.colours);
    this.addImages(true);
  }

  three(on: boolean): void {
    this.map.setLayoutProperty('buildings-3d', 'visibility', on ? 'visible' : 'none');
    this.map.setLayoutProperty('buildings', 'visibility', on ? 'none' : 'visible');
    this.map.easeTo({ pitch: on ? 50 : 0, bearing: on ? -18 : 0, duration: this.calm });
  }

  visible(layers: string[], on: boolean): void {
    for (const layer of layers) this.map.setLayoutProperty(layer, 'visibility', on ? 'visible' : 'none');
  }

  private get calm(): number {
    return matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 400;
  }

  fit(box: Box, padding = 40): void {
    if (!box.every(Number.isFinite)) return;
    this.map.fitBounds(box, { padding: padding * this.scale, duration: this.calm, maxZoom: 16 });
  }

  home(): void {
    const box = this.homeBox ?? this.whole();
    if (box) this.fit(box, 24);
  }

  whole(): Box | null {
    const districts = this.areas.get('districts');
    return districts?.size ? union([...districts.keys()].flatMap((r) => { const b = this.boxes.get(r); return b ? [b] : []; })) : null;
  }
}
