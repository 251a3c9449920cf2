// The explorer: utterances by kind of error, emotion, modality, agreement and words, one of them in
// full beside the list. What is shown is in the state: `a` and `b` (runs), the filters, the page
// `p` of the list and `u` (the utterance's key).

import { data } from "./data.js";
import { add, el } from "./dom.js";
import { count, share } from "./format.js";
import { AGREEMENT, hasVotes } from "./clips.js";
import { chosen, firstChoice, runChoices, select } from "./choices.js";
import { agreements, kinds, matching, rights, starts, view } from "./outcomes.js";
import { columnsOf, utterance, verdict } from "./utterance.js";
import { dot } from "./modalities.js";
import { fragment, go, onState, state } from "./state.js";

const PAGE = 25; // utterances
const FILTERS = ["kind", "right", "agree", "readers", "emotion", "predicted", "order", "q"];

export const explorer = {
  id: "explorer", title: "Explorer", render, printed: false,
  available: () => data("tables").tables.some((table) => table.rows.some((row) => row.runs.length)),
};

function render(root) {
  const parts = {
    runs: el("div", { class: "filters" }), starts: el("p", { class: "starts" }), filters: el("form", { class: "filters", role: "search", "aria-label": "Filter utterances", onsubmit: (event) => event.preventDefault() }),
    status: el("p", { role: "status" }), list: el("div", { class: "matches", onkeydown: move }),
    one: el("section", { class: "utterance", "aria-label": "Chosen utterance" }),
  };
  add(root, el("h2", {}, "Explorer"),
    el("p", { class: "legend" }, `Predictions on ${data("predictions").split}, utterance by utterance. `, data("explorer").left_out),
    parts.runs, parts.starts, parts.filters,
    el("div", { class: "explorer" }, el("div", {}, parts.status, parts.list), parts.one));
  const choices = runChoices();
  const first = firstChoice(choices)?.id;
  let drawn = null;
  const follow = ({ section, params }) => {
    if (section !== "explorer") return;
    const a = (chosen(choices, params.get("a")) ?? chosen(choices, first))?.id;
    const b = chosen(choices, params.get("b"))?.id ?? null;
    if (drawn?.a !== a || drawn?.b !== b) {
      drawn = { a, b, shown: view(a, b === a ? null : b) };
      controls(parts, drawn, choices);
    }
    draw(root, parts, drawn.shown, params);
  };
  onState(follow);
  follow(state());
}

// The parts that change with the runs alone.
function controls(parts, { a, b, shown }, choices) {
  parts.runs.replaceChildren(
    labelled("A", select(choices, a, (id) => go({ a: id, u: null, p: null }))),
    labelled("B", select(choices.filter((one) => one.id !== a), b, (id) => go({ b: id, p: null }), "none")));
  if (shown.other) parts.runs.append(el("a", { href: fragment({ a, b }, "compare") }, "Compare A and B"));
  if (b && !shown.other) parts.runs.append(el("p", { class: "missing" }, "A and B score different utterances; only A is shown."));
  const labels = shown.set.labels.map((label) => ({ id: label, label }));
  const readers = hasVotes(shown.place) ? [...AGREEMENT].map(([id, label]) => ({ id, label })) : [];
  const order = [{ id: "sure", label: "most certain first" }, { id: "unsure", label: "least certain first" }];
  const search = el("input", { type: "search", name: "q", autocomplete: "off", placeholder: shown.set.corpus ? "words, speaker or key" : "key",
    oninput: () => filter({ q: search.value }) });
  parts.filters.replaceChildren(...[
    labelled("Outcome", options("kind", "any", kinds(shown))),
    labelled("Modality", options("right", "any", rights(shown))),
    labelled("Agreement", options("agree", "any", agreements(shown))),
    labelled("Readers", options("readers", "any", readers)),
    labelled("True emotion", options("emotion", "any", labels)),
    labelled("Predicted", options("predicted", "any", labels)),
    labelled("Order", options("order", "corpus order", order)),
    labelled("Search", search),
    el("button", { type: "button", class: "choice", onclick: () => filter(Object.fromEntries(FILTERS.map((name) => [name, null]))) }, "Clear"),
  ].filter(Boolean));
  parts.starts.replaceChildren("Start with: ", ...starts(shown).map((one) =>
    el("a", { href: fragment({ ...Object.fromEntries(FILTERS.map((name) => [name, null])), p: null, u: null, ...one.params }, "explorer") },
      one.label, " ", el("span", { class: "count" }, count(one.count)))));
}

function labelled(text, control) {
  return control && el("label", {}, el("span", {}, text), control);
}

// A select that filters; null where there is nothing to choose.
function options(name, none, choices) {
  if (!choices.length) return null;
  const node = el("select", { name, onchange: () => filter({ [name]: node.value }) },
    el("option", { value: "" }, none), choices.map(({ id, label }) => el("option", { value: id }, label)));
  return node;
}

function filter(changes) {
  go({ ...changes, p: null, u: null }, { replace: true });
}

// What changes with the filters, the page and the chosen utterance.
function draw(root, parts, shown, params) {
  const { set } = shown;
  for (const control of parts.filters.elements) {
    if (control.name && control.value !== (params.get(control.name) ?? "")) control.value = params.get(control.name) ?? "";
  }
  const found = matching(shown, params);
  const asked = set.keys.indexOf(params.get("u"));
  const inList = found.indexOf(asked);
  const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
  const page = Math.min(last, params.has("p") ? Math.max(0, Number(params.get("p")) - 1 || 0) : Math.max(0, Math.floor(inList / PAGE)));
  const rows = found.slice(page * PAGE, (page + 1) * PAGE);
  const current = asked >= 0 ? asked : rows[0];
  parts.status.replaceChildren(`${count(found.length)} of ${count(set.keys.length)} utterances (${share(found.length / set.keys.length)})`,
    params.get("u") && asked < 0 ? el("span", { class: "missing" }, ` This run has no utterance ${params.get("u")}.`) : "");
  parts.list.replaceChildren(...[rows.length ? table(shown, rows, current, page) : el("p", {}, "No utterance matches every filter. Clear one of them."), pages(page, last)].filter(Boolean));
  root.classList.toggle("reading", asked >= 0);
  parts.one.replaceChildren();
  if (current === undefined) return;
  add(parts.one, el("a", { class: "back", href: fragment({ u: null, p: page + 1 }) }, "← Back to the list"), utterance(shown, current));
  if (asked < 0 || parts.list.offsetParent !== null) return;
  parts.one.querySelector("h3").focus({ preventScroll: true });
  parts.one.scrollIntoView();
}

function table(shown, rows, current, page) {
  const { set } = shown;
  const columns = columnsOf(shown);
  return el("table", {},
    el("caption", { class: "hidden" }, "Utterances, their true emotion and what each run predicts"),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "utterance"), el("th", { scope: "col" }, "true"),
      columns.map((one) => el("th", { scope: "col" }, dot(one.modality), one.title)))),
    el("tbody", {}, rows.map((i) => el("tr", { class: i === current ? "current" : null },
      el("th", { scope: "row" }, el("a", { href: fragment({ u: set.keys[i], p: page + 1 }), "aria-current": i === current ? "true" : null },
        set.corpus?.speaker[i] ? el("strong", {}, `${set.corpus.speaker[i]} `) : null, set.corpus?.text[i] ?? set.keys[i])),
      el("td", { "data-name": "true" }, set.labels[set.true[i]]),
      columns.map((one) => el("td", { "data-name": one.title }, verdict(set, one, i)))))));
}

function pages(page, last) {
  if (!last) return null;
  const step = (to, text) => el("button", { class: "choice", disabled: to < 0 || to > last, onclick: () => go({ p: to + 1, u: null }) }, text);
  return el("nav", { class: "pages", "aria-label": "Pages of utterances" }, step(page - 1, "Previous"), `Page ${page + 1} of ${count(last + 1)}`, step(page + 1, "Next"));
}

// The arrow keys go from one utterance of the list to the next.
function move(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !event.target.closest("tbody")) return;
  const links = [...event.currentTarget.querySelectorAll("tbody a")];
  links[links.indexOf(event.target) + step]?.focus();
  event.preventDefault();
}
