// Figures of runs: learning curves, and settings against the score on val.

import { data } from "./data.js";
import { el } from "./dom.js";
import { score } from "./format.js";
import { modalityColour } from "./modalities.js";
import { absent, choices, FAINT, figure, GROUND, plot, SOFT, widthFor } from "./plots.js";
import { go } from "./state.js";

const CURVES = [["val/weighted_f1", "val F1"], ["val/accuracy", "val accuracy"], ["val/loss", "val loss"], ["train/fit_loss", "train loss"]];
const SMALL = 228; // pixels of one of several small plots

export function curvesFigure(params) {
  const runs = data("runs");
  const shown = CURVES.find(([key]) => key === params.get("curve")) ?? CURVES[0];
  const rows = data("figures").rows.map((row) => ({ row, runs: trained(row, runs) })).filter((one) => one.runs.length);
  const head = { id: "curves", title: "Learning curves", wide: true, caption: "One line for each seed and fold; the dot is the epoch that val chose." };
  if (!rows.length) return absent(head.title, "no row of this study was trained; fusions and imported predictions have no epochs");
  const values = rows.flatMap((one) => one.runs.flatMap((run) => run.curve[shown[0]] ?? [])).filter((value) => value !== null);
  const range = values.length ? d3.nice(...d3.extent([...values, d3.min(values) + 0.05]), 4) : [0, 1];
  return figure(head,
    choices("Curve", CURVES, shown[0], (key) => go({ curve: key === CURVES[0][0] ? null : key }, { replace: true })),
    el("div", { class: "multiples" }, rows.map((one) => el("div", {}, el("p", { class: "small-title" }, one.row.row, el("span", { class: "small" }, ` ${one.runs[0].model}`)), curve(one, shown, range)))));
}

// The size of one of several small plots; on a phone it takes the whole width.
function size() {
  return widthFor() < 2 * SMALL ? { width: widthFor(), height: 200 } : { width: SMALL, height: 176 };
}

// The runs with epochs: those of the folds, where a run is several.
function trained(row, runs) {
  return row.runs.flatMap((hash) => (runs[hash].parts.length ? runs[hash].parts : [hash]))
    .map((hash) => runs[hash]).filter((run) => run.curve.epoch);
}

function curve({ row, runs }, [key, header], range) {
  const points = runs.flatMap((run, place) => run.curve.epoch.map((epoch, step) => ({ epoch, value: run.curve[key]?.[step] ?? null, place })));
  const chosen = runs.map((run, place) => points.find((point) => point.place === place && point.epoch === run.best.epoch)).filter(Boolean);
  const colour = modalityColour(row.modality);
  const last = d3.max(points, (point) => point.epoch);
  return plot(`${header} of ${row.row} by epoch`, {
    ...size(), marginLeft: 34, marginBottom: 38, marginTop: 8, marginRight: 8,
    x: { domain: [last > 1 ? 1 : 0, Math.max(last, 1) + (last > 1 ? 0 : 1)], label: "epoch", labelAnchor: "center", labelArrow: "none", labelOffset: 34, ticks: [1, ...(last > 3 ? [Math.round((1 + last) / 2)] : last === 3 ? [2] : []), ...(last > 1 ? [last] : [])], tickFormat: "d" },
    y: { domain: range, label: null, ticks: 4, grid: true, tickFormat: decimal },
    marks: [
      Plot.line(points.filter((point) => point.value !== null), { x: "epoch", y: "value", z: "place", stroke: colour, strokeOpacity: 0.75, strokeWidth: 1.4 }),
      Plot.dot(chosen, { x: "epoch", y: "value", r: 3, fill: colour, title: (point) => `epoch ${point.epoch}: ${score(point.value)}` }),
    ],
  });
}

// The curves of one run: its score on val, and its losses.
export function runCurves(run) {
  if (!run.curve.epoch || run.curve.epoch.length < 2) return null;
  const one = { row: { row: run.name, modality: run.modality }, runs: [run] };
  return el("div", { class: "multiples" }, [CURVES[0], CURVES[3], CURVES[2]].map((shown) => {
    const values = (run.curve[shown[0]] ?? []).filter((value) => value !== null);
    if (!values.length) return null;
    const range = d3.nice(...d3.extent([...values, d3.min(values) + 0.02]), 4);
    return el("div", {}, el("p", { class: "small-title" }, shown[1]), curve(one, shown, range));
  }));
}

// .45, 1.2
function decimal(value) {
  return String(+value.toFixed(3)).replace(/^0\./, ".");
}

export function tuningFigures() {
  const { tunings } = data("figures");
  if (!tunings.length) {
    return absent("Settings and the score on val", "the trained rows differ in no setting");
  }
  return tunings.map((one, place) => (flat(one) ? absent(`Settings and the score on val: ${one.modality}`,
    `all ${one.runs.length} runs score ${score(one.runs[0].score)}, whatever their settings`) : figure({
    id: place ? `tuning-${one.modality}` : "tuning", title: `Settings and the score on val: ${one.modality}`,
    wide: one.axes.length > 1,
    caption: `${one.axes.length > 1
      ? "Every line is a run, from its settings to its weighted F1 on val; the stronger its colour, the better. Below: the same runs, one setting at a time. Several settings change together, so that a difference there need not come from the setting shown. "
      : "Every dot is a run’s weighted F1 on val, by the one setting in which the runs differ. "} ${READING}` },
  one.axes.length > 1 ? parallel(one) : null, marginals(one))));
}

// No setting makes a difference.
function flat(one) {
  return new Set(one.runs.map((run) => run.score)).size === 1;
}

const READING = "The bar is the mean of several dots. A run over folds is one dot, of its folds’ predictions together. “Not set”: the run leaves the setting at its default. The axis need not begin at 0.";

// Settings that a run does not name keep their default.
const LEAST = 0.1; // of a range of scores
const LONGEST = 16; // signs of a label
const SIGN = 6.6; // pixels of one
const shownValue = (value) => ({ null: "not set", "[]": "none" })[value] ?? value;
const shortKey = (key) => key.split(".").slice(-2).join(".");

function parallel(one) {
  const axes = one.axes;
  const [low, high] = d3.extent(one.runs, (run) => run.score);
  const room = (high - low || 0.1) * 0.05;
  const scale = d3.scaleLinear([low - room, high + room], [0, 1]);
  const at = (axis, place) => (axis.values.length > 1 ? place / (axis.values.length - 1) : 0.5) * 0.9 + 0.05;
  const names = [...axes.map((axis) => axis.key), "score"];
  const points = one.runs.flatMap((run, line) => [
    ...axes.map((axis, place) => ({ line, run, axis: axis.key, value: run.values[place] === null ? null : at(axis, run.values[place]) })),
    { line, run, axis: "score", value: scale(run.score) }]);
  const ticks = axes.flatMap((axis) => axis.values.map((value, place) => ({ axis: axis.key, value: at(axis, place), text: shownValue(value) })));
  const ends = scale.ticks(5).map((value) => ({ axis: "score", value: scale(value), text: decimal(value) }));
  const colour = modalityColour(one.modality);
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Settings and scores" },
    plot(`Settings of ${one.modality} runs and their weighted F1 on val`, {
      width: Math.max(Math.min(widthFor(1100), names.length * 210), names.length * 120), height: 260, marginLeft: 40, marginRight: 70, marginTop: 34, marginBottom: 10,
      x: { type: "point", domain: names, padding: 0, axis: null }, y: { domain: [0, 1], axis: null },
      marks: [
        Plot.ruleX(names, { stroke: FAINT }),
        Plot.line(points.filter((point) => point.value !== null), { x: "axis", y: "value", z: "line", stroke: colour, strokeWidth: 1.6, strokeOpacity: (point) => 0.3 + 0.65 * scale(point.run.score), curve: "bump-x" }),
        Plot.text([...ticks, ...ends], { x: "axis", y: "value", text: "text", dx: 6, dy: -8, textAnchor: "start", fill: "var(--ink)", stroke: GROUND, strokeWidth: 4, fontSize: 11 }),
        Plot.text(names, { x: (name) => name, frameAnchor: "top", dy: -22, text: (name) => (name === "score" ? "val F1" : shortKey(name)), fill: SOFT, fontSize: 11 }),
      ],
    }));
}

function marginals(one) {
  const domain = apart(d3.extent(one.runs, (run) => run.score));
  const colour = modalityColour(one.modality);
  return el("div", { class: "multiples" }, one.axes.map((axis, place) => {
    const runs = one.runs.filter((run) => run.values[place] !== null).map((run) => ({ value: axis.values[run.values[place]], score: run.score }));
    const texts = axis.values.map((value) => shortened(shownValue(value), LONGEST));
    const frame = one.axes.length > 1 ? size() : { width: widthFor(420), height: 220 };
    const slanted = d3.max(texts, (text) => text.length) * SIGN > (frame.width - 70) / texts.length;
    return el("div", {}, el("p", { class: "small-title" }, shortKey(axis.key)), plot(`Weighted F1 on val by ${axis.key}`, {
      ...frame, height: frame.height + (slanted ? 44 : 0), marginLeft: 56, marginBottom: slanted ? 68 : 24, marginTop: 8,
      x: { type: "band", domain: axis.values, label: null, tickRotate: slanted ? -35 : 0, tickFormat: (value) => shortened(shownValue(value), LONGEST) },
      y: { domain, label: "weighted F1 on val", labelAnchor: "center", labelArrow: "none", labelOffset: 50, ticks: 4, grid: true, nice: true, tickFormat: decimal },
      marks: [
        Plot.dot(runs, { x: "value", y: "score", r: 3, stroke: colour, fill: colour, fillOpacity: 0.35 }),
        Plot.tickY(repeated(runs), Plot.groupX({ y: "mean" }, { x: "value", y: "score", stroke: "var(--ink)", strokeWidth: 2 })),
      ],
    }));
  }));
}

// The runs whose setting has a second run.
function repeated(runs) {
  const sizes = d3.rollup(runs, (group) => group.length, (run) => run.value);
  return runs.filter((run) => sizes.get(run.value) > 1);
}

// A range of scores at least LEAST wide, so that a small difference looks small.
function apart([low, high]) {
  const room = Math.max(0, LEAST - (high - low)) / 2;
  const bottom = Math.max(0, low - room);
  return [bottom, Math.min(1, Math.max(high + room, bottom + LEAST))];
}

function shortened(text, room) {
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}
