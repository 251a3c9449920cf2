// The row that the figures show, and the one beside it: the state's `row` and `beside`, as TABLE/ROW.

import { shortened } from "./choices.js";
import { data } from "./data.js";
import { el } from "./dom.js";
import { modalityColour } from "./modalities.js";
import { go } from "./state.js";

export function rowId(row) {
  return `${row.table}/${row.row}`;
}

// The row of that id, also by that of another table's row with the same runs.
function find(id) {
  const { rows } = data("figures");
  const exact = rows.find((row) => rowId(row) === id);
  if (exact || !id) return exact ?? null;
  const named = data("tables").tables.flatMap((table) => table.rows.filter((row) => `${table.name}/${row.key}` === id));
  return rows.find((row) => row.runs.join() === named[0]?.runs.join()) ?? null;
}

// [row] or [row, beside].
export function chosenRows(params) {
  const { rows, main } = data("figures");
  const row = find(params.get("row")) ?? rows[main];
  const beside = find(params.get("beside"));
  return beside && beside !== row ? [row, beside] : [row];
}

// How the chosen rows are drawn: the first with filled dots, the second with hollow ones.
export function asSeries(rows) {
  return rows.map((row, place) => ({
    row, name: row.row, modality: row.modality, colour: modalityColour(row.modality), filled: place === 0 }));
}

// The two menus.
export function rowMenus(params) {
  const [row, beside] = chosenRows(params);
  return el("div", { class: "menus" },
    el("label", {}, "A ", menu(row, false, (id) => go({ row: id }))),
    el("label", {}, "B ", menu(beside, true, (id) => go({ beside: id }))));
}

function menu(current, optional, choose) {
  const groups = d3.group(data("figures").rows, (row) => row.title);
  return el("select", { onchange: (event) => choose(event.target.value) },
    optional ? el("option", { value: "" }, "none") : null,
    [...groups].map(([title, rows]) => el("optgroup", { label: title }, rows.map((row) =>
      el("option", { value: rowId(row), selected: row === current }, `${row.row} (${shortened(title)})`)))));
}
