// Powers equal to Upright's, to the bit.
//
// `Math.pow` may differ in the last bit between engines. This is FreeBSD's `e_pow.c` for bases from 0 and whole
// exponents below 2^32.
//
// Copyright (C) 2004 by Sun Microsystems, Inc. All rights reserved. Permission to use, copy, modify, and distribute
// this software is freely granted, provided that this notice is preserved.

const BP = [1.0, 1.5];
const DP_H = [0.0, 5.84962487220764160156e-1];
const DP_L = [0.0, 1.35003920212974897128e-8];
const L = [
  5.99999999999994648725e-1, 4.28571428578550184252e-1, 3.33333329818377432918e-1,
  2.72728123808534006489e-1, 2.30660745775561754067e-1, 2.06975017800338417784e-1,
];
const P = [
  1.66666666666666019037e-1, -2.77777777770155933842e-3, 6.61375632143793436117e-5,
  -1.65339022054652515390e-6, 4.13813679705723846039e-8,
];
const [LG2, LG2_H, LG2_L] = [6.93147180559945286227e-1, 6.93147182464599609375e-1, -1.90465429995776804525e-9];
const OVT = 8.0085662595372944372e-17;
const [CP, CP_H, CP_L] = [9.61796693925975554329e-1, 9.61796700954437255859e-1, -7.02846165095275826516e-9];
const [IVLN2, IVLN2_H, IVLN2_L] = [1.44269504088896338700, 1.44269502162933349609, 1.92596299112661746887e-8];

const view = new DataView(new ArrayBuffer(8));

/** The upper word, signed. */
function high(x) {
  view.setFloat64(0, x);
  return view.getInt32(0);
}

/** The lower word, signed. */
function low(x) {
  view.setFloat64(0, x);
  return view.getInt32(4);
}

function fromWords(upperWord, lowerWord) {
  view.setInt32(0, upperWord);
  view.setInt32(4, lowerWord);
  return view.getFloat64(0);
}

/** The number without its lower half of bits. */
function upper(x) {
  return fromWords(high(x), 0);
}

export function power(x, y) {
  if (y === 0 || x === 1) return 1;
  if (y === 1 || x === 0) return x;
  if (y === 2) return x * x;
  const ix = high(x);
  let t1;
  let t2;
  if (high(y) > 0x41e00000) {
    // The exponent is above 2^31: all but bases close to 1 overflow or vanish.
    if (ix < 0x3fefffff) return 0;
    if (ix > 0x3ff00000) return Infinity;
    const t = x - 1;
    const w = t * t * (0.5 - t * (0.3333333333333333333333 - t * 0.25));
    const u = IVLN2_H * t;
    const v = t * IVLN2_L - w * IVLN2;
    t1 = upper(u + v);
    t2 = v - (t1 - u);
  } else {
    [t1, t2] = logarithm(x, ix);
  }
  const y1 = upper(y);
  const lower = (y - y1) * t1 + y * t2;
  const whole = y1 * t1;
  const z = lower + whole;
  const j = high(z);
  if (j >= 0x40900000) {
    if (((j - 0x40900000) | low(z)) !== 0 || lower + OVT > z - whole) return Infinity;
  } else if ((j & 0x7fffffff) >= 0x4090cc00) {
    if (((j - 0xc090cc00) | low(z)) !== 0 || lower <= z - whole) return 0;
  }
  return exponential(lower, whole, j);
}

/** The base-2 logarithm, in two parts. */
function logarithm(ax, ix) {
  let n = 0;
  if (ix < 0x00100000) {
    ax *= 9007199254740992.0;
    n -= 53;
    ix = high(ax);
  }
  n += (ix >> 20) - 0x3ff;
  const j = ix & 0x000fffff;
  ix = j | 0x3ff00000;
  let k = 0;
  if (j > 0x3988e) {
    if (j < 0xbb67a) {
      k = 1;
    } else {
      n += 1;
      ix -= 0x00100000;
    }
  }
  ax = fromWords(ix, low(ax));
  let u = ax - BP[k];
  let v = 1 / (ax + BP[k]);
  const ss = u * v;
  const sH = upper(ss);
  let tH = fromWords(((ix >> 1) | 0x20000000) + 0x00080000 + (k << 18), 0);
  let tL = ax - (tH - BP[k]);
  const sL = v * (u - sH * tH - sH * tL);
  let s2 = ss * ss;
  let r = s2 * s2 * (L[0] + s2 * (L[1] + s2 * (L[2] + s2 * (L[3] + s2 * (L[4] + s2 * L[5])))));
  r += sL * (sH + ss);
  s2 = sH * sH;
  tH = upper(3 + s2 + r);
  tL = r - (tH - 3 - s2);
  u = sH * tH;
  v = sL * tH + tL * ss;
  const pH = upper(u + v);
  const pL = v - (pH - u);
  const zH = CP_H * pH;
  const zL = CP_L * pH + pL * CP + DP_L[k];
  const t1 = upper(zH + zL + DP_H[k] + n);
  return [t1, zL - (t1 - n - DP_H[k] - zH)];
}

/** 2 to the power of a number in two parts; `j` is its upper word. */
function exponential(lower, whole, j) {
  const i = j & 0x7fffffff;
  let n = 0;
  if (i > 0x3fe00000) {
    n = j + (0x00100000 >> ((i >> 20) - 0x3ff + 1));
    const k = ((n & 0x7fffffff) >> 20) - 0x3ff;
    whole -= fromWords(n & ~(0x000fffff >> k), 0);
    n = ((n & 0x000fffff) | 0x00100000) >> (20 - k);
    if (j < 0) n = -n;
  }
  let t = upper(lower + whole);
  const u = t * LG2_H;
  const v = (lower - (t - whole)) * LG2 + t * LG2_L;
  let z = u + v;
  const w = v - (z - u);
  t = z * z;
  const t1 = z - t * (P[0] + t * (P[1] + t * (P[2] + t * (P[3] + t * P[4]))));
  const r = (z * t1) / (t1 - 2) - (w + z * w);
  z = 1 - (r - z);
  const upperWord = high(z) + (n << 20);
  if (upperWord >> 20 > 0) return fromWords(upperWord, low(z));
  // A subnormal result, rounded once.
  return z * fromWords((n + 54 + 0x3ff) << 20, 0) * fromWords((0x3ff - 54) << 20, 0);
}
