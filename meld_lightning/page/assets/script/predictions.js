// The runs' predictions on test, unpacked when first asked for. See page/predictions.py.

import { data } from "./data.js";

const sets = new Map();
const runs = new Map();

function unpacked(text) {
  return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
}

// The utterances that some runs share: {labels, keys, units, unit, true, corpus}. `unit` and `true`
// are places in `units` and `labels`; `corpus` has a column each for text, speaker, dialogue,
// utterance (place in the dialogue) and seconds, or is null where the corpus is not at hand.
export function utterances(place) {
  if (!sets.has(place)) {
    const { sets: all, corpus } = data("predictions");
    sets.set(place, { ...all[place], true: unpacked(all[place].true), corpus: corpus[place] });
  }
  return sets.get(place);
}

// A run's predictions: {set, predicted, probabilities, absent}. Probabilities are (N, K) in one
// array, 255 standing for 1; null for a run that has none of its own, such as that of one fold.
export function predictions(hash) {
  if (!runs.has(hash)) {
    const found = data("predictions").runs[hash];
    runs.set(hash, found ? {
      set: found.set,
      predicted: unpacked(found.predicted),
      probabilities: unpacked(found.probabilities),
      absent: new Set(found.absent),
    } : null);
  }
  return runs.get(hash);
}
