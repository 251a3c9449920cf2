// Figures of fusions: weights on the simplex of modalities, who is right when others are wrong, and
// what each modality adds.

import { data } from "./data.js";
import { count, score, share } from "./format.js";
import { absent, figure, intervals, modalityColour, plot, widthFor } from "./plots.js";

const HALF = Math.sqrt(3) / 2;

export function surfaceFigures() {
  const { surfaces } = data("figures");
  if (!surfaces.length) {
    return absent("Weights of the modalities", "the study has no table that fuses two or three modalities");
  }
  return surfaces.map((one, place) => figure({
    id: place ? `surface-${one.table}` : "surface", title: "Weights of the modalities",
    caption: `${one.title}. Weighted F1 on val of every weighting (seed ${one.seed})${one.modalities.length === 3 ? "; the stronger the colour, the better" : ""}. Best: ${best(one)}. ${one.modalities.length === 3 ? "Rings" : "Dotted lines"}: the weights that the rows’ fusions fitted, one for each seed.` },
  one.modalities.length === 3 ? triangle(one) : line(one)));
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
  const strength = d3.scaleLinear([d3.quantile(one.score, 0.05), d3.max(one.score)], [0.04, 1]).clamp(true);
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
    caption: `Test utterances by the modalities that get them right, means over seeds. Filled: those that ${name} gets right too. Always choosing a modality that is right would reach ${share(wanted.oracle)}; ${name} reaches ${share(wanted.fused)}, ${
      wanted.modalities.map((one) => `${one} alone ${share(wanted.accuracy[one])}`).join(", ")}.` },
  upset(wanted));
}

// Bars beside a grid of dots that say which modalities are right.
function upset(one) {
  const named = one.subsets.map((subset) => ({ ...subset, name: subset.right.join(" + ") || "none" }));
  const width = widthFor(640);
  const step = width < 480 ? 48 : 64;
  const room = one.modalities.length * step + 8;
  const most = d3.max(named, (subset) => subset.n);
  const names = named.map((subset) => subset.name);
  const grid = named.flatMap((subset) => one.modalities.map((modality, place) => ({ name: subset.name, place, modality, on: subset.right.includes(modality) })));
  const dx = (place) => -room + step / 2 + place * step;
  return plot("Utterances by the modalities that are right", {
    width, height: names.length * 26 + 44, marginLeft: room, marginRight: 110, marginTop: 30, marginBottom: 10,
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

// Places for labels at the ends of lines, each at least `gap` above the next: {…label, at}.
function apart(labels, gap) {
  const sorted = d3.sort(labels, (one) => one.value);
  let last = -Infinity;
  return sorted.map((one) => ({ ...one, at: (last = Math.max(one.value, last + gap)) }));
}

// The score of each fusion while modalities are missing at random.
export function robustnessFigures() {
  const { robustness } = data("figures");
  if (!robustness.length) return absent("Score against missing modalities", "the study has no table of kind missing");
  return robustness.map((one, number) => {
    const points = one.curves.flatMap(({ label, scores }) => scores.map((found, place) => ({ label, share: one.shares[place], ...found })));
    const first = apart(one.curves.map(({ label, scores }) => ({ label, share: one.shares[0], value: scores[0].value })), d3.max(points, (point) => point.value) * 0.042);
    return figure({ id: number ? `robustness-${one.table}` : "robustness", title: "Score against missing modalities",
      caption: `${one.title}. ${one.metric} on test while each modality of each utterance is missing at random with a probability; the band is the 95 % interval. The fusions are not fitted again.` },
    plot(`${one.metric} by the share of missing modalities`, {
      width: widthFor(), height: 380, marginLeft: 130, marginRight: 40, marginBottom: 38,
      x: { label: "probability that a modality is missing", labelAnchor: "center", labelArrow: "none", tickFormat: "%" },
      y: { label: null, grid: true, axis: "right", zero: true },
      marks: [
        Plot.areaY(points.filter((point) => point.low !== null), { x: "share", y1: "low", y2: "high", z: "label", fill: "var(--accent)", fillOpacity: 0.07 }),
        Plot.line(points, { x: "share", y: "value", z: "label", stroke: "var(--accent)", strokeWidth: 1.8 }),
        Plot.text(first, { x: "share", y: "at", text: "label", textAnchor: "end", dx: -8, fill: "var(--ink)" }),
      ],
    }));
  });
}

// The rows of a table of fusions, by the modalities that they fuse.
export function missingModalitiesFigure() {
  const runs = data("runs");
  const found = data("tables").tables.filter((table) => table.rows.some((row) => row.runs.some((hash) => Object.keys(runs[hash].sources).length)));
  const head = { id: "modalities", title: "What each modality adds" };
  if (!found.length) return absent(head.title, "the study has no table of fusions");
  return found.map((table, number) => {
    const metrics = Object.entries(table.metrics);
    const place = Math.max(0, metrics.findIndex(([key]) => key.endsWith("weighted_f1")));
    const rows = table.rows.filter((row) => row.cells[place] && row.runs.length).map((row) => ({ ...row, fused: Object.keys(runs[row.runs[0]].sources) }));
    const initials = (row) => row.fused.map((one) => one[0].toUpperCase()).join("+");
    const name = (row) => (row.label === initials(row) ? row.label : `${row.label} (${initials(row)})`);
    const constant = table.rows.find((row) => row.baseline)?.cells[place]?.value ?? null;
    return figure({ ...head, id: number ? `modalities-${table.name}` : head.id, title: head.title,
      caption: `${table.title}. Each row with the initials of the modalities that it fuses, and its 95 % interval. Dashed: the constant baseline.` },
    intervals(`${metrics[place][1]} by fused modalities`, {
      names: rows.map(name), x: metrics[place][1], line: constant,
      series: [{ colour: "var(--accent)", filled: true, values: rows.map((row) => ({ name: name(row), ...row.cells[place], title: `${row.label}: ${score(row.cells[place].value)}` })) }] }));
  });
}

