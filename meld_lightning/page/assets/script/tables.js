// The tables: ours beside the paper's, with intervals, tests, and a link from every figure to its run.

import { data } from "./data.js";
import { add, el } from "./dom.js";
import { domain, intervalBar } from "./bars.js";
import { count, interval, MISSING, score, signed } from "./format.js";
import { dot } from "./modalities.js";
import { fragment, go, onState, state } from "./state.js";

export const tables = { id: "tables", title: "Tables", render, printed: true };

const MARKS = { better: "▲ better", worse: "▼ worse", same: "≈ no clear difference" };
const OPEN = 24; // lines of text that stand open below a title; more are folded

function render(root) {
  const { tables: all, footnotes } = data("tables");
  add(root,
    el("h2", {}, "Tables"),
    el("p", { class: "legend" },
      "Each figure is a mean over seeds, ± their standard deviation, with its 95 % interval in brackets and, for the first metric, as a bar. ",
      all.some((one) => one.rows.some((row) => row.paper.some(Boolean))) ? "A diamond in a bar is the paper’s figure. " : "",
      all.some((one) => one.rows.some((row) => row.baseline)) ? "A grey tick in a bar is the constant baseline. " : "",
      "The bars of one column share a scale that leaves the constant baseline out: an arrow points to a value beyond it. ",
      "Select a figure to see its run, and a header to sort; the third press restores the order. Differences are from the row in bold; p is Holm’s."),
    all.length > 1 ? el("nav", { class: "jump", "aria-label": "Tables" }, all.map((one) =>
      el("a", { href: fragment({ table: one.name }, "tables") }, shortTitle(one.title)))) : null,
    all.map(article),
    el("section", { class: "footnotes" },
      el("h3", {}, "Notes"),
      el("ol", {}, footnotes.map((text, place) => el("li", { id: `note-${place + 1}` }, text)))),
  );
  const follow = ({ section, params }) => {
    if (section !== "tables") return;
    sortAll(root, params.get("sort"));
    const wanted = params.get("table");
    if (wanted && !params.get("run")) document.getElementById(`table-${wanted}`)?.scrollIntoView();
  };
  onState(follow);
  follow(state());
}

function shortTitle(title) {
  return /^(Table|Figure) \d+/.exec(title)?.[0] ?? title;
}

function article(table) {
  const notes = table.footnotes.map((place) => place + 1);
  return el("article", { id: `table-${table.name}`, class: "result" },
    el("h3", {}, table.title),
    table.rows.length ? figures(table) : null,
    table.rows.length ? null : textGrids(table),
    table.verdicts.length ? el("p", { class: "small" }, `Beside the paper’s figures, by our interval alone: ${table.verdicts.join("; ")}.`) : null,
    notes.length ? el("p", { class: "small" }, "Notes ", notes.map((number, place) => [
      place ? ", " : "", el("button", { class: "note-link", onclick: () => document.getElementById(`note-${number}`).scrollIntoView() }, String(number))])) : null,
    table.rows.length ? glosses(table.rows) : null,
    table.rows.length && table.grids.length ? el("details", {},
      el("summary", {}, table.grids.length === 1 ? "Details: one further table" : `Details: ${table.grids.length} further tables`), textGrids(table)) : null);
}

// What each row stands for.
function glosses(rows) {
  const known = rows.filter((row) => row.gloss);
  return known.length ? el("details", {},
    el("summary", {}, "What the rows are"),
    el("dl", { class: "glosses" }, known.map((row) => [el("dt", {}, row.label), el("dd", {}, row.gloss)]))) : null;
}

// Further grids of a table, or those of one that has no rows of figures; each folded if there is
// much to read.
function textGrids({ grids }) {
  if (d3.sum(grids, (grid) => grid.rows.length) <= OPEN) return grids.map((grid) => plainGrid(grid));
  return grids.map((grid) => el("details", {}, el("summary", {}, grid.caption || "Table"), plainGrid({ ...grid, caption: "" }, grid.caption)));
}

function figures(table) {
  const metrics = Object.entries(table.metrics);
  const constant = table.rows.find((row) => row.baseline);
  const shown = mainMetric(table);
  const metric = ([key, header]) => metricColumns(table, key, header, constant, key === shown);
  const main = metrics.filter(([key]) => key === shown);
  const tests = Object.entries(table.tested).map(([key, header]) => testColumn(table, key, header));
  // the main metric and its test come first, where no screen cuts them off
  const columns = [
    { key: "row", header: "row", text: true, value: (row) => row.label, cell: rowName },
    ...main.flatMap(metric),
    ...tests.slice(0, 1),
    ...table.columns.map((header, place) => ({
      key: `setting${place}`, header, text: false, value: (row) => row.settings[place],
      cell: (row) => row.settings[place] || MISSING })),
    ...metrics.filter((one) => !main.includes(one)).flatMap(metric),
    ...tests.slice(1),
    { key: "n", header: "n", value: (row) => row.n, cell: (row) => count(row.n) },
  ];
  const head = columns.map((column) => el("th",
    { scope: "col", class: column.text ? null : "number", "data-key": column.key },
    el("button", { class: "sort", onclick: () => sortBy(table, column.key) }, column.header)));
  const body = table.rows.map((row, place) => {
    const line = el("tr", { class: row.baseline ? "constant" : row.key === table.reference ? "reference" : null, "data-place": place },
      columns.map((column) => column.text
        ? el("th", { scope: "row" }, column.cell(row))
        : el("td", { class: "number", "data-key": column.key }, column.cell(row))));
    line.sortValues = Object.fromEntries(columns.map((column) => [column.key, column.value(row)]));
    return line;
  });
  const others = Object.entries(table.published).map(([model, printed]) => el("tr", { class: "published" },
    el("th", { scope: "row" }, model), columns.slice(1).map((column) =>
      el("td", { class: "number", "data-key": column.key }, column.key === `paper.${metrics[0][0]}` ? printed : ""))));
  const node = el("table", { class: "figures", "data-table": table.name },
    el("caption", { class: "hidden" }, table.title),
    el("thead", {}, el("tr", {}, head)), el("tbody", {}, others, body));
  return [
    columnMenu(node, columns.slice(1), shown),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": table.title }, node)];
}

// The metric that the table's tests are about; without tests weighted F1, or the first.
function mainMetric(table) {
  const metrics = Object.keys(table.metrics);
  const wanted = [...Object.keys(table.tested), "weighted_f1"];
  return [...wanted.map((name) => metrics.find((metric) => metric.endsWith(`/${name}`))), metrics[0]].find(Boolean);
}

// On a narrow screen a table shows one column at a time, and the paper's figure beside ours.
function columnMenu(node, columns, shown) {
  const choose = (key) => {
    for (const cell of node.querySelectorAll("[data-key]")) cell.classList.toggle("chosen", [key, `paper.${key}`, "row"].includes(cell.dataset.key));
  };
  choose(shown);
  const offered = columns.filter((column) => !column.key.startsWith("paper."));
  return el("label", { class: "column-menu" }, "Column ", el("select", { onchange: (event) => choose(event.target.value) },
    offered.map((column) => el("option", { value: column.key, selected: column.key === shown }, column.header))));
}

// bars: whether intervals are drawn, too; those of further metrics would push columns off the screen.
function metricColumns(table, key, header, constant, bars) {
  const place = Object.keys(table.metrics).indexOf(key);
  const ours = table.rows.map((row) => row.cells[place]).filter(Boolean);
  const models = table.rows.filter((row) => !row.baseline).map((row) => row.cells[place]).filter(Boolean);
  const paper = (row) => (row.paper[place] ? Number(row.paper[place]) / (table.percent ? 100 : 1) : null);
  const range = domain([...models.flatMap((cell) => [cell.value, cell.low, cell.high]), ...table.rows.map(paper)]);
  const hasPaper = table.rows.some((row) => row.paper[place]) || (place === 0 && Object.keys(table.published).length > 0);
  const hasBar = bars && ours.some((cell) => cell.low !== null);
  const column = {
    key, header, value: (row) => row.cells[place]?.value ?? null,
    cell: (row) => {
      const cell = row.cells[place];
      if (!cell) return row.missing ? el("span", { class: "missing" }, row.missing) : MISSING;
      const marks = { paper: paper(row), constant: constant?.cells[place]?.value ?? null };
      return el("div", { class: "figure-cell" }, value(table, row, cell),
        hasBar ? intervalBar(range, { ...cell, ...marks }) : null,
        el("span", { class: "small" }, [cell.sd === null ? "" : `±${score(cell.sd, table.percent)}`, interval(cell.low, cell.high, table.percent)].join(" ")));
    } };
  if (!hasPaper) return [column];
  return [column, { key: `paper.${key}`, header: "paper", value: paper, cell: (row) =>
    el("span", { class: "paper" }, row.paper[place] ? row.paper[place].replace(/^0\./, ".") : MISSING) }];
}

function value(table, row, cell) {
  const text = score(cell.value, table.percent);
  const shown = [
    row.runs.length
      ? el("a", { class: "run-link", href: fragment({ run: row.runs[0], table: table.name }, "tables") }, text)
      : el("strong", {}, text),
    cell.doubtful ? el("abbr", { class: "doubtful", title: "seeds differ by more than .02" }, "*") : null];
  return el("span", { class: "value" }, shown);
}

function testColumn(table, key, header) {
  const tests = table.rows.filter((row) => !row.baseline).map((row) => row.tests[key]).filter(Boolean);
  const range = domain([0, ...tests.flatMap((test) => [test.value, test.low, test.high])]);
  const reference = table.rows.find((row) => row.key === table.reference);
  return { key: `test.${key}`, header: `${header} − ${reference.label}`, value: (row) => row.tests[key]?.value ?? null,
    cell: (row) => {
      const test = row.tests[key];
      if (!test) return row.key === table.reference ? el("span", { class: "small" }, "reference") : MISSING;
      return el("div", { class: "figure-cell" },
        el("span", { class: "value" }, signed(test.value)),
        intervalBar(range, { ...test, zero: 0 }),
        el("span", { class: `small verdict ${test.verdict}` },
          test.verdict ? `${MARKS[test.verdict]}, p ${test.holm}` : test.holm));
    } };
}

function rowName(row) {
  return el("span", { class: "named", title: row.gloss || null }, row.modality ? dot(row.modality) : null, el("span", {}, row.label));
}

function plainGrid(grid, label = grid.caption || "Table") {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, el("table", { class: "plain" },
    grid.caption ? el("caption", {}, grid.caption) : null,
    el("thead", {}, el("tr", {}, grid.headers.map((header, place) => el("th", { scope: "col", class: place ? "number" : null }, header)))),
    el("tbody", {}, grid.rows.map((row) => el("tr", {}, row.map((text, place) =>
      place ? el("td", { class: "number" }, text) : el("th", { scope: "row" }, text)))))));
}

// The state's `sort` is TABLE:COLUMN:asc or :desc. The second press of a header turns the order
// round, the third restores the table's own.
function sortBy(table, key) {
  const [name, column, order] = (state().params.get("sort") ?? "").split(":");
  const first = key === "row" ? "asc" : "desc";
  const second = first === "asc" ? "desc" : "asc";
  const pressed = name === table.name && column === key ? order : null;
  const next = { [first]: second, [second]: null }[pressed];
  go({ sort: next === null ? null : `${table.name}:${key}:${next ?? first}`, table: null }, { replace: true });
}

function sortAll(root, sort) {
  const [name, key, order] = (sort ?? "").split(":");
  for (const table of root.querySelectorAll("table.figures")) {
    const chosen = table.dataset.table === name;
    for (const header of table.tHead.rows[0].cells) {
      if (chosen && header.dataset.key === key) header.setAttribute("aria-sort", order === "asc" ? "ascending" : "descending");
      else header.removeAttribute("aria-sort");
    }
    const body = table.tBodies[0];
    const current = [...body.rows].filter((row) => row.sortValues);
    const declared = current.toSorted((a, b) => a.dataset.place - b.dataset.place);
    const ranked = chosen ? declared.sort(byColumn(key, order)) : declared;
    // a row that is moved loses the focus
    if (ranked.some((row, place) => row !== current[place])) body.append(...ranked);
  }
}

// Missing figures come last in either order; numbers as text, such as 2e-4, by their value.
function byColumn(key, order) {
  const sign = order === "asc" ? 1 : -1;
  const read = (row) => row.sortValues[key];
  const lacks = (value) => value === null || value === undefined || value === "";
  return (one, other) => {
    const [a, b] = [read(one), read(other)];
    if (lacks(a) || lacks(b)) return lacks(a) - lacks(b);
    const numbers = [Number(a), Number(b)];
    return sign * (numbers.some(Number.isNaN) ? String(a).localeCompare(String(b)) : numbers[0] - numbers[1]);
  };
}
