// The page's data: the JSON that stands in the document, each part parsed when first asked for.

const parsed = new Map();

// The part of that name; see PARTS in page/write.py.
export function data(name) {
  if (!parsed.has(name)) {
    const block = document.getElementById(`data-${name}`);
    parsed.set(name, block ? JSON.parse(block.textContent) : null);
  }
  return parsed.get(name);
}
