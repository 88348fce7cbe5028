/** The selected case: where it stands, why it is one, what may be the same, what the plan asks, what can be done. */

import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { hm, hms, num } from '../format';
import { lang, say, t, word } from '../i18n';
import { onlookers } from '../looking';
import { Mark, Spark, unit as unitName } from '../parts';
import type { Indicator } from '../types';
import type { Onlooker } from '../wire';
import { advance, begin, busy, merge, moveName, receipt, recommended, send, stepDone, unlike, unmerge } from './act';
import { brief } from './grammar';
import { personal } from './lines';
import type { Duplicate, File, Part, Passed, Plan } from './nouns';
import { Sign } from './parts';
import { bearing, deadline, isOver, lead, metres, nextMove, span, stages, standing } from './queue';
import { Left, lentTo, nameOf, whereOf } from './list';
import { caseNow, file, fileTrouble, may, second, selected, unitNow, zone } from './store';

function Stages({ c }: { c: File }): JSX.Element {
  const due = (at: number): string => t(Number.isFinite(c.stageDue) ? 'case.dueAt' : 'case.dueAll', hms(at, zone.value));
  return (
    <ol class="st" aria-label={t('case.stages')}>
      {stages(c).map(({ stage, how, at }) => (
        <li key={stage} class={how === 'done' ? 'dn' : how === 'now' ? 'cur' : 'todo'} aria-current={how === 'now' ? 'step' : undefined}>
          <b>{word('dstage', stage)}</b><span class="s d">{Number.isFinite(at) ? (how === 'now' ? due(at) : hms(at, zone.value)) : ''}</span>
        </li>
      ))}
    </ol>
  );
}

/** A line of a part's own past, with the limit that was crossed. */
function Past({ part, level }: { part: Part; level: number }): JSX.Element {
  if (part.series.filter(Number.isFinite).length < 2) return <span class="s d r">{part.evidence.length > 0 && t('case.evidence', part.evidence.length)}</span>;
  const bands = Number.isFinite(part.limit) ? { [(['', 'red', 'orange', 'yellow', 'blue'] as const)[level] || 'red']: part.limit } : {};
  return <Spark trend={{ end: 0, step: 1, values: part.series }} ind={{ bands, better: 'down' } as Indicator} w={84} h={24} />;
}

function WhyPart({ part, level }: { part: Part; level: number }): JSX.Element {
  const open = useSignal(false);
  const value = part.value === 'yes' || part.value === 'no' ? t(part.value === 'yes' ? 'desk.yes' : 'desk.no') : Number.isFinite(part.number) ? num(part.number, Number.isInteger(part.number) ? 0 : 1) : part.value || '—';
  return (
    <div>
      <button class="wy in" disabled={part.evidence.length === 0} aria-expanded={part.evidence.length ? open.value : undefined} onClick={() => (open.value = !open.value)}>
        <span class="el">{say(part.label)}</span><Past part={part} level={level} />
        <span class="r nw"><b>{value}</b><span class="u">{unitName(part.unit)}</span></span>
        <span role="img" aria-label={t(part.ok ? 'case.met' : 'case.unmet')}><Sign name={part.ok ? 'check' : 'cross'} /></span>
      </button>
      {open.value && <ul class="ev s d">{part.evidence.slice(0, 8).map((e) => <li key={e.id} class="el">{hms(e.at, zone.value)} {word('event', e.type)} {e.id}</li>)}</ul>}
    </div>
  );
}

function Reasons({ c }: { c: File }): JSX.Element {
  const why = c.why;
  return (
    <>
      <h3><span>{why ? t('case.why', why.rule, why.version) : t('case.from', word('channel', c.channel))}</span><span>{why ? [Number.isFinite(why.confidence) ? t('case.sure', why.confidence.toFixed(2)) : '', Number.isFinite(why.at) ? hms(why.at, zone.value) : ''].filter(Boolean).join(' · ') : ''}</span></h3>
      {why?.parts.map((p, i) => <WhyPart key={i} part={p} level={c.level} />)}
      {(c.text || c.address || c.reports.length > 0 || c.merged.length > 0) && <h3 class="mt1"><span>{t('case.context')}</span><span>{c.reports.length > 1 ? t('case.reports', c.reports.length) : ''}</span></h3>}
      {c.address && <p class="ctx el">{c.address}</p>}
      {c.text && <p class="ctx">{c.text}</p>}
      {c.reports.filter((r) => r.text && r.text !== c.text).slice(0, 3).map((r, i) => <p class="ctx el" key={i}><span class="d">{Number.isFinite(r.at) ? `${hm(r.at, zone.value)} ` : ''}{word('channel', r.channel)}</span> {r.text}</p>)}
      {c.merged.map((code) => <p class="ctx" key={code}>{t('case.merged', brief(code))} <button class="btn sm" onClick={() => unmerge(code)}>{t('case.unmerge')}</button></p>)}
    </>
  );
}

/** How far, how long before or after, how alike; the other's time counts where it is known. */
function likeness(d: Duplicate, c: File): string {
  const other = caseNow(d.code);
  const after = other ? other.reported > c.reported : false;
  const terms = [Number.isFinite(d.terms.text) ? t('dup.text', (d.terms.text ?? 0).toFixed(2)) : '', (d.terms.component ?? 0) > 0 ? t('dup.component') : ''];
  return [metres(d.distance), Number.isFinite(d.gap) ? t(after ? 'dup.later' : 'dup.earlier', span(Math.abs(d.gap))) : '', ...terms].filter(Boolean).join(' · ');
}

function Duplicates({ c }: { c: File }): JSX.Element | null {
  if (c.duplicates.length === 0) return null;
  return (
    <div data-testid="duplicates">
      <h3><span>{t('dup')}</span><span>{t('dup.undo')}</span></h3>
      {c.duplicates.slice(0, 2).map((d, i) => (
        <div class="dup" key={d.code}>
          <span><Mark level={d.level || (caseNow(d.code)?.level ?? 0)} /></span>
          <div class="el"><div class="el"><b title={d.code}>{brief(d.code)}</b> {say(d.title)} <span class="d">{Number.isFinite(d.score) && t('dup.score', d.score.toFixed(2))}</span></div><div class="w el" title={likeness(d, c)}>{likeness(d, c)}</div></div>
          <span class="bt"><button class={`btn${i === 0 ? ' pri' : ''}`} onClick={() => merge(d.code)}>{t('dup.merge')} {i === 0 && <kbd>M</kbd>}</button><button class="btn" onClick={() => unlike(d.code)}>{t('dup.unlike')} {i === 0 && <kbd>U</kbd>}</button></span>
        </div>
      ))}
      {c.duplicates.length > 2 && <p class="s d">{t('strip.more', c.duplicates.length - 2)}</p>}
    </div>
  );
}

function Steps({ plan }: { plan: Plan }): JSX.Element {
  const done = plan.steps.filter((s) => Number.isFinite(s.doneAt));
  const next = plan.steps.find((s) => !Number.isFinite(s.doneAt));
  return (
    <div data-testid="plan">
      <h3><span>{t('plan', say(plan.title) || plan.plan)}</span><span>{done.length} / {plan.steps.length}</span></h3>
      {plan.steps.map((s) => {
        const on = Number.isFinite(s.doneAt);
        return (
          <button class="pl in" key={s.n} role="checkbox" aria-checked={on} disabled={on} onClick={() => stepDone(s.n)}>
            <i class={on ? 'on' : ''} /><span class="el">{say(s.title)}</span>{on ? <span class="s d nw">{s.doneBy} {hm(s.doneAt, zone.value)}</span> : s === next ? <kbd>P</kbd> : null}
          </button>
        );
      })}
    </div>
  );
}

/** The buttons; what the case may not do now is disabled. */
function Actions({ c }: { c: File }): JSX.Element {
  const move = nextMove(standing(c, second.value), c.legal);
  const unit = recommended.value;
  const off = (op: string): boolean => busy.value > 0 || !c.legal.includes(op) || !(may(op) || (op === 'case.deferred' && may('case.extension_asked')));
  const one = (op: string, name: string, zh: string, en: string, key: string, cls = ''): JSX.Element => <button class={`btn ${cls}`} disabled={off(op)} onClick={() => begin(lang.peek() === 'zh' ? zh : en)} aria-keyshortcuts={key}>{word('act', name)} <kbd>{key}</kbd></button>;
  return (
    <div class="ac" role="toolbar" aria-label={t('case.actions')} data-testid="actions">
      {move === 'case.dispatched' || !move
        ? <button class={`btn${move ? ' pri' : ''}`} disabled={!move || !unit || off('case.dispatched')} onClick={() => send(unit)} aria-keyshortcuts="D" data-testid="send">{t('act.send', unit?.unit ?? '')} <kbd>D</kbd></button>
        : <button class="btn pri" disabled={off(move)} onClick={() => void advance()} aria-keyshortcuts="Enter" data-testid="next">{moveName(move)} <kbd>Enter</kbd></button>}
      {one('case.transferred', 'transfer', '转', 'transfer', 'T')}
      {c.legal.includes('case.acknowledged') && may('case.acknowledged') && <button class="btn pri" disabled={busy.value > 0} onClick={receipt} aria-keyshortcuts="R" data-testid="receipt">{word('act', 'receipt')} <kbd>R</kbd></button>}
      {one('case.escalated', 'escalate', '升', 'escalate', 'E')}
      {one('case.deferred', 'hold', '挂', 'hold', 'H')}
      {one('case.noted', 'note', '记', 'note', 'N', 'wide')}
      {one('case.voided', 'void', '作废', 'void', 'X', 'last')}
    </div>
  );
}

/** What the big figure counts down to. */
function clockName(c: File): string {
  const late = deadline(c) < second.value;
  const stage = Number.isFinite(c.stageDue) && !(c.due < c.stageDue);
  const name = stage ? word('dstage', stages(c).find((s) => s.how === 'now')?.stage ?? 'handled') : t('case.handling');
  return t(late ? 'case.over' : 'case.left', name);
}

/** To whom a report was passed on, and whether they said that they have it. */
function passedOn({ to, receipt: said, waits }: Passed): string {
  const whom = word('emergency', to);
  return waits ? t('case.passedWaits', whom) : said ? t('case.passedTo', whom, said) : whom;
}

/** Who else looks at the case, and who of them types a command. */
function Onlookers({ c }: { c: File }): JSX.Element | null {
  const { who, more } = onlookers.value;
  if (c.code !== selected.value || who.length === 0) return null;
  const name = (o: Onlooker): string => { const said = personal(o.name ?? '', lang.value) || o.user; return o.typing ? t('case.types', said) : said; };
  const words = t('case.alsoHere', [...who.map(name), ...(more > 0 ? [t('case.alsoMore', more)] : [])].join(lang.value === 'zh' ? '、' : ', '));
  return <span class="pres el" role="status" title={words} data-testid="presence"><Sign name="eye" /> {words}</span>;
}

export function CasePanel(): JSX.Element {
  const c = file.value;
  if (!c) return <section key="none" class="cs none" aria-label={t('case')}><p class="d">{fileTrouble.value || t('case.none')}</p></section>;
  const unit = lead(c);
  return (
    <section key={c.code} class="cs" aria-label={`${t('case')} ${c.code}`} data-testid="case" data-code={c.code} data-rev={c.rev}>
      <div class="ch">
        <Mark level={c.level} size={1.125} /><h2 class="el" title={c.code}>{brief(c.code)} {nameOf(c)}</h2>{c.drill && <i class="tag">{t('desk.drill')}</i>}{c.passed && <i class="tag" data-testid="passed">{passedOn(c.passed)}</i>}{c.lent.length > 0 && <i class="tag" data-testid="lent">{lentTo(c)}</i>}
        <span class="m el">{[whereOf(c), unit ? `${unit.unit} ${word('ustate', bearing(unit, c, unitNow(unit.unit)?.state, second.value))}` : ''].filter(Boolean).join(' · ')}</span>
        <Onlookers c={c} />
        {!isOver(c) && <span class="big"><span class="s m">{Number.isFinite(deadline(c)) && clockName(c)}</span><Left c={c} big /></span>}
      </div>
      {fileTrouble.value && <p class="s" role="alert">{fileTrouble.value}</p>}
      <Stages c={c} />
      <div class="two" tabIndex={0} role="region" aria-label={t('case.details')}>
        <div><Reasons c={c} /></div>
        <div><Duplicates c={c} />{c.plan && <Steps plan={c.plan} />}</div>
      </div>
      <Actions c={c} />
    </section>
  );
}
