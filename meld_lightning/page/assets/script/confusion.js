// Confusion matrices of rows: shares of the true class or counts, summed over seeds, and the
// difference of two rows.

import { el } from "./dom.js";
import { count } from "./format.js";
import { choices, figure } from "./plots.js";
import { predictions, utterances } from "./predictions.js";
import { go } from "./state.js";

// Counts by true and predicted label, of all of a row's runs together.
export function confusionCounts(row) {
  const size = row.labels.length;
  const counts = Array.from({ length: size }, () => new Array(size).fill(0));
  for (const hash of row.runs) {
    const run = predictions(hash);
    const { true: labels } = utterances(run.set);
    for (let place = 0; place < labels.length; place += 1) counts[labels[place]][run.predicted[place]] += 1;
  }
  return counts;
}

function shares(counts) {
  return counts.map((line) => {
    const total = d3.sum(line);
    return line.map((value) => (total ? value / total : 0));
  });
}

export function confusionFigure(rows, params) {
  const shown = params.get("cells") === "counts" ? "counts" : "shares";
  const matrices = rows.map((row) => ({ row, counts: confusionCounts(row) }));
  const same = rows.length === 2 && rows[0].labels.join() === rows[1].labels.join();
  return figure({
    id: "confusion", title: "Confusion matrix",
    caption: `Each line is a true label, each column a predicted one; ${shown === "counts" ? "counts over all seeds" : "percentages of the true label"}. The shade is the share of the true label.`,
  },
  choices("Cells", [["shares", "percentages"], ["counts", "counts"]], shown, (key) => go({ cells: key === "shares" ? null : key }, { replace: true })),
  el("div", { class: "matrices" },
    matrices.map(({ row, counts }) => matrix(row, counts, shares(counts), shown)),
    same ? difference(rows, matrices.map((one) => shares(one.counts))) : null));
}

function matrix(row, counts, share, shown) {
  return table(`${row.row}`, row.labels, counts.map((line, one) => line.map((value, other) => ({
    text: shown === "counts" ? count(value) : percent(share[one][other]),
    title: `true: ${row.labels[one]}, predicted: ${row.labels[other]}: ${count(value)} (${(share[one][other] * 100).toFixed(1)} %)`,
    colour: "--accent", strength: visible(share[one][other]) }))),
  counts.map((line) => d3.sum(line) / row.runs.length));
}

function difference(rows, [one, other]) {
  const change = one.map((line, a) => line.map((value, b) => value - other[a][b]));
  const most = d3.max(change.flat(), Math.abs) || 1;
  return table(`${rows[0].row} − ${rows[1].row}, percentage points`, rows[0].labels, change.map((line, a) => line.map((value, b) => ({
    text: Math.abs(value) < 0.005 ? "·" : `${value < 0 ? "−" : "+"}${Math.abs(value * 100).toFixed(0)}`,
    title: `true: ${rows[0].labels[a]}, predicted: ${rows[0].labels[b]}: ${(value * 100).toFixed(1)} points`,
    colour: value < 0 ? "--minus" : "--accent", strength: visible(Math.abs(value) / most) }))));
}

// A cell that is not empty stands out from the ground, also in the dark.
function visible(strength) {
  return strength > 0 ? 0.18 + 0.82 * strength : 0;
}

// Few percent are left out of sight, but not out of the cell's title.
function percent(value) {
  return value < 0.005 ? "·" : (value * 100).toFixed(0);
}

function table(title, labels, cells, totals = null) {
  return el("table", { class: "matrix" },
    el("caption", {}, title),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "true \\ predicted"), labels.map((label) => el("th", { scope: "col" }, el("span", {}, label))),
      totals ? el("th", { scope: "col", class: "total" }, "n") : null)),
    el("tbody", {}, cells.map((line, place) => el("tr", {}, el("th", { scope: "row" }, labels[place]),
      line.map((cell, other) => el("td", {
        class: place === other ? "hit" : null, title: cell.title,
        style: `--cell: var(${cell.colour}); --strength: ${cell.strength.toFixed(2)}` }, cell.text)),
      totals ? el("td", { class: "total" }, count(Math.round(totals[place]))) : null))));
}
