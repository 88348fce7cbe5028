/** Units that may come, with every term of their score; and what happened so far. */

import type { JSX } from 'preact';
import { hms } from '../format';
import { lang, say, t, word } from '../i18n';
import { rowOf, scopeName } from '../store';
import { busy, candidates, recommended, send } from './act';
import { speaker, words } from './lines';
import type { Assigned, Candidate, Entry, File } from './nouns';
import { bearing, nextMove, span, standing } from './queue';
import { file, fleet, may, second, unitNow, zone } from './store';

export const TERMS = ['time', 'skill', 'load', 'area'] as const;

export function Term({ value }: { value: number | undefined }): JSX.Element {
  if (value === undefined || !Number.isFinite(value)) return <span class="tm d">—</span>;
  return <span class="tm">{value.toFixed(2)}<svg viewBox="0 0 40 4" preserveAspectRatio="none" aria-hidden="true"><path d="M0 0h40v4H0z" fill="var(--band)" /><path d={`M0 0h${(40 * Math.max(0.02, Math.min(1, value))).toFixed(1)}v4H0z`} fill="var(--text-2)" /></svg></span>;
}

function Row({ c, n }: { c: Candidate; n: number }): JSX.Element {
  const best = recommended.value?.unit === c.unit;
  const legal = may('case.dispatched') && (file.value?.legal.includes('case.dispatched') ?? false);
  const next = file.value !== null && nextMove(standing(file.value, second.value), file.value.legal) === 'case.dispatched';
  return (
    <tr class={`ur${best ? ' sel' : ''}${c.feasible ? '' : ' no'}`} data-unit={c.unit}>
      <td class="d">{n <= 9 ? n : ''}</td>
      <td class="el"><b>{c.unit}</b> {c.name}</td>
      <td class="el">{word('ustate', c.state)}</td>
      <td class="r et">{c.late ? <span class="od" title={t('units.late')}>{span(c.eta)}</span> : span(c.eta)}</td>
      {c.feasible ? TERMS.map((name) => <td key={name}><Term value={c.terms[name]} /></td>) : <td colSpan={4} class="s d el">{say(c.why)}</td>}
      <td class="tot">{Number.isFinite(c.score) ? c.score.toFixed(2) : '—'}</td>
      <td><button class={`btn${best && next ? ' pri' : ''}`} disabled={!legal || busy.value > 0} onClick={() => send(c)} title={say(c.why)} aria-label={t('units.sendTo', c.unit)}>{t('units.send')} {n <= 9 && <kbd>{best && next ? 'Enter' : n}</kbd>}</button></td>
    </tr>
  );
}

/** A unit on the case of which nothing is heard: no receipt in time, or silent on its way. */
function Unheard({ u, how }: { u: Assigned; how: string }): JSX.Element {
  const unit = unitNow(u.unit);
  const words = how === 'silent' ? t('units.silent', hms(unit?.seen ?? NaN, zone.value)) : t('units.unanswered', hms(u.since, zone.value), hms(u.receiptDue, zone.value));
  return (
    <tr class="ur" data-unit={u.unit} data-testid="unheard">
      <td /><td class="el"><b>{u.unit}</b> {unit?.name}</td><td class="wide2"><span class="od">{word('ustate', how)}</span></td><td colSpan={4} class="s d el">{words}</td>
    </tr>
  );
}

const unheard = (c: File): [Assigned, string][] => c.units.map((u): [Assigned, string] => [u, bearing(u, c, unitNow(u.unit)?.state, second.value)]).filter(([, how]) => how === 'silent' || how === 'unanswered');

export function Units(): JSX.Element {
  const list = candidates.value;
  const best = recommended.value;
  const up = fleet.value.filter((u) => u.state !== 'off');
  const free = up.filter((u) => u.state === 'ready');
  return (
    <section class="un2" aria-label={t('units')}>
      <div class="gh"><b>{t('units')}</b><span class="d s">{best ? t('units.best', best.unit) : t('units.none')}</span>{fleet.value.length > 0 && <span class="e">{t('units.sum', up.length, free.length)}</span>}</div>
      <div class="us" tabIndex={0} role="region" aria-label={t('units')}>
        <table data-testid="units">
          <thead><tr class="ur hdr"><th /><th>{t('units.unit')}</th><th>{t('units.state')}</th><th class="r">{t('units.eta')}</th>{TERMS.map((name) => <th key={name}>{word('term', name)}</th>)}<th class="r">{t('units.score')}</th><th /></tr></thead>
          <tbody>{file.value && unheard(file.value).map(([u, how]) => <Unheard key={u.unit} u={u} how={how} />)}{list.map((c, i) => <Row key={c.unit} c={c} n={i + 1} />)}</tbody>
        </table>
      </div>
    </section>
  );
}

/** Who a line is of: the desk itself, somebody by name, or whom a simulator plays. */
function who(actor: string): string {
  const name = speaker(actor);
  return name ? word('actor', name) : t('timeline.system');
}

function Line({ e }: { e: Entry }): JSX.Element {
  const said = words(e, lang.value, (code) => { const row = rowOf(code); return row < 0 ? '' : scopeName(row, lang.value); });
  const unit = e.unit && `${e.unit} ${unitNow(e.unit)?.name ?? ''}`.trimEnd();
  return (
    <li class="tlx">
      <span>{hms(e.at, zone.value)}</span><span class="d" title={e.actor}>{who(e.actor)}</span>
      <span title={[unit, said].filter(Boolean).join(' · ')}><b>{word('event', e.type)}</b>{unit && ` ${unit}`}{said ? ` ${word('said', said)}` : ''}</span><span class="hx">{e.hash.slice(0, 4)}</span>
    </li>
  );
}

export function Timeline(): JSX.Element {
  const list = [...(file.value?.timeline ?? [])].reverse();
  const chained = list.length > 0 && list.every((e) => e.hash);
  return (
    <section class="tls" aria-label={t('timeline')}>
      <div class="gh"><b>{t('timeline')}</b><span class="d s">{t(chained ? 'timeline.chained' : 'timeline.only')}</span><span class="e">{t('timeline.sum', list.length)}</span></div>
      <ol class="tlb" tabIndex={0} aria-label={t('timeline')} data-testid="timeline">
        {list.map((e) => <Line key={e.id || `${e.at}${e.type}`} e={e} />)}
      </ol>
    </section>
  );
}
