// Quantiles of Student's t distribution, for degrees of freedom that need not be whole numbers.

const STEPS = 300; // of the continued fraction
const HALVINGS = 80;
// Lanczos's coefficients for g = 7
const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];
const known = new Map();

function logGamma(x) {
  const sum = LANCZOS.slice(1).reduce((total, coefficient, i) => total + coefficient / (x + i), LANCZOS[0]);
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

// The regularised incomplete beta function, by Lentz's continued fraction (Numerical Recipes, 6.4).
function incompleteBeta(x, a, b) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  const away = (value) => (Math.abs(value) < 1e-300 ? 1e-300 : value);
  let [c, d] = [1, 1 / away(1 - (a + b) * x / (a + 1))];
  let fraction = d;
  for (let m = 1; m < STEPS; m += 1) {
    const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away(1 + even * d);
    c = away(1 + even / c);
    fraction *= c * d;
    const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away(1 + odd * d);
    c = away(1 + odd / c);
    fraction *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return front * fraction;
}

// The t that |T| exceeds with probability 1 - level.
export function quantile(df, level) {
  const name = `${df} ${level}`;
  if (!known.has(name)) {
    // P(|T| > t) is the incomplete beta function at df / (df + t²)
    let [low, high] = [0, 1];
    for (let step = 0; step < HALVINGS; step += 1) {
      const middle = (low + high) / 2;
      if (incompleteBeta(middle, df / 2, 0.5) < 1 - level) low = middle;
      else high = middle;
    }
    const x = (low + high) / 2;
    known.set(name, Math.sqrt(df * (1 - x) / x));
  }
  return known.get(name);
}
