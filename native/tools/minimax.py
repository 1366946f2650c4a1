"""Minimax polynomials of native/src/vecmath.h, by Remez exchange in high precision.

    python native/tools/minimax.py > native/src/coefficients.h

Needs mpmath. Each row of FITS says: approximate `value(t)` on [low, high] by a
polynomial of the given degree so that max |weight(t) (p(t) - value(t))| is least; the
weight turns the error of p into a relative error of the function it is part of.
Coefficients are then rounded to the format, and the error written beside them is that
of the rounded ones (binary logarithm). The exchange is Remez' second algorithm, as in
J.-M. Muller, Elementary Functions, 3rd ed. (2016), section 3.5.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mpmath import (
    atanh,
    cos,
    erf,
    erfc,
    expm1,
    floor,
    frexp,
    ldexp,
    linspace,
    log,
    log1p,
    lu_solve,
    matrix,
    mp,
    mpf,
    nint,
    pi,
    sin,
    sqrt,
)

mp.dps = 60
BITS = {"float": 24, "double": 53}
Function = Callable[[mpf], mpf]


@dataclass(frozen=True)
class Fit:
    """One polynomial to find; `says` goes above its coefficients."""

    name: str
    format: str
    says: str
    value: Function
    weight: Function
    low: mpf
    high: mpf
    degree: int


def evaluate(c: list[mpf], t: mpf) -> mpf:
    """The polynomial at t; c[0] is the constant term."""
    y = mpf(0)
    for a in reversed(c):
        y = y * t + a
    return y


def solve(fit: Fit, nodes: list[mpf]) -> list[mpf]:
    """Coefficients whose weighted error is +E, -E, +E ... at the nodes."""
    n = fit.degree + 2
    a, b = matrix(n, n), matrix(n, 1)
    for i, t in enumerate(nodes):
        for j in range(n - 1):
            a[i, j] = t**j
        a[i, n - 1] = (-1) ** i / fit.weight(t)
        b[i] = fit.value(t)
    return list(lu_solve(a, b))[:-1]


def error_of(fit: Fit, c: list[mpf]) -> Function:
    """The weighted error of these coefficients, as a function of t."""
    return lambda t: fit.weight(t) * (evaluate(c, t) - fit.value(t))


def extrema(error: Function, grid: list[mpf], count: int) -> list[mpf]:
    """Where the error is largest between its changes of sign: `count` neighbours."""
    values = [error(t) for t in grid]
    best: list[tuple[mpf, mpf]] = []
    for t, e in zip(grid, values, strict=True):
        if best and (best[-1][1] > 0) == (e > 0):
            if abs(e) > abs(best[-1][1]):
                best[-1] = (t, e)
        else:
            best.append((t, e))
    while len(best) > count:
        best.pop(0 if abs(best[0][1]) < abs(best[-1][1]) else -1)
    return [t for t, _ in best]


def grid(fit: Fit, points: int) -> list[mpf]:
    """Chebyshev's spacing: close together at the ends, where extrema crowd."""
    middle, half = (fit.low + fit.high) / 2, (fit.high - fit.low) / 2
    return [middle - half * cos(pi * u) for u in linspace(mpf(1) / 2**40, 1, points)]


def remez(fit: Fit) -> list[mpf]:
    """The minimax polynomial's coefficients, not yet rounded."""
    points = grid(fit, 60 * (fit.degree + 2) + 1)
    step = (len(points) - 1) / mpf(fit.degree + 1)
    nodes = [points[int(nint(i * step))] for i in range(fit.degree + 2)]
    for _ in range(12):
        c = solve(fit, nodes)
        found = extrema(error_of(fit, c), points, len(nodes))
        if len(found) < len(nodes):
            raise RuntimeError(f"{fit.name} {fit.format}: the error lost an extremum")
        if found == nodes:
            break
        nodes = found
    return c


def rounded(x: mpf, bits: int) -> mpf:
    """The number of so many bits nearest to x."""
    if x == 0:
        return x
    mantissa, exponent = frexp(x)
    return ldexp(nint(ldexp(mantissa, bits)), exponent - bits)


def hexadecimal(x: mpf, format: str) -> str:
    """x, a number of the format, as a literal that is read back exactly."""
    mantissa, exponent = float(x).hex().split("p")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}p{exponent}" + ("f" if format == "float" else "")


def split(x: mpf, bits: list[int]) -> list[mpf]:
    """x as a sum of numbers of these many bits; all but the last are cut, not rounded."""
    parts = []
    for b in bits[:-1]:
        _, exponent = frexp(x)
        parts.append(ldexp(floor(ldexp(x, b - exponent)), exponent - b))
        x -= parts[-1]
    return [*parts, rounded(x, bits[-1])]


HALF_LN2 = log(2) / 2 * mpf("1.001")
QUARTER_PI2 = (pi / 4 * mpf("1.002")) ** 2


def log_tail(z: mpf) -> mpf:
    """(2 atanh(s)/s - 2)/z with z = s^2: 2/3 + 2/5 z + ..."""
    s = sqrt(z)
    return (2 * atanh(s) / s - 2) / z


def both(
    name: str,
    says: str,
    value: Function,
    weight: Function,
    low: mpf,
    high: mpf,
    degrees: tuple[int, int],
) -> list[Fit]:
    """The same fit in both formats, each with its own degree."""
    return [
        Fit(name, f, says, value, weight, low, high, degree)
        for f, degree in zip(BITS, degrees, strict=True)
    ]


FITS = [
    *both(
        "exp",
        "e^r = 1 + r + r^2 p(r), |r| <= ln(2)/2; error relative to e^r - 1",
        lambda r: (expm1(r) - r) / r**2,
        lambda r: r**2 / abs(expm1(r)),
        -HALF_LN2,
        HALF_LN2,
        (5, 10),
    ),
    Fit(
        "log",
        "float",
        "ln(1 + f) = f + f^2 (-1/2 + f p(f)), |f| <= 1/3",
        lambda f: (log1p(f) - f + f**2 / 2) / f**3,
        lambda f: abs(f**3 / log1p(f)),
        -mpf(1) / 3,
        mpf(1) / 3,
        7,
    ),
    Fit(
        "log",
        "double",
        "ln((1 + s)/(1 - s)) = 2 s + s z p(z), z = s^2 <= 1/25",
        log_tail,
        lambda z: z * sqrt(z) / (2 * atanh(sqrt(z))),
        mpf(0),
        mpf(1) / 25,
        7,
    ),
    Fit(
        "log_fine",
        "double",
        "ln((1 + s)/(1 - s)) = 2 s + s z (2/3 + z p(z)), z = s^2 <= 1/25",
        lambda z: (log_tail(z) - mpf(2) / 3) / z,
        lambda z: z**2 * sqrt(z) / (2 * atanh(sqrt(z))),
        mpf(1) / 10**12,
        mpf(1) / 25,
        8,
    ),
    *both(
        "sin",
        "sin r = r + r t p(t), t = r^2, |r| <= pi/4",
        lambda t: (sin(sqrt(t)) / sqrt(t) - 1) / t,
        lambda t: t * sqrt(t) / sin(sqrt(t)),
        mpf(0),
        QUARTER_PI2,
        (3, 6),
    ),
    *both(
        "cos",
        "cos r = 1 - t/2 + t^2 p(t), t = r^2, |r| <= pi/4",
        lambda t: (cos(sqrt(t)) - 1 + t / 2) / t**2,
        lambda t: t**2 / cos(sqrt(t)),
        mpf(0),
        QUARTER_PI2,
        (2, 6),
    ),
    *both(
        "erf",
        "erf x = x + x p(x^2), |x| <= 1",
        lambda t: erf(sqrt(t)) / sqrt(t) - 1,
        lambda t: sqrt(t) / erf(sqrt(t)),
        mpf(0),
        mpf(1),
        (6, 12),
    ),
    Fit(
        "erfc",
        "float",
        "erfc x = e^p(x - 1), 1 <= x <= 4; error relative to erf x",
        lambda t: log(erfc(t + 1)),
        lambda t: erfc(t + 1) / erf(t + 1),
        mpf(0),
        mpf(3),
        6,
    ),
    Fit(
        "erfc",
        "double",
        "erfc x = e^p(x - 1), 1 <= x <= 6; error relative to erf x",
        lambda t: log(erfc(t + 1)),
        lambda t: erfc(t + 1) / erf(t + 1),
        mpf(0),
        mpf(5),
        17,
    ),
]

# Constants cut so that the product of a part and an integer of the size that occurs is
# exact without a fused multiply-add (8 and 11 bits for ln 2, 13 and 20 for pi/2).
SPLITS = [
    ("ln2", log(2), {"float": [16, 24], "double": [42, 53]}),
    ("half_pi", pi / 2, {"float": [11, 11, 11, 11, 24], "double": [33, 33, 33, 53]}),
    ("half_pi_fused", pi / 2, {"float": [24, 24, 24], "double": [53, 53, 53]}),
]


def wrapped(items: list[str], indent: str) -> str:
    """Items with commas, in lines of at most 90 characters."""
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) + 2 > 88:
            lines.append(line.rstrip())
            line = indent
        line += item + ", "
    return "\n".join([*lines, line.rstrip(", ")])


def array(name: str, format: str, values: list[mpf]) -> str:
    """A C++ array of the values."""
    items = wrapped([hexadecimal(v, format) for v in values], "      ")
    return f"  static constexpr {format} {name}[] = {{\n{items}}};"


def fitted(fit: Fit) -> str:
    """A fit's array, with what it is and how good it is."""
    c = [rounded(a, BITS[fit.format]) for a in remez(fit)]
    error = error_of(fit, c)
    worst = max(abs(error(t)) for t in grid(fit, 2003))
    return (
        f"  // {fit.says}\n"
        f"  // degree {fit.degree}, relative error 2^{float(log(worst, 2)):.1f}\n"
        + array(fit.name, fit.format, c)
    )


def structure(format: str) -> str:
    """All of a format's constants."""
    rows = [fitted(fit) for fit in FITS if fit.format == format]
    for name, x, bits in SPLITS:
        rows.append(f"  // {name}, cut into parts, largest first")
        rows[-1] += "\n" + array(name, format, split(x, bits[format]))
    body = "\n".join(rows)
    return f"template <>\nstruct coefficients<{format}> {{\n{body}\n}};"


def two_over_pi() -> str:
    """Bits of 2/pi after the binary point, 64 a word; 19 words serve every double."""
    bits = 19 * 64
    with mp.workprec(bits + 64):
        whole = int(floor(ldexp(2 / pi, bits)))
    words = [f"0x{whole >> (bits - 64 * (i + 1)) & (2**64 - 1):016x}" for i in range(19)]
    return (
        "// 2/pi after the binary point, 64 bits a word, the highest first.\n"
        "inline constexpr uint64_t two_over_pi[] = {\n" + wrapped(words, "    ") + "};"
    )


def main() -> None:
    """Write the header to standard output."""
    print("// Written by native/tools/minimax.py, which says how; change it there.")
    print("#pragma once\n#include <stdint.h>\n\nnamespace kb::KB_ISA {\n")
    print("template <class T>\nstruct coefficients;\n")
    for format in BITS:
        print(structure(format) + "\n")
    print(two_over_pi() + "\n")
    print("}  // namespace kb::KB_ISA")


if __name__ == "__main__":
    main()
