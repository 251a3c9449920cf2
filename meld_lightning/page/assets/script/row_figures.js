// Figures of one row, or of two beside each other: scores of each class, reliability, and accuracy
// in groups of utterances.

import { data } from "./data.js";
import { count, score } from "./format.js";
import { asSeries } from "./chosen_rows.js";
import { absent, choices, figure, intervals, legend, plot, SOFT, widthFor } from "./plots.js";
import { go } from "./state.js";

const SCORES = [["f1", "F1"], ["precision", "precision"], ["recall", "recall"]];

export function classesFigure(rows, params) {
  const shown = SCORES.find(([key]) => key === params.get("by")) ?? SCORES[0];
  const series = asSeries(rows);
  const sizes = new Map(rows.flatMap((row) => row.labels.map((label, place) => [label, row.support[place]])));
  const labels = [...sizes.keys()].filter((label) => sizes.get(label) > 0);
  const named = (label) => `${label} (${count(sizes.get(label))})`;
  return figure({ id: "classes", title: "Scores of each emotion", caption: "Means over seeds with 95 % intervals, on test; utterances in parentheses." },
    choices("Score", SCORES, shown[0], (key) => go({ by: key === "f1" ? null : key }, { replace: true })),
    legend(series),
    intervals(`${shown[1]} of each emotion`, {
      names: labels.map(named), x: shown[1],
      series: series.map((one) => ({ ...one, values: one.row.labels
        .map((label, place) => valued(named(label), one.row[shown[0]][place]))
        .filter((_, place) => one.row.support[place] > 0) })) }));
}

function valued(name, found, n = null) {
  return { name, ...found, title: `${name}: ${score(found.value)}${found.low === null ? "" : ` [${score(found.low)}, ${score(found.high)}]`}${n === null ? "" : `, n ${count(n)}`}` };
}

export function reliabilityFigure(rows) {
  const series = asSeries(rows);
  const side = widthFor(380);
  const points = series.flatMap((one) => one.row.reliability.confidence.map((confidence, place) => ({
    ...one, confidence, accuracy: one.row.reliability.accuracy[place], n: one.row.reliability.count[place] })));
  return figure({ id: "reliability", title: "Reliability",
    caption: `Accuracy at each confidence, all seeds together; a dot’s area is its number of utterances. On the dashed line, confidence is accuracy. ${series.map((one) =>
      `${one.name}: expected calibration error ${score(one.row.reliability.error)}`).join("; ")}.` },
  legend(series),
  plot("Accuracy by confidence", {
    width: side, height: side, marginLeft: 44, marginBottom: 40,
    x: { domain: [0, 1], label: "confidence", labelAnchor: "center", labelArrow: "none" },
    y: { domain: [0, 1], label: "accuracy", labelAnchor: "center", labelArrow: "none", grid: true },
    r: { range: [1.5, 14] },
    marks: [
      Plot.line([[0, 0], [1, 1]], { stroke: SOFT, strokeDasharray: "3,3" }),
      ...series.map((one) => Plot.line(points.filter((point) => point.row === one.row), { x: "confidence", y: "accuracy", stroke: one.colour, strokeWidth: 1.5 })),
      ...series.map((one) => Plot.dot(points.filter((point) => point.row === one.row), {
        x: "confidence", y: "accuracy", r: "n", stroke: one.colour, fill: one.filled ? one.colour : "var(--ground)", fillOpacity: one.filled ? 0.35 : 0.8,
        title: (point) => `confidence ${score(point.confidence)}, accuracy ${score(point.accuracy)}, n ${count(point.n)}` })),
    ],
  }));
}

// One figure for each grouping that a chosen row has, and a line for each that none has.
export function groupFigures(rows) {
  const { groupings, rows: all } = data("figures");
  const places = rows.map((row) => all.indexOf(row));
  return groupings.map((grouping) => {
    const found = places.map((place) => grouping.rows[place] ?? null);
    const id = `group-${grouping.id}`;
    if (!found.some(Boolean)) {
      const why = grouping.missing || "all utterances of the chosen row are in one group";
      return absent(title(grouping), why);
    }
    const series = asSeries(rows).map((one, place) => ({ ...one, groups: found[place] ?? [] }));
    const names = [...new Set(series.flatMap((one) => one.groups.map((group) => group.name)))];
    const sizes = new Map(series.flatMap((one) => one.groups.map((group) => [group.name, group.n])));
    const named = (name) => `${name} (${count(sizes.get(name))})`;
    return figure({ id, title: title(grouping), caption: caption(grouping, series) },
      legend(series),
      intervals(title(grouping), {
        names: names.map(named), x: "accuracy",
        series: series.map((one) => ({ ...one, values: one.groups.map((group) => valued(named(group.name), group.accuracy, group.n)) })),
        ticks: series[0].groups.map((group) => ({ name: named(group.name), value: group.constant })),
        line: overall(series[0]) }));
  });
}

function title(grouping) {
  return `Accuracy ${grouping.title[0].toLowerCase()}${grouping.title.slice(1)}`;
}

function overall(series) {
  const n = d3.sum(series.groups, (group) => group.n);
  return n ? d3.sum(series.groups, (group) => group.n * group.accuracy.value) / n : null;
}

function caption(grouping, series) {
  const alone = series.some((one) => one.groups.some((group) => group.accuracy.low === null));
  return ["Accuracy with 95 % intervals; utterances in parentheses. Grey ticks: the constant baseline in the same group. Dashed: A’s accuracy over all groups.",
    alone ? "A group of a single speaker or dialogue has no interval, because intervals come from leaving out one after the other." : "",
    grouping.id === "each_speaker" && !alone ? "A model that serves all speakers alike has intervals that cross the dashed line." : ""].filter(Boolean).join(" ");
}

