// Small intervals inside the cells of a table.

import { svg } from "./dom.js";

const WIDTH = 104;
const HEIGHT = 16;
const EDGE = 7;

// The range that all of a column's bars share: [low, high], with room at both ends.
export function domain(values) {
  const found = values.filter((value) => value !== null && Number.isFinite(value));
  if (!found.length) return [0, 1];
  const [low, high] = d3.extent(found);
  const room = (high - low || 0.1) * 0.04;
  return [low - room, high + room];
}

// A point with its interval; an arrow at the edge for a value outside of the range. marks: {paper,
// constant, zero}, each a value or null. The numbers stand beside it as text, so that it is hidden
// from screen readers.
export function intervalBar(range, { value, low, high, paper = null, constant = null, zero = null }) {
  const x = d3.scaleLinear(range, [EDGE, WIDTH - EDGE]).clamp(true);
  const middle = HEIGHT / 2;
  const inside = (at) => at !== null && at >= range[0] && at <= range[1];
  const upright = (at, name) => inside(at) ? svg("line", { class: name, x1: x(at), x2: x(at), y1: 1, y2: HEIGHT - 1 }) : null;
  return svg(
    "svg",
    { class: "bar", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" },
    svg("line", { class: "bar-track", x1: 0, x2: WIDTH, y1: middle, y2: middle }),
    upright(constant, "bar-constant"),
    upright(zero, "bar-zero"),
    low === null || !inside(value) ? null : svg("line", { class: "bar-interval", x1: x(low), x2: x(high), y1: middle, y2: middle }),
    value === null ? null : inside(value) ? svg("circle", { class: "bar-point", cx: x(value), cy: middle, r: 3.2 }) : arrow(value < range[0], middle),
    paper === null ? null : diamond(x(paper), middle),
  );
}

// Points beyond the left or the right edge.
function arrow(left, y) {
  const [tip, base] = left ? [1, 7] : [WIDTH - 1, WIDTH - 7];
  return svg("polygon", { class: "bar-point", points: `${tip},${y} ${base},${y - 4} ${base},${y + 4}` });
}

function diamond(x, y) {
  const size = 4;
  const points = [[x, y - size], [x + size, y], [x, y + size], [x - size, y]];
  return svg("polygon", { class: "bar-paper", points: points.map((point) => point.join(",")).join(" ") });
}
