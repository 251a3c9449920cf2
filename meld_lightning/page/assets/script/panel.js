// A run's details, opened from the figures of a table: what it was made from, and how to make it
// again. The state's `run` is its hash.

import { data } from "./data.js";
import { el } from "./dom.js";
import { duration, MISSING, score } from "./format.js";
import { predictions } from "./predictions.js";
import { fragment, go, onState, state } from "./state.js";
import { runCurves } from "./training_figures.js";

// Adds the panel to the document. It opens and closes with the state.
export function addPanel() {
  const dialog = el("dialog", { class: "panel", "aria-labelledby": "run-title" });
  dialog.addEventListener("close", () => {
    const hash = state().params.get("run");
    if (!hash) return;
    go({ run: null, table: null });
    returnFocus(hash);
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  const follow = ({ params }) => {
    const hash = params.get("run");
    const run = hash ? data("runs")[hash] : null;
    if (!run) return dialog.open && dialog.close();
    dialog.replaceChildren(...contents(hash, run, () => dialog.close()));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    return undefined;
  };
  onState(follow);
  follow(state());
}

// The browser returns the focus to the number that opened the panel. A panel that a shared link opened
// has no such number: the first of the same run takes the focus.
function returnFocus(hash) {
  if (document.activeElement !== document.body) return;
  document.querySelector(`a.run-link[href*="run=${CSS.escape(hash)}"]`)?.focus();
}

function contents(hash, run, close) {
  return [
    el("header", {},
      el("h2", { id: "run-title" }, run.name, " ", el("code", {}, hash)),
      el("button", { class: "close", onclick: close }, "Close")),
    seeds(hash), folds(run),
    el("h3", {}, "Scores"), scores(run),
    predictions(hash) ? el("p", {}, el("a", { href: fragment({ a: hash, run: null }, "explorer") }, "Its predictions, utterance by utterance")) : null,
    run.curve.epoch?.length > 1 ? [el("h3", {}, "Learning curve"), runCurves(run)] : null,
    facts(run),
    again(run),
    run.config ? [el("h3", {}, "Settings"), el("pre", { class: "config", tabindex: "0" }, run.config)] : null,
    Object.keys(run.sources).length ? [el("h3", {}, "Fuses"), el("p", {}, Object.entries(run.sources).map(([name, other]) => link(other, name)))] : null,
  ].flat().filter(Boolean);
}

// The runs of the same row, one per seed, and what the table's figure has to do with them.
function seeds(hash) {
  const rows = data("tables").tables.flatMap((table) => table.rows);
  const row = rows.find((one) => one.runs.includes(hash));
  if (!row || row.runs.length < 2) return null;
  const place = row.runs.indexOf(hash) + 1;
  return el("p", { class: "seeds" },
    `Run ${place} of the ${row.runs.length} behind “${row.label}”. The table shows their mean, so its figures differ from those below. `,
    row.runs.map((other) => link(other, `seed ${data("runs")[other].seed}`, other === hash)));
}

// The runs of the folds, for predictions that are joined from several.
function folds(run) {
  if (!run.parts.length) return null;
  return el("p", {}, `The predictions of ${run.parts.length} folds together, each by a run of its own. Select a fold to see its settings. `,
    run.parts.map((part) => link(part, `fold ${data("runs")[part].fold}`)));
}

// The command that makes the run, or those of its folds; a hint where there is none.
function again(run) {
  const all = run.command ? [run.command] : run.parts.map((part) => data("runs")[part].command);
  const commands = [...new Set(all.filter(Boolean))];
  return [
    el("h3", {}, "Make it again"),
    commands.length ? el("pre", { class: "command", tabindex: "0" }, commands.join("\n\n"))
      : el("p", {}, "The study records no command for this run."),
  ];
}

function link(hash, text, current = false) {
  return el("button", { class: "choice", "aria-pressed": String(current), onclick: () => go({ run: hash }, { replace: true }) }, text);
}

function scores(run) {
  const splits = ["train", "val", "test"].filter((split) => run.metrics[split]);
  const names = [...new Set(splits.flatMap((split) => Object.keys(run.metrics[split])))];
  return el("table", { class: "plain" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "split"), names.map((name) => el("th", { scope: "col", class: "number" }, name.replace("_", " ").replace("f1", "F1"))))),
    el("tbody", {}, splits.map((split) => el("tr", {}, el("th", { scope: "row" }, split),
      names.map((name) => el("td", { class: "number" }, score(run.metrics[split][name] ?? null)))))));
}

function facts(run) {
  const shown = {
    "Seed": String(run.seed),
    "Fold": run.fold,
    "Checkpoint": run.checkpoint,
    "Chosen": run.best.epoch ? `epoch ${run.best.epoch}, ${run.best.monitor} ${score(run.best.value)}` : "",
    "Commit": run.commit ? run.commit.slice(0, 12) + (run.dirty ? " with uncommitted changes" : "") : "outside git",
    "Device": run.device,
    "Wall time": run.wall_s === null ? "" : duration(run.wall_s),
    "Peak memory": run.peak_memory_mb ? `${run.peak_memory_mb} MB` : "",
    "Versions": Object.entries(run.versions).map(([name, version]) => `${name} ${version}`).join(", "),
  };
  return el("dl", { class: "facts" }, Object.entries(shown).filter(([, text]) => text).map(([name, text]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, text || MISSING))));
}
