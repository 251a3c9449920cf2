// Readers' votes, frames and waveforms of utterances. See page/explorer.py and page/clips.py.

import { data } from "./data.js";
import { el, svg } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 44;
// What readers' agreement is called; the keys are those of `agreement`.
export const AGREEMENT = new Map([["5", "5 of 5"], ["4", "4 of 5"], ["3", "3 of 5"], ["tie", "no majority"]]);
const unpacked = new Map();

function bytes(name, text) {
  if (!unpacked.has(name)) {
    unpacked.set(name, Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)));
  }
  return unpacked.get(name);
}

// Whether the utterance set has readers' votes.
export function hasVotes(place) {
  return Boolean(data("explorer").votes[place]);
}

// Numbers of readers in the order of the set's labels; null if nobody voted.
export function votes(place, index, labels) {
  if (!hasVotes(place)) return null;
  const all = bytes(`votes ${place}`, data("explorer").votes[place]);
  const own = [...all.subarray(index * labels, (index + 1) * labels)];
  return own.some(Boolean) ? own : null;
}

// 5, 4 or 3 for the readers who agree, or tie; "" without votes.
export function agreement(place, index, labels) {
  const own = votes(place, index, labels);
  if (!own) return "";
  const most = Math.max(...own);
  return most >= 3 ? String(most) : "tie";
}

// The utterance's frames as a picture, and its waveform; [] where there are none.
export function clip(place, index) {
  const found = data("explorer").clips[place];
  if (!found) return [];
  const strip = found.strips[index];
  return [
    strip ? el("img", { class: "strip", src: strip, alt: "Frames of the clip, from its start to its end" }) : null,
    waveform(bytes(`clips ${place}`, found.waveforms).subarray(index * 2 * found.bins, (index + 1) * 2 * found.bins)),
  ].filter(Boolean);
}

function waveform(ends) {
  if (ends.every((value) => value === 0)) return null;
  const bins = ends.length / 2;
  const x = (bin) => ((bin + 0.5) * WIDTH / bins).toFixed(1);
  const y = (value) => (HEIGHT * (1 - value / 255)).toFixed(1);
  const path = d3.range(bins).map((bin) => `M${x(bin)} ${y(ends[2 * bin])}V${y(ends[2 * bin + 1])}`);
  return svg("svg", { class: "waveform", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "Waveform of the clip’s sound" },
    svg("path", { d: path.join("") }));
}
