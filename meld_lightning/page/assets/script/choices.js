// The rows of the tables and their runs, to choose from: grouped by modality, the same runs once.

import { data } from "./data.js";
import { el } from "./dom.js";

const TITLE = 32; // signs of a table's title in a menu
const FIRST = ["fusion", "text", "audio", "video"];

// A row or a run as {id, name, label, group, runs: [hash]}. A row's id is TABLE/ROW, a run's its hash.
function rows() {
  const known = data("predictions").runs;
  const found = new Map();
  // a figure of intervals repeats another table's rows, and one of val those of test
  const tables = d3.sort(data("tables").tables, (table) => table.kind === "intervals", (table) => table.split !== data("predictions").split);
  for (const table of tables) {
    for (const row of table.rows.filter((one) => one.runs.length && one.runs.every((run) => known[run]))) {
      const choice = { id: `${table.name}/${row.key}`, name: row.label, table: shortened(table.title), label: labelled(row.label, table.title), group: row.modality, runs: row.runs };
      if (!found.has(row.runs.join())) found.set(row.runs.join(), choice);
    }
  }
  return [...found.values()];
}

// What tells choices apart comes first: a closed menu cuts the end off.
function labelled(name, title, detail = "") {
  return `${name} (${[detail, shortened(title)].filter(Boolean).join("; ")})`;
}

// A table's title up to its colon, cut after a word where it is long.
export function shortened(title) {
  const start = title.split(":")[0];
  if (start.length <= TITLE) return start;
  return `${start.slice(0, TITLE).replace(/[\s,]+\S*$/, "")} …`;
}

function runsOf(row) {
  return row.runs.map((hash) => ({
    ...row, id: hash, runs: [hash],
    label: row.runs.length > 1 ? labelled(row.name, row.table, `seed ${data("runs")[hash].seed}`) : row.label,
  }));
}

// Every run of a row.
export function runChoices() {
  return rows().flatMap(runsOf);
}

// Every row; after a row of several runs, each of these.
export function rowChoices() {
  return rows().flatMap((row) => (row.runs.length > 1 ? [{ ...row, label: labelled(row.name, row.table, `mean of ${row.runs.length} seeds`) }, ...runsOf(row)] : [row]));
}

// The choice of that id among `choices`, also by the id of another row with the same runs, or by a
// run's hash.
export function chosen(choices, id) {
  if (!id) return null;
  const exact = choices.find((one) => one.id === id);
  if (exact) return exact;
  const [name, key] = [id.slice(0, id.indexOf("/")), id.slice(id.indexOf("/") + 1)];
  const row = data("tables").tables.find((one) => one.name === name)?.rows.find((one) => one.key === key);
  const runs = row ? row.runs.join() : id;
  return choices.find((one) => one.runs.join() === runs) ?? null;
}

// The study's main row, or the first of its runs; else the first choice.
export function firstChoice(choices) {
  const { rows, main } = data("figures");
  const runs = rows[main]?.runs ?? [];
  return choices.find((one) => one.runs.join() === runs.join()) ?? choices.find((one) => one.runs[0] === runs[0]) ?? choices[0] ?? null;
}

// A select of these choices. none: the text of an option for no choice.
export function select(choices, id, onchange, none = null) {
  const groups = d3.group(choices, (one) => one.group);
  const place = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const names = [...groups.keys()].sort((a, b) => place(a) - place(b));
  const node = el("select", { onchange: () => onchange(node.value) },
    none === null ? null : el("option", { value: "" }, none),
    names.map((name) => el("optgroup", { label: name }, groups.get(name).map((one) =>
      el("option", { value: one.id, selected: one.id === id }, one.label)))));
  return node;
}
