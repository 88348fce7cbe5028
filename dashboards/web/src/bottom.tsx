/** The strip of places under the map, the event-rate strip of 24 hours, and the ticker. */

import type { JSX } from 'preact';
import { age, hm, hms, num } from './format';
import { lang, say, t, word } from './i18n';
import { ramp } from './level';
import { Bars, Figure, look, Mark } from './parts';
import { board, chosenIndicator, city, drill, effective, focus, frame, harm, health, placeName, placesIn, rates, scopeName, scopes, shortName, ticker } from './store';
import { trendOf } from './vitals';
import { LEVELS, type Cell, type TickerItem } from './types';

const PLACES = 13;

/** The places inside the focus with the chosen indicator's value, worst first. */
export function Strip(): JSX.Element {
  void frame.value;
  const ind = chosenIndicator.value;
  const all = placesIn(focus.value);
  if (!ind) return <div class="sm" />;
  const known = ind.levels.includes(LEVELS[Math.min(4, (scopes.value.level[focus.value] ?? 0) + 1)] ?? 'grid');
  const rows = all.map((row) => ({ row, cell: board.cell(ind.id, row) }));
  const rank = (c: Cell): number => (Number.isFinite(c.value) ? harm(ind, c) : -1e6);
  rows.sort((a, b) => rank(b.cell) - rank(a.cell) || a.row - b.row);
  const shown = rows.slice(0, PLACES);
  const cut = ramp(ind, rows.map((r) => r.cell.value));
  const values = rows.map((r) => r.cell.value).filter(Number.isFinite);
  const lo = Math.min(0, ...values);
  const top: [number, number] = [ind.unit === '%' && ind.better === 'up' ? Math.min(...values, ...cut) - 5 : lo, Math.max(...values, ...(ind.better !== 'up' ? cut.slice(2) : []))];
  return (
    <div class="sm" data-testid="strip">
      {shown.map(({ row, cell }) => {
        const level = known ? effective(ind, cell) : 0;
        const none = !known || cell.quality >= 4;
        return (
          <button class={`in ${look(cell, level)}`} key={row} onClick={() => drill(row)} data-row={row}>
            <span class="n"><span class="el">{shortName(scopeName(row, lang.value))}</span><Mark level={level} size={0.75} /></span>
            <span class={`v${level ? ' ab' : ''}`}>{none ? <span class="d">— <span class="s">{t('tag.nodata')}</span></span> : <Figure value={cell.value} ind={ind} />}</span>
            {none ? <span class="hatch" /> : <Bars trend={trendOf(ind, row)} ind={ind} top={top} />}
          </button>
        );
      })}
      {rows.length > PLACES && <span class="s d" style={{ padding: '.5rem' }}>{t('strip.more', rows.length - PLACES)}</span>}
    </div>
  );
}

/** Events per bin over the last 24 hours. */
export function RateStrip(): JSX.Element {
  const r = rates.value;
  const tz = city.value.timezone;
  const width = 1104;
  const bins = Math.max(1, r.values.length);
  const most = Math.max(1, ...r.values.filter(Number.isFinite));
  const w = width / bins;
  const path = r.values.map((v, i) => (Number.isFinite(v) ? `M${(i * w).toFixed(1)} 36v${(-Math.max(0.8, (v / most) * 24)).toFixed(1)}h${(w * 0.82).toFixed(1)}V36z` : '')).join('');
  const start = r.end - bins * r.step;
  const mark = bins * r.step > 6 * 3_600_000 ? 3 * 3_600_000 : bins * r.step > 3_600_000 ? 1_800_000 : 300_000;
  const hours: number[] = [];
  const offset = r.end > 0 ? zone(r.end, tz) : 0;
  for (let at = Math.ceil((start + offset) / mark) * mark - offset; at < r.end && hours.length < 40; at += mark) hours.push(at);
  const each = age(r.step);
  return (
    <section class="tl" aria-label={t('rate')} data-testid="rate">
      <div class="ctl"><span>{t('rate')}</span><b>{t('rate.unit', num(health.value.rate, 0))}</b><span class="s d">{r.whole ? t('rate.from') : t('rate.here')}</span></div>
      <div class="trk"><div class="tr2">
        <svg viewBox={`0 0 ${width} 56`} preserveAspectRatio="none" aria-hidden="true"><path class="rb" d={path} /></svg>
        {hours.map((at) => { const p = (100 * (at - start)) / (r.end - start); return p > 1 && p < 98 && <span class="hr" key={at} style={{ left: `${p}%` }}>{hm(at, tz)}</span>; })}
        <span class="ph" />
      </div></div>
      <div class="now"><b style={{ fontSize: '1.25rem' }}>{t('rate.now')}</b><span class="s d">{t('rate.e', each)}<br />{t('rate.max', num(most, 0), each)}</span></div>
    </section>
  );
}

/** Offset of a time zone in ms at a time. */
function zone(at: number, tz: string): number {
  const [h = 0, m = 0] = hms(at, tz).split(':').map(Number);
  const day = 86_400_000;
  const local = (h * 60 + m) * 60_000;
  const utc = at % day - (at % 60_000);
  return (((local - utc) % day) + day + day / 2) % day - day / 2;
}

/** Coded fields that a reader of the ticker wants. */
const TOLD = new Set(['state', 'category', 'channel', 'kind']);

/** The entry's own words, or its type, subject and coded fields. */
function tickerText(item: TickerItem): string {
  const own = say(item.text);
  if (own) return own;
  const subject = item.type.startsWith('call.') ? '' : item.subject; // a call's number says nothing to a reader
  const place = item.scope > 0 ? placeName(item.scope, lang.value) : '';
  return [word('event', item.type), subject, ...item.coded.filter(([k]) => TOLD.has(k)).map(([k, v]) => word(k, v)), place].filter(Boolean).join(' ');
}

export function Ticker(): JSX.Element {
  const tz = city.value.timezone;
  return (
    <footer class="tk" aria-label={t('ticker')} data-testid="ticker">
      {ticker.value.slice(0, 16).map((item) => <span key={item.seq}><i>{hms(item.at, tz)}</i>{tickerText(item)}</span>)}
    </footer>
  );
}
