/** The map of a handler: the case, oneself, and the way between. */

import { effect } from '@preact/signals';
import type { JSX } from 'preact';
import { MapBox, type Guest } from '../map/map';
import { EMPTY, Overlay, turn } from '../map/overlay';
import { lang } from '../i18n';
import { theme } from '../store';
import { at, here, unit } from './state';

const ZOOM = 15;

const guest: Guest = {
  placed: () => at.peek() !== null,
  plain: true,
  attach: (map, scale) => {
    const overlay = new Overlay(map.map, scale);
    let seen = '';
    const stops = [
      effect(() => {
        void lang.value;
        const c = at.value;
        const u = unit.value;
        const from = here.value ?? u;
        if (!c || !Number.isFinite(c.lon)) { overlay.draw(EMPTY); return; }
        const known = from && Number.isFinite(from.lon);
        overlay.draw({
          ...EMPTY, centre: [c.lon, c.lat], fence: 200, spots: [{ id: c.code, lon: c.lon, lat: c.lat, icon: `lv${c.level}`, label: '' }],
          units: known ? [{ id: u?.code ?? '', lon: from.lon, lat: from.lat, icon: 'unit', label: u?.code ?? '', turn: turn(from.lon, from.lat, c.lon, c.lat) }] : [],
          routes: known ? [[[from.lon, from.lat], [c.lon, c.lat]]] : [],
        });
        if (c.code === seen) return;
        seen = c.code;
        if (known) map.fit([Math.min(c.lon, from.lon), Math.min(c.lat, from.lat), Math.max(c.lon, from.lon), Math.max(c.lat, from.lat)], 48);
        else map.map.jumpTo({ center: [c.lon, c.lat], zoom: ZOOM });
      }),
      effect(() => { void theme.value; queueMicrotask(() => overlay.repaint()); }),
    ];
    return () => stops.forEach((stop) => stop());
  },
};

export function UnitMap(): JSX.Element {
  return <MapBox small guest={guest} />;
}
