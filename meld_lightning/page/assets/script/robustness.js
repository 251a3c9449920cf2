// The score of each fusion while modalities are missing at random.

import { data } from "./data.js";
import { svg } from "./dom.js";
import { score } from "./format.js";
import { modalityColour } from "./modalities.js";
import { absent, figure, GROUND, plot, SOFT, widthFor } from "./plots.js";

const HEIGHT = 400;
const MARGIN = { top: 16, bottom: 40 };
const LABEL = 14; // pixels between two labels
const LEADER = 36; // pixels of a line from a label to its curve

export function robustnessFigures() {
  const { robustness } = data("figures");
  if (!robustness.length) return absent("Score against missing modalities", "the study has no table that scores its fusions while modalities are missing");
  return robustness.map((one, number) => figure({
    id: number ? `robustness-${one.table}` : "robustness", title: "Score against missing modalities",
    caption: `${one.title}: ${one.metric} on test. Each modality of each utterance is missing at random with the probability below, in one draw that all rows share; the bands are 95 % intervals. The fusions are not fitted again. Colours are those of the modalities, for rows that use a single one. ${bold(one) ? `Bold: ${bold(one)}, the study’s main row. ` : ""}Grey: other rows. Dashed: the constant baseline. Point at a line for its name and score.` },
  curves(one)));
}

// The main row's curve, if it is among these.
function bold(one) {
  const { rows, main } = data("figures");
  return one.curves.find(({ label }) => label === rows[main]?.row)?.label ?? null;
}

function curves(one) {
  const points = one.curves.flatMap(({ label, modality, scores }) => scores.map((found, place) => ({ label, modality, share: one.shares[place], ...found })));
  const main = bold(one);
  const colour = ({ label, modality }) => (label === main ? "var(--ink)" : modality && modality !== "fusion" ? modalityColour(modality) : SOFT);
  const top = d3.max(points, (point) => point.high ?? point.value);
  const pixels = d3.scaleLinear([0, top], [HEIGHT - MARGIN.bottom, MARGIN.top]);
  const labels = apart(one.curves.map(({ label, modality, scores }) => ({ label, modality, y: pixels(scores[0].value) })), LABEL, MARGIN.top)
    .map((each) => ({ ...each, start: pixels.invert(each.y), at: pixels.invert(each.at) }));
  const width = widthFor();
  const room = Math.min(width * 0.4, LEADER + 17 + 6.6 * d3.max(labels, (each) => each.label.length));
  return plot(`${one.metric} by the share of missing modalities`, {
    width, height: HEIGHT, marginLeft: room, marginRight: 40, marginTop: MARGIN.top, marginBottom: MARGIN.bottom,
    x: { label: "probability that a modality is missing", labelAnchor: "center", labelArrow: "none", ticks: 5, tickFormat: "%" },
    y: { domain: [0, top], label: null, grid: true, axis: "right", tickFormat: (value) => String(+value.toFixed(2)).replace(/^0\./, ".") },
    marks: [
      Plot.areaY(points.filter((point) => point.low !== null && point.modality), { x: "share", y1: "low", y2: "high", z: "label", fill: colour, fillOpacity: (point) => (point.label === main ? 0.1 : 0.05) }),
      Plot.line(points.filter((point) => !point.modality), { x: "share", y: "value", stroke: SOFT, strokeDasharray: "3,3" }),
      Plot.line(points.filter((point) => point.modality), { x: "share", y: "value", z: "label", stroke: colour, strokeWidth: (point) => (point.label === main ? 3 : 1.4) }),
      leaders(labels, one.shares[0], colour),
      Plot.text(labels, { x: () => one.shares[0], y: "at", text: "label", textAnchor: "end", dx: -LEADER - 3, fill: (each) => (each.label === main || each.modality !== "fusion" ? colour(each) : "var(--ink)"), fontWeight: (each) => (each.label === main ? 600 : 400) }),
      Plot.tip(points, Plot.pointer({ x: "share", y: "value", fill: GROUND, stroke: SOFT, title: (point) => `${point.label}\n${score(point.value)} at ${Math.round(point.share * 100)} %` })),
    ],
  });
}

// Lines from the labels to where their curves begin.
function leaders(labels, share, colour) {
  return (_, { x, y }) => svg("g", { "stroke-width": 0.7 }, labels.map((each) =>
    svg("line", { stroke: colour(each), x1: x(share) - LEADER, y1: y(each.at), x2: x(share) - 2, y2: y(each.start) })));
}

// Places for labels, from `top` down and `gap` apart, that are near to their own: {...label, at}.
export function apart(labels, gap, top) {
  const sorted = d3.sort(labels, (one) => one.y);
  const groups = [];
  for (const label of sorted) {
    groups.push(group([label], gap, top));
    while (groups.length > 1 && overlap(groups.at(-2), groups.at(-1), gap)) {
      const members = [...groups.at(-2).members, ...groups.pop().members];
      groups[groups.length - 1] = group(members, gap, top);
    }
  }
  return groups.flatMap(({ members, centre }) => members.map((one, place) => ({ ...one, at: centre + (place - (members.length - 1) / 2) * gap })));
}

// Labels that stand together, around the mean of their places and below `top`.
function group(members, gap, top) {
  return { members, centre: Math.max(d3.mean(members, (one) => one.y), top + (members.length - 1) / 2 * gap) };
}

function overlap(one, next, gap) {
  return next.centre - one.centre < gap * (one.members.length + next.members.length) / 2;
}
