// Who predicts what and who is right: a run, the modalities that it fuses, and a second run beside
// them; and the utterances that a filter asks for.

import { data } from "./data.js";
import { predictions, utterances } from "./predictions.js";
import { agreement } from "./clips.js";

// A column: {title, modality, hash, predicted, probabilities, absent, missing, right}. A modality that
// is missing predicts nothing and is never right; a run that is scored itself is scored by what it
// predicts then.
function column(hash, title, { scored }) {
  const found = predictions(hash);
  if (!found) return null;
  const { true: labels } = utterances(found.set);
  const right = found.predicted.map((value, i) => Number(value === labels[i] && (scored || !found.absent.has(i))));
  const missing = (i) => !scored && found.absent.has(i);
  return { ...found, hash, title, modality: data("runs")[hash].modality, missing, right };
}

function modalitiesOf(hash, set, mark = "") {
  return Object.entries(data("runs")[hash].alone)
    .map(([modality, source]) => [modality, column(source, `${mark}${modality}`, { scored: false })])
    .filter(([, one]) => one && one.set === set)
    // the row of one modality may itself be a fusion, such as one that calibrates it
    .map(([modality, one]) => ({ ...one, modality }));
}

// What is looked at: {place, set, own, modalities, other, others}. `other` is the second run, if it
// scores the same utterances, and `others` the modalities of it that the first does not fuse.
export function view(hash, second) {
  const own = column(hash, second ? "A" : data("runs")[hash].modality, { scored: true });
  const modalities = modalitiesOf(hash, own.set);
  const other = second ? column(second, "B", { scored: true }) : null;
  const shown = other && other.set === own.set ? other : null;
  const known = new Set([hash, ...modalities.map((one) => one.hash)]);
  const others = shown ? modalitiesOf(second, own.set, "B: ").filter((one) => !known.has(one.hash)) : [];
  return { place: own.set, set: utterances(own.set), own, modalities, other: shown, others };
}

const yes = () => true;

// The kinds of outcome: [{id, label, test(index)}].
export function kinds({ own, modalities, other }) {
  const any = (i) => modalities.some((one) => one.right[i]);
  const found = [
    ["right", "right", (i) => own.right[i]],
    ["wrong", "wrong", (i) => !own.right[i]],
  ];
  if (modalities.length > 1) {
    found.push(
      ["missed", "wrong, though a modality is right", (i) => !own.right[i] && any(i)],
      ["gained", "right, though every modality is wrong", (i) => own.right[i] && !any(i)],
      ["hopeless", "wrong, like every modality", (i) => !own.right[i] && !any(i)]);
  }
  if (other) {
    found.push(
      ["only-a", "A right, B wrong", (i) => own.right[i] && !other.right[i]],
      ["only-b", "B right, A wrong", (i) => !own.right[i] && other.right[i]],
      ["both-wrong", "A and B wrong", (i) => !own.right[i] && !other.right[i]],
      ["differ", "A and B predict different emotions", (i) => own.predicted[i] !== other.predicted[i]]);
  }
  return found.map(([id, label, test]) => ({ id, label, test }));
}

// The choices of a modality that was right: [{id, label, test(index)}]; `alone` marks those in which
// no other modality was.
export function rights({ modalities }) {
  if (modalities.length < 2) return [];
  const pairs = modalities.flatMap((one) => modalities.filter((other) => other !== one).map((other) => [one, other]));
  return [
    ...modalities.map((one) => ({ id: one.modality, label: `${one.title} right`, test: (i) => one.right[i] })),
    ...modalities.map((one) => ({ id: `only-${one.modality}`, label: `only ${one.title} right`, modality: one.modality, alone: true,
      test: (i) => one.right[i] && modalities.every((other) => other === one || !other.right[i]) })),
    ...pairs.map(([one, other]) => ({ id: `${one.modality}-not-${other.modality}`,
      label: `${one.title} right, ${other.title} wrong`, test: (i) => one.right[i] && !other.right[i] })),
  ];
}

// How far the modalities that are not missing agree: [{id, label, test(index)}].
export function agreements({ modalities }) {
  if (modalities.length < 2) return [];
  const present = (i) => modalities.filter((one) => !one.missing(i));
  const different = (i) => new Set(present(i).map((one) => one.predicted[i])).size;
  const found = [
    { id: "all", label: "the modalities agree", test: (i) => different(i) === 1 },
    { id: "none", label: "all of them differ", test: (i) => different(i) > 1 && different(i) === present(i).length },
  ];
  const some = { id: "some", label: "some of them agree", test: (i) => different(i) > 1 && different(i) < present(i).length };
  return modalities.length > 2 ? [found[0], some, found[1]] : found;
}

// How sure the run is: its greatest probability.
export function confidence(column, i, labels) {
  let most = 0;
  for (let k = 0; k < labels; k += 1) most = Math.max(most, column.probabilities[i * labels + k]);
  return most;
}

const searched = new Map();

function lines(place, set) {
  if (!searched.has(place)) {
    searched.set(place, set.keys.map((key, i) =>
      `${key} ${set.corpus?.speaker[i] ?? ""} ${set.corpus?.text[i] ?? ""}`.toLowerCase()));
  }
  return searched.get(place);
}

// The places of the utterances that the state's parameters ask for, in the order that they name.
export function matching(shown, params) {
  const { place, set, own } = shown;
  const asked = (choices, key) => choices.find((one) => one.id === params.get(key))?.test ?? yes;
  const label = (key) => set.labels.indexOf(params.get(key));
  const [emotion, predicted, readers] = [label("emotion"), label("predicted"), params.get("readers")];
  const tests = [asked(kinds(shown), "kind"), asked(rights(shown), "right"), asked(agreements(shown), "agree")];
  if (emotion >= 0) tests.push((i) => set.true[i] === emotion);
  if (predicted >= 0) tests.push((i) => own.predicted[i] === predicted);
  if (readers) tests.push((i) => agreement(place, i, set.labels.length) === readers);
  const text = lines(place, set);
  for (const word of (params.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean)) tests.push((i) => text[i].includes(word));
  const found = d3.range(set.keys.length).filter((i) => tests.every((test) => test(i)));
  if (!["sure", "unsure"].includes(params.get("order"))) return found;
  const sign = params.get("order") === "sure" ? -1 : 1;
  return found.sort((a, b) => sign * (confidence(own, a, set.labels.length) - confidence(own, b, set.labels.length)) || a - b);
}

// Where to start looking: [{label, count, params}].
export function starts(shown) {
  const { own, modalities, set } = shown;
  const kind = (id) => kinds(shown).find((one) => one.id === id);
  const found = [{ label: "wrong", params: { kind: "wrong" }, test: kind("wrong").test }];
  if (modalities.length > 1) {
    for (const { id, modality, test } of rights(shown).filter((one) => one.alone)) {
      found.push({ label: `fixed by ${modality} alone`, params: { kind: "right", right: id }, test: (i) => own.right[i] && test(i) });
    }
    found.push(...["missed", "gained", "hopeless"].map(kind).map(({ id, label, test }) => ({ label, params: { kind: id }, test })));
  }
  return found.map(({ label, params, test }) => ({ label, params, count: d3.range(set.keys.length).filter(test).length }));
}
