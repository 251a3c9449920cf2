// What is shown, as the URL's fragment: #section?key=value&key=value. A link shares it, and the
// browser's back button returns to it. Sections read their own keys and listen for changes.

const listeners = new Set();

// {section, params: URLSearchParams} of the current URL, or of another fragment.
export function state(fragment = location.hash) {
  const [section, query = ""] = fragment.replace(/^#/, "").split("?");
  return { section: decodeURIComponent(section), params: new URLSearchParams(query) };
}

// The fragment that differs from the current one in `changes`; null or "" removes a key.
export function fragment(changes, section = null) {
  const now = state();
  const kept = section === null || section === now.section ? now.params : new URLSearchParams();
  const params = new URLSearchParams(kept);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === "") params.delete(key);
    else params.set(key, value);
  }
  const query = params.toString();
  return `#${section ?? now.section}${query ? `?${query}` : ""}`;
}

// Goes to a state. replace: without an entry of its own in the browser's history, for filters that
// change with every key.
export function go(changes, { section = null, replace = false } = {}) {
  const next = fragment(changes, section);
  if (next === location.hash) return;
  if (replace) history.replaceState(null, "", next);
  else history.pushState(null, "", next);
  announce();
}

// Calls `listener` after each change of the state.
export function onState(listener) {
  listeners.add(listener);
}

function announce() {
  for (const listener of listeners) listener(state());
}

window.addEventListener("hashchange", announce);
window.addEventListener("popstate", announce);
