// The figures: of the chosen row, of fusions, and of runs with their epochs and settings.

import { add, el } from "./dom.js";
import { chosenRows, rowMenus } from "./chosen_rows.js";
import { confusionFigure } from "./confusion.js";
import { data } from "./data.js";
import { complementFigure, fusionMenu, modalitiesFigure, surfaceFigure } from "./fusion_figures.js";
import { robustnessFigures } from "./robustness.js";
import { classesFigure, groupFigures, reliabilityFigure } from "./row_figures.js";
import { curvesFigure, tuningFigures } from "./training_figures.js";
import { fragment, onState, state } from "./state.js";

export const figures = { id: "figures", title: "Figures", render, printed: true, available: () => data("figures").rows.length > 0 };

// Each is drawn again when one of its keys of the state changes.
const GROUPS = [
  { title: "One row, or two beside each other", keys: ["row", "beside", "cells", "by"], menu: rowMenus,
    draw: (params, rows) => [confusionFigure(rows, params), classesFigure(rows, params), reliabilityFigure(rows), groupFigures(rows)] },
  { title: "Fusions", keys: ["row", "beside", "fusions"], menu: fusionMenu,
    draw: (params, rows) => [complementFigure(rows), modalitiesFigure(params), surfaceFigure(params), robustnessFigures()] },
  { title: "Runs, epochs and settings", keys: ["curve"], draw: (params) => [curvesFigure(params), tuningFigures()] },
];

function render(root) {
  const jump = el("nav", { class: "jump", "aria-label": "Figures" });
  add(root, el("h2", {}, "Figures"), jump);
  const drawn = GROUPS.map((group) => ({ ...group, node: add(root, el("section", { class: "figure-group" })).lastChild, seen: null }));
  const follow = ({ section, params }) => {
    if (section !== "figures") return;
    const rows = chosenRows(params);
    let changed = false;
    for (const one of drawn) {
      const now = one.keys.map((key) => params.get(key)).join(" ");
      if (one.seen === now) continue;
      one.node.replaceChildren();
      fill(one, params, rows);
      one.seen = now;
      changed = true;
    }
    if (changed) links(root, jump);
    const wanted = params.get("figure");
    if (wanted) document.getElementById(`figure-${wanted}`)?.scrollIntoView();
  };
  onState(follow);
  follow({ ...state(), section: "figures" });
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    for (const one of drawn) one.seen = null;
    follow(state());
  });
}

// The figures in columns, and a line for each that the data cannot fill.
function fill(group, params, rows) {
  const drawn = group.draw(params, rows).flat();
  const lacking = drawn.filter((node) => node.className === "absent");
  add(group.node,
    el("h3", { class: "group-title" }, group.title), group.menu?.(params),
    el("div", { class: "columns" }, drawn.filter((node) => !lacking.includes(node))),
    lacking.length ? el("div", { class: "lacking" }, el("p", {}, "Not shown:"), el("ul", {}, lacking)) : null);
}

function links(root, jump) {
  jump.replaceChildren(...[...root.querySelectorAll("figure.block")].map((figure) =>
    el("a", { href: fragment({ figure: figure.id.replace("figure-", "") }, "figures") }, figure.querySelector("h3").textContent)));
}
