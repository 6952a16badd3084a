"""Powers equal to Upright's, to the bit.

`pow` may differ in the last bit between C libraries. This is FreeBSD's `e_pow.c` for bases from 0 and whole exponents
below 2^32.

Copyright (C) 2004 by Sun Microsystems, Inc. All rights reserved. Permission to use, copy, modify, and distribute this
software is freely granted, provided that this notice is preserved.
"""

import struct
from math import inf, ldexp

BP, DP_H, DP_L = (1.0, 1.5), (0.0, 5.84962487220764160156e-01), (0.0, 1.35003920212974897128e-08)
L = (5.99999999999994648725e-01, 4.28571428578550184252e-01, 3.33333329818377432918e-01,
     2.72728123808534006489e-01, 2.30660745775561754067e-01, 2.06975017800338417784e-01)
P = (1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05,
     -1.65339022054652515390e-06, 4.13813679705723846039e-08)
LG2, LG2_H, LG2_L = 6.93147180559945286227e-01, 6.93147182464599609375e-01, -1.90465429995776804525e-09
OVT = 8.0085662595372944372e-017
CP, CP_H, CP_L = 9.61796693925975554329e-01, 9.61796700954437255859e-01, -7.02846165095275826516e-09
IVLN2, IVLN2_H, IVLN2_L = 1.44269504088896338700e+00, 1.44269502162933349609e+00, 1.92596299112661746887e-08


def words(x: float) -> tuple[int, int]:
    """The upper word, signed, and the lower word."""
    return struct.unpack(">iI", struct.pack(">d", x))


def from_words(high: int, low: int) -> float:
    return struct.unpack(">d", struct.pack(">II", high & 0xFFFFFFFF, low))[0]


def upper(x: float) -> float:
    """The number without its lower half of bits."""
    return from_words(words(x)[0], 0)


def power(x: float, y: float) -> float:
    ix, lx = words(x)
    iy, ly = words(y)
    if y == 0.0 or x == 1.0:
        return 1.0
    if y == 1.0 or x == 0.0:
        return x
    if y == 2.0:
        return x * x
    if iy > 0x41E00000:
        # The exponent is above 2^31: all but bases close to 1 overflow or vanish.
        if ix < 0x3FEFFFFF:
            return 0.0
        if ix > 0x3FF00000:
            return inf
        t = x - 1.0
        w = (t * t) * (0.5 - t * (0.3333333333333333333333 - t * 0.25))
        u, v = IVLN2_H * t, t * IVLN2_L - w * IVLN2
        t1 = upper(u + v)
        t2 = v - (t1 - u)
    else:
        t1, t2 = logarithm(x, ix)
    y1 = upper(y)
    p_l, p_h = (y - y1) * t1 + y * t2, y1 * t1
    z = p_l + p_h
    j, i = words(z)
    if j >= 0x40900000:
        if (j - 0x40900000) | i != 0 or p_l + OVT > z - p_h:
            return inf
    elif (j & 0x7FFFFFFF) >= 0x4090CC00:
        if ((j & 0xFFFFFFFF) - 0xC090CC00) | i != 0 or p_l <= z - p_h:
            return 0.0
    return exponential(p_l, p_h, j)


def logarithm(ax: float, ix: int) -> tuple[float, float]:
    """The base-2 logarithm, in two parts."""
    n = 0
    if ix < 0x00100000:
        ax *= 9007199254740992.0
        n -= 53
        ix = words(ax)[0]
    n += (ix >> 20) - 0x3FF
    j = ix & 0x000FFFFF
    ix = j | 0x3FF00000
    k = 0
    if j > 0x3988E:
        if j < 0xBB67A:
            k = 1
        else:
            n += 1
            ix -= 0x00100000
    ax = from_words(ix, words(ax)[1])
    u, v = ax - BP[k], 1.0 / (ax + BP[k])
    ss = u * v
    s_h = upper(ss)
    t_h = from_words(((ix >> 1) | 0x20000000) + 0x00080000 + (k << 18), 0)
    t_l = ax - (t_h - BP[k])
    s_l = v * ((u - s_h * t_h) - s_h * t_l)
    s2 = ss * ss
    r = s2 * s2 * (L[0] + s2 * (L[1] + s2 * (L[2] + s2 * (L[3] + s2 * (L[4] + s2 * L[5])))))
    r += s_l * (s_h + ss)
    s2 = s_h * s_h
    t_h = upper(3.0 + s2 + r)
    t_l = r - ((t_h - 3.0) - s2)
    u, v = s_h * t_h, s_l * t_h + t_l * ss
    p_h = upper(u + v)
    p_l = v - (p_h - u)
    z_h, z_l = CP_H * p_h, CP_L * p_h + p_l * CP + DP_L[k]
    t = float(n)
    t1 = upper(((z_h + z_l) + DP_H[k]) + t)
    return t1, z_l - (((t1 - t) - DP_H[k]) - z_h)


def exponential(p_l: float, p_h: float, j: int) -> float:
    """2 to the power of a number in two parts; `j` is its upper word."""
    i, n = j & 0x7FFFFFFF, 0
    k = (i >> 20) - 0x3FF
    if i > 0x3FE00000:
        n = j + (0x00100000 >> (k + 1))
        k = ((n & 0x7FFFFFFF) >> 20) - 0x3FF
        t = from_words(n & ~(0x000FFFFF >> k), 0)
        n = ((n & 0x000FFFFF) | 0x00100000) >> (20 - k)
        if j < 0:
            n = -n
        p_h -= t
    t = upper(p_l + p_h)
    u, v = t * LG2_H, (p_l - (t - p_h)) * LG2 + t * LG2_L
    z = u + v
    w = v - (z - u)
    t = z * z
    t1 = z - t * (P[0] + t * (P[1] + t * (P[2] + t * (P[3] + t * P[4]))))
    r = (z * t1) / (t1 - 2.0) - (w + z * w)
    z = 1.0 - (r - z)
    high, low = words(z)
    high += n << 20
    return ldexp(z, n) if high >> 20 <= 0 else from_words(high, low)
