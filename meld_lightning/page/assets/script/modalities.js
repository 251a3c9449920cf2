// The colours of modalities, the same everywhere on the page.

import { data } from "./data.js";
import { el } from "./dom.js";

const NAMED = ["text", "audio", "video", "fusion"];
const OTHERS = 3; // colours for modalities of the user's own; see report/colours.py
let own = null;

// A modality's colour, as a variable of the style sheet.
export function modalityColour(modality) {
  if (NAMED.includes(modality)) return `var(--${modality})`;
  own ??= [...new Set(Object.values(data("runs")).map((run) => run.modality))].filter((name) => !NAMED.includes(name));
  return `var(--other-${Math.max(0, own.indexOf(modality)) % OTHERS + 1})`;
}

// A dot in that colour. hollow: of the second of two rows beside each other.
export function dot(modality, hollow = false) {
  return el("span", { class: hollow ? "dot hollow" : "dot", style: `--dot: ${modalityColour(modality)}`, "aria-hidden": "true" });
}
