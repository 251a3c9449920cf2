// Two rows or runs against each other: differences with intervals, over all utterances and by class,
// and the utterances that one gets right and the other wrong. The state's `a` and `b` are choices.

import { data } from "./data.js";
import { domain, intervalBar } from "./bars.js";
import { add, el } from "./dom.js";
import { count, interval, score, signed } from "./format.js";
import { chosen, firstChoice, rowChoices, select } from "./choices.js";
import { kinds, view } from "./outcomes.js";
import { predictions, utterances } from "./predictions.js";
import { difference, estimate, jackknife, METRICS } from "./statistics.js";
import { fragment, go, onState, state } from "./state.js";

const SHOWN = 5; // utterances of each kind of change

export const compare = {
  id: "compare", title: "Compare", render, printed: false,
  available: () => new Set(data("tables").tables.flatMap((table) => table.rows.flatMap((row) => row.runs))).size > 1,
};

function render(root) {
  const menus = el("div", { class: "filters" });
  const found = el("div", { role: "region", "aria-label": "Comparison" });
  add(root, el("h2", {}, "Compare"),
    el("p", { class: "legend" }, `Two rows or runs on ${data("predictions").split}, on the same utterances. Intervals are those of the tables:`,
      " 95 %, from leaving out each dialogue (or speaker) once and from the seeds. They hold for one pair that was chosen",
      " before looking; with many pairs, or over the classes below, some differ by chance. The tables’ tests allow for that."),
    menus, found);
  const choices = rowChoices();
  const follow = ({ section, params }) => {
    if (section !== "compare") return;
    const [a, b] = pair(choices, params);
    menus.replaceChildren(
      el("label", {}, el("span", {}, "A"), select(choices, a.id, (id) => go({ a: id }))),
      el("label", {}, el("span", {}, "B"), select(choices, b.id, (id) => go({ b: id }))),
      el("button", { type: "button", class: "choice", onclick: () => go({ a: b.id, b: a.id }) }, "Swap"));
    found.replaceChildren(...results(a, b));
  };
  onState(follow);
  follow(state());
}

// The chosen pair; without a choice, the first choice and its best single modality, or the row that follows.
function pair(choices, params) {
  const a = chosen(choices, params.get("a")) ?? firstChoice(choices);
  const modalities = Object.values(data("runs")[a.runs[0]].alone);
  const others = choices.filter((one) => one !== a);
  const alone = others.filter((one) => one.runs.some((run) => modalities.includes(run)));
  const accuracy = (one) => data("runs")[one.runs[0]].metrics[data("predictions").split]?.accuracy ?? 0;
  const b = chosen(choices, params.get("b")) ?? d3.greatest(alone, accuracy) ?? others.find((one) => sameSet(a, one)) ?? others[0];
  return [a, b];
}

function setOf(choice) {
  return data("predictions").runs[choice.runs[0]].set;
}

function sameSet(a, b) {
  return setOf(a) === setOf(b);
}

// Whether each run of one row is, fuses or shares a modality with that of the other.
function share(a, b) {
  const all = (hash) => [hash, ...Object.values(data("runs")[hash].sources)];
  return a.runs.length === b.runs.length && a.runs.every((run, seed) => all(run).some((one) => all(b.runs[seed]).includes(one)));
}

function results(a, b) {
  if (!sameSet(a, b)) return [el("p", { class: "missing" }, "The two score different utterances, or have other labels: they cannot be compared.")];
  if (a.id === b.id) return [el("p", { class: "missing" }, "A and B are the same. Choose another B.")];
  const set = utterances(setOf(a));
  const [first, second] = [jackknife(a.runs), jackknife(b.runs)];
  const together = share(a, b);
  const lines = first.map((one, m) => ({
    name: METRICS[m] ?? set.labels[m - METRICS.length],
    a: estimate(one), b: estimate(second[m]), difference: difference(one, second[m], together),
    n: m < METRICS.length ? null : set.true.filter((label) => label === m - METRICS.length).length,
  })).filter(({ n }) => n !== 0); // no utterance has the label
  return [
    el("p", { class: "lead verdict-line" }, sentence(a, b, lines[0])),
    el("div", { class: "comparison" },
      el("div", {},
        figures("All utterances", "metric", lines.slice(0, METRICS.length), set.keys.length),
        figures("F1 by class", "class", lines.slice(METRICS.length)),
        unlisted(a, b, set)),
      changes(a, b)),
  ];
}

// Whether two rows predict the same for every utterance, seed by seed.
function alike(a, b) {
  const guess = (run) => predictions(run).predicted;
  return a.runs.length === b.runs.length && a.runs.every((run, seed) => guess(run).every((label, i) => label === guess(b.runs[seed])[i]));
}

// Macro F1 also counts, with F1 0, a class that no utterance has, for each run that predicts it.
function unlisted(a, b, set) {
  const found = set.labels.filter((_, label) => !set.true.includes(label) &&
    [...a.runs, ...b.runs].some((run) => predictions(run).predicted.includes(label)));
  return found.length ? el("p", { class: "caption" }, `No utterance is ${found.join(" or ")}, but some are predicted so. Macro F1 counts such a class with F1 0 in the seeds that predict it, as scikit-learn does, so that it is below the mean of the classes listed.`) : null;
}

function sentence(a, b, { difference: found }) {
  const name = (one) => (a.name === b.name ? one.label : one.name);
  const apart = found.low !== null && (found.low > 0 || found.high < 0);
  const size = `${score(Math.abs(found.value))} in weighted F1, 95 % interval of the difference ${interval(found.low, found.high).replaceAll("-", "−")}`;
  if (found.low === null) return `All utterances belong to one unit: no interval. The difference is ${signed(found.value)} in weighted F1.`;
  if (alike(a, b)) return [el("strong", {}, `${name(a)} and ${name(b)} predict the same`), " for every utterance."];
  if (apart) return [el("strong", {}, `${name(found.value > 0 ? a : b)} is better than ${name(found.value > 0 ? b : a)}`), ` by ${size}.`];
  return [el("strong", {}, `No clear difference between ${name(a)} and ${name(b)}`), `: ${name(a)} minus ${name(b)} is ${signed(found.value)} in weighted F1, 95 % interval ${interval(found.low, found.high).replaceAll("-", "−")}, which includes zero.`];
}

function figures(caption, name, lines, n = null) {
  const range = domain([0, ...lines.flatMap(({ difference: found }) => [found.value, found.low, found.high])]);
  const header = (text) => el("th", { scope: "col", class: "number" }, text);
  const cell = (found) => el("td", { class: "number" }, el("span", { class: "value" }, score(found.value)), el("span", { class: "small own-interval" }, " ", interval(found.low, found.high)));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", { class: "compared" },
      el("caption", {}, caption, n === null ? "" : `, n = ${count(n)}`),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, name), n === null ? header("n") : null, ["A", "B", "A − B"].map(header))),
      el("tbody", {}, lines.map((line) => el("tr", {}, el("th", { scope: "row" }, line.name),
        n === null ? el("td", { class: "number" }, count(line.n)) : null, cell(line.a), cell(line.b),
        el("td", { class: "number" }, el("div", { class: "figure-cell" },
          el("span", { class: `value verdict ${direction(line.difference)}` }, signed(line.difference.value)),
          intervalBar(range, { ...line.difference, zero: 0 }),
          el("span", { class: "small" }, interval(line.difference.low, line.difference.high).replaceAll("-", "−")))))))));
}

function direction({ low, high }) {
  if (low === null || (low <= 0 && high >= 0)) return "";
  return low > 0 ? "better" : "worse";
}

// The utterances that changed, for the first seed of each.
function changes(a, b) {
  const shown = view(a.runs[0], b.runs[0]);
  const seed = a.runs.length > 1 || b.runs.length > 1 ? `, seed ${data("runs")[a.runs[0]].seed} of A and ${data("runs")[b.runs[0]].seed} of B` : "";
  const link = (changes) => fragment({ a: a.runs[0], b: b.runs[0], ...changes }, "explorer");
  const wanted = kinds(shown).filter((one) => ["only-a", "only-b", "both-wrong"].includes(one.id));
  return el("section", {},
    el("h3", {}, `Utterances that changed${seed}`),
    el("div", { class: "changes" }, wanted.map((kind) => {
      const found = d3.range(shown.set.keys.length).filter(kind.test);
      return el("section", {},
        el("h4", {}, found.length ? el("a", { href: link({ kind: kind.id }) }, `${kind.label}: ${count(found.length)}`) : `${kind.label}: none`),
        el("ul", {}, found.slice(0, SHOWN).map((i) => el("li", {}, example(shown, i, link({ kind: kind.id, u: shown.set.keys[i] }))))));
    })));
}

function example({ set, own, other }, i, href) {
  const label = (column) => set.labels[column.predicted[i]];
  return [el("a", { href }, set.corpus?.text[i] ?? set.keys[i]),
    el("span", { class: "small" }, ` true: ${set.labels[set.true[i]]}, A: ${label(own)}, B: ${label(other)}`)];
}
