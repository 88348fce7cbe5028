/** The map's style: no glyph server, no sprite, no tile server; one bundled font and the twin's own layers. */

import type { FeatureCollection } from 'geojson';
import type { ExpressionSpecification, FilterSpecification, LayerSpecification, StyleSpecification } from 'maplibre-gl';

export const AREAS = ['districts', 'streets', 'communities', 'grids'] as const;
export type AreaLayer = (typeof AREAS)[number];
const FONT = ['citytwin-cjk'];

export type Palette = Record<string, string>;

/** The tokens that the map needs, read from the page, so that both have the same colours. */
export function palette(): Palette {
  const css = getComputedStyle(document.documentElement);
  const names = ['bg-map', 'm0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm-line', 'm-dist', 'm-water', 'm-bank', 'm-metro', 'm-bld', 'm-halo', 'm-hatch', 'text', 'text-2', 'text-3', 'iso2', 'iso3', 'lv1', 'lv2', 'lv3', 'lv4', 'lv-key', 'lv-ink', 'lv1-ink', 'lv4-ink', 'bg'];
  const read = (name: string): string => {
    const value = css.getPropertyValue(`--${name}`).trim();
    return value.startsWith('var(') ? read(value.slice(6, -1)) : value;
  };
  return Object.fromEntries(names.map((n) => [n, read(n)]));
}

const CLASS: ExpressionSpecification = ['coalesce', ['feature-state', 'c'], -2];

/** Fill colour by class: six steel steps; no data is the lowest with a hatch over it (a layer of its own). */
export function fillColour(p: Palette): ExpressionSpecification {
  return ['match', CLASS, 0, p.m0, 1, p.m1, 2, p.m2, 3, p.m3, 4, p.m4, 5, p.m5, p['bg-map']] as unknown as ExpressionSpecification;
}

/** Name of a feature in a language. */
export function nameOf(lang: string): ExpressionSpecification {
  return lang === 'en' ? ['coalesce', ['get', 'name_en'], ['get', 'name'], ''] : ['coalesce', ['get', 'name'], ''];
}

const none: FeatureCollection = { type: 'FeatureCollection', features: [] };

/** A label layer over points. */
function label(id: string, source: string, size: number, p: Palette, colour: string, extra: Partial<LayerSpecification> = {}, spacing = 0): LayerSpecification {
  return {
    id, type: 'symbol', source,
    layout: { 'text-field': nameOf('zh'), 'text-font': FONT, 'text-size': size, 'text-letter-spacing': spacing, 'text-padding': 4, 'text-max-width': 8 },
    paint: { 'text-color': p[colour] ?? '#888', 'text-halo-color': p['m-halo'] ?? '#000', 'text-halo-width': 1.4 },
    ...extra,
  } as LayerSpecification;
}

function areaLayers(p: Palette): LayerSpecification[] {
  return AREAS.flatMap((name): LayerSpecification[] => [
    { id: `${name}-fill`, type: 'fill', source: name, layout: { visibility: 'none' }, paint: { 'fill-color': fillColour(p), 'fill-antialias': false } },
    { id: `${name}-line`, type: 'line', source: name, layout: { visibility: 'none' }, paint: { 'line-color': p['m-line'] ?? '#000', 'line-width': 0.7 } },
  ]);
}

/** Everything but marks, bottom first. `scale` is the page's rem over 16, so that the wall reads like the desk. */
export function style(p: Palette, scale: number): StyleSpecification {
  const colour = (name: string): string => p[name] ?? '#888';
  const sources = [...AREAS, 'void', 'water', 'metro', 'buildings', 'roads', 'iso', 'names', 'streetnames', 'wet', 'stations', 'entities', 'cases', 'pick'];
  const station: FilterSpecification = ['==', ['geometry-type'], 'Point'];
  return {
    version: 8,
    'font-faces': { 'citytwin-cjk': new URL('/fonts/noto-sans-sc-400.woff2', location.href).href },
    sources: Object.fromEntries(sources.map((s) => [s, { type: 'geojson', data: none, tolerance: s === 'grids' || s === 'communities' ? 0.3 : 0.375, ...(s === 'buildings' ? { attribution: '© OpenStreetMap' } : {}) }])),
    layers: [
      { id: 'back', type: 'background', paint: { 'background-color': colour('bg-map') } },
      ...areaLayers(p),
      { id: 'hatch', type: 'fill', source: 'void', paint: { 'fill-pattern': 'hatch', 'fill-opacity': 0.6 } },
      { id: 'roads', type: 'line', source: 'roads', minzoom: 11, paint: { 'line-color': colour('m-bld'), 'line-width': 0.6 * scale, 'line-opacity': 0.55 } },
      { id: 'iso3', type: 'line', source: 'iso', filter: ['==', ['get', 'l'], 3], layout: { 'line-join': 'round', 'line-cap': 'round' }, paint: { 'line-color': colour('iso3'), 'line-width': 1.3 * scale } },
      { id: 'iso2', type: 'line', source: 'iso', filter: ['<=', ['get', 'l'], 2], layout: { 'line-join': 'round', 'line-cap': 'round' }, paint: { 'line-color': colour('iso2'), 'line-width': 1.8 * scale } },
      { id: 'water', type: 'fill', source: 'water', filter: ['!=', ['geometry-type'], 'Point'], paint: { 'fill-color': colour('m-water') } },
      { id: 'bank', type: 'line', source: 'water', filter: ['!=', ['geometry-type'], 'Point'], paint: { 'line-color': colour('m-bank'), 'line-width': scale } },
      { id: 'buildings', type: 'fill', source: 'buildings', minzoom: 11, paint: { 'fill-color': colour('m-bld'), 'fill-opacity': 0.8 } },
      { id: 'street-line', type: 'line', source: 'streets', minzoom: 10.5, paint: { 'line-color': colour('m-dist'), 'line-width': 0.6 * scale, 'line-opacity': 0.6 } },
      { id: 'district-line', type: 'line', source: 'districts', layout: { 'line-join': 'round' }, paint: { 'line-color': colour('m-dist'), 'line-width': 1.1 * scale } },
      { id: 'metro', type: 'line', source: 'metro', filter: ['!=', ['geometry-type'], 'Point'], paint: { 'line-color': colour('m-metro'), 'line-width': scale, 'line-opacity': 0.6 } },
      { id: 'stations', type: 'circle', source: 'metro', filter: station, minzoom: 10, paint: { 'circle-color': colour('m-metro'), 'circle-radius': 1.7 * scale, 'circle-opacity': 0.85 } },
      { id: 'buildings-3d', type: 'fill-extrusion', source: 'buildings', minzoom: 11, layout: { visibility: 'none' }, paint: { 'fill-extrusion-color': colour('m-bld'), 'fill-extrusion-height': ['coalesce', ['get', 'height'], 9], 'fill-extrusion-opacity': 0.85 } },
      { id: 'pick-area', type: 'line', source: 'pick', paint: { 'line-color': colour('text'), 'line-width': 2 * scale } },
      { id: 'entities', type: 'symbol', source: 'entities', minzoom: 10.8, layout: { 'icon-image': ['get', 'icon'], 'icon-allow-overlap': ['step', ['zoom'], false, 13, true], 'icon-padding': ['step', ['zoom'], 7 * scale, 12, 3 * scale, 13, 0], 'text-optional': true, 'text-field': ['step', ['zoom'], '', 14.5, ['get', 'label']], 'text-font': FONT, 'text-size': 11 * scale, 'text-offset': [0.8, 0], 'text-anchor': 'left' }, paint: { 'text-color': colour('text-2'), 'text-halo-color': colour('m-halo'), 'text-halo-width': 1.2 } },
      { id: 'cases-quiet', type: 'symbol', source: 'cases', minzoom: 10.8, filter: ['get', 'quiet'], layout: { 'icon-image': ['get', 'icon'], 'icon-padding': ['step', ['zoom'], 7 * scale, 12, 3 * scale, 13, 0], 'icon-allow-overlap': ['step', ['zoom'], false, 13, true] } },
      { id: 'cases', type: 'symbol', source: 'cases', filter: ['!', ['get', 'quiet']], layout: { 'icon-image': ['get', 'icon'], 'icon-allow-overlap': true, 'symbol-sort-key': ['-', 5, ['get', 'level']], 'text-field': ['step', ['zoom'], ['get', 'loud'], 13, ['get', 'name']], 'text-font': FONT, 'text-size': 12 * scale, 'text-offset': [1.3, 0], 'text-anchor': 'left', 'text-optional': true }, paint: { 'text-color': colour('text'), 'text-halo-color': colour('m-halo'), 'text-halo-width': 1.6 } },
      label('water-names', 'wet', 12 * scale, p, 'text-3', {}, 0.4),
      label('street-names', 'streetnames', 11 * scale, p, 'text-2', { minzoom: 12 }),
      label('station-names', 'stations', 11 * scale, p, 'text-2', { minzoom: 12.5 }),
      label('district-names', 'names', 15 * scale, p, 'text', { maxzoom: 14 }, 0.2),
    ],
  };
}

/** Put a palette on a standing map: one call a property, no new style. */
export function repaint(put: (layer: string, name: string, value: unknown) => unknown, p: Palette): void {
  const set = (layer: string, name: string, key: string): unknown => put(layer, name, p[key]);
  set('back', 'background-color', 'bg-map');
  for (const a of AREAS) {
    put(`${a}-fill`, 'fill-color', fillColour(p));
    set(`${a}-line`, 'line-color', 'm-line');
  }
  set('roads', 'line-color', 'm-bld'); set('water', 'fill-color', 'm-water'); set('bank', 'line-color', 'm-bank');
  set('buildings', 'fill-color', 'm-bld'); set('buildings-3d', 'fill-extrusion-color', 'm-bld'); set('street-line', 'line-color', 'm-dist');
  set('iso3', 'line-color', 'iso3'); set('iso2', 'line-color', 'iso2'); set('district-line', 'line-color', 'm-dist');
  set('metro', 'line-color', 'm-metro'); set('stations', 'circle-color', 'm-metro'); set('pick-area', 'line-color', 'text');
  for (const [layer, key] of [['entities', 'text-2'], ['cases', 'text'], ['water-names', 'text-3'], ['street-names', 'text-2'], ['station-names', 'text-2'], ['district-names', 'text']] as const) {
    set(layer, 'text-color', key);
    set(layer, 'text-halo-color', 'm-halo');
  }
}
