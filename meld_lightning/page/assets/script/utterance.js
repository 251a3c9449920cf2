// One utterance: its text, clip, labels, every run's probabilities, and the turns around it.

import { el } from "./dom.js";
import { count, duration, MISSING } from "./format.js";
import { clip, votes } from "./clips.js";
import { dot, modalityColour } from "./modalities.js";
import { fragment } from "./state.js";

const AROUND = 4; // turns shown before and after

// The utterance at `index` of what is shown (see view in outcomes.js), as elements.
export function utterance(shown, index) {
  const { set, place } = shown;
  const corpus = set.corpus;
  const key = set.keys[index];
  const seconds = corpus?.seconds[index];
  return [
    el("header", {},
      el("h3", { tabindex: "-1" }, corpus?.speaker[index] ?? key),
      el("p", { class: "small" }, [corpus?.speaker[index] ? key : null, seconds ? duration(seconds) : null].filter(Boolean).join(" · ")),
      el("a", { class: "small", href: fragment(linked(shown, key), "explorer") }, "Link to this utterance")),
    corpus?.text[index] ? el("blockquote", {}, corpus.text[index]) : null,
    clip(place, index),
    readers(shown, index),
    probabilities(shown, index),
    turns(shown, index),
  ];
}

// Everything that a link to the utterance needs, and no filter, which might hide it elsewhere.
function linked({ own, other }, key) {
  const none = Object.fromEntries(["kind", "right", "agree", "readers", "emotion", "predicted", "q", "order", "p"].map((name) => [name, null]));
  return { ...none, a: own.hash, b: other?.hash ?? null, u: key };
}

function readers({ set, place }, index) {
  const own = votes(place, index, set.labels.length);
  if (!own) return null;
  const named = set.labels.map((label, k) => [label, own[k]]).filter(([, number]) => number).sort((a, b) => b[1] - a[1]);
  return el("p", {}, "Readers of the text alone: ", named.map(([label, number]) => `${label} ${number}`).join(", "));
}

function probabilities(shown, index) {
  const { set } = shown;
  const columns = columnsOf(shown);
  const labels = set.labels.length;
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Probabilities" },
    el("table", { class: "probabilities" },
      el("caption", { class: "hidden" }, "Probability of each emotion by modality and run"),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "emotion"), columns.map((one) =>
        el("th", { scope: "col", class: "number" }, dot(one.modality), one.title,
          one.absent.has(index) ? el("span", { class: "missing" }, " missing") : null)))),
      el("tbody", {}, set.labels.map((label, k) => el("tr", { class: k === set.true[index] ? "true" : null },
        el("th", { scope: "row" }, label, k === set.true[index] ? el("span", { class: "small" }, " true") : null),
        columns.map((one) => (one.missing(index) ? el("td", { class: "number small" }, MISSING)
          : probability(one, one.probabilities[index * labels + k] / 255, one.predicted[index] === k))))))));
}

function probability(column, value, predicted) {
  return el("td", { class: `number probability ${predicted ? "predicted" : ""}`, style: `--p: ${value < 0.005 ? -1 : (value * 100).toFixed(1)}%; --column: ${modalityColour(column.modality)}` },
    value.toFixed(2).replace(/^0/, ""), predicted ? el("span", { class: "hidden" }, " predicted") : null);
}

// The columns of an utterance, from left to right.
export function columnsOf({ own, modalities, other, others }) {
  return [...modalities, own, ...others, other].filter(Boolean);
}

// The turns of the dialogue around this one, or its neighbours where all belong to one speaker.
function turns(shown, index) {
  const { set, own } = shown;
  const dialogue = conversation(set, index);
  if (dialogue.length < 2) return null;
  const here = dialogue.indexOf(index);
  const near = dialogue.slice(Math.max(0, here - AROUND), here + AROUND + 1);
  const name = set.corpus?.dialogue[index] ? `Dialogue ${set.corpus.dialogue[index]}` : set.units[set.unit[index]];
  const step = (to, text) => to === undefined ? null : el("a", { href: fragment({ u: set.keys[to] }) }, text);
  return el("section", { class: "turns" },
    el("h4", {}, `${name}, ${set.corpus?.dialogue[index] ? "turn" : "utterance"} ${here + 1} of ${count(dialogue.length)}`),
    el("ol", { start: dialogue.indexOf(near[0]) + 1 }, near.map((i) => {
      const said = set.corpus?.text[i] ?? set.keys[i];
      const text = [set.corpus?.speaker[i] ? el("strong", {}, `${set.corpus.speaker[i]}: `) : null, said];
      return el("li", { "aria-current": i === index ? "true" : null },
        i === index ? el("span", {}, text) : el("a", { href: fragment({ u: set.keys[i] }) }, text), " ", verdict(set, own, i));
    })),
    el("p", { class: "steps" }, step(dialogue[here - 1], "← previous"), step(dialogue[here + 1], "next →")));
}

// The label that a column predicts, and whether it is right; the true label beside a wrong one.
export function verdict(set, column, index) {
  if (column.missing(index)) return el("span", { class: "missing" }, "missing");
  const predicted = set.labels[column.predicted[index]];
  return column.right[index]
    ? el("span", { class: "outcome right" }, "✓ ", predicted, el("span", { class: "hidden" }, ", right"))
    : el("span", { class: "outcome wrong" }, "✗ ", predicted, el("span", { class: "true-label" }, ` (true: ${set.labels[set.true[index]]})`));
}

// The places of the utterances of the same dialogue, in the order in which they were said.
function conversation(set, index) {
  const group = (i) => `${set.unit[i]} ${set.corpus?.dialogue[i] ?? ""}`;
  const said = (i) => set.corpus?.utterance[i] ?? null;
  const byKey = new Intl.Collator("en", { numeric: true });
  return d3.range(set.keys.length).filter((i) => group(i) === group(index)).sort((a, b) =>
    (said(a) !== null && said(b) !== null ? said(a) - said(b) : 0) || byKey.compare(set.keys[a], set.keys[b]));
}
