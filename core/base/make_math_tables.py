#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes math_tables.h: the constants of our elementary functions, from their definitions alone.

    python3 core/base/make_math_tables.py > core/base/math_tables.h

Everything is computed with 120 decimal digits and split into doubles that add up to it.
"""
import decimal
from decimal import Decimal as D

decimal.getcontext().prec = 120


def parts(value, count):
    """`count` doubles, each the rest rounded, as C hexadecimal constants."""
    out = []
    for _ in range(count):
        head = float(value)
        out.append(head.hex())
        value -= D(head)
    return out


def truncated(value, bits):
    """The leading `bits` bits of a value, exact in a double, and the rest."""
    mantissa, exponent = decimal_frexp(value)
    scaled = int(mantissa * (1 << bits))
    head = D(scaled) / (1 << bits) * D(2) ** exponent
    return head, value - head


def decimal_frexp(value):
    exponent = 0
    while abs(value) >= 1:
        value /= 2
        exponent += 1
    while abs(value) < D("0.5"):
        value *= 2
        exponent -= 1
    return value, exponent


def arctangent(x):
    """By halving the angle until the series converges fast."""
    doublings = 0
    while abs(x) > D("0.01"):
        x = x / (1 + (1 + x * x).sqrt())
        doublings += 1
    total, power, n = D(0), x, 1
    while abs(power) > D(10) ** -118:
        total += power / n if n % 4 == 1 else -power / n
        power *= x * x
        n += 2
    return total * 2**doublings


PI = 4 * arctangent(D(1))
LN2 = D(2).ln()


def error_function(x):
    """2/sqrt(pi) exp(-x^2) sum of 2^n x^(2n+1) / (2n+1)!!, all terms positive."""
    total, term, n = D(0), x, 0
    while term > D(10) ** -119:
        total += term
        n += 1
        term *= 2 * x * x / (2 * n + 1)
    return 2 / PI.sqrt() * (-x * x).exp() * total


def define(name, value, comment=""):
    print(f"#define {name} {value}" + (f"  // {comment}" if comment else ""))


def table(name, comment, columns, rows):
    print(f"\n// {comment}")
    print(f"static const double {name}[{len(rows)}][{columns}] = {{")
    for row in rows:
        print("    {" + ", ".join(row) + "},")
    print("};")


print("""// SPDX-License-Identifier: Apache-2.0
//
// Constants of the elementary functions: written by make_math_tables.py, do not edit. Each is given as
// doubles that add up to it. Included by the files of scalar_math alone.

#ifndef TRIVET_CORE_BASE_MATH_TABLES_H_
#define TRIVET_CORE_BASE_MATH_TABLES_H_

#include <stdint.h>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-const-variable"
#endif
""")
for name, value in [
    ("LN2", LN2),
    ("LOG2_E", 1 / LN2),
    ("LOG10_E", 1 / D(10).ln()),
    ("PI", PI),
    ("PI_2", PI / 2),
    ("TWO_OVER_SQRT_PI", 2 / PI.sqrt()),
]:
    high, low = parts(value, 2)
    define(f"TVI_{name}_HIGH", high)
    define(f"TVI_{name}_LOW", low)

# 2^17 steps of ln2/128 reach beyond any finite result, so products with 35 bits are exact.
step = LN2 / 128
first, rest = truncated(step, 34)
second, rest = truncated(rest, 34)
define("TVI_EXP_STEPS_PER_UNIT", parts(1 / step, 1)[0], "128 / ln 2")
define("TVI_EXP_STEP_1", float(first).hex(), "ln 2 / 128 in three parts")
define("TVI_EXP_STEP_2", float(second).hex())
define("TVI_EXP_STEP_3", float(rest).hex())
first, rest = truncated(LN2, 40)
define("TVI_LN2_SHORT", float(first).hex(), "ln 2: 40 bits, and the rest")
define("TVI_LN2_REST_HIGH", parts(rest, 2)[0])
define("TVI_LN2_REST_LOW", parts(rest, 2)[1])

table("tvi_exp_table", "2^(i/128)", 2, [parts((LN2 * i / 128).exp(), 2) for i in range(128)])
table(
    "tvi_log_table",
    "-log(c) for c = 128.0 / (90 + i), rounded to double",
    2,
    [parts(-D(128.0 / i).ln() if i != 128 else D(0), 2) for i in range(90, 183)],
)
table("tvi_atan_table", "atan(i/64)", 2, [parts(arctangent(D(i) / 64), 2) for i in range(65)])
table(
    "tvi_erf_table",
    "erf(c) in two parts and 2/sqrt(pi) exp(-c^2), c = (8 + i) / 16",
    3,
    [
        parts(error_function(D(i) / 16), 2) + parts(2 / PI.sqrt() * (-(D(i) / 16) ** 2).exp(), 1)
        for i in range(8, 97)
    ],
)

# Bits of 2/pi behind the point: 1024 (largest exponent) + 256 (window) + some.
decimal.getcontext().prec = 480


def pi_by_machin():
    def inverse_arctangent(n):
        total, power, k = D(0), D(1) / n, 1
        while power > D(10) ** -478:
            total += power / k if k % 4 == 1 else -power / k
            power /= n * n
            k += 2
        return total

    return 16 * inverse_arctangent(5) - 4 * inverse_arctangent(239)


WORDS = 22
bits = int(2 / pi_by_machin() * D(2) ** (64 * WORDS))
print("\n// The first bits of 2/pi behind the point, most significant word first.")
print(f"static const uint64_t tvi_two_over_pi[{WORDS}] = {{")
for i in range(WORDS):
    print(f"    0x{bits >> (64 * (WORDS - 1 - i)) & (2**64 - 1):016X}u,")
print("};")
print("""
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#endif  // TRIVET_CORE_BASE_MATH_TABLES_H_""")
