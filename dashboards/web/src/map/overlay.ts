/** What a dispatcher sees on the map above the values: the case, others near it, units, rings of distance. */

import type { Feature, FeatureCollection, Position } from 'geojson';
import type { GeoJSONSource, LayerSpecification, Map as GlMap } from 'maplibre-gl';
import { palette, type Palette } from './style';

const FONT = ['citytwin-cjk'];
const EARTH = 6_371_000;
const RAD = Math.PI / 180;

/** A mark: `icon` an image of the map; `label` beside it (`below`: under it); `turn` degrees clockwise from east; `loud`: its label is always there; `rank`: whose label is left out where two have no room, the higher. */
export interface Spot { id: string; lon: number; lat: number; icon: string; label: string; below?: string; turn?: number; loud?: boolean; rank?: number }
export interface Scene { spots: Spot[]; units: Spot[]; centre: [number, number] | null; fence: number; rings: number[]; routes: [Position, Position][]; trails: [Position, Position][] }
export const EMPTY: Scene = { spots: [], units: [], centre: null, fence: 0, rings: [], routes: [], trails: [] };

/** A circle of `metres` about a point, closed. */
export function circle([lon, lat]: [number, number], metres: number, steps = 96): Position[] {
  const dy = metres / EARTH / RAD;
  const dx = dy / Math.cos(lat * RAD);
  return Array.from({ length: steps + 1 }, (_, i) => { const a = (2 * Math.PI * i) / steps; return [lon + dx * Math.cos(a), lat + dy * Math.sin(a)]; });
}

/** A bow from one point to another: it says who comes, and does not pretend to know the streets. */
export function bow(from: Position, to: Position, steps = 24): Position[] {
  const [x0 = 0, y0 = 0] = from;
  const [x1 = 0, y1 = 0] = to;
  const k = Math.cos(((y0 + y1) / 2) * RAD);
  const [cx, cy] = [(x0 + x1) / 2 + ((y1 - y0) * 0.22) / k, (y0 + y1) / 2 - (x1 - x0) * k * 0.22];
  return Array.from({ length: steps + 1 }, (_, i) => { const t = i / steps; return [(1 - t) ** 2 * x0 + 2 * t * (1 - t) * cx + t * t * x1, (1 - t) ** 2 * y0 + 2 * t * (1 - t) * cy + t * t * y1]; });
}

/** Degrees clockwise from east at which a mark points from one place to another. */
export function turn(lon1: number, lat1: number, lon2: number, lat2: number): number {
  return -Math.atan2(lat2 - lat1, (lon2 - lon1) * Math.cos(lat1 * RAD)) / RAD;
}

function layers(p: Palette, scale: number): LayerSpecification[] {
  const colour = (name: string): string => p[name] ?? '#888';
  const text = { 'text-font': FONT, 'text-size': 12 * scale, 'text-max-width': 40 } as const;
  const halo = { 'text-halo-color': colour('m-halo'), 'text-halo-width': 1.8 } as const;
  const line = (id: string, kind: string, paint: Record<string, unknown>, cap: 'butt' | 'round' = 'butt'): LayerSpecification => ({ id, type: 'line', source: 'desk-lines', filter: ['==', ['get', 'k'], kind], layout: { 'line-cap': cap, 'line-join': 'round' }, paint } as LayerSpecification);
  return [
    line('desk-rings', 'ring', { 'line-color': colour('m-dist'), 'line-width': 0.9 * scale, 'line-opacity': 0.75 }),
    line('desk-fence', 'fence', { 'line-color': colour('text'), 'line-width': 1.3 * scale, 'line-dasharray': [4, 3.2] }),
    line('desk-trails', 'trail', { 'line-color': colour('text-3'), 'line-width': 1.5 * scale }),
    line('desk-routes', 'route', { 'line-color': colour('text'), 'line-width': 2.2 * scale, 'line-dasharray': [0, 2.4] }, 'round'),
    { id: 'desk-km', type: 'symbol', source: 'desk-names', layout: { 'text-field': ['get', 'label'], ...text }, paint: { 'text-color': colour('text-3'), ...halo } },
    // names stand clear of the box of their own mark (34 px and what surrounds it), or they would never have room; what is placed first keeps others away: marks, the chosen one's name, units, likely duplicates, then the other names by their rank
    { id: 'desk-labels', type: 'symbol', source: 'desk-spots', filter: ['all', ['!=', ['get', 'label'], ''], ['!=', ['get', 'loud'], true]], layout: { ...text, 'text-field': ['get', 'label'], 'text-variable-anchor': ['left', 'right', 'bottom', 'top'], 'text-radial-offset': 2.1, 'text-justify': 'auto', 'text-padding': 2, 'text-max-width': 18, 'symbol-sort-key': ['get', 'rank'] }, paint: { 'text-color': colour('text'), ...halo } },
    { id: 'desk-below', type: 'symbol', source: 'desk-spots', filter: ['!=', ['get', 'below'], ''], layout: { ...text, 'text-field': ['get', 'below'], 'text-variable-anchor': ['top', 'bottom', 'left', 'right'], 'text-radial-offset': 1.9, 'text-justify': 'auto' }, paint: { 'text-color': colour('text'), ...halo } },
    { id: 'desk-units', type: 'symbol', source: 'desk-units', layout: { 'icon-image': ['get', 'icon'], 'icon-rotate': ['get', 'turn'], 'icon-size': 1.25, 'icon-rotation-alignment': 'map', 'icon-allow-overlap': true, ...text, 'text-optional': true, 'text-field': ['get', 'label'], 'text-justify': 'auto', 'text-variable-anchor': ['right', 'left', 'top', 'bottom'], 'text-radial-offset': 0.9, 'text-line-height': 1.15, 'symbol-sort-key': ['get', 'rank'] }, paint: { 'text-color': colour('text'), ...halo } },
    { id: 'desk-chosen', type: 'symbol', source: 'desk-spots', filter: ['==', ['get', 'loud'], true], layout: { ...text, 'text-field': ['get', 'label'], 'text-anchor': 'left', 'text-offset': [1.5, 0], 'text-allow-overlap': true }, paint: { 'text-color': colour('text'), ...halo } },
    { id: 'desk-spots', type: 'symbol', source: 'desk-spots', layout: { 'icon-image': ['get', 'icon'], 'icon-allow-overlap': true, 'symbol-sort-key': ['get', 'order'] }, paint: {} },
  ];
}

const collection = (features: Feature[]): FeatureCollection => ({ type: 'FeatureCollection', features });
const lineOf = (k: string, coordinates: Position[]): Feature => ({ type: 'Feature', geometry: { type: 'LineString', coordinates }, properties: { k } });
const pointOf = (s: Spot, order: number): Feature => ({ type: 'Feature', geometry: { type: 'Point', coordinates: [s.lon, s.lat] }, properties: { id: s.id, icon: s.icon, label: s.label, below: s.below ?? '', turn: s.turn ?? 0, loud: s.loud === true, rank: s.rank ?? 0, order } });
const km = (m: number): string => `${m / 1000} km`;

export class Overlay {
  /** What each source holds, as text: setting it lays the whole map out and draws it anew. */
  private readonly held = new Map<string, string>();

  constructor(private readonly map: GlMap, scale: number) {
    for (const source of ['desk-lines', 'desk-names', 'desk-spots', 'desk-units']) map.addSource(source, { type: 'geojson', data: collection([]) });
    for (const layer of layers(palette(), scale)) map.addLayer(layer);
  }

  private set(source: string, features: Feature[]): void {
    const key = JSON.stringify(features);
    if ((this.held.get(source) ?? '[]') === key) return;
    this.held.set(source, key);
    void (this.map.getSource(source) as GeoJSONSource | undefined)?.setData(collection(features));
  }

  /** Draw a scene; only what is otherwise than it stands reaches the map. */
  draw(s: Scene): void {
    const { centre } = s;
    const rings = centre ? s.rings.map((m) => lineOf('ring', circle(centre, m))) : [];
    const fence = centre && s.fence ? [lineOf('fence', circle(centre, s.fence))] : [];
    this.set('desk-lines', [...rings, ...fence, ...s.trails.map(([a, b]) => lineOf('trail', [a, b])), ...s.routes.map(([a, b]) => lineOf('route', bow(a, b)))]);
    // the names stand where the mock has them: on the lower left of each ring
    this.set('desk-names', centre ? s.rings.flatMap((m) => { const at = circle(centre, m, 16)[10]; return at ? [{ type: 'Feature', geometry: { type: 'Point', coordinates: at }, properties: { label: km(m) } } as Feature] : []; }) : []);
    this.set('desk-spots', s.spots.map((spot, i) => pointOf(spot, i)));
    this.set('desk-units', s.units.map((spot, i) => pointOf(spot, i)));
  }

  /** The page's colours have changed. */
  repaint(): void {
    const p = palette();
    const put = (layer: string, name: string, key: string): void => { this.map.setPaintProperty(layer, name as 'line-color', p[key]); };
    for (const [layer, key] of [['desk-rings', 'm-dist'], ['desk-fence', 'text'], ['desk-trails', 'text-3'], ['desk-routes', 'text']] as const) put(layer, 'line-color', key);
    for (const [layer, key] of [['desk-km', 'text-3'], ['desk-labels', 'text'], ['desk-chosen', 'text'], ['desk-below', 'text'], ['desk-units', 'text']] as const) { put(layer, 'text-color', key); put(layer, 'text-halo-color', 'm-halo'); }
  }
}
