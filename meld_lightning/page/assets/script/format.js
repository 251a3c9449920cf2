// Numbers as text, the same everywhere on the page.

export const MISSING = "–";

// 0.6069 as .6069, or as 60.69 in a table of percentages.
export function score(value, percent = false) {
  if (value === null || value === undefined) return MISSING;
  if (percent) return (value * 100).toFixed(2);
  return value.toFixed(4).replace(/^(-?)0\./, "$1.");
}

// A difference, with its sign: −.0054.
export function signed(value, digits = 4) {
  if (value === null || value === undefined) return MISSING;
  const text = Math.abs(value).toFixed(digits).replace(/^0\./, ".");
  return `${value < 0 && Number(text) > 0 ? "−" : "+"}${text}`;
}

// [.5792, .6239]
export function interval(low, high, percent = false) {
  if (low === null || high === null || low === undefined) return "";
  return `[${score(low, percent)}, ${score(high, percent)}]`;
}

// 2610 as 2,610
export function count(value) {
  return value === null || value === undefined ? MISSING : value.toLocaleString("en");
}

export function share(value) {
  return value === null || value === undefined ? MISSING : `${(value * 100).toFixed(1)}\u00a0%`;
}

// 283 s, 12.4 min, 3.1 h
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return MISSING;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
