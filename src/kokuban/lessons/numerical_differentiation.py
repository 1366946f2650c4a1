"""Numerical differentiation: five formulas, and their error against the step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction as Ratio
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.explain.layout import (
    Box,
    Fraction,
    Row,
    Script,
    bracketed,
    name,
    number,
    row,
    sign,
)
from kokuban.explain.page import Prose
from kokuban.gradcheck import check, differences
from kokuban.gradcheck.schemes import SCHEMES, Scheme, base_step
from kokuban.gradient import grad
from kokuban.lessons.figures import COLOURS, GREY
from kokuban.lessons.lesson import Lesson, Part, Words
from kokuban.lessons.teller import METHODS, Teller
from kokuban.lessons.values import Function, fitted_slope

AT = 0.7
GIVEN: dict[str, Any] = {"x": [[1.3]], "t": [[0.5]]}
STEPS = 2.0 ** (-np.arange(2, 99) / 2)  # from 1/2 down to where rounding is all
LARGEST = 0.09  # of the steps that slopes are fitted to
CLEAR = 30.0  # how far truncation must stand out of rounding to be fitted
MARKERS = "osD^v"


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    yield t.say(
        "A derivative is a limit. Numerical differentiation stops before the limit, at a "
        "small step h, and needs nothing but values of the function.",
        "微分は極限である。数値微分は、極限をとる代わりに小さな刻み幅 h で止める。必要なのは"
        "関数の値だけである。",
    )
    yield t.heading("Five formulas", "五つの公式")
    yield t.formulas(
        *(
            t.line(t.partial("L", "p"), ("≈", _formula(s)), reason=_called(t, m))
            for m, s in SCHEMES.items()
        )
    )
    yield t.say(
        "Their weights make powers of h cancel. What is left is the truncation error, of "
        "the order {}, {}, {}, {} and {}.",
        "各項の重みは、h のべきが打ち消し合うように選んである。残るのが打切り誤差で、その程度は"
        "順に {}, {}, {}, {}, {} である。",
        *(_power(s.order) for s in SCHEMES.values()),
    )
    yield from _errors(t)


def _called(t: Teller, method: str) -> Prose:
    return (t.pick(*METHODS[method]),)


def _power(order: int) -> Box:
    return name("h") if order == 1 else Script(name("h"), upper=number(order))


# ---------------------------------------------------------------- the formulas


def _formula(scheme: Scheme) -> Box:
    """A scheme as one fraction, such as (L(p + h) - L(p - h)) over 2h."""
    weights = _weights(scheme)
    common = lcm(*(w.denominator for w in weights.values()))
    terms: list[Box] = []
    for place in sorted(weights, reverse=True):
        factor = int(weights[place] * common)
        if terms:
            terms.append(sign("+" if factor > 0 else "-"))
        elif factor < 0:
            terms.append(sign("−"))
        terms += [number(abs(factor))] if abs(factor) > 1 else []
        terms += [name("L"), bracketed(_place(place))]
    below = row(number(common), name("h")) if common > 1 else name("h")
    return Fraction(Row(tuple(terms)), below, (True, common > 1))


def _weights(scheme: Scheme) -> Mapping[int, Ratio]:
    """What L(p + kh) / h is multiplied by, by k."""
    found: dict[int, Ratio] = {}
    for w, a, b in scheme.parts:
        each = Ratio(w).limit_denominator(1000) / (b - a)
        found[b] = found.get(b, Ratio()) + each
        found[a] = found.get(a, Ratio()) - each
    return {k: w for k, w in found.items() if w}


def _place(k: int) -> Box:
    if k == 0:
        return name("p")
    many = [number(abs(k))] if abs(k) > 1 else []
    moved: list[Box] = [name("p"), sign("+" if k > 0 else "-"), *many, name("h")]
    return Row(tuple(moved))


# ---------------------------------------------------------------- their errors


def _errors(t: Teller) -> Iterator[Part]:
    own = t.board("one")
    yield t.heading("The error against the step", "刻み幅と誤差")
    yield t.show("one")
    yield t.derive(own.L, own.p)
    yield t.checked(check(own.L, {**GIVEN, "p": [[AT]]}, method="7-point"))
    value, slope = Function(own.L, grad(own.L, own.p)).numbers(p=AT, **GIVEN)
    loss = Function(own.L)
    errors = {
        method: np.array(
            [
                abs(differences(lambda p: loss(p=p, **GIVEN)[0], [[AT]], method, h)[0, 0] - slope)
                for h in STEPS
            ]
        )
        for method in SCHEMES
    }  # fmt: skip
    fits = {m: _fit(SCHEMES[m], errors[m], value) for m in SCHEMES}
    yield t.say(
        "At p = {} the slope by backpropagation is {:.12f}. Against it, each formula at "
        "{} steps h, from {} down to {:.0e}:",
        "p = {0} での傾きは、逆伝播によれば {1:.12f} である。{3} から {4:.0e} までの "
        "{2} 通りの刻み幅 h で、各公式の誤差を調べる。",
        AT, slope, len(STEPS), float(STEPS[0]), float(STEPS[-1]),
    )  # fmt: skip
    yield _table(t, errors, fits)
    yield t.verdict(
        all(abs(fits[m] - SCHEMES[m].order) < 0.1 for m in SCHEMES),
        t.words(
            "the fitted slopes are the orders: {}",
            "あてはめた傾きは、公式の次数に一致する: {}",
            ", ".join(
                f"{t.pick(*METHODS[m])} {SCHEMES[m].order}" for m in SCHEMES
            ),
        ),
    )  # fmt: skip
    yield _picture(t, errors, fits)
    yield t.say(
        "Large steps truncate; small steps subtract values that are nearly equal, and "
        "the rounding of L, divided by h, takes over: to the left every curve rises like "
        "1/h. Both are alike near h = ε^(1/(order + 1)), with ε = {:.1e} for float64. A "
        "smaller step is not a better one.",
        "刻み幅が大きいと打切り誤差が、小さいとほぼ等しい値どうしの引き算による丸め誤差が効く。"
        "丸め誤差は h で割られるため、図の左側ではどの曲線も 1/h のように増える。両者が"
        "釣り合うのは h = ε^(1/(次数 + 1)) のあたりである (float64 では ε = {:.1e})。"
        "h は小さいほどよいというものではない。",
        2.0**-52,
    )


def _fit(scheme: Scheme, errors: NDArray[np.float64], value: float) -> float:
    """The order as seen: the slope where truncation stands out of rounding."""
    rounding = scheme.gain * 2.0**-52 * abs(value) / STEPS
    clear = (STEPS <= LARGEST) & (errors > CLEAR * rounding)
    until = int(np.argmax(~clear & (STEPS <= LARGEST)))  # the first that is not
    kept = clear & (np.arange(len(STEPS)) < until)
    return fitted_slope(STEPS[kept], errors[kept])


def _table(t: Teller, errors: Mapping[str, Any], fits: Mapping[str, float]) -> Part:
    rows = []
    for method, scheme in SCHEMES.items():
        best = int(np.argmin(errors[method]))
        rows.append(
            [
                t.pick(*METHODS[method]),
                len(_weights(scheme)),
                t.box(fits[method], ".2f"),
                t.box(float(STEPS[best]), ".0e"),
                t.box(float(errors[method][best]), ".0e"),
                t.box(base_step(method), ".0e"),
            ]
        )
    return t.table(
        [
            t.pick("formula", "公式"),
            t.pick("values of L", "L の計算回数"),
            t.pick("slope fitted", "あてはめた傾き"),
            t.pick("best h", "最良の h"),
            t.pick("its error", "その誤差"),
            "ε^(1/(n+1))",
        ],
        rows,
        t.words(
            "The slope is that of the error by h on log-log paper, where truncation "
            "rules; n is the formula's order.",
            "傾きは、両対数グラフで打切り誤差が支配的な範囲での、h に対する誤差の傾き。n は"
            "公式の次数。",
        ),
    )


def _picture(t: Teller, errors: Mapping[str, Any], fits: Mapping[str, float]) -> Part:
    def draw(figure: Any, words: Words) -> None:
        axes = figure.subplots()
        for method, colour, marker in zip(SCHEMES, COLOURS, MARKERS, strict=False):
            seen = errors[method] > 0
            label = f"{words(*METHODS[method])} ({fits[method]:.2f})"
            axes.loglog(
                STEPS[seen], errors[method][seen], marker + "-", color=colour,
                markersize=3, linewidth=0.8, label=label,
            )  # fmt: skip
        axes.loglog(STEPS, 2.0**-52 / STEPS, "--", color=GREY, linewidth=1, label="ε/h")
        axes.set_ylim(1e-17, 10)
        axes.set_xlabel(words("step h", "刻み幅 h"))
        axes.set_ylabel(words("error", "誤差"))
        axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(1.0, 0.3))

    return t.figure(
        "errors",
        draw,
        t.words(
            "The error of each formula by its step, on log-log paper. From the right each "
            "falls with its own slope (in brackets) until it meets the rounding, which "
            "rises to the left like ε/h.",
            "刻み幅に対する各公式の誤差 (両対数)。右から左へ、それぞれの傾き (括弧内) で減り、"
            "ε/h のように増える丸め誤差に達すると増加に転じる。",
        ),
        (7.2, 3.8),
    )


LESSON = Lesson(
    "numerical-differentiation",
    ("Numerical differentiation", "数値微分"),
    "002, 3.3.1",
    tell,
    {
        "one": """
            x: 1 x 1 input
            t: 1 x 1 target
            p: 1 x 1
            L = mse(tanh(p x), t)
        """,
    },
)
