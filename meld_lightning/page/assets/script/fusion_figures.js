// Figures of a table of fusions: what each modality adds, weights on the simplex of modalities, and
// who is right when others are wrong. The state's `fusions` is the table.

import { data } from "./data.js";
import { count, score, share } from "./format.js";
import { el } from "./dom.js";
import { modalityColour } from "./modalities.js";
import { absent, figure, intervals, plot, widthFor } from "./plots.js";
import { go } from "./state.js";

const FLAT = 1 / 3; // of the weightings
const HALF = Math.sqrt(3) / 2;

// The tables of fusions, without those that repeat another's rows as a figure of intervals.
function fusionTables() {
  const runs = data("runs");
  return data("tables").tables.filter((table) => table.kind !== "intervals" &&
    table.rows.some((row) => row.runs.some((hash) => Object.keys(runs[hash].sources).length)));
}

// The chosen table; without a choice that of the study's main row.
function chosenTable(params) {
  const { rows, main } = data("figures");
  const found = fusionTables();
  return found.find((one) => one.name === params.get("fusions")) ?? found.find((one) => one.name === rows[main]?.table) ?? found[0] ?? null;
}

// The menu of the tables; null if there are less than two.
export function fusionMenu(params) {
  const tables = fusionTables();
  if (tables.length < 2) return null;
  const current = chosenTable(params);
  return el("div", { class: "menus" }, el("label", {}, "Table ", el("select", { onchange: (event) => go({ fusions: event.target.value }) },
    tables.map((table) => el("option", { value: table.name, selected: table === current }, table.title)))));
}

export function surfaceFigure(params) {
  const table = chosenTable(params);
  const title = "Weights of the modalities";
  if (!table) return absent(title, "the study has no table of fusions");
  const one = data("figures").surfaces.find((found) => found.table === table.name);
  if (!one) return absent(title, "the table has no row that fuses two or three modalities, as many as can be drawn");
  const flat = plateau(one);
  if (flat) return absent(title, `${flat.n} of ${one.score.length} weightings score the same on val, ${score(flat.score)}, so that val hardly tells the weights apart`);
  const three = one.modalities.length === 3;
  return figure({ id: "surface", title,
    caption: `${one.title}. Weighted F1 on val of every weighting (seed ${one.seed})${three ? "; the stronger the colour, the better" : ""}. Best: ${best(one)}. ${one.fitted.length ? `${three ? "Rings" : "Dotted lines"}: the weights that fusions fitted, one for each seed and fold, listed below.` : "No fusion of the table fits one weight for each modality."}` },
  three ? triangle(one) : line(one), fitted(one));
}

// The score that so many weightings share that val hardly tells them apart, such as where val lacks a
// modality: {score, n}; null without one.
function plateau(one) {
  const [score, n] = d3.greatest(d3.rollups(one.score, (same) => same.length, (value) => value), ([, size]) => size);
  return n > one.score.length * FLAT ? { score, n } : null;
}

// What the fusions of each row fitted, means over seeds and folds.
function fitted(one) {
  const rows = data("figures").rows;
  const groups = d3.groups(one.fitted, (found) => found.row);
  return groups.length ? el("ul", { class: "caption" }, groups.map(([row, found]) => el("li", {}, `${rows[row].row}: ${one.modalities.map((name, place) =>
    `${name} ${d3.mean(found, (each) => each.weights[place]).toFixed(2)}`).join(", ")}${found.length > 1 ? ` (mean of ${found.length})` : ""}`))) : null;
}

function best(one) {
  const place = d3.maxIndex(one.score);
  return `${score(one.score[place])} at ${one.modalities.map((name, number) => `${name} ${one.weights[place][number].toFixed(2)}`).join(", ")}`;
}

// The corners are the modalities alone: the first at the left, the second at the right, the third at
// the top.
function corner([, second, third]) {
  return { x: second + third / 2, y: third * HALF };
}

function triangle(one) {
  const side = widthFor(440);
  const points = one.weights.map((weights, place) => ({ ...corner(weights), score: one.score[place], weights }));
  const rows = data("figures").rows;
  const fitted = one.fitted.map((found) => ({ ...corner(found.weights), name: `${rows[found.row].row}, seed ${found.seed}: ${one.modalities.map((name, place) => `${name} ${found.weights[place].toFixed(2)}`).join(", ")}` }));
  const corners = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((weights, place) => ({ ...corner(weights), name: one.modalities[place], colour: modalityColour(one.modalities[place]) }));
  const strength = d3.scaleLinear([d3.quantile(one.score, 0.05), d3.max(one.score)], [0.12, 1]).clamp(true);
  return plot(`Score of every weighting of ${one.modalities.join(", ")}`, {
    width: side, height: side * HALF + 30, margin: 34, marginTop: 26,
    x: { domain: [0, 1], axis: null }, y: { domain: [0, HALF], axis: null },
    marks: [
      Plot.dot(points, { x: "x", y: "y", symbol: "hexagon", r: side / 58, fill: "var(--accent)", fillOpacity: (point) => strength(point.score),
        title: (point) => `${one.modalities.map((name, place) => `${name} ${point.weights[place].toFixed(2)}`).join(", ")}: ${score(point.score)}` }),
      Plot.dot(fitted, { x: "x", y: "y", r: 5, stroke: "var(--ink)", strokeWidth: 1.8, fill: "none", title: "name" }),
      ...corners.map((one) => Plot.text([one], { x: "x", y: "y", text: "name", fill: one.colour, fontWeight: 600, fontSize: 13, dy: one.y > 0 ? -16 : 18 })),
    ],
  });
}

function line(one) {
  const points = one.weights.map((weights, place) => ({ weight: weights[0], score: one.score[place] }));
  const fitted = one.fitted.map((found) => ({ weight: found.weights[0] }));
  return plot(`Score by the weight of ${one.modalities[0]}`, {
    width: widthFor(), height: 260, marginLeft: 58, marginBottom: 38,
    x: { domain: [0, 1], label: `weight of ${one.modalities[0]} (the rest: ${one.modalities[1]})`, labelAnchor: "center", labelArrow: "none" },
    y: { label: "weighted F1 on val", labelAnchor: "center", labelArrow: "none", labelOffset: 52, ticks: 5, nice: true, grid: true },
    marks: [
      Plot.line(points, { x: "weight", y: "score", stroke: "var(--accent)", strokeWidth: 2 }),
      Plot.ruleX(fitted, { x: "weight", stroke: "var(--ink)", strokeDasharray: "2,3" }),
    ],
  });
}

export function complementFigure(rows) {
  const { complements, rows: all } = data("figures");
  const wanted = rows.map((row) => complements.find((one) => all[one.row] === row)).find(Boolean) ?? complements.at(-1);
  const head = { id: "complement", title: "Who is right when others are wrong" };
  if (!wanted) return absent(head.title, "the study has no row that fuses two modalities or more");
  const name = all[wanted.row].row;
  return figure({ ...head,
    caption: `Test utterances by the modalities that get them right by themselves, means over seeds. The solid part: those that ${name} gets right too. At least one modality is right on ${share(wanted.oracle)}, the accuracy of choosing perfectly between them (the oracle); ${name} reaches ${share(wanted.fused)}, ${
      wanted.modalities.map((one) => `${one} alone ${share(wanted.accuracy[one])}`).join(", ")}.` },
  upset(wanted));
}

// Bars beside a grid of dots that say which modalities are right.
function upset(one) {
  const named = one.subsets.map((subset) => ({ ...subset, name: subset.right.join(" + ") || "none" }));
  const width = widthFor(640);
  const step = Math.max(44, 12 + 7 * d3.max(one.modalities, (name) => name.length));
  const room = one.modalities.length * step + 8;
  const most = d3.max(named, (subset) => subset.n);
  const names = named.map((subset) => subset.name);
  const grid = named.flatMap((subset) => one.modalities.map((modality, place) => ({ name: subset.name, place, modality, on: subset.right.includes(modality) })));
  const dx = (place) => -room + step / 2 + place * step;
  return plot("Utterances by the modalities that are right", {
    width, height: names.length * 26 + 44, marginLeft: room, marginRight: 128, marginTop: 30, marginBottom: 10,
    x: { domain: [0, most], axis: null }, y: { domain: names, axis: null },
    marks: [
      Plot.barX(named, { y: "name", x: "n", fill: "var(--accent)", fillOpacity: 0.22, insetTop: 4, insetBottom: 4 }),
      Plot.barX(named, { y: "name", x: "fused", fill: "var(--accent)", insetTop: 4, insetBottom: 4 }),
      Plot.text(named, { y: "name", x: "n", dx: 8, textAnchor: "start", fill: "var(--ink)",
        text: (subset) => `${count(Number(subset.n.toFixed(subset.n < 10 ? 1 : 0)))}${subset.right.length ? `, ${share(subset.fused / subset.n)} kept` : `, ${share(subset.fused / subset.n)} right`}` }),
      ...one.modalities.flatMap((modality, place) => [
        Plot.dot(grid.filter((dot) => dot.place === place), { y: "name", x: 0, dx: dx(place), r: 5, fill: (dot) => (dot.on ? modalityColour(modality) : "var(--faint)") }),
        Plot.text([modality], { frameAnchor: "top-left", dx: dx(place), dy: -22, textAnchor: "middle", text: (text) => text, fill: modalityColour(modality), fontWeight: 600 }),
      ]),
    ],
  });
}

// The rows of a table of fusions, by the modalities that they fuse.
export function modalitiesFigure(params) {
  const table = chosenTable(params);
  const head = { id: "modalities", title: "What each modality adds" };
  if (!table) return absent(head.title, "the study has no table of fusions");
  const metrics = Object.entries(table.metrics);
  const place = Math.max(0, metrics.findIndex(([key]) => key.endsWith("weighted_f1")));
  const rows = table.rows.filter((row) => row.cells[place] && row.runs.length)
    .map((row) => ({ ...row, fused: Object.keys(data("runs")[row.runs[0]].sources) }));
  const fused = [...new Set(rows.flatMap((row) => row.fused))];
  const initials = new Map(fused.map((one) => [one, initial(one)]));
  const name = (row) => {
    const short = row.fused.map((one) => initials.get(one)).join("+");
    return [short, row.fused.join("+")].includes(row.label) || !short ? row.label : `${row.label} (${short})`;
  };
  const constant = table.rows.find((row) => row.baseline)?.cells[place]?.value ?? null;
  // a baseline far below would take the room of the intervals
  const [low, high] = d3.extent(rows.flatMap(({ cells: { [place]: cell } }) => [cell.low ?? cell.value, cell.high ?? cell.value]));
  const beyond = constant !== null && low - constant > high - low;
  return figure({ ...head,
    caption: `${table.title}: ${metrics[place][1]} with 95 % intervals. In parentheses what a row fuses (${fused.map((one) => `${initials.get(one)}: ${one}`).join(", ")}).${constant === null ? "" : beyond ? ` The constant baseline, ${score(constant)}, lies beyond the left edge.` : ` Dashed: the constant baseline, ${score(constant)}.`}` },
  intervals(`${metrics[place][1]} by fused modalities`, {
    names: rows.map(name), x: metrics[place][1], line: beyond ? null : constant,
    series: [{ colour: "var(--accent)", filled: true, values: rows.map((row) => ({ name: name(row), ...row.cells[place], title: `${row.label}: ${score(row.cells[place].value)}` })) }] }));
}

// T for text, V1 for voice_1.
function initial(modality) {
  return `${modality[0].toUpperCase()}${/\d+$/.exec(modality)?.[0] ?? ""}`;
}
