// Shows one section at a time, each rendered when it is first visited, and all of them for print.

import { el } from "./dom.js";
import { addPanel } from "./panel.js";
import { figures } from "./figures.js";
import { followResults } from "./live.js";
import { overview } from "./overview.js";
import { tables } from "./tables.js";
import { explorer } from "./explorer.js";
import { compare } from "./compare.js";
import { fragment, onState, state } from "./state.js";

// In the order of the navigation. A section: {id, title, render(root), printed}; `available()`, if
// it has one, says whether there is anything to show.
const SECTIONS = [overview, tables, figures, explorer, compare].filter((one) => one.available?.() ?? true);

const main = document.getElementById("main");
const links = new Map();
const roots = new Map();

function root(section) {
  if (!roots.has(section.id)) {
    const node = el("section", { id: `section-${section.id}`, "aria-label": section.title });
    roots.set(section.id, node);
    main.append(node);
    section.render(node);
  }
  return roots.get(section.id);
}

function show(now) {
  const wanted = SECTIONS.find((section) => section.id === now.section) ?? SECTIONS[0];
  root(wanted);
  for (const section of SECTIONS) {
    const current = section === wanted;
    if (roots.has(section.id)) roots.get(section.id).hidden = !current;
    if (current) links.get(section.id).setAttribute("aria-current", "page");
    else links.get(section.id).removeAttribute("aria-current");
  }
}

const skip = el("a", { class: "skip", href: "#main" }, "Skip to the content");
skip.addEventListener("click", (event) => {
  event.preventDefault(); // the fragment is the page's state
  main.focus();
});
document.body.prepend(skip);
const navigation = document.querySelector(".top nav");
for (const section of SECTIONS) {
  const link = el("a", { href: fragment({}, section.id) }, section.title);
  link.addEventListener("click", () => window.scrollTo(0, 0));
  links.set(section.id, link);
  navigation.append(link);
}
window.addEventListener("beforeprint", () => {
  for (const section of SECTIONS.filter((one) => one.printed)) root(section).hidden = false;
});
window.addEventListener("afterprint", () => show(state()));
onState(show);
show(state());
addPanel();
followResults();
