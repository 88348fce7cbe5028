/** The head of the desk: command bar with what Enter will do, counts by level, sound, clock, shift. */

import type { JSX } from 'preact';
import { age, hm, hms } from '../format';
import { lang, say, t, word } from '../i18n';
import { Mark, NUMERAL } from '../parts';
import { city, health, link, now } from '../store';
import type { Level } from '../types';
import { bar, busy, candidates, enter, meaning, moveName, notice, sheet, told } from './act';
import { brief, completion, type Meaning } from './grammar';
import { personal } from './lines';
import { Sign } from './parts';
import { span } from './queue';
import { sound, test, toggleSound } from './sound';
import { alarming, counts, file, fleet, me, queue, second, selected, shiftEnd, unacked, zone } from './store';

/** What Enter will do, or what is still missing. */
function preview(m: Meaning): string {
  if (m.problem) return t(`problem.${m.problem}`, m.about);
  if (m.opens) return t('bar.open', m.opens);
  if (m.shows) return word('dkeys', m.shows);
  const [first] = m.commands;
  if (!first) return '';
  const unit = first.op === 'case.dispatched' && first.subject === selected.value ? candidates.value.find((c) => c.unit === first.fields.unit) : undefined;
  const more = unit ? ` · ${span(unit.eta)} · ${t('bar.match', unit.score.toFixed(2))}` : typeof first.fields.until === 'number' ? ` · ${t('bar.until', hm(first.fields.until, zone.value))}` : '';
  const moves = m.verb?.legal && file.value?.code === first.subject ? file.value.legal : null;
  if (moves && moves.length > 0 && !moves.includes(first.op)) return t('bar.illegal', brief(first.subject), moveName(first.op));
  return told(first, m.commands.length) + more;
}

function Command(): JSX.Element {
  const m = meaning.value;
  const words = bar.value.trim() ? preview(m) : '';
  const ready = m.commands.length > 0 || m.opens !== '' || m.shows !== '';
  const onKeyDown = (e: KeyboardEvent): void => {
    if (e.key === 'Tab' && !e.shiftKey) {
      const rest = completion(bar.peek(), { selected: selected.peek(), cases: queue.peek().map((c) => c.code), units: fleet.peek().map((u) => u.code), alarms: [], now: 0 });
      if (rest) { e.preventDefault(); bar.value += rest; }
    }
  };
  return (
    <form class="cmd" role="search" onSubmit={(e) => { e.preventDefault(); void enter(); }}>
      <span class="d" aria-hidden="true">/</span>
      <input id="desk-bar" value={bar.value} onInput={(e) => (bar.value = e.currentTarget.value)} onKeyDown={onKeyDown} aria-label={t('bar.label')} aria-describedby="desk-will" autocomplete="off" spellcheck={false} placeholder={t('bar.hint')} data-testid="bar" />
      <span id="desk-will" class={`pv el${m.problem ? ' d' : ''}`} aria-live="polite" data-testid="will">{words}</span>
      {ready && <kbd>Enter</kbd>}
    </form>
  );
}

function Counts(): JSX.Element {
  const n = counts.value;
  return (
    <div class="cn" role="group" aria-label={t('bar.counts')} data-testid="counts">
      {([1, 2, 3, 4] as Level[]).map((level) => <span key={level} class={`lv${n[level - 1] ? '' : ' z'}`} role="img" aria-label={`${t(`level.${level as 1}` as const)} ${n[level - 1]}`}><Mark level={level} size={0.9375} bare /><b aria-hidden="true">{NUMERAL[level]}</b><i aria-hidden="true">{n[level - 1]}</i></span>)}
      <button class={unacked.value ? 'od' : 'btn'} onClick={() => (sheet.value = 'alarms')} aria-haspopup="dialog" data-testid="unacked">{unacked.value ? t('bar.unacked', unacked.value) : t('bar.alarms')}</button>
    </div>
  );
}

/** Whether an alarm would be heard: said loudly when it would not. */
function Sound(): JSX.Element {
  const on = sound.value === 'on';
  return on
    ? <button class="snd" onClick={toggleSound} onDblClick={test} aria-pressed="true" aria-label={t('sound.on')} title={t('sound.on')} data-testid="sound" data-state="on"><Sign name="loud" size={1.125} /></button>
    : <button class="od snd" onClick={toggleSound} aria-pressed="false" title={t(`sound.${sound.value as 'muted'}`)} data-testid="sound" data-state={sound.value}><Sign name="mute" size={1} /> {t('sound.off')}</button>;
}

function Clock(): JSX.Element {
  const { state, lag, lastData } = link.value;
  const live = state === 'live' && health.value.live;
  return (
    <>
      <span class="nw"><i class={`live${live ? '' : ' off'}`} aria-hidden="true" /><span class="sr">{t(state === 'live' ? (live ? 'live' : 'past') : state === 'lost' ? 'lost' : 'connecting')}</span><span class="clk" data-testid="clock">{hms(state === 'live' ? now.value : lastData, zone.value)}</span></span>
      <span class="s d wide nw">{t('lag', lag < 60_000 ? `${(lag / 1000).toFixed(1)} s` : age(lag))}</span>
    </>
  );
}

function Person(): JSX.Element | null {
  const who = me.value;
  if (who === null || who === 'out') return null;
  const end = shiftEnd.value;
  return (
    <>
      <a class="m el who" href={`/sign-in?next=${location.pathname}`} title={`${who.roles.map(say).join(' · ')} · ${t('bar.other')}`} data-testid="me">{personal(who.name, lang.value) || who.user}</a>
      {Number.isFinite(end) && <span class={`s wide nw ${end - second.value < 1_800_000 ? '' : 'd'}`}>{t('bar.shift', hm(end, zone.value))}</span>}
    </>
  );
}

/** One line under the bar: what came of the last command. */
export function Notice(): JSX.Element {
  const n = notice.value;
  return (
    <div class={`said${n ? (n.good ? ' good' : ' bad') : ''}`} role={n && !n.good ? 'alert' : 'status'} aria-live={n && !n.good ? 'assertive' : 'polite'} data-testid="said">
      {busy.value > 0 && !n ? t('desk.sending') : n?.words()}
    </div>
  );
}

export function Bar(): JSX.Element {
  return (
    <header class="bar">
      <h1 class="ti">{t('desk.title', (say(city.value.title) || city.value.name).replace(/城市|市$/g, ''))}</h1>
      <Command />
      {alarming.value && <Counts />}
      <Sound />
      <span class="gap" />
      <Clock />
      <Person />
      <button class="btn" onClick={() => (sheet.value = 'handover')} aria-haspopup="dialog" data-testid="handover-open">{t('bar.handover')}</button>
    </header>
  );
}
