import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

type RGB = [number, number, number];
const css = readFileSync(new URL('../src/css/tokens.css', import.meta.url), 'utf8');

/** Tokens of a theme, as in the sheet that the page ships. */
function tokens(theme: 'dark' | 'light'): Record<string, string> {
  const start = css.indexOf(`[data-theme="${theme}"]`);
  const block = css.slice(css.indexOf('{', start) + 1, css.indexOf('}', start));
  return Object.fromEntries([...block.matchAll(/--([\w-]+):\s*(#[0-9A-Fa-f]{6})/g)].map((m) => [m[1] ?? '', m[2] ?? '']));
}

const rgb = (hex: string): RGB => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255) as RGB;
const linear = (c: number): number => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const light = (hex: string): number => rgb(hex).map(linear).reduce((s, c, i) => s + c * ([0.2126, 0.7152, 0.0722][i] ?? 0), 0);

/** WCAG contrast ratio. */
function contrast(a: string, b: string): number {
  const [x, y] = [light(a), light(b)].sort((m, n) => n - m) as [number, number];
  return (x + 0.05) / (y + 0.05);
}

/** Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB. */
const CVD: Record<string, number[]> = {
  normal: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  protan: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  deutan: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  tritan: [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
};

function seen(hex: string, how: string): RGB {
  const [r, g, b] = rgb(hex).map(linear) as RGB;
  const m = CVD[how] ?? [];
  return [0, 3, 6].map((i) => Math.min(1, Math.max(0, (m[i] ?? 0) * r + (m[i + 1] ?? 0) * g + (m[i + 2] ?? 0) * b))) as RGB;
}

function lab([r, g, b]: RGB): RGB {
  const f = (t: number): number => (t > 216 / 24389 ? Math.cbrt(t) : (24389 / 27 * t + 16) / 116);
  const x = f((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047);
  const y = f(0.2126729 * r + 0.7151522 * g + 0.072175 * b);
  const z = f((0.0193339 * r + 0.119192 * g + 0.9503041 * b) / 1.08883);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** CIEDE2000 (Sharma, Wu, Dalal 2005). */
function deltaE([l1, a1, b1]: RGB, [l2, a2, b2]: RGB): number {
  const rad = Math.PI / 180;
  const c7 = ((Math.hypot(a1, b1) + Math.hypot(a2, b2)) / 2) ** 7;
  const g = 0.5 * (1 - Math.sqrt(c7 / (c7 + 25 ** 7)));
  const [p1, p2] = [(1 + g) * a1, (1 + g) * a2];
  const [k1, k2] = [Math.hypot(p1, b1), Math.hypot(p2, b2)];
  const hue = (b: number, a: number): number => (a === 0 && b === 0 ? 0 : (Math.atan2(b, a) / rad + 360) % 360);
  const [h1, h2] = [hue(b1, p1), hue(b2, p2)];
  let dh = h2 - h1;
  if (k1 * k2 === 0) dh = 0;
  else if (dh > 180) dh -= 360;
  else if (dh < -180) dh += 360;
  const [dl, dc, dH] = [l2 - l1, k2 - k1, 2 * Math.sqrt(k1 * k2) * Math.sin((dh / 2) * rad)];
  const [ml, mc] = [(l1 + l2) / 2, (k1 + k2) / 2];
  let mh = h1 + h2;
  if (k1 * k2 !== 0) mh = Math.abs(h1 - h2) <= 180 ? mh / 2 : mh < 360 ? (mh + 360) / 2 : (mh - 360) / 2;
  const t = 1 - 0.17 * Math.cos((mh - 30) * rad) + 0.24 * Math.cos(2 * mh * rad) + 0.32 * Math.cos((3 * mh + 6) * rad) - 0.2 * Math.cos((4 * mh - 63) * rad);
  const sl = 1 + (0.015 * (ml - 50) ** 2) / Math.sqrt(20 + (ml - 50) ** 2);
  const [sc, sh] = [1 + 0.045 * mc, 1 + 0.015 * mc * t];
  const rt = -2 * Math.sqrt(mc ** 7 / (mc ** 7 + 25 ** 7)) * Math.sin(60 * Math.exp(-(((mh - 275) / 25) ** 2)) * rad);
  return Math.sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dH / sh) ** 2 + rt * (dc / sc) * (dH / sh));
}

test('CIEDE2000 gives the published values of its test data', () => {
  expect(deltaE([50, 2.6772, -79.7751], [50, 0, -82.7485])).toBeCloseTo(2.0425, 4);
  expect(deltaE([50, -1.3802, -84.2814], [50, 0, -82.7485])).toBeCloseTo(1.0, 4);
  expect(deltaE([2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514])).toBeCloseTo(0.9082, 4);
});

describe.each(['dark', 'light'] as const)('%s', (theme) => {
  const p = tokens(theme);
  const get = (name: string): string => p[name] ?? '#000000';

  test('words have a contrast of at least 4.5 on every ground', () => {
    for (const ground of ['bg', 'raised', 'hover']) for (const word of ['text', 'text-2', 'text-3']) expect(contrast(get(word), get(ground)), `${word} on ${ground}`).toBeGreaterThanOrEqual(4.5);
    for (const word of ['text', 'text-2']) expect(contrast(get(word), get('selected')), `${word} on selected`).toBeGreaterThanOrEqual(4.5);
  });

  test('a numeral in its mark has a contrast of at least 4.5', () => {
    expect(contrast(get('lv1-ink'), get('lv1'))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(get('lv-ink'), get('lv2'))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(get('lv-ink'), get('lv3'))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(get('lv4-ink'), get('lv4'))).toBeGreaterThanOrEqual(4.5);
  });

  test('marks stand out: by fill on dark, by keyline on light', () => {
    for (const level of [1, 2, 3, 4]) expect(contrast(theme === 'dark' ? get(`lv${level}`) : get('lv-key'), get('bg'))).toBeGreaterThanOrEqual(4.5);
  });

  test.each(Object.keys(CVD))('levels and neutral differ by at least 15 for %s eyes', (how) => {
    const list = ['lv1', 'lv2', 'lv3', 'lv4', 'series'].map((n) => lab(seen(get(n), how)));
    for (let i = 0; i < list.length; i++) for (let j = i + 1; j < list.length; j++) expect(deltaE(list[i] as RGB, list[j] as RGB), `${i} ${j}`).toBeGreaterThanOrEqual(15);
  });

  test('the map ramp rises or falls steadily in lightness, with no colour of a level', () => {
    const steps = [0, 1, 2, 3, 4, 5].map((i) => lab(rgb(get(`m${i}`)).map(linear) as RGB));
    const sign = theme === 'dark' ? 1 : -1;
    for (let i = 1; i < steps.length; i++) expect(sign * ((steps[i]?.[0] ?? 0) - (steps[i - 1]?.[0] ?? 0))).toBeGreaterThan(2);
    for (const [, a, b] of steps) expect(Math.hypot(a, b)).toBeLessThan(16);
  });
});
