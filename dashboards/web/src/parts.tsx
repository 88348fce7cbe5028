/** Small pieces that all panels share: level marks, icons, quality tags, figures, sparklines. */

import type { JSX } from 'preact';
import { age, hm, hms, num } from './format';
import { t, word } from './i18n';
import { edges, levelOf, listed, threshold } from './level';
import { city, now } from './store';
import { Quality, type Bands, type Cell, type Indicator, type Level, type Trend } from './types';

export const NUMERAL = ['', 'I', 'II', 'III', 'IV'] as const;
export const SHAPE = ['', 'M12 1.2 22.8 12 12 22.8 1.2 12z', 'M12 1.8 23 21.6H1z', 'M2.4 2.4h19.2v19.2H2.4z', 'M12 1.6a10.4 10.4 0 1 0 0 20.8a10.4 10.4 0 1 0 0-20.8z'] as const;

/** Shape of a level; with the numeral unless `bare`. Nothing for normal. */
export function Mark({ level, size = 0.875, bare = false }: { level: Level; size?: number; bare?: boolean }): JSX.Element | null {
  if (!level) return null;
  const shape = (
    <svg class={`mk l${level}`} viewBox="0 0 24 24" style={{ width: `${size}rem`, height: `${size}rem` }} aria-hidden={!bare}>
      <path d={SHAPE[level]} />
    </svg>
  );
  if (bare) return shape;
  return <span class="lv" role="img" aria-label={t(`level.${level}` as const)}>{shape}<b aria-hidden="true">{NUMERAL[level]}</b></span>;
}

const ICONS = {
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13a6.5 6.5 0 1 0 0-13M15.5 15.5 21 21',
  theme: 'M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18M12 3v18M12 7h5M12 11h8M12 15h7',
  full: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5',
  cube: 'M12 3 20 7.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9',
  home: 'M12 4v4M12 16v4M4 12h4M16 12h4M12 9a3 3 0 1 0 0 6a3 3 0 1 0 0-6',
  city: 'M4 20V11h5v9M9 20V5h7v15M16 20v-7h4v7M3 20h18',
  device: 'M12 10a2 2 0 1 0 0 4a2 2 0 1 0 0-4M7.5 7.5a6.4 6.4 0 0 0 0 9M16.5 7.5a6.4 6.4 0 0 1 0 9',
  label: 'M4 6h16M12 6v13',
} as const;

export function Icon({ name, size = 1.125 }: { name: keyof typeof ICONS; size?: number }): JSX.Element {
  return <svg class="ic" viewBox="0 0 24 24" style={{ width: `${size}rem`, height: `${size}rem` }} aria-hidden="true"><path d={ICONS[name]} /></svg>;
}

/** How a cell looks: the class of its row or tile. */
export function look(cell: Cell, level: Level): string {
  if (cell.quality >= Quality.NODATA) return 'nod';
  const trust = cell.quality === Quality.STALE ? ' stale' : cell.quality === Quality.PROVISIONAL ? ' prov' : '';
  return (level ? 'ab' : '') + trust;
}

/** The tag of a quality that is not good; null for good. */
export function QualityTag({ cell, ind }: { cell: Cell; ind?: Indicator }): JSX.Element | null {
  switch (cell.quality) {
    case Quality.PROVISIONAL:
      return <i class="tag dash">{t('tag.provisional')}</i>;
    case Quality.PARTIAL:
      return <i class="tag">{t('tag.partial', cell.fresh, cell.expected)}</i>;
    case Quality.STALE:
      return <i class="tag dot">{cell.at ? t('tag.stale', age(now.value - cell.at)) : t('tag.staleNoAge')}</i>;
    case Quality.NODATA:
      return <i class="tag">{t('tag.nodata')}</i>;
    case Quality.ERROR:
      return <i class="tag">{t('tag.error')} {ind?.id ?? ''}</i>;
    default:
      return cell.restated ? <i class="tag">{t('tag.restated')}</i> : null;
  }
}

/** Unit as shown: words of the catalogue in the chosen language, dimensionless ones left out. */
export function unit(text: string): string {
  return /^(index|ratio|score|0-100|1)\b(?!-10$)/.test(text) ? '' : word('unit', text);
}

/** A figure with its unit; fades when it changes, never moves. */
export function Figure({ value, ind, withUnit = true }: { value: number; ind: Indicator; withUnit?: boolean }): JSX.Element {
  const text = num(value, ind.decimals);
  return <><span key={text} class="fade">{text}</span>{withUnit && <span class="u">{unit(ind.unit)}</span>}</>;
}

/** As-of of a value: seconds where the window is short, minutes otherwise. */
export function asOf(cell: Cell, ind: Indicator): string {
  if (!(cell.at > 0)) return '—';
  const tz = city.value.timezone;
  return /instant|\ds\b/.test(ind.window) ? hms(cell.at, tz) : hm(cell.at, tz);
}

/** `↑ 9 / 10 min`: the change over about the last sixth of the series. */
export function trendText(trend: Trend | undefined, ind: Indicator): string {
  if (!trend || trend.values.length < 3) return '';
  const known = trend.values.flatMap((v, i) => (Number.isFinite(v) ? [{ v, i }] : []));
  const last = known.at(-1);
  const back = known.findLast((k) => last !== undefined && k.i <= last.i - Math.max(1, Math.floor(trend.values.length / 6)));
  if (!last || !back) return '';
  const change = last.v - back.v;
  const text = num(Math.abs(change), ind.decimals);
  const arrow = Number(text) === 0 ? '→' : change > 0 ? '↑' : '↓';
  return `${arrow} ${text} / ${age((last.i - back.i) * trend.step)}`;
}

interface SparkProps { trend: Trend | undefined; ind: Indicator; w?: number; h?: number; wide?: boolean; cell?: Cell }

/** Range of a series with its threshold in view. */
function extent(values: number[], ind: Indicator): [number, number] {
  const seen = values.filter(Number.isFinite);
  let lo = Math.min(...seen);
  let hi = Math.max(...seen);
  const th = threshold(ind);
  const span = hi - lo || Math.abs(hi) * 0.05 || 1;
  if (Number.isFinite(th) && th > lo - 2.5 * span && th < hi + 2.5 * span) {
    lo = Math.min(lo, th);
    hi = Math.max(hi, th);
  }
  const pad = (hi - lo || 1) * 0.12;
  return [lo - pad, hi + pad];
}

/** Pieces of a polyline, broken where nothing is known. */
function pieces(values: number[], x: (i: number) => number, y: (v: number) => number, keep: (v: number) => boolean): string {
  let path = '';
  let pen = false;
  values.forEach((v, i) => {
    if (!Number.isFinite(v) || !keep(v)) { pen = false; return; }
    path += `${pen ? 'L' : 'M'}${x(i).toFixed(1)},${y(v).toFixed(1)}`;
    pen = true;
  });
  return path;
}

/** A neutral line on its normal band, the part beyond the band in the level's colour; hatch without data. */
export function Spark({ trend, ind, w = 72, h = 34, cell }: SparkProps): JSX.Element {
  const size = { width: `${w / 16}rem`, height: `${h / 16}rem` };
  const values = trend?.values ?? [];
  if (cell && cell.quality >= Quality.NODATA) return <span class="hatch" style={size} />;
  if (values.filter(Number.isFinite).length < 2) return <svg class="sp" viewBox={`0 0 ${w} ${h}`} style={size} aria-hidden="true"><rect class="bd" x="0" y={h * 0.6} width={w} height={h * 0.25} /></svg>;
  const [lo, hi] = extent(values, ind);
  const x = (i: number): number => 3 + ((w - 6) * i) / Math.max(1, values.length - 1);
  const y = (v: number): number => h - 2 - ((h - 4) * (v - lo)) / (hi - lo);
  const th = threshold(ind);
  const end = values.findLastIndex(Number.isFinite);
  const level = levelOf(values[end] ?? NaN, ind);
  const clamp = (v: number): number => Math.max(0, Math.min(h, v));
  const inView = Number.isFinite(th) && th >= lo && th <= hi;
  const band: [number, number] = !Number.isFinite(th) ? [h * 0.25, h * 0.75] : ind.better === 'up' ? [0, clamp(y(th))] : [clamp(y(th)), h];
  const beyond = level ? pieces(values, x, y, (v) => levelOf(v, ind) > 0) : '';
  return (
    <svg class="sp" viewBox={`0 0 ${w} ${h}`} style={size} aria-hidden="true">
      <rect class="bd" x="0" y={band[0]} width={w} height={Math.max(0, band[1] - band[0])} />
      {inView && <path class="th" d={`M0 ${y(th).toFixed(1)}H${w}`} />}
      <path class="ln" d={pieces(values, x, y, () => true)} />
      {beyond && <path class={`ln s${level}`} d={beyond} />}
      {end === values.length - 1 && <circle class={level ? `dt s${level}` : 'dt'} cx={x(end)} cy={y(values[end] ?? 0)} r="2.2" />}
    </svg>
  );
}

/** Small bars of a series with dashed band edges. */
export function Bars({ trend, ind, w = 66, h = 36, top }: { trend: Trend | undefined; ind: Indicator; w?: number; h?: number; top: [number, number] }): JSX.Element {
  const values = (trend?.values ?? []).slice(-36);
  const [lo, hi] = top;
  const y = (v: number): number => (Math.max(0, Math.min(1, (v - lo) / (hi - lo || 1))) * (h - 2));
  const step = w / Math.max(1, values.length);
  const path = values.map((v, i) => (Number.isFinite(v) ? `M${(i * step).toFixed(1)} ${h}v${(-Math.max(0.6, y(v))).toFixed(1)}h${(step * 0.62).toFixed(1)}V${h}z` : '')).join('');
  return (
    <svg class="br" viewBox={`0 0 ${w} ${h}`} preserveAspectRatio="none" aria-hidden="true">
      {edges(ind).filter((e) => e.edge > lo && e.edge < hi).map((e) => <path key={e.level} class="th" d={`M0 ${(h - y(e.edge)).toFixed(1)}H${w}`} />)}
      <path class="b" d={path} />
    </svg>
  );
}

/** Bands with their marks: edges of the value, or shares of what they are relative to. */
export function BandList({ ind, bands = ind.bands, size = 0.75 }: { ind: Pick<Indicator, 'better' | 'of' | 'bands'>; bands?: Bands; size?: number }): JSX.Element {
  const list = listed(bands);
  if (list.length === 0) return <span class="d">{t('ind.unbanded')}</span>;
  return (
    <span class="bands">
      {list.map((e) => <span key={e.level} class="nw"><Mark level={e.level} size={size} /> {ind.better === 'up' ? '<' : '≥'} {ind.of ? `${num(e.edge * 100, Number.isInteger(e.edge * 100) ? 0 : 1)} %` : e.edge}</span>)}
      {ind.of && <span class="d nw">{t('ind.of', ind.of)}</span>}
    </span>
  );
}

/** `sliding 1h/5m` in words: 滑动 1 h / 5 min. */
export function windowText(text: string): string {
  const [kind = '', rest = ''] = text.split(' ');
  const spans = rest.split('/').filter(Boolean).map((d) => d.replace(/^(\d+)m$/, '$1 min').replace(/^(\d+)([smhd])$/, '$1 $2'));
  const name = word('window', kind);
  return spans.length ? `${name} ${spans.join(' / ')}` : name;
}
