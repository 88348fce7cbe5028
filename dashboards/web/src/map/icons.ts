/** Marks of the map, drawn on a canvas from the same shapes and tokens as the page's. */

import { NUMERAL, SHAPE } from '../parts';
import type { Palette } from './style';

const SIZE = [0, 34, 27, 21, 11];

function canvas(px: number): [CanvasRenderingContext2D, number] {
  const made = document.createElement('canvas');
  made.width = made.height = Math.ceil(px);
  const pen = made.getContext('2d');
  if (!pen) throw new Error('no 2d canvas');
  return [pen, made.width];
}

function done(pen: CanvasRenderingContext2D, size: number): ImageData {
  return pen.getImageData(0, 0, size, size);
}

/** Mark of a case's level: shape with numeral; IV a plain dot; 0 a small grey square. */
function level(n: number, p: Palette, scale: number): ImageData {
  const px = (n ? (SIZE[n] ?? 11) : 9) * scale;
  const [pen, size] = canvas(px + 6);
  pen.translate((size - px) / 2, (size - px) / 2);
  pen.scale(px / 24, px / 24);
  const path = new Path2D(n ? SHAPE[n as 1 | 2 | 3 | 4] : 'M4 4h16v16H4z');
  pen.lineJoin = 'round';
  const key = p['lv-key'] === 'transparent' ? p['m-halo'] : p['lv-key'];
  pen.lineWidth = (p['lv-key'] === 'transparent' ? 5 : 2.6) / Math.max(0.6, px / 24);
  pen.strokeStyle = key ?? '#000';
  pen.stroke(path);
  pen.fillStyle = n ? (p[`lv${n}`] ?? '#888') : (p['text-3'] ?? '#888');
  pen.fill(path);
  if (n > 0 && n < 4) {
    pen.fillStyle = (n === 1 ? p['lv1-ink'] : p['lv-ink']) ?? '#000';
    pen.font = `700 ${n === 3 ? 13 : 10}px sans-serif`;
    pen.textAlign = 'center';
    pen.textBaseline = 'middle';
    pen.fillText(NUMERAL[n as 1 | 2 | 3], 12, n === 2 ? 15.5 : 12.8);
  }
  return done(pen, size);
}

/** An overdue case without a level: a square in inverse ink. */
function square(p: Palette, scale: number): ImageData {
  const [pen, size] = canvas(11 * scale + 4);
  pen.fillStyle = p['m-halo'] ?? '#000';
  pen.fillRect(0, 0, size, size);
  pen.fillStyle = p.text ?? '#fff';
  pen.fillRect(2, 2, size - 4, size - 4);
  return done(pen, size);
}

function dot(p: Palette, scale: number, online: boolean): ImageData {
  const [pen, size] = canvas(8 * scale + 2);
  pen.beginPath();
  pen.arc(size / 2, size / 2, 2.6 * scale, 0, 7);
  pen.lineWidth = 1.4 * scale;
  pen.strokeStyle = (online ? p['m-halo'] : p['text-3']) ?? '#888';
  pen.fillStyle = (online ? p['text-2'] : p['m-halo']) ?? '#888';
  pen.fill();
  pen.stroke();
  return done(pen, size);
}

/** A unit: hollow arrow. */
function arrow(p: Palette, scale: number): ImageData {
  const [pen, size] = canvas(18 * scale);
  pen.scale(size / 24, size / 24);
  const path = new Path2D('M5 4 21 12 5 20z');
  pen.fillStyle = p['m-halo'] ?? '#000';
  pen.strokeStyle = p.text ?? '#fff';
  pen.lineWidth = 2;
  pen.lineJoin = 'round';
  pen.fill(path);
  pen.stroke(path);
  return done(pen, size);
}

/** The pin of a report that is being taken: a ring with its middle marked. */
function target(p: Palette, scale: number): ImageData {
  const [pen, size] = canvas(34 * scale);
  pen.scale(size / 34, size / 34);
  const path = new Path2D('M26 17a9 9 0 1 1-18 0 9 9 0 1 1 18 0M17 2v10M17 22v10M2 17h10M22 17h10');
  for (const [colour, width] of [[p['m-halo'], 6], [p.text, 2.4]] as const) {
    pen.strokeStyle = colour ?? '#000';
    pen.lineWidth = width;
    pen.stroke(path);
  }
  return done(pen, size);
}

function hatch(p: Palette, scale: number): ImageData {
  const [pen, size] = canvas(6 * scale);
  pen.strokeStyle = p['m-hatch'] ?? '#888';
  pen.lineWidth = 1.2 * scale;
  for (const d of [-size, 0, size]) {
    pen.beginPath();
    pen.moveTo(d, size);
    pen.lineTo(d + size, 0);
    pen.stroke();
  }
  return done(pen, size);
}

/** All images by name, for a palette and the device's pixels. */
export function images(p: Palette, scale: number): Record<string, ImageData> {
  return {
    lv0: level(0, p, scale), lv1: level(1, p, scale), lv2: level(2, p, scale), lv3: level(3, p, scale), lv4: level(4, p, scale),
    late: square(p, scale), on: dot(p, scale, true), off: dot(p, scale, false), unit: arrow(p, scale), pin: target(p, scale), hatch: hatch(p, scale),
  };
}
