/** Alarms that are heard: a pattern for each priority, again and again until somebody acknowledges. Silence acknowledges nothing. */

import { effect, signal } from '@preact/signals';
import { memory } from '../actions';
import { hear } from '../hook';
import type { Level } from '../types';
import { PATTERNS, TEST, type Pattern } from './alarms';
import { siren } from './store';

/** `blocked`: the browser lets nothing sound before the first press; `none`: it has no sound at all. */
export type Sound = 'on' | 'muted' | 'blocked' | 'none';
export const sound = signal<Sound>('blocked');

let audio: AudioContext | null = null;
let timer = 0;
let tested = false;

/** Before the first press a browser lets nothing sound and complains about the try; a wall without hands says `?sound=on`. */
function allowed(): boolean {
  return audio !== null || navigator.userActivation?.hasBeenActive === true || new URLSearchParams(location.search).get('sound') === 'on';
}

function context(): AudioContext | null {
  if (!audio && typeof AudioContext === 'function') {
    audio = new AudioContext();
    audio.onstatechange = settle;
  }
  return audio;
}

/** Whether one can be heard, as the browser says. */
function settle(): void {
  if (!allowed()) { sound.value = memory.get('muted') === 'yes' ? 'muted' : 'blocked'; return; }
  const at = context();
  if (!at) sound.value = 'none';
  else if (memory.get('muted') === 'yes') sound.value = 'muted';
  else sound.value = at.state === 'running' ? 'on' : 'blocked';
}

/** Sound a pattern; gives whether it is heard. */
function play(pattern: Pattern): boolean {
  const at = audio;
  if (!at || sound.peek() !== 'on') return false;
  for (const [start, length, pitch] of pattern.tones) {
    const tone = at.createOscillator();
    const gain = at.createGain();
    const from = at.currentTime + start;
    tone.type = 'square';
    tone.frequency.value = pitch;
    gain.gain.setValueAtTime(0.0001, from);
    gain.gain.exponentialRampToValueAtTime(0.14, from + 0.015);
    gain.gain.setValueAtTime(0.14, from + length - 0.03);
    gain.gain.exponentialRampToValueAtTime(0.0001, from + length);
    tone.connect(gain).connect(at.destination);
    tone.start(from);
    tone.stop(from + length);
  }
  return true;
}

/** Sound now and again, as long as this priority is due. */
function ring(priority: Level): void {
  clearTimeout(timer);
  if (priority < 1 || priority > 3) return;
  const pattern = PATTERNS[priority as 1 | 2 | 3];
  if (play(pattern)) hear(priority);
  timer = window.setTimeout(() => ring(priority), pattern.every * 1000);
}

/** The tone at the beginning of a shift: it shows that one will be heard. */
export function test(): void {
  tested = true;
  play(TEST);
}

/** Sound on or off; what is due sounds again at once when it is put on. */
export function toggleSound(): void {
  const at = context();
  if (!at) return;
  if (sound.peek() === 'on') {
    memory.set('muted', 'yes');
    sound.value = 'muted';
    return;
  }
  memory.set('muted', 'no');
  void at.resume().then(() => { settle(); test(); if (siren.peek()) ring(siren.peek()); });
}

/** The first press of a page lets it sound: the test tone says so. */
function wake(): void {
  const at = context();
  if (!at || memory.get('muted') === 'yes') { settle(); return; }
  if (at.state === 'running') { settle(); if (!tested) test(); return; }
  void at.resume().then(() => { settle(); if (!tested) test(); if (siren.peek()) ring(siren.peek()); });
}

/** Listen for what is due; gives what ends it. */
export function sentry(): () => void {
  settle();
  addEventListener('pointerdown', wake);
  addEventListener('keydown', wake);
  const stop = effect(() => ring(siren.value));
  return () => { stop(); clearTimeout(timer); removeEventListener('pointerdown', wake); removeEventListener('keydown', wake); };
}
