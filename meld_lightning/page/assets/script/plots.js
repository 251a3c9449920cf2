// Figures drawn with Observable Plot, in the page's own type and colours.

import { el } from "./dom.js";
import { dot } from "./modalities.js";

// Names of variables of the style sheet, as Plot takes colours.
export const INK = "var(--ink)";
export const SOFT = "var(--soft)";
export const FAINT = "var(--faint)";
export const GROUND = "var(--ground)";

export const COLUMN = 540;
const SIGN = 7; // pixels of a sign of a label

// The width that a figure may take, in pixels: that of a column, or of the page where it is narrower.
export function widthFor(most = COLUMN) {
  const main = document.getElementById("main");
  const style = getComputedStyle(main);
  const room = main.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return Math.max(280, Math.min(most, room));
}

// A plot. label: what it shows, for screen readers.
export function plot(label, options) {
  const drawn = Plot.plot({ width: widthFor(), ...options, ariaLabel: label });
  drawn.setAttribute("role", "img");
  // Plot names each mark, which only a role of its own would allow; the whole is named above
  for (const mark of drawn.querySelectorAll("[aria-label]")) mark.removeAttribute("aria-label");
  return drawn;
}

// A dot with its interval for each name and series, names from top to bottom.
// series: [{colour, filled, values: [{name, value, low, high, title}]}]; ticks: [{name, value}],
// such as the constant baseline; line: a value over all names, or null.
export function intervals(label, { names, series, x, ticks = [], line = null }) {
  const signs = Math.floor((widthFor() * 0.45 - 20) / SIGN);
  const texts = new Map(names.map((name) => [name, wrapped(name, signs)]));
  const lines = [...texts.values()].flatMap((text) => text.split("\n"));
  const longest = Math.max(...lines.map((line) => line.length));
  const step = series.length > 1 || lines.length > names.length ? 32 : 24;
  const ends = series.flatMap((one) => one.values.flatMap(({ value, low, high }) => [value, low, high]));
  const domain = d3.nice(...d3.extent([...ends, line, ...ticks.map((tick) => tick.value)].filter((end) => end !== null)), 6);
  const marks = series.flatMap(({ colour, filled, values }, place) => {
    const dy = series.length > 1 ? (place ? 5 : -5) : 0;
    const known = values.filter((one) => one.value !== null);
    return [
      Plot.ruleY(known.filter((one) => one.low !== null), { y: "name", x1: "low", x2: "high", stroke: colour, strokeWidth: 2.5, strokeOpacity: 0.5, dy }),
      Plot.dot(known, { y: "name", x: "value", r: widthFor() < COLUMN ? 3 : 4, stroke: colour, strokeWidth: 1.6, fill: filled ? colour : GROUND, title: "title", dy }),
    ];
  });
  return plot(label, {
    width: widthFor(),
    height: names.length * step + 46,
    marginLeft: 20 + longest * SIGN,
    marginRight: 20,
    marginBottom: 36,
    x: { domain, label: x, labelAnchor: "center", labelArrow: "none", ticks: 5, tickFormat: (value) => String(+value.toFixed(2)).replace(/^0\./, "."), grid: true },
    y: { type: "band", domain: names, label: null, tickSize: 0, tickFormat: (name) => texts.get(name) },
    marks: [
      line === null ? null : Plot.ruleX([line], { stroke: SOFT, strokeDasharray: "3,3" }),
      Plot.tickX(ticks, { y: "name", x: "value", stroke: SOFT, strokeWidth: 1.5, insetTop: 4, insetBottom: 4 }),
      ...marks,
    ],
  });
}

// Text in lines of at most so many signs, broken between words; a longer word stays whole.
function wrapped(text, signs) {
  return text.split(" ").reduce((lines, word) => {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= signs) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
    return lines;
  }, []).join("\n");
}

// A figure with its heading, caption and controls. `draw()` returns what is shown.
// wide: it takes the whole width, and no column.
export function figure({ id, title, caption, wide }, ...contents) {
  return el("figure", { id: `figure-${id}`, class: wide ? "block wide" : "block" },
    el("h3", {}, title),
    caption ? el("p", { class: "caption" }, caption) : null,
    contents);
}

// Stands for a figure that the data at hand cannot fill: its title, why, and what would fill it.
export function absent(title, why) {
  return el("li", { class: "absent" }, `${title}: `, commands(why), ".");
}

// Text in which words between backticks are commands.
function commands(text) {
  return text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));
}

// The names of the series, in their colours.
export function legend(series) {
  return el("p", { class: "series" }, series.map(({ name, modality, filled }) => el("span", {},
    dot(modality, !filled), name)));
}

// Buttons of which one is pressed.
export function choices(label, options, current, choose) {
  return el("span", { class: "choices", role: "group", "aria-label": label }, options.map(([key, text]) =>
    el("button", { class: "choice", "aria-pressed": String(key === current), onclick: () => choose(key) }, text)));
}
