/** What was clicked, in full: a place, a case, a device or other entity, an indicator. */

import { signal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { addressOf } from './address';
import { Chart } from './chart';
import { age, countdown, hms, num, stamp } from './format';
import { lang, say, t, word } from './i18n';
import { detail } from './reads';
import { moved } from './map/map';
import { view } from './map/view';
import { asOf, BandList, Figure, look, Mark, QualityTag, Spark, trendText, windowText, unit } from './parts';
import { board, byId, cases, casesRev, cellFor, chosen, city, drill, effective, entities, focus, frame, harm, indicators, now, openCases, path, picked, placesIn, scopeName, scopes, within } from './store';
import { LEVELS, type Case, type Entity, type EntityDetail, type Indicator } from './types';
import { followed } from './header';
import { ask } from './route';
import { trendOf } from './vitals';

function Shell({ title, sub, children, wide = false }: { title: ComponentChildren; sub?: ComponentChildren; children: ComponentChildren; wide?: boolean }): JSX.Element {
  return (
    <section class={`ov pop${wide ? ' wide' : ''}`} role="dialog" aria-live="off" data-testid="popover">
      <h2><span class="el">{title}</span><button class="x" aria-label={t('pop.close')} onClick={() => (picked.value = null)}>✕</button></h2>
      {sub && <div class="s d el">{sub}</div>}
      {children}
    </section>
  );
}

/** `江岸区 四唯街道 …`: the places above a row, without the city. */
function placeLine(row: number): string {
  return path(row).slice(1).map((r) => scopeName(r, lang.value)).join(' ');
}

function CaseLines({ list }: { list: Case[] }): JSX.Element {
  return (
    <>
      {list.slice(0, 4).map((c) => {
        const left = c.due - now.value;
        return (
          <button class="sl in" key={c.id} onClick={() => (picked.value = { type: 'case', id: c.id })}>
            <span><Mark level={c.level} /></span><b class="el">{c.id}</b><span class="m el">{say(c.title) || word('category', c.category)} <span class="d">{word('stage', c.stage)}</span></span>
            <span class="r nw">{c.due > 0 && <span class={left < 0 ? 'od' : ''}>{countdown(left, lang.value)}</span>}</span>
          </button>
        );
      })}
      {list.length === 0 && <p class="s d">{t('pop.none')}</p>}
    </>
  );
}

/** A place: the chosen indicator's value there, the other indicators that reach its level, its cases. */
function ScopePop({ row }: { row: number }): JSX.Element {
  void frame.value;
  void casesRev.value;
  const ind = byId.value.get(chosen.value);
  const level = scopes.value.level[row] ?? 0;
  const here = indicators.value.filter((i) => i.id !== chosen.value && i.levels.some((l) => LEVELS.indexOf(l) >= level));
  const cell = ind ? cellFor(ind, row) : null;
  const cs = [...cases.values()].filter((c) => within(c.scope, row) && openCases.value.includes(c));
  return (
    <Shell title={scopeName(row, lang.value)} sub={`${placeLine(scopes.value.parent[row] ?? 0)} · ${t(`scope.${LEVELS[level] ?? 'grid'}`)} ${scopes.value.code[row] ?? ''}${scopes.value.synthetic[row] ? ` · ${t('pop.synthetic')}` : ''}`}>
      {ind && cell && (
        <>
          <div class={`fig ${look(cell, effective(ind, cell))}`}><span class="v"><Figure value={cell.value} ind={ind} /></span><Mark level={effective(ind, cell)} /><span class="d s" style={{ marginLeft: 'auto', textAlign: 'right' }}>{t(`quality.${cell.quality as 0}`)}<br />{asOf(cell, ind)}</span></div>
          <div class="s d el">{say(ind.name)} {cell.row !== row && <i class="tag">{t('tag.from', scopeName(cell.row, lang.value))}</i>} <QualityTag cell={cell} ind={ind} /></div>
          <div style={{ marginTop: '.375rem' }}><Spark trend={trendOf(ind, cell.row)} ind={ind} w={288} h={44} cell={cell} /></div>
        </>
      )}
      {here.length > 0 && <h3>{t('pop.indicators')}</h3>}
      {here.map((i) => ({ i, c: board.cell(i.id, row) })).filter(({ c }) => c.quality < 4).slice(0, 7).map(({ i, c }) => (
        <div class="rd" key={i.id}><span class="el m">{say(i.name)}</span><b style={{ fontWeight: effective(i, c) ? 700 : 400 }}>{num(c.value, i.decimals)} <span class="u">{unit(i.unit)}</span></b><span><Mark level={effective(i, c)} size={0.75} /></span><span class="s d r"><QualityTag cell={c} ind={i} /> {c.quality ? '' : asOf(c, i)}</span></div>
      ))}
      <h3>{t('pop.cases')} {cs.length}</h3>
      <CaseLines list={cs} />
      <div class="acts">{(scopes.value.children.get(row)?.length ?? 0) > 0 && row !== focus.value && <button class="btn pri" onClick={() => drill(row)} data-testid="drill">{t('pop.drill', scopeName(row, lang.value))}</button>}<button class="btn" onClick={() => view.scope(row)}>{t('pop.on')}</button>{ind && cell && <button class="btn" onClick={() => ask(ind.id, scopes.value.code[cell.row] ?? '')} data-testid="why-open">{t('why.ask')}</button>}</div>
    </Shell>
  );
}

function CasePop({ id }: { id: string }): JSX.Element | null {
  void casesRev.value;
  const c = cases.get(id);
  if (!c) return null;
  const left = c.due - now.value;
  const tz = city.value.timezone;
  return (
    <Shell title={<>{c.id} <Mark level={c.level} /></>} sub={placeLine(c.scope)}>
      <div class="fig"><span style={{ fontSize: 'var(--fs-20)', fontWeight: 700 }}>{say(c.title) || word('category', c.category)}</span></div>
      <div class="kv">
        <span>{t('case.stage')}</span><span>{word('stage', c.stage)}</span>
        <span>{t('case.category')}</span><span>{c.category ? word('category', c.category) : '—'}</span>
        <span>{t('case.reported')}</span><span>{stamp(c.reported, now.value, tz)}{c.reported > 0 && <span class="d"> · {age(now.value - c.reported)}</span>}</span>
        <span>{t('case.due')}</span><span>{stamp(c.due, now.value, tz)} {c.due > 0 && <span class={left < 0 ? 'od' : 'd'}>{countdown(left, lang.value)}</span>}</span>
        <span>{t('pop.place')}</span><span>{scopeName(c.scope, lang.value)}</span>
      </div>
      <div class="acts"><button class="btn pri" onClick={() => view.fly(c.lon, c.lat, 14)}>{t('pop.on')}</button></div>
    </Shell>
  );
}

const detailOf = signal<EntityDetail | null>(null);

/** A device or another entity: readings, quality, as-of, relations, cases. */
function EntityPop({ row }: { row: number }): JSX.Element | null {
  const e: Entity | undefined = entities.get(row);
  const d = detailOf.value?.row === row ? detailOf.value : null;
  const asked = Math.floor(now.value / 5000);
  useEffect(() => {
    if (!e) return;
    void detail(e.kind, e.code, row).then((got) => { detailOf.value = got; }, () => undefined);
  }, [row, e?.code, asked]);
  if (!e) return null;
  const tz = city.value.timezone;
  const place = e.scope;
  const near = [...cases.values()].filter((c) => c.scope === place && openCases.value.includes(c));
  return (
    <Shell title={e.name || d?.name || e.code} sub={`${placeLine(place)} · ${word('kind', e.kind)} ${e.code}`}>
      <div class="s m" style={{ marginTop: '.25rem' }}>{e.seen > 0 ? t('pop.seen', stamp(e.seen, now.value, tz), age(now.value - e.seen)) : (e.state || t('pop.unseen'))}</div>
      <h3>{t('pop.readings')}</h3>
      {(d?.readings ?? []).map((r) => (
        <div class="rd" key={r.property}><span class="el m">{r.property}</span><b>{num(r.value, Math.abs(r.value) < 10 ? 2 : 1)} <span class="u">{r.unit}</span></b><span class="s d">{r.quality}</span><span class="s d r">{hms(r.at, tz)}</span></div>
      ))}
      {d?.readings.length === 0 && <p class="s d">{t('pop.none')}</p>}
      {(d?.relations.length ?? 0) > 0 && <h3>{t('pop.relations')}</h3>}
      <div class="kv">{(d?.relations ?? []).slice(0, 5).flatMap((r) => [<span key={`a${r.relation}${r.code}`}>{r.relation}</span>, <span key={`b${r.relation}${r.code}`} class="el">{r.name || r.code}</span>])}</div>
      {(d?.attrs.length ?? 0) > 0 && <h3>{t('pop.attrs')}</h3>}
      <div class="kv">{(d?.attrs ?? []).slice(0, 8).flatMap(([k, v]) => [<span key={`a${k}`}>{k}</span>, <span key={`b${k}`} class="el">{v}</span>])}</div>
      <h3>{t('pop.cases')} {near.length}</h3>
      <CaseLines list={near} />
      <div class="acts"><button class="btn pri" onClick={() => view.fly(e.lon, e.lat, 14)}>{t('pop.on')}</button></div>
    </Shell>
  );
}

/** An indicator: 24 hours, bands, worst places, where the number comes from. */
function IndicatorPop({ ind }: { ind: Indicator }): JSX.Element {
  void frame.value;
  const cell = cellFor(ind, focus.value);
  const level = effective(ind, cell);
  const trend = trendOf(ind, cell.row);
  const inside = placesIn(cell.row);
  const childLevel = LEVELS[Math.min(4, (scopes.value.level[cell.row] ?? 0) + 1)] ?? 'district';
  const worst = inside.map((row) => ({ row, c: board.cell(ind.id, row) })).filter((x) => x.c.quality < 4).sort((a, b) => harm(ind, b.c) - harm(ind, a.c)).slice(0, 5);
  return (
    <Shell wide title={say(ind.name)} sub={`${scopeName(cell.row, lang.value)} · ${word('theme', ind.theme)} · ${windowText(ind.window)}`}>
      <div class={`fig ${look(cell, level)}`}><span class="v"><Figure value={cell.value} ind={ind} /></span><Mark level={level} /><span class="m">{cell.quality < 3 ? trendText(trend, ind) : ''}</span><span class="d s" style={{ marginLeft: 'auto', textAlign: 'right' }}>{cell.quality ? <QualityTag cell={cell} ind={ind} /> : t('quality.0')}<br />{asOf(cell, ind)}</span></div>
      {Number.isFinite(cell.closed) && <div class="s d">{t('ind.closed', `${num(cell.closed, ind.decimals)} ${unit(ind.unit)}`)}</div>}
      <Chart ind={ind} trend={trend} />
      <div class="s d">{t('ind.chart')}</div>
      {worst.length > 0 && ind.levels.includes(childLevel) && <h3>{t('ind.worst', t(`scope.${childLevel}`))}</h3>}
      {ind.levels.includes(childLevel) && worst.map(({ row, c }) => (
        <button class="rd" key={row} style={{ width: '100%' }} onClick={() => drill(row)}><span class="el m">{scopeName(row, lang.value)}</span><b style={{ fontWeight: effective(ind, c) ? 700 : 400 }}>{num(c.value, ind.decimals)} <span class="u">{unit(ind.unit)}</span></b><span><Mark level={effective(ind, c)} size={0.75} /></span><span class="s d r"><QualityTag cell={c} ind={ind} /></span></button>
      ))}
      <div class="acts"><button class="btn pri" onClick={() => ask(ind.id, scopes.value.code[cell.row] ?? '')} data-testid="why-open">{t('why.ask')}</button><a class="btn" href={addressOf('lab', ind.id)} onClick={followed('lab')}>{t('lab.open')}</a></div>
      <h3>{t('pop.why')}</h3>
      <div class="kv s">
        <span>{t('ind.meaning')}</span><span>{say(ind.meaning) || '—'}</span>
        <span>{t('ind.formula')}</span><span style={{ overflowWrap: 'anywhere' }}>{ind.doc || '—'}</span>
        <span>{t('ind.bands')}</span><BandList ind={ind} />
        <span>{t('ind.source')}</span><span>{ind.source || '—'} <i class="tag">{word('status', ind.status)}</i></span>
        <span>{t('ind.owner')}</span><span>{ind.owner || '—'}</span>
      </div>
    </Shell>
  );
}

/** Where on the map the picked thing is; null when it is no place. */
function anchor(): { lon: number; lat: number } | null {
  const p = picked.value;
  const thing = p?.type === 'case' ? cases.get(p.id) : p?.type === 'entity' ? entities.get(p.row) : undefined;
  return thing && Number.isFinite(thing.lon) ? thing : null;
}

/** One straight line from the popover to the mark, at the height of the mark. */
function Leader(): JSX.Element | null {
  void moved.value;
  const at = anchor();
  const p = at && view.project(at.lon, at.lat);
  if (!p) return null;
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const r = 1.25 * rem;
  const from = 21 * rem;
  return <svg class="leader" aria-hidden="true">{p.x - r > from && <path d={`M${from} ${p.y}H${p.x - r}`} />}<circle cx={p.x} cy={p.y} r={r} /></svg>;
}

export function Popover(): JSX.Element | null {
  const p = picked.value;
  if (!p) return null;
  const ind = p.type === 'indicator' ? byId.value.get(p.id) : undefined;
  return (
    <>
      <Leader />
      {p.type === 'scope' && <ScopePop row={p.row} />}
      {p.type === 'case' && <CasePop id={p.id} />}
      {p.type === 'entity' && <EntityPop row={p.row} />}
      {ind && <IndicatorPop ind={ind} />}
    </>
  );
}
