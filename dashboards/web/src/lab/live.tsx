/** The right column: what the chosen indicator says now, where, over the day, at what cost, and what its last edit changed. */

import type { JSX } from 'preact';
import { Chart } from '../chart';
import { age, num, stamp } from '../format';
import { lang, t, word } from '../i18n';
import { Legend, MapBox } from '../map/map';
import { asOf, Figure, look, Mark, QualityTag, trendText, unit } from '../parts';
import { ask } from '../route';
import { board, cellFor, city, drill, effective, focus, frame, harm, placesIn, rowByCode, scopeName, scopes, slowNow } from '../store';
import { LEVELS, Quality, type Cell, type Indicator } from '../types';
import { trendOf } from '../vitals';
import { newest, newestChange, states, trouble } from './watch';

/** The value at the chosen place, with all that stands beside it, and the way to its reasons. */
function Now({ ind }: { ind: Indicator }): JSX.Element {
  void frame.value;
  const cell = cellFor(ind, focus.value);
  const level = effective(ind, cell);
  const change = cell.quality < 3 ? trendText(trendOf(ind, cell.row), ind) : '';
  return (
    <div class={`now2 ${look(cell, level)}`} data-testid="lab-now">
      <div class="fig"><span class="v"><Figure value={cell.quality >= 4 ? NaN : cell.value} ind={ind} /></span><Mark level={level} size={1} /><button class="btn pri" onClick={() => ask(ind.id, scopes.value.code[cell.row] ?? '')} data-testid="why-open">{t('why.ask')}</button></div>
      <div class="s d nw cap"><b class="m">{scopeName(cell.row, lang.value)}</b> {t(`quality.${cell.quality as 0}`)} · {asOf(cell, ind)}{change && ` · ${change}`} {(cell.quality === Quality.PARTIAL || cell.quality === Quality.STALE || cell.restated) && <QualityTag cell={cell} />}</div>
    </div>
  );
}

function Values({ ind }: { ind: Indicator }): JSX.Element {
  void frame.value;
  const own = cellFor(ind, focus.value).row;
  const inside = LEVELS[Math.min(4, (scopes.value.level[own] ?? 0) + 1)] ?? 'district';
  const banded = Object.keys(ind.bands).length > 0;
  const rank = (c: Cell): number => (!Number.isFinite(c.value) || c.quality >= 4 ? -Infinity : banded ? harm(ind, c) : c.value);
  const rows = ind.levels.includes(inside) ? placesIn(own).map((row) => ({ row, c: board.cell(ind.id, row) })).sort((a, b) => { const [x, y] = [rank(a.c), rank(b.c)]; return x === y ? a.row - b.row : y - x; }) : [];
  return (
    <section>
      <h3>{t('lab.values', t(`scope.${inside}`))} <span class="e">{rows.length > 0 ? t(banded ? 'lab.worst' : 'lab.largest') : ''}</span></h3>
      {rows.length === 0 && <p class="d">{t(ind.levels.includes(inside) ? 'lab.noPlaces' : 'lab.noLevel', t(`scope.${inside}`))}</p>}
      <div class="vals" data-testid="lab-values">
        {rows.slice(0, 40).map(({ row, c }) => (
          <button class={`vl in ${look(c, effective(ind, c))}`} key={row} onClick={() => drill(row)}><Mark level={effective(ind, c)} size={0.75} /><span class="el m">{scopeName(row, lang.value)}</span><span class="s"><QualityTag cell={c} /></span><span class="v">{num(c.quality >= 4 ? NaN : c.value, ind.decimals)}</span></button>
        ))}
      </div>
      {rows.length > 40 && <p class="s d">{t('strip.more', rows.length - 40)}</p>}
    </section>
  );
}

/** Bytes in the unit that fits. */
function size(bytes: number): string {
  if (!Number.isFinite(bytes)) return '—';
  const k = bytes < 1024 ? 0 : bytes < 1024 * 1024 ? 1 : 2;
  return `${num(bytes / 1024 ** k, k === 2 ? 1 : 0)} ${['B', 'KB', 'MB'][k]}`;
}

function Machine({ ind }: { ind: Indicator }): JSX.Element {
  const s = states.value.get(ind.id);
  const tz = city.value.timezone;
  return (
    <section>
      <h3>{t('lab.machine')}</h3>
      {trouble.value && <p class="s" role="alert">{t('lab.trouble', trouble.value)}</p>}
      <div class="mach" data-testid="lab-machine">
        <div><span class="s d">{t('lab.cost')}</span><b>{s && Number.isFinite(s.costUs) ? <>{num(s.costUs, s.costUs < 10 ? 1 : 0)} <span class="u">µs</span></> : '—'}</b></div>
        <div><span class="s d">{t('lab.bytes')}</span><b>{s ? size(s.bytes) : '—'}</b></div>
        <div><span class="s d">{t('lab.version')}</span><b class="mono">{s?.version || ind.hash || '—'}</b></div>
        <div><span class="s d">{t('lab.checked')}</span><b>{s && Number.isFinite(s.checkedAt) ? <span title={age(slowNow.value - s.checkedAt)}>{stamp(s.checkedAt, slowNow.value, tz)}</span> : s ? t(s.origin === 'builtin' ? 'lab.atStart' : 'lab.unchecked') : '—'}</b></div>
      </div>
      <div class="s lasterr"><span class="d">{t('lab.lastError')}</span> {s?.error ? <pre>{s.error}</pre> : s ? t('lab.none') : '—'}</div>
      {s?.note && <p class="s m lasterr" data-testid="lab-note">{s.note}</p>}
    </section>
  );
}

/** City and districts before and after the newest edit. */
function BeforeAfter({ ind }: { ind: Indicator }): JSX.Element {
  const e = newest.value.get(ind.id);
  const tz = city.value.timezone;
  const told = newestChange.value.get(ind.id); // a refusal changed nothing: the change before it stays in view
  const codes = told ? [...new Set([...told.before.keys(), ...told.after.keys()])] : [];
  const rows = codes.map((code) => ({ code, row: rowByCode.value.get(code) ?? -1, a: told?.before.get(code) ?? NaN, b: told?.after.get(code) ?? NaN })).sort((x, y) => x.row - y.row);
  return (
    <section>
      <h3>{t('lab.edit')} <span class="e">{e ? `${word('edit', e.kind)} ${stamp(e.at, slowNow.value, tz)}` : ''}</span></h3>
      {!e && <p class="d">{t('lab.noEdit')}</p>}
      {e && e.error && <pre class="s">{e.error}</pre>}
      {told && told !== e && <p class="s d">{word('edit', told.kind)} {stamp(told.at, slowNow.value, tz)}</p>}
      {rows.length > 0 && (
        <table class="tbl num ba" data-testid="before-after">
          <thead><tr><th>{t('pop.place')}</th><th>{t('lab.before')}</th><th>{t('lab.after')}</th><th>{t('lab.change')}</th></tr></thead>
          <tbody>{rows.map((r) => { const d = r.b - r.a; const moved = Number.isFinite(d) && num(d, ind.decimals) !== num(0, ind.decimals); return <tr key={r.code}><td>{r.row >= 0 ? scopeName(r.row, lang.value) : r.code}</td><td>{num(r.a, ind.decimals)}</td><td class={moved ? 'b' : ''}>{num(r.b, ind.decimals)}</td><td class="d">{moved ? `${d > 0 ? '+' : ''}${num(d, ind.decimals)}` : '—'}</td></tr>; })}</tbody>
        </table>
      )}
    </section>
  );
}

export function Live({ ind }: { ind: Indicator }): JSX.Element {
  const row = cellFor(ind, focus.value).row;
  return (
    <aside class="live2" tabIndex={0} aria-label={t('lab.live')}>
      <Now ind={ind} />
      <div class="mapframe"><MapBox small /></div>
      <Legend ind={ind} small />
      <section><h3>{t('lab.chart')} <span class="e">{scopeName(row, lang.value)} {unit(ind.unit)}</span></h3><Chart ind={ind} trend={trendOf(ind, row)} height={8} /></section>
      <Values ind={ind} />
      <Machine ind={ind} />
      <BeforeAfter ind={ind} />
    </aside>
  );
}
