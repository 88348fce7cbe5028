/** The handler's page, made for one hand: what to do next is the largest thing on it. */

import '../css/unit.css';
import { signal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { toggleLang } from '../actions';
import { age, countdown, hms, num } from '../format';
import { lang, say, t, word } from '../i18n';
import { Mark, Spark, unit as unitName } from '../parts';
import { city, health, link, now, rowOf, scopeName } from '../store';
import type { Indicator } from '../types';
import { brief } from '../dispatch/grammar';
import { words as spoken } from '../dispatch/lines';
import type { File, Part } from '../dispatch/nouns';
import { Sign, SignIn } from '../dispatch/parts';
import { metres, span } from '../dispatch/queue';
import { fleet, identify, me, second, select } from '../dispatch/store';
import { UnitMap } from './map';
import { reduced } from './photo';
import { STEPS } from './offline';
import { advance, at, attend, chosen, distance, done, eta, far, flush, mine, next, press, refused, said, task, times, unit, unkept, waiting } from './state';

type Open = 'return' | 'note' | null;
const open = signal<Open>(null);
/** At this distance the page says that one may be there. */
const THERE_M = 60;

function Top(): JSX.Element {
  const { state, lag } = link.value;
  const live = state === 'live' && health.value.live;
  return (
    <header class="top">
      <b>{unit.value?.code ?? t('title.unit')}</b><span class="m el">{unit.value?.name}</span>
      {waiting.value.length > 0 && <button class="od" onClick={() => void flush()} data-testid="waiting">{t('crew.waiting', waiting.value.length)}</button>}
      <span class="d s nw e">{state === 'live' ? t('lag', lag < 60_000 ? `${(lag / 1000).toFixed(1)} s` : age(lag)) : t('lost')}</span><i class={`live${live ? '' : ' off'}`} aria-hidden="true" />
      <b>{hms(state === 'live' ? now.value : link.value.lastData, city.value.timezone)}</b>
      <button class="lg" onClick={toggleLang} aria-label={t('lang')}>{lang.value === 'zh' ? 'EN' : '中'}</button>
    </header>
  );
}

function Steps(): JSX.Element {
  return (
    <ol class="stp" aria-label={t('case.stages')} data-testid="steps">
      {STEPS.map((step, i) => {
        const { at: when, waits } = times.value[i] ?? { at: NaN, waits: false };
        return <li key={step} class={i < far.value ? 'dn' : i === far.value ? 'cur' : ''} aria-current={i === far.value ? 'step' : undefined}>{word('step', step)}<span>{waits ? t('crew.held') : Number.isFinite(when) ? hms(when, city.value.timezone) : '—'}</span></li>;
      })}
    </ol>
  );
}

function Fact({ part, c }: { part: Part; c: File }): JSX.Element {
  const ind = { bands: Number.isFinite(part.limit) ? { red: part.limit } : {}, better: 'down' } as Indicator;
  const seen = part.evidence.at(-1)?.at ?? NaN;
  return (
    <div>
      <div class="n"><span class="el">{say(part.label)}</span><Mark level={c.level} size={0.8125} /></div>
      <div class="v">{Number.isFinite(part.number) ? num(part.number, Number.isInteger(part.number) ? 0 : 1) : part.value || '—'}<span class="u">{unitName(part.unit)}</span></div>
      <div class="s d">{Number.isFinite(seen) ? hms(seen, city.value.timezone) : ''}</div>
      {part.series.length > 1 && <Spark trend={{ end: 0, step: 1, values: part.series }} ind={ind} w={62} h={34} />}
    </div>
  );
}

/** What is measured there, and until when one has to be done. */
function Facts({ c }: { c: File }): JSX.Element {
  const part = c.why?.parts.find((p) => Number.isFinite(p.number));
  const due = Number.isFinite(c.stageDue) ? c.stageDue : c.due;
  const left = due - second.value;
  return (
    <div class="facts">
      {part ? <Fact part={part} c={c} /> : <div><div class="n"><span>{t('crew.channel')}</span></div><div class="v sm">{word('channel', c.channel) || '—'}</div><div class="s d">{hms(c.reported, city.value.timezone)}</div></div>}
      <div><div class="n"><span>{t('crew.due')}</span></div><div class={`v${left < 0 ? ' inv' : ''}`}>{Number.isFinite(left) ? countdown(left, lang.value).replace(/^0(\d:)/, '$1') : '—'}</div><div class="s d el">{Number.isFinite(due) && t('crew.until', hms(due, city.value.timezone))}{c.merged.length > 0 && ` · ${t('case.merged', c.merged.join(' '))}`}</div></div>
    </div>
  );
}

/** The last that was said to the one who goes there: an instruction, a note, else the report. */
function Warn({ c }: { c: File }): JSX.Element | null {
  const last = c.timeline.findLast((e) => ['case.instructed', 'case.noted', 'case.supervised', 'case.urged'].includes(e.type) && e.text);
  const place = (code: string): string => { const row = rowOf(code); return row < 0 ? '' : scopeName(row, lang.value); };
  const text = last ? spoken(last, lang.value, place) : c.text;
  return text ? <div class="warn"><Sign name="note" size={1.25} /><span>{text}</span></div> : null;
}

/** `geo:` opens the phone's own map; the place is also in words. */
function Side({ c }: { c: File }): JSX.Element {
  const camera = useRef<HTMLInputElement>(null);
  const took = async (file: Blob | undefined): Promise<void> => {
    if (!file) return;
    try {
      press('case.evidence', c.code, {}, await reduced(file));
      said.value = () => t('crew.photoKept');
    } catch {
      said.value = () => t('crew.noPhoto');
    }
  };
  const button = (name: 'photo' | 'note' | 'back', label: string, run: () => void, expanded?: boolean): JSX.Element => <button onClick={run} aria-expanded={expanded} data-testid={`do-${name}`}><Sign name={name} size={1.25} />{label}</button>;
  return (
    <div class="sec">
      <a href={`geo:${c.lat},${c.lon}?q=${c.lat},${c.lon}(${encodeURIComponent(c.code)})`} data-testid="do-go"><Sign name="go" size={1.25} />{t('crew.go')}</a>
      {button('note', t('crew.note'), () => (open.value = open.value === 'note' ? null : 'note'), open.value === 'note')}
      {button('photo', t('crew.photo'), () => camera.current?.click())}
      {button('back', t('crew.return'), () => (open.value = open.value === 'return' ? null : 'return'), open.value === 'return')}
      <input ref={camera} class="sr" type="file" accept="image/jpeg,image/png,image/webp" capture="environment" tabIndex={-1} aria-label={t('crew.photo')} onChange={(e) => { void took(e.currentTarget.files?.[0]); e.currentTarget.value = ''; }} data-testid="camera" />
    </div>
  );
}

const REASONS = ['not_ours', 'wrong_place', 'no_means', 'unsafe', 'no_access', 'other'] as const;
const words = signal('');
const why = signal<string>('');

/** A sheet from below: why one gives the case back, or a note. */
function Ask({ c }: { c: File }): JSX.Element | null {
  const kind = open.value;
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => { words.value = ''; why.value = ''; if (kind === 'note') field.current?.focus(); }, [kind]);
  if (!kind) return null;
  const ready = kind === 'note' ? words.value.trim() !== '' : why.value !== '' && (why.value !== 'other' || words.value.trim() !== '');
  const go = (): void => {
    if (kind === 'note') press('case.noted', c.code, { text: words.value.trim() });
    else press('case.returned', c.code, { why: why.value, reason: words.value.trim() || word('giveback', why.value) });
    open.value = null;
  };
  return (
    <form class="ask" onSubmit={(e) => { e.preventDefault(); if (ready) go(); }} data-testid="ask">
      <h2>{t(kind === 'note' ? 'crew.note' : 'crew.returnWhy')}</h2>
      {kind === 'return' && <div class="rs" role="radiogroup" aria-label={t('crew.returnWhy')}>{REASONS.map((r) => <button type="button" key={r} role="radio" aria-checked={why.value === r} onClick={() => (why.value = r)}>{word('giveback', r)}</button>)}</div>}
      <textarea ref={field} rows={3} maxLength={1300} value={words.value} onInput={(e) => (words.value = e.currentTarget.value)} aria-label={t('crew.words')} placeholder={t('crew.words')} />
      <div class="two3"><button type="button" onClick={() => (open.value = null)}>{t('pop.close')}</button><button class="pri" disabled={!ready} data-testid="do-send">{t('crew.send')}</button></div>
    </form>
  );
}

function Main({ c }: { c: File }): JSX.Element {
  const step = next.value;
  const near = distance.value <= THERE_M && step === 'arrived';
  const hint = step === 'arrived' ? t(near ? 'crew.there' : 'crew.near', THERE_M) : step === 'handled' && task.value?.role === 'support' ? t('crew.support') : '';
  return (
    <>
      <Steps />
      <div class="hd1"><h1><Mark level={c.level} size={1.5} />{c.drill && <i class="tag">{t('desk.drill')}</i>}{say(c.title) || word('category', c.category)}</h1><div class="w">{say(c.where)} {c.address} <span class="nw">{brief(c.code)}</span></div></div>
      <div class="mapslot"><UnitMap /><div class="eta" data-testid="eta">{far.value >= 2 ? <b>{word('ustate', 'on_scene')}</b> : Number.isFinite(eta.value) ? <><b>{span(eta.value)}</b><span class="m">{metres(distance.value)}</span></> : <b>{metres(distance.value)}</b>}</div></div>
      <Facts c={c} />
      <Warn c={c} />
      <div class="do">
        <Side c={c} />
        <Ask c={c} />
        {!open.value && (step
          ? <button class="big" onClick={advance} data-testid="advance">{word('do', step === 'handled' && task.value?.role === 'support' ? 'cleared' : step)}{hint && <span>{hint}</span>}</button>
          : <p class="big done" data-testid="advance">{t('crew.done')}<span>{t('crew.verify')}</span></p>)}
      </div>
    </>
  );
}

/** Without a case: whether one is ready. */
function Idle(): JSX.Element {
  const u = unit.value;
  const put = (state: string): void => { if (u) press('unit.state', u.code, { state, kind: u.kind }); };
  return (
    <main class="idle">
      <p class="st0">{u ? word('ustate', u.state) : t('crew.choose')}</p>
      {done.value && <p data-testid="done"><b>{brief(done.value)} {t('crew.done')}</b> {t('crew.verify')}</p>}
      {u && <p class="d">{t('crew.idle')}</p>}
      {u && <div class="two3"><button onClick={() => put('off')} disabled={u.state === 'off'}>{word('do', 'off')}</button><button class="pri" onClick={() => put('ready')} disabled={u.state === 'ready'}>{word('do', 'ready')}</button></div>}
      {!u && <ul class="un0">{fleet.value.map((x) => <li key={x.code}><button onClick={() => (chosen.value = x.code)}><b>{x.code}</b> {x.name} <span class="d">{word('ustate', x.state)}</span></button></li>)}</ul>}
    </main>
  );
}

function Trouble(): JSX.Element {
  const lines: ComponentChildren[] = refused.value.map((r, i) => <p key={i}><b>{word('event', r.op)} {r.subject}</b> {r.words}</p>);
  const out = link.value.state !== 'live';
  const u = unit.value;
  return (
    <div class="tr0" role="status" data-testid="trouble">
      {out && <p class="cut">{waiting.value.length ? t('crew.cutHeld', waiting.value.length) : t('crew.cut')}</p>}
      {u?.state === 'silent' && <div class="cut" data-testid="silent"><p>{t('crew.silent', hms(u.seen, city.value.timezone))}</p><button onClick={() => press('unit.state', u.code, { state: 'ready', kind: u.kind })}>{t('crew.heard')}</button></div>}
      {unkept.value && <p class="cut">{t('crew.unkept')}</p>}
      {lines.length > 0 && <div class="cut">{lines}<button onClick={() => (refused.value = [])}>{t('crew.seen')}</button></div>}
      {said.value && waiting.value.length > 0 && <p class="s d">{said.value()}</p>}
    </div>
  );
}

export function UnitPage(): JSX.Element {
  useEffect(() => { void identify(false); return attend(); }, []);
  if (me.value === 'out') return <SignIn />;
  const c = at.value;
  return (
    <>
      <Top />
      <Trouble />
      {mine.value.length > 1 && <nav class="tabs" aria-label={t('crew.cases')}>{mine.value.map((x) => <button key={x.code} aria-current={x.code === c?.code} onClick={() => select(x.code)}><Mark level={x.level} size={0.8125} />{brief(x.code)}</button>)}</nav>}
      {c ? <main class="go"><Main c={c} /></main> : <Idle />}
    </>
  );
}
