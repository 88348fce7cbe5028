/** Alarms on the wall: the worst groups with what can be done about them, IV as dots, and whether one would hear them. */

import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { acknowledge } from './dispatch/act';
import { countedSoon, titled, type Group } from './dispatch/alarms';
import { brief } from './dispatch/grammar';
import { fate, placed } from './dispatch/told';
import { Sign } from './dispatch/parts';
import { sentry, sound, toggleSound } from './dispatch/sound';
import { allAlarms, caseNow, groups, identify, may, second, siren, unacked } from './dispatch/store';
import { hms } from './format';
import { say, t } from './i18n';
import { view } from './map/view';
import { Mark } from './parts';
import { city, drill, picked, rowOf } from './store';

/** To the case of an alarm, else to its place. */
function go(g: Group): void {
  const at = g.first;
  const of = caseNow(at.case);
  if (of) { picked.value = { type: 'case', id: of.code }; if (Number.isFinite(of.lon)) view.fly(of.lon, of.lat, 14); return; }
  const row = rowOf(at.scope);
  if (row >= 0) drill(row);
}

function Row({ g, first }: { g: Group; first: boolean }): JSX.Element {
  const a = g.first;
  const open = g.unacked > 0;
  const Box = open && first ? 'div' : 'button'; // a row without buttons of its own is one
  return (
    <Box onClick={open && first ? undefined : () => go(g)} class={`al in${open ? ' un' : ''}${open && g.priority === 1 ? ' wash' : ''}`} data-testid="alarm" data-alarm={a.code}>
      <span><Mark level={g.priority} /></span>
      <span class="el">
        <span class="h el">{open ? <b>{g.rest ? t('alarms.rest') : say(titled(a))}</b> : say(titled(a))} {g.members.length > 1 && <i class="tag">{t('alarms.group', g.members.length)}</i>} {a.firstOut && g.members.length > 1 && <i class="tag">{t('alarms.first')}</i>}</span>
        <span class="w el">{placed(a)}</span>
        {open && first && <span class="acts">{may('alarm.acknowledged') && <button class="btn pri" onClick={() => acknowledge(g.members)} data-testid="ack">{t('alarms.ack')}</button>}<button class="btn" onClick={() => go(g)} data-testid="go">{t('alarms.go')}</button>{a.case && <button class="btn" onClick={() => go(g)} title={a.case}>{brief(a.case)}</button>}</span>}
      </span>
      <span><span class="tm">{hms(a.since, city.value.timezone)}</span><span class="st">{fate(a)}</span></span>
    </Box>
  );
}

/** How many groups: what is open first; the list of what is out of band keeps its room below. */
const MOST = 4;

export function AlarmList(): JSX.Element {
  useEffect(() => { void identify(); return sentry(); }, []);
  const loud = groups.value.filter((g) => g.priority !== 4);
  const dots = groups.value.filter((g) => g.priority === 4).reduce((n, g) => n + g.members.length, 0);
  const shown = loud.slice(0, MOST);
  const words = sound.value === 'on' ? (siren.value ? t('alarms.ringing') : '') : t('sound.off');
  return (
    <section data-testid="alarmlist">
      <h2 class="gh"><b>{t('alarms')}</b><span class="e">{t('alarms.un', unacked.value)}{words && ' · '}{sound.value !== 'none' && <button class={`snd${sound.value === 'on' ? '' : ' od'}`} onClick={toggleSound} aria-pressed={sound.value === 'on'} aria-label={t(sound.value === 'on' ? 'sound.on' : 'sound.off')} title={t(`sound.${sound.value as 'on'}`)} data-testid="sound" data-state={sound.value}><Sign name={sound.value === 'on' ? 'loud' : 'mute'} /> {words}</button>}</span></h2>
      <div aria-live="assertive">
        {shown.length === 0 && <p class="none s">{t('alarms.none')}</p>}
        {shown.map((g, i) => <Row key={g.key || 'rest'} g={g} first={i === 0} />)}
      </div>
      {(loud.length > shown.length || dots > 0) && <p class="foot"><span>{loud.length > shown.length ? t('alarms.more', loud.length - shown.length) : ''}</span><span class="dots" role="img" aria-label={`IV ${dots}`}>{Array.from({ length: Math.min(dots, 24) }, (_, i) => <i key={i} />)} {dots > 0 && <><Mark level={4} size={0.75} /> {dots}</>}</span><span>{t('alarms.rate', countedSoon(allAlarms.value, second.value))}</span></p>}
    </section>
  );
}
