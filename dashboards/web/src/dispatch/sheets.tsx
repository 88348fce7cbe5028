/** Over the page: the keys, and all groups of alarms. */

import type { JSX } from 'preact';
import { hms } from '../format';
import { say, t, word } from '../i18n';
import { Mark } from '../parts';
import { lang } from '../i18n';
import { acknowledge, bar, focusBar, goTo, sheet } from './act';
import { titled, type Group } from './alarms';
import { KEYS } from './keys';
import { Over } from './parts';
import { fate, grouping } from './told';
import { groups, unacked, zone } from './store';

const shut = (): void => { sheet.value = null; };

export function Keys(): JSX.Element {
  return (
    <Over label={t('keys')} close={shut} testid="keys">
      <div class="keys two2"><dl>{KEYS.filter((k) => k.shown).map((k) => [<dt key={k.key}><kbd>{k.shown}</kbd></dt>, <dd key={`${k.key}d`}>{word('dkeys', k.name)}</dd>])}</dl><p class="s d">{t('bar.hint')}</p></div>
    </Over>
  );
}

function Row({ g }: { g: Group }): JSX.Element {
  const a = g.first;
  const shelve = (): void => { shut(); bar.value = `${lang.peek() === 'zh' ? '搁' : 'shelve'} ${a.code} `; focusBar(); };
  return (
    <li class={`alr${g.unacked ? ' un' : ''}${g.unacked && g.priority === 1 ? ' wash' : ''}`} data-alarm={a.code}>
      <span><Mark level={g.priority} /></span>
      <span class="el"><b class="el">{g.rest ? t('alarms.rest') : say(titled(a))}</b> {g.members.length > 1 && <i class="tag">{t('alarms.group', g.members.length)}</i>} {a.firstOut && g.members.length > 1 && <i class="tag">{t('alarms.first')}</i>} {a.drill && <i class="tag">{t('desk.drill')}</i>}<br /><span class="s d">{g.rest ? '' : grouping(g)}</span></span>
      <span class="r"><span class="nw">{hms(a.since, zone.value)}</span><br /><span class="s d nw">{fate(a)}</span></span>
      <span class="bt">{g.unacked > 0 && <button class="btn pri" onClick={() => acknowledge(g.members)}>{t('alarms.ack')}{g.unacked > 1 ? ` ${g.unacked}` : ''}</button>}{a.case && <button class="btn" onClick={() => goTo(a)}>{t('alarms.go')}</button>}{a.active && !g.rest && <button class="btn" onClick={shelve}>{t('alarms.shelve')}</button>}</span>
    </li>
  );
}

export function Alarms(): JSX.Element {
  const list = groups.value;
  return (
    <Over label={t('alarms')} close={shut} wide testid="alarms">
      <p class="s d pad">{t('alarms.sum', list.length, list.reduce((n, g) => n + g.members.length, 0), unacked.value)} <kbd>A</kbd> {word('dkeys', 'ack')}</p>
      {list.length === 0 && <p class="none pad">{t('alarms.none')}</p>}
      <ul>{list.map((g) => <Row key={g.key || 'rest'} g={g} />)}</ul>
    </Over>
  );
}

