// The overview: answers to what a reader asks first, one line for each table, what is missing, and
// what to doubt.

import { data } from "./data.js";
import { add, el } from "./dom.js";
import { domain, intervalBar } from "./bars.js";
import { count, interval, score, signed } from "./format.js";
import { fragment } from "./state.js";

export const overview = { id: "overview", title: "Overview", render, printed: true };

const NAMED = 4; // rows that a claim names one by one

function render(root) {
  const found = data("overview");
  add(root,
    el("h2", {}, "Overview"),
    note(found.note),
    found.answers.length ? el("div", { class: "answers" }, found.answers.map(answer)) : null,
    claims(found.claims),
    doubts(found.doubts),
    missing(found),
    el("section", {},
      el("h3", {}, "What was run"),
      el("dl", { class: "facts" }, Object.entries(found.facts).map(([name, text]) =>
        el("div", {}, el("dt", {}, name), el("dd", {}, text))))),
  );
}

// The first sentences in sight, the others on demand.
function note(text) {
  const sentences = text.split(/(?<=[.!?]) (?=[A-Z])/);
  let shown = "";
  while (sentences.length && shown.length < 60) shown += `${shown ? " " : ""}${sentences.shift()}`;
  if (!sentences.length) return el("p", { class: "lead" }, shown);
  return el("details", { class: "lead" }, el("summary", {}, shown, el("span", { class: "more" }, " more")), el("p", {}, sentences.join(" ")));
}

function answer({ question, text, links }) {
  return el("section", { class: "answer" },
    el("h3", {}, question),
    el("p", {}, text.split("**").map((part, place) => (place % 2 ? el("strong", {}, part) : part))),
    el("p", { class: "links" }, links.map((one) => el("a", { href: fragment(one.params, one.section) }, one.text))));
}

function claims(found) {
  const range = domain(found.flatMap((one) => (one.percent ? [] : [one.low, one.high, one.value])));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "One line for each table" },
    el("table", { class: "claims" },
      el("caption", {}, "One line for each table: the row that the others are tested against, its mean over seeds with the",
        " 95 % interval, and what the tests say (Holm’s p below .05), with differences in brackets."),
      el("thead", {}, el("tr", {},
        el("th", { scope: "col" }, "Table"),
        el("th", { scope: "col" }, "Row"),
        el("th", { scope: "col", class: "number" }, "Result"),
        el("th", { scope: "col", class: "number" }, "n"),
        el("th", { scope: "col" }, "Claim"))),
      el("tbody", {}, found.map((one) => line(one, range)))));
}

function line(one, range) {
  const has = one.value !== null;
  return el("tr", {},
    el("th", { scope: "row" }, el("a", { href: fragment({ table: one.table }, "tables") }, one.title)),
    el("td", {}, has ? [el("span", { class: "row-name" }, one.row), el("span", { class: "small" }, ` ${one.metric}`)] : ""),
    el("td", { class: "number" }, has ? el("div", { class: "figure-cell" },
      el("strong", {}, score(one.value, one.percent)),
      one.percent ? null : intervalBar(range, { value: one.value, low: one.low, high: one.high }),
      el("span", { class: "small" }, interval(one.low, one.high, one.percent))) : ""),
    el("td", { class: "number" }, one.n === null ? "" : [count(one.n), el("span", { class: "small" }, ` ${one.split}`)]),
    el("td", { class: "claim" },
      one.tested.map((found) => against(one, found)),
      one.text ? el("p", {}, one.text, one.figure ? [" ", el("a", { href: fragment({ figure: one.figure }, "figures") }, "See the figure")] : null) : null,
      one.constant !== null ? el("p", { class: "small" }, `Constant baseline: ${score(one.constant, one.percent)}.`) : null,
      one.paper.length ? el("p", { class: "small" }, `Beside the paper’s figures: ${one.paper.join("; ")}.`) : null,
      one.missing ? el("p", { class: "missing" }, `Missing: ${one.missing}.`) : null));
}

// Better than A (+.0123) and B (+.0045), each a link to the comparison.
function against(one, { verdict, text, rows, total }) {
  const named = rows.map((row, place) => [
    place === 0 ? "" : place === rows.length - 1 ? " and " : ", ",
    el("a", { href: fragment({ a: one.id, b: row.id }, "compare") }, row.label),
    ` (${signed(row.difference)}${row.only ? `; it predicts ${row.only} for every utterance` : ""})`]);
  const head = el("span", { class: `verdict ${verdict}` }, text);
  if (rows.length <= NAMED) return el("p", {}, head, " ", named, ".");
  return el("details", {}, el("summary", {}, head, ` ${rows.length} of ${total} rows`), el("p", {}, named, "."));
}

function doubts(found) {
  if (!found.length) return null;
  return el("section", { class: "doubts" },
    el("h3", {}, "Before you rely on these figures"),
    el("ul", {}, found.map((one) =>
      el("li", {}, one.text, " (", Object.entries(one.tables).map(([name, title], place) => [
        place ? "; " : "", el("a", { href: fragment({ table: name }, "tables") }, title)]), ")"))));
}

function missing(found) {
  if (!found.reproduce) return null;
  return el("section", {},
    el("h3", {}, "To fill what is missing"),
    el("pre", { class: "command", tabindex: "0" }, found.reproduce));
}
