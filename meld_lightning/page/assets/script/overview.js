// The overview: one line for each table, what is missing, and what to doubt.

import { data } from "./data.js";
import { add, el } from "./dom.js";
import { domain, intervalBar } from "./bars.js";
import { count, interval, score } from "./format.js";
import { fragment } from "./state.js";

export const overview = { id: "overview", title: "Overview", render, printed: true };

function render(root) {
  const found = data("overview");
  add(root,
    el("h2", {}, "Overview"),
    el("p", { class: "lead" }, found.note),
    el("dl", { class: "facts" }, Object.entries(found.facts).map(([name, text]) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, text)))),
    claims(found.claims),
    doubts(found.doubts),
    missing(found),
  );
}

function claims(found) {
  const range = domain(found.flatMap((one) => (one.percent ? [] : [one.low, one.high, one.value, one.constant])));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "One line for each table" },
    el("table", { class: "claims" },
      el("caption", {}, "One line for each table: the row that its tests are about, its mean over seeds with the",
        " 95 % interval, and what the tests say (Holm’s p below .05). The grey line in a bar is the constant baseline."),
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
      one.percent ? null : intervalBar(range, { ...one, paper: null }),
      el("span", { class: "small" }, interval(one.low, one.high, one.percent))) : ""),
    el("td", { class: "number" }, one.n === null ? "" : [count(one.n), el("span", { class: "small" }, ` ${one.split}`)]),
    el("td", { class: "claim" },
      one.text ? el("p", {}, one.text) : null,
      one.paper.length ? el("p", { class: "small" }, `Beside the paper’s figures: ${one.paper.join("; ")}.`) : null,
      one.missing ? el("p", { class: "missing" }, `Missing: ${one.missing}.`) : null));
}

function doubts(found) {
  if (!found.length) return null;
  return el("section", { class: "doubts" },
    el("h3", {}, "Before you rely on these figures"),
    el("ul", {}, found.map((one) =>
      el("li", {}, el("a", { href: fragment({ table: one.table }, "tables") }, one.title), ` ${one.text}`))));
}

function missing(found) {
  if (!found.reproduce) return null;
  return el("section", {},
    el("h3", {}, "To fill what is missing"),
    el("pre", { class: "command", tabindex: "0" }, found.reproduce));
}
