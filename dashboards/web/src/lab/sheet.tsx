/** The middle: all that defines the chosen indicator, as its author and its sources say it. */

import type { JSX } from 'preact';
import { holds } from '../definition';
import { lang, say, t, word } from '../i18n';
import { BandList, unit, windowText } from '../parts';
import { city, slowNow } from '../store';
import type { Indicator, Threshold } from '../types';
import { Code } from '../why';
import { Lineage } from './graph';
import { newest, states } from './watch';

/** `2026-03-01` in the city's time; words where a side is open. */
function date(ms: number, open: string): string {
  if (!Number.isFinite(ms)) return open;
  return new Intl.DateTimeFormat('en-CA', { timeZone: city.value.timezone, year: 'numeric', month: '2-digit', day: '2-digit' }).format(ms);
}

function Head({ ind }: { ind: Indicator }): JSX.Element {
  const s = states.value.get(ind.id);
  const facts: [string, string][] = [
    [t('lab.unit'), unit(ind.unit) || ind.unit || '—'], [t('lab.window'), windowText(ind.window)], [t('lab.levels'), ind.levels.map((l) => t(`scope.${l}`)).join(' · ')],
    [t('lab.direction'), t(`better.${ind.better}`)], [t('lab.theme'), word('theme', ind.theme)], [t('ind.owner'), ind.owner || '—'], [t('lab.origin'), s ? [word('origin', s.origin), s.place].filter(Boolean).join(' ') : '—'], [t('lab.decimals'), String(ind.decimals)],
  ];
  return (
    <header class="hh">
      <h2 data-testid="lab-name">{say(ind.name) || ind.id} <span class="m">{lang.value === 'zh' ? ind.name.en : ind.name.zh}</span></h2>
      <p class="id d">{ind.id}</p>
      <p class="mean">{say(ind.meaning)}</p>
      <dl class="facts">{facts.map(([k, v]) => <div key={k}><dt class="s d">{k}</dt><dd>{v}</dd></div>)}</dl>
    </header>
  );
}

function Edition({ ind, x }: { ind: Indicator; x: Threshold }): JSX.Element {
  const at = slowNow.value;
  const held = holds(x, at);
  const state = held ? 'lab.held' : at < x.from ? 'lab.coming2' : 'lab.past';
  return (
    <tr class={held ? '' : 'd'}>
      <td class="nw">{x.edition || '—'}<span class="s d blk">{t(state)}</span></td>
      <td><BandList ind={ind} bands={x.bands} /></td>
      <td class="nw">{date(x.from, t('lab.always'))}<span class="blk">{date(x.to, t('lab.open2'))}</span></td>
      <td>{x.source || '—'} <i class={`tag${x.status === 'L' ? ' dot' : ''}`}>{word('status', x.status)}</i></td>
    </tr>
  );
}

function Thresholds({ ind }: { ind: Indicator }): JSX.Element {
  return (
    <section>
      <h3>{t('lab.thresholds')}</h3>
      {ind.thresholds.length === 0 ? <p class="d">{t('ind.unbanded')}</p> : (
        <table class="tbl" data-testid="thresholds">
          <thead><tr><th>{t('lab.edition')}</th><th>{t('ind.bands')}</th><th>{t('lab.valid')}</th><th>{t('ind.source')}</th></tr></thead>
          <tbody>{ind.thresholds.map((x, i) => <Edition key={i} ind={ind} x={x} />)}</tbody>
        </table>
      )}
    </section>
  );
}

function Examples({ ind }: { ind: Indicator }): JSX.Element {
  const names = [...new Set(ind.examples.flatMap((e) => e.given.map(([k]) => k)))];
  return (
    <section>
      <h3>{t('lab.examples')} <span class="e">{ind.examples.length}</span></h3>
      {ind.examples.length === 0 ? <p class="d">{t('lab.noExamples')}</p> : (
        <div class="xs"><table class="tbl num" data-testid="examples">
          <thead><tr>{names.map((n) => <th key={n}>{n}</th>)}<th class="gv">{t('lab.gives')}</th></tr></thead>
          <tbody>{ind.examples.map((e, i) => <tr key={i}>{names.map((n) => <td key={n}>{e.given.find(([k]) => k === n)?.[1] ?? ''}</td>)}<td class="gv"><b>{e.gives}</b></td></tr>)}</tbody>
        </table></div>
      )}
    </section>
  );
}

function Parameters({ ind }: { ind: Indicator }): JSX.Element {
  return (
    <section>
      <h3>{t('lab.parameters')} <span class="e">{ind.parameters.length}</span></h3>
      {ind.parameters.length === 0 ? <p class="d">{t('lab.noParameters')}</p> : (
        <table class="tbl par" data-testid="parameters">
          <thead><tr><th>{t('lab.pname')}</th><th>{t('lab.pkind')}</th><th>{t('lab.ptext')}</th></tr></thead>
          <tbody>{ind.parameters.map((p) => <tr key={p.name}><td class="mono">{p.name}</td><td>{word('agg', p.kind)} <span class="s d">{p.table}</span></td><td class="mono s">{p.text}</td></tr>)}</tbody>
        </table>
      )}
    </section>
  );
}

/** What went wrong, at the top: it is why the page was opened. */
function Trouble({ ind }: { ind: Indicator }): JSX.Element | null {
  const s = states.value.get(ind.id);
  const refused = newest.value.get(ind.id);
  const words = s?.error || (refused?.kind === 'refused' ? refused.error : '');
  if (!words) return null;
  return <div class="bad" role="alert" data-testid="lab-trouble"><b>{t(s?.quarantined ? 'lab.isQuarantined' : refused?.kind === 'refused' ? 'lab.isRefused' : 'lab.isError')}</b><pre>{words}</pre></div>;
}

export function Sheet({ ind }: { ind: Indicator }): JSX.Element {
  return (
    <main class="sheet2" tabIndex={0} key={ind.id} data-testid="lab-sheet">
      <Trouble ind={ind} />
      <Head ind={ind} />
      <section><h3>{t('lab.lineage')}</h3><Lineage ind={ind} /></section>
      <div class="two">
        <section><h3>{t('lab.formula')} <span class="e mono">{ind.hash}</span></h3>{ind.code ? <Code source={ind.code} /> : <p class="d">{ind.doc || t('lab.noCode')}</p>}</section>
        <div><Thresholds ind={ind} /><Examples ind={ind} /></div>
      </div>
      <Parameters ind={ind} />
      <section><h3>{t('lab.doc')} <a class="e" href={`/reference/${encodeURIComponent(ind.id)}`}>{t('lab.reference')}</a></h3><p class="doc m">{ind.doc || t('lab.noDoc')}</p></section>
    </main>
  );
}
