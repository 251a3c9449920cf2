// Intervals of rows and of their differences, as report/statistics.py computes them for the tables:
// each unit is left out once (the jackknife), and the variance between seeds is added. It draws
// nothing at random, so that the page gives the same figures as the tables.
//
// Axes: S seeds, U units, K labels, M metrics.

import { predictions, utterances } from "./predictions.js";
import { quantile } from "./student.js";

const LEVEL = 0.95;
// The first of the M metrics; the F1 of each label follows.
export const METRICS = ["weighted F1", "accuracy", "macro F1"];

// The unit of each utterance; utterances are units themselves where all belong to one.
function unitsOf(set) {
  return set.units.length > 1 ? { unit: set.unit, units: set.units.length } : { unit: d3.range(set.keys.length), units: set.keys.length };
}

// Per unit and label: how many utterances have it, how many are predicted as it, and how many both.
function counts(found, set) {
  const { unit, units } = unitsOf(set);
  const size = set.labels.length;
  const [truth, predicted, hits] = d3.range(3).map(() => new Int32Array(units * size));
  for (let i = 0; i < unit.length; i += 1) {
    const [start, label, guess] = [unit[i] * size, set.true[i], found.predicted[i]];
    truth[start + label] += 1;
    predicted[start + guess] += 1;
    if (label === guess) hits[start + label] += 1;
  }
  return { truth, predicted, hits, units, size };
}

// The M metrics of counts per label, as in metrics.py: a class that occurs nowhere has F1 0.
function metrics(truth, predicted, hits) {
  const f1 = hits.map((both, k) => (truth[k] + predicted[k] ? 2 * both / (truth[k] + predicted[k]) : 0));
  const total = d3.sum(truth);
  const present = d3.sum(truth, (value, k) => Number(value + predicted[k] > 0));
  return [d3.sum(f1, (value, k) => value * truth[k]) / total, d3.sum(hits) / total, d3.sum(f1) / present, ...f1];
}

// A row's runs, one per seed: for each metric {values: S, pseudo: S × U}, pseudovalues by Tukey.
export function jackknife(hashes) {
  const seeds = hashes.map((hash) => {
    const found = predictions(hash);
    const { truth, predicted, hits, units, size } = counts(found, utterances(found.set));
    const totals = [truth, predicted, hits].map((all) => d3.range(size).map((k) => {
      let sum = 0;
      for (let u = 0; u < units; u += 1) sum += all[u * size + k];
      return sum;
    }));
    const value = metrics(...totals);
    const pseudo = d3.range(units).map((u) => {
      const without = metrics(...[truth, predicted, hits].map((all, part) => totals[part].map((sum, k) => sum - all[u * size + k])));
      return without.map((one, m) => units * value[m] - (units - 1) * one);
    });
    return { value, pseudo };
  });
  return seeds[0].value.map((_, m) => ({
    values: seeds.map((one) => one.value[m]),
    pseudo: seeds.map((one) => one.pseudo.map((unit) => unit[m])),
  }));
}

// The difference of two rows seed by seed, for rows that share runs.
function paired(one, other) {
  return {
    values: one.values.map((value, s) => value - other.values[s]),
    pseudo: one.pseudo.map((seed, s) => seed.map((value, u) => value - other.pseudo[s][u])),
  };
}

function meanOverSeeds({ pseudo }) {
  return pseudo[0].map((_, u) => d3.mean(pseudo, (seed) => seed[u]));
}

// The variance that the seeds add, beyond what the units' part contains already.
function seedPart({ values, pseudo }) {
  const [seeds, units] = [values.length, pseudo[0].length];
  const ofUnits = meanOverSeeds({ pseudo });
  const ofSeeds = pseudo.map((seed) => d3.mean(seed));
  const all = d3.mean(ofSeeds);
  const residual = d3.sum(pseudo, (seed, s) => d3.sum(seed, (value, u) => (value - ofSeeds[s] - ofUnits[u] + all) ** 2));
  const interaction = residual / ((units - 1) * (seeds - 1)) / (units * seeds);
  return { variance: Math.max(0, d3.variance(values) / seeds - interaction), df: seeds - 1 };
}

function total(parts) {
  const variance = d3.sum(parts, (one) => one.variance);
  const below = d3.sum(parts, (one) => one.variance ** 2 / one.df);
  return { variance, df: below > 0 ? variance ** 2 / below : 1 };
}

// Half the width of the 95 % interval of a row's mean over seeds, or of the difference of two rows;
// null for a single unit. See Spread in report/statistics.py.
function halfWidth(...rows) {
  const units = rows[0].pseudo[0].length;
  if (units < 2) return null;
  const means = rows.map(meanOverSeeds);
  const differences = means[0].map((value, u) => value - (means[1]?.[u] ?? 0));
  const ofUnits = { variance: d3.variance(differences) / units, df: units - 1 };
  const ofSeeds = rows.filter((one) => one.values.length > 1).map(seedPart);
  const both = total([ofUnits, ...ofSeeds]);
  const satterthwaite = Math.sqrt(both.variance) * quantile(both.df, LEVEL);
  const seeds = total(ofSeeds);
  const banerjee = Math.sqrt(d3.sum([ofUnits, seeds], (one) => one.variance * quantile(one.df, LEVEL) ** 2));
  return (satterthwaite + banerjee) / 2;
}

function around(value, half, [least, most]) {
  return half === null
    ? { value, low: null, high: null }
    : { value, low: Math.max(least, value - half), high: Math.min(most, value + half) };
}

// A metric's mean over seeds: {value, low, high}.
export function estimate(one) {
  return around(d3.mean(one.values), halfWidth(one), [0, 1]);
}

// A metric of one row minus that of another: {value, low, high}. together: the rows share runs, seed
// by seed, as a fusion does with the runs that it fuses.
export function difference(one, other, together) {
  const half = together && one.values.length === other.values.length ? halfWidth(paired(one, other)) : halfWidth(one, other);
  return around(d3.mean(one.values) - d3.mean(other.values), half, [-1, 1]);
}
