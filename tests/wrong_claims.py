"""Wrong gradients as people write them: nets, their right gradients, and what goes wrong.

Everything is text in the formula language, written by hand and by rules on text. Nothing
here calls what it tests: the true cause of a claim is what its author wrote beside it.

A net has lines (`lets`, such as D = (Y - T)/N) that lead to the gradients (`right`). A
wrong line makes every gradient that uses it wrong, for the same cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Wrongs = Mapping[str, tuple[tuple[str, str], ...]]  # by name: (cause, wrong text), …


@dataclass(frozen=True)
class Net:
    name: str
    board: str
    lets: Mapping[str, str]
    right: Mapping[str, str]
    wrong_lets: Wrongs = field(default_factory=dict)
    wrong: Wrongs = field(default_factory=dict)


@dataclass(frozen=True)
class Wrong:
    """One wrong claim: the net, by what, the lines and the formula, and the causes."""

    net: Net
    by: str
    lets: Mapping[str, str]
    text: str
    causes: tuple[str, ...]

    def __str__(self) -> str:
        lines = "; ".join(f"{k} = {v}" for k, v in self.lets.items())
        return f"{self.net.name}: {self.by} = {self.text}   where {lines}"


# The errors of a whole result that every gradient can have.
WHOLE = (
    ("sign", "-({})"),
    ("factor", "2 ({})"),
    ("factor", "1/2 ({})"),
    ("transposed", "({})^T"),
)
OF_SAMPLES = (("batch-mean", "N ({})"), ("batch-mean", "1/N ({})"))

SOFTMAX = (
    ("batch-mean", "Y - T"),
    ("sign", "(T - Y)/N"),
    ("sign", "(Y + T)/N"),
    ("term-forgotten", "Y/N"),
    ("softmax-diagonal", "-(T * (1 - Y))/N"),
    ("derivative-twice", "(Y - T) * Y * (1 - Y)/N"),
    ("factor", "2 (Y - T)/N"),
    ("brackets", "Y * (1 - T)/N"),
    ("derivative-forgotten", "-(T / Y)/N"),
)
MEAN_SQUARE_3 = (
    ("batch-mean", "2/3 (Y - T)"),
    ("batch-mean", "2 (Y - T)"),
    ("factor", "(Y - T)/(3 N)"),
    ("factor", "2 (Y - T)/N"),
    ("sign", "2 (T - Y)/(3 N)"),
    ("term-forgotten", "2 Y/(3 N)"),
    ("exponent", "2 (Y - T)^2/(3 N)"),
)
HALF_SQUARE = (
    ("factor", "2 (Y - T)"),
    ("batch-mean", "(Y - T)/N"),
    ("sign", "T - Y"),
    ("sign", "Y + T"),
    ("exponent", "(Y - T)^2"),
    ("term-forgotten", "Y"),
)


def first(a: str) -> str:
    """The first row of a matrix."""
    return f"slice({a}, axis=0, start=0, stop=1)"


def weights(x: str, d: str) -> tuple[tuple[str, str], ...]:
    """What goes wrong in X^T D."""
    return (
        ("transposed", f"{d}^T {x}"),
        ("factor-twice", f"({x} * {x})^T {d}"),
        ("one-sample", f"{first(x)}^T {first(d)}"),
        ("batch-mean", f"{x}^T {d}/N"),
    )


def bias(d: str) -> tuple[tuple[str, str], ...]:
    """What goes wrong in 1^T D."""
    return (
        ("sum-forgotten", d),
        ("batch-mean", f"mean({d}, over=rows)"),
        ("sum-axis", f"Σ_columns {d}"),
        ("transposed", f"{d}^T 1_N"),
        ("one-sample", first(d)),
    )


def hidden(d: str, v: str, h: str, u: str, output: str, swapped: str) -> Wrongs:
    """What goes wrong in G = (D V^T) * f'; `output` is f' as a formula in H."""
    above = f"({d} {v}^T)"
    at_input = output.replace(h, u)
    return {
        "G": (
            ("derivative-forgotten", above),
            ("derivative-at-input", f"{above} * ({at_input})"),
            ("derivative-twice", f"{above} * ({output}) * ({output})"),
            ("upstream-forgotten", output),
            ("derivative-other", f"{above} * ({swapped})"),
        )
    }


NETS = (
    Net(
        "affine, softmax, cross-entropy",
        "X: N x 4; W: 4 x 3; b: 1 x 3; T: N x 3; U = X W + b; Y = softmax(U); "
        "L = cross_entropy(Y, T)",
        {"D": "(Y - T)/N"},
        {"W": "X^T D", "b": "1^T D", "X": "D W^T"},
        {"D": SOFTMAX},
        {
            "W": weights("X", "D"),
            "b": bias("D"),
            "X": (("transposed", "W D^T"), ("factor-forgotten", "D")),
        },
    ),
    Net(
        "affine, mean square",
        "X: N x 4; W: 4 x 3; b: 1 x 3; T: N x 3; Y = X W + b; L = mse(Y, T)",
        {"D": "2 (Y - T)/(3 N)"},
        {"W": "X^T D", "b": "1^T D"},
        {"D": MEAN_SQUARE_3},
        {"W": weights("X", "D"), "b": bias("D")},
    ),
    Net(
        "affine, half the sum of squares",
        "X: N x 5; W: 5 x 2; b: 1 x 2; T: N x 2; Y = X W + b; "
        "L = half_sum_of_squares(Y, T)",
        {"D": "Y - T"},
        {"W": "X^T D", "b": "1^T D"},
        {"D": HALF_SQUARE},
        {"W": weights("X", "D"), "b": bias("D")},
    ),
    Net(
        "logistic regression",
        "X: N x 4; w: 4 x 1; c: 1 x 1; T: N x 1; U = X w + c; Y = sigmoid(U); "
        "L = binary_cross_entropy(Y, T)",
        {"D": "(Y - T)/N"},
        {"w": "X^T D", "c": "1^T D"},
        {
            "D": (
                ("batch-mean", "Y - T"),
                ("sign", "(T - Y)/N"),
                ("sign", "(Y + T)/N"),
                ("derivative-twice", "(Y - T) * Y * (1 - Y)/N"),
                ("path-forgotten", "-(T * (1 - Y))/N"),
                ("path-forgotten", "((1 - T) * Y)/N"),
                ("derivative-forgotten", "((1 - T)/(1 - Y) - T/Y)/N"),
            )
        },
        {
            "w": weights("X", "D"),
            "c": (
                ("sum-forgotten", "D"),
                ("batch-mean", "mean(D)"),
                ("one-sample", first("D")),
            ),
        },
    ),
    Net(
        "two layers, sigmoid, cross-entropy",
        "X: N x 4; W: 4 x 5; b: 1 x 5; V: 5 x 3; c: 1 x 3; T: N x 3; U = X W + b; "
        "H = sigmoid(U); Y = softmax(H V + c); L = cross_entropy(Y, T)",
        {"D": "(Y - T)/N", "G": "(D V^T) * H * (1 - H)"},
        {"V": "H^T D", "c": "1^T D", "W": "X^T G", "b": "1^T G"},
        {
            "D": SOFTMAX,
            "G": (
                *hidden("D", "V", "H", "U", "H * (1 - H)", "1 - H^2")["G"],
                ("derivative-at-output", "(D V^T) * σ'(H)"),
                ("factor-forgotten", "(D V^T) * H"),
                ("factor-forgotten", "(D V^T) * (1 - H)"),
                ("sign", "(D V^T) * H * (1 + H)"),
            ),
        },
        {
            "V": (*weights("H", "D"), ("activation-forgotten", "U^T D")),
            "c": bias("D"),
            "W": weights("X", "G"),
            "b": bias("G"),
        },
    ),
    Net(
        "two layers, relu, cross-entropy",
        "X: N x 4; W: 4 x 5; b: 1 x 5; V: 5 x 3; c: 1 x 3; T: N x 3; U = X W + b; "
        "H = relu(U); Y = softmax(H V + c); L = cross_entropy(Y, T)",
        {"D": "(Y - T)/N", "G": "(D V^T) * step(U)"},
        {"V": "H^T D", "c": "1^T D", "W": "X^T G", "b": "1^T G"},
        {
            "D": SOFTMAX,
            "G": (
                ("derivative-forgotten", "D V^T"),
                ("kink-side", "(D V^T) * step(-U)"),
                ("upstream-forgotten", "step(U)"),
                ("function-forgotten", "(D V^T) * U"),
            ),
        },
        {
            "V": (*weights("H", "D"), ("activation-forgotten", "U^T D")),
            "W": weights("X", "G"),
            "b": bias("G"),
        },
    ),
    Net(
        "two layers, tanh, mean square",
        "X: N x 4; W: 4 x 5; b: 1 x 5; V: 5 x 3; c: 1 x 3; T: N x 3; U = X W + b; "
        "H = tanh(U); Y = H V + c; L = mse(Y, T)",
        {"D": "2 (Y - T)/(3 N)", "G": "(D V^T) * (1 - H^2)"},
        {"V": "H^T D", "c": "1^T D", "W": "X^T G", "b": "1^T G"},
        {
            "D": MEAN_SQUARE_3,
            "G": (
                *hidden("D", "V", "H", "U", "1 - H^2", "H * (1 - H)")["G"],
                ("derivative-at-output", "(D V^T) * tanh'(H)"),
                ("derivative-other", "(D V^T) * (1 - H)"),
                ("sign", "(D V^T) * (1 + H^2)"),
            ),
        },
        {
            "V": (*weights("H", "D"), ("activation-forgotten", "U^T D")),
            "W": weights("X", "G"),
            "b": bias("G"),
        },
    ),
    Net(
        "two layers, softplus, half the sum of squares",
        "X: N x 4; W: 4 x 5; b: 1 x 5; V: 5 x 2; c: 1 x 2; T: N x 2; U = X W + b; "
        "H = softplus(U); Y = H V + c; L = half_sum_of_squares(Y, T)",
        {"D": "Y - T", "G": "(D V^T) * σ(U)"},
        {"V": "H^T D", "W": "X^T G", "b": "1^T G"},
        {
            "D": HALF_SQUARE,
            "G": (
                ("derivative-forgotten", "D V^T"),
                ("derivative-at-output", "(D V^T) * σ(H)"),
                ("derivative-other", "(D V^T) * step(U)"),
                ("upstream-forgotten", "σ(U)"),
            ),
        },
        {"V": (("activation-forgotten", "U^T D"),), "b": bias("G")},
    ),
    Net(
        "three layers",
        "X: N x 4; W: 4 x 5; A: 5 x 6; V: 6 x 3; T: N x 3; P = X W; F = tanh(P); "
        "U = F A; H = sigmoid(U); Y = softmax(H V); L = cross_entropy(Y, T)",
        {
            "D": "(Y - T)/N",
            "G": "(D V^T) * H * (1 - H)",
            "E": "(G A^T) * (1 - F^2)",
        },
        {"V": "H^T D", "A": "F^T G", "W": "X^T E"},
        {
            "D": (("batch-mean", "Y - T"), ("sign", "(T - Y)/N")),
            "G": (
                ("derivative-forgotten", "D V^T"),
                ("derivative-at-output", "(D V^T) * σ'(H)"),
                ("upstream-forgotten", "H * (1 - H)"),
            ),
            "E": (
                ("derivative-forgotten", "G A^T"),
                ("derivative-at-output", "(G A^T) * tanh'(F)"),
                ("derivative-at-input", "(G A^T) * (1 - P^2)"),
                ("derivative-other", "(G A^T) * F * (1 - F)"),
                ("upstream-forgotten", "1 - F^2"),
            ),
        },
        {"A": (("activation-forgotten", "P^T G"), ("transposed", "G^T F"))},
    ),
    Net(
        "samples in columns",
        "X: 4 x N; W: 5 x 4; b: 5 x 1; V: 3 x 5; T: 3 x N; U = W X + b; H = sigmoid(U); "
        "Y = V H; L = half_sum_of_squares(Y, T)",
        {"D": "Y - T", "G": "(V^T D) * H * (1 - H)"},
        {"V": "D H^T", "W": "G X^T", "b": "Σ_columns G"},
        {
            "D": HALF_SQUARE,
            "G": (
                ("derivative-forgotten", "V^T D"),
                ("derivative-at-output", "(V^T D) * σ'(H)"),
                ("derivative-at-input", "(V^T D) * U * (1 - U)"),
                ("upstream-forgotten", "H * (1 - H)"),
            ),
        },
        {
            "V": (("transposed", "H D^T"), ("activation-forgotten", "D U^T")),
            "W": (("transposed", "X G^T"), ("factor-twice", "G (X * X)^T")),
            "b": (
                ("sum-forgotten", "G"),
                ("batch-mean", "mean(G, over=columns)"),
                ("sum-axis", "Σ_rows G"),
            ),
        },
    ),
    Net(
        "tied autoencoder",
        "X: N x 4; W: 4 x 2; H = sigmoid(X W); Y = H W^T; L = mse(Y, X)",
        {"D": "2 (Y - X)/(4 N)", "G": "(D W) * H * (1 - H)", "E": "X^T G", "F": "D^T H"},
        {"W": "E + F"},
        {
            "D": (
                ("batch-mean", "2 (Y - X)/4"),
                ("factor", "(Y - X)/(4 N)"),
                ("sign", "2 (X - Y)/(4 N)"),
            ),
            "G": (
                ("derivative-forgotten", "D W"),
                ("derivative-at-output", "(D W) * σ'(H)"),
                ("upstream-forgotten", "H * (1 - H)"),
            ),
        },
        {
            "W": (
                ("use-forgotten", "E"),
                ("use-forgotten", "F"),
                ("use-twice", "2 E + F"),
                ("use-twice", "E + 2 F"),
                ("sign", "E - F"),
                ("sign", "F - E"),
            )
        },
    ),
    Net(
        "one scalar weight",
        "X: N x 3; w: 1 x 1; c: 1 x 1; T: N x 3; Y = w X + c; L = mse(Y, T)",
        {"D": "2 (Y - T)/(3 N)"},
        {"w": "Σ (D * X)", "c": "Σ D"},
        {"D": MEAN_SQUARE_3},
        {
            "w": (
                ("sum-forgotten", "D * X"),
                ("factor-forgotten", "Σ D"),
                ("factor-twice", "Σ (D * X * X)"),
                ("upstream-forgotten", "Σ X"),
            ),
            "c": (("sum-forgotten", "D"), ("other-gradient", "Σ (D * X)")),
        },
    ),
    Net(
        "weight decay",
        "X: N x 4; W: 4 x 3; b: 1 x 3; T: N x 3; Y = softmax(X W + b); "
        "L = cross_entropy(Y, T) + 0.1 l2(W)",
        {"D": "(Y - T)/N", "R": "0.1 W"},
        {"W": "X^T D + R", "b": "1^T D"},
        {
            "D": (
                ("batch-mean", "Y - T"),
                ("sign", "(T - Y)/N"),
                ("softmax-diagonal", "-(T * (1 - Y))/N"),
            ),
            "R": (
                ("factor-forgotten", "W"),
                ("use-twice", "0.2 W"),
                ("factor", "0.05 W"),
                ("batch-mean", "0.1 W/N"),
                ("sign", "-0.1 W"),
            ),
        },
        {"W": (("use-forgotten", "X^T D"), ("use-forgotten", "R")), "b": bias("D")},
    ),
    Net(
        "cross-entropy from scores",
        "X: N x 4; W: 4 x 5; V: 5 x 3; T: N x 3; U = X W; H = tanh(U); S = H V; "
        "L = softmax_cross_entropy(S, T)",
        {"Y": "softmax(S)", "D": "(Y - T)/N", "G": "(D V^T) * (1 - H^2)"},
        {"V": "H^T D", "W": "X^T G"},
        {"D": SOFTMAX, "G": hidden("D", "V", "H", "U", "1 - H^2", "H * (1 - H)")["G"]},
        {"W": weights("X", "G")},
    ),
    Net(
        "yes-or-no questions from scores",
        "X: N x 4; W: 4 x 5; V: 5 x 2; T: N x 2; U = X W; H = relu(U); S = H V; "
        "L = sigmoid_cross_entropy(S, T)",
        {"Y": "σ(S)", "D": "(Y - T)/N", "G": "(D V^T) * step(U)"},
        {"V": "H^T D", "W": "X^T G"},
        {
            "D": (
                ("batch-mean", "Y - T"),
                ("sign", "(T - Y)/N"),
                ("derivative-twice", "(Y - T) * Y * (1 - Y)/N"),
                ("path-forgotten", "-(T * (1 - Y))/N"),
                ("function-forgotten", "(S - T)/N"),
            ),
            "G": (("derivative-forgotten", "D V^T"), ("kink-side", "(D V^T)*step(-U)")),
        },
        {"V": weights("H", "D")},
    ),
    Net(
        "the sum of squares spelt out",
        "X: N x 4; W: 4 x 3; T: N x 3; R = X W - T; L = 1/N ‖R‖²",
        {"D": "2 R/N"},
        {"W": "X^T D"},
        {
            "D": (
                ("batch-mean", "2 R"),
                ("factor", "R/N"),
                ("sign", "-2 R/N"),
                ("exponent", "2 (R * R)/N"),
            )
        },
        {"W": (*weights("X", "D"), ("upstream-forgotten", "X^T 1_N [[1, 1, 1]]"))},
    ),
    Net(
        "layer norm",
        "X: N x 4; W: 4 x 5; s: 1 x 5; c: 1 x 5; V: 5 x 3; T: N x 3; U = X W; "
        "M = U - mean(U, over=columns); Q = sqrt(mean(M^2, over=columns) + 0.00001); "
        "Z = M / Q; H = Z * s + c; Y = softmax(H V); L = cross_entropy(Y, T)",
        {"D": "(Y - T)/N", "G": "D V^T"},
        {"V": "H^T D", "s": "1^T (G * Z)", "c": "1^T G"},
        {"D": SOFTMAX},
        {
            "s": (
                ("sum-forgotten", "G * Z"),
                ("factor-forgotten", "1^T G"),
                ("batch-mean", "mean(G * Z, over=rows)"),
                ("upstream-forgotten", "1^T Z"),
            ),
            "c": (*bias("G")[:2], ("other-gradient", "1^T (G * Z)")),
        },
    ),
    Net(
        "batch norm",
        "X: N x 4; s: 1 x 4; c: 1 x 4; T: N x 4; M = X - mean(X, over=rows); "
        "Q = sqrt(mean(M^2, over=rows) + 0.00001); Y = M / Q * s + c; L = mse(Y, T)",
        {
            "D": "2 (Y - T)/(4 N)",
            "G": "D * s / Q",
            "B": "mean(G, over=rows)",
            "C": "(M / Q) * mean(G * M / Q, over=rows)",
        },
        {"X": "G - B - C", "s": "1^T (D * M / Q)", "c": "1^T D"},
        {
            "D": (
                ("batch-mean", "2 (Y - T)/4"),
                ("factor", "(Y - T)/(4 N)"),
                ("sign", "2 (T - Y)/(4 N)"),
            )
        },
        {
            "X": (("path-forgotten", "G - C"), ("path-forgotten", "G - B")),
            "s": (("sum-forgotten", "D * M / Q"), ("factor-forgotten", "1^T (D * M)")),
            "c": bias("D"),
        },
    ),
    Net(
        "softmax's Jacobian",
        "U: N x 4; G: N x 4; Y = softmax(U); L = Σ (G * Y)",
        {"S": "Σ_columns (G * Y)"},
        {"U": "Y * (G - S)"},
        {"S": (("sign", "-Σ_columns (G * Y)"), ("factor-forgotten", "Σ_columns G"))},
        {
            "U": (
                ("softmax-diagonal", "G * Y * (1 - Y)"),
                (
                    "softmax-index",
                    "G * Y * (1 - Y) - (Σ_columns (G * Y * Y) - G * Y * Y)",
                ),
                ("softmax-twice", "Y * (G - S) - G * Y * Y"),
                ("brackets", "Y * (Y * G - S)"),
                ("derivative-forgotten", "G"),
                ("factor-forgotten", "G - S"),
                ("term-forgotten", "G * Y"),
            )
        },
    ),
    Net(
        "a path around",
        "X: N x 4; A: 4 x 4; W: 4 x 3; T: N x 3; U = X A; H = tanh(U); R = X + H; "
        "Y = softmax(R W); L = cross_entropy(Y, T)",
        {"D": "(Y - T)/N", "P": "D W^T", "G": "P * (1 - H^2)"},
        {"W": "R^T D", "A": "X^T G", "X": "P + G A^T"},
        {
            "D": SOFTMAX[:3],
            "G": (
                ("derivative-forgotten", "P"),
                ("derivative-at-output", "P * tanh'(H)"),
                ("upstream-forgotten", "1 - H^2"),
            ),
        },
        {
            "X": (
                ("use-forgotten", "P"),
                ("use-forgotten", "G A^T"),
                ("use-twice", "2 P + G A^T"),
                ("transposed", "P + G A"),
                ("sign", "P - G A^T"),
            ),
            "A": (("transposed", "G^T X"), ("factor-twice", "(X * X)^T G")),
            "W": (("term-forgotten", "H^T D"), ("term-forgotten", "X^T D")),
        },
    ),
    Net(
        "absolute errors",
        "X: N x 4; W: 4 x 3; b: 1 x 3; T: N x 3; Y = X W + b; L = mae(Y, T)",
        {"D": "sign(Y - T)/(3 N)"},
        {"W": "X^T D", "b": "1^T D"},
        {
            "D": (
                ("derivative-forgotten", "1/(3 N) (0 Y + 1)"),
                ("batch-mean", "sign(Y - T)"),
                ("factor", "sign(Y - T)/N"),
                ("sign", "sign(T - Y)/(3 N)"),
                ("function-forgotten", "(Y - T)/(3 N)"),
            )
        },
        {"W": weights("X", "D")},
    ),
    Net(
        "counts",
        "X: N x 4; W: 4 x 2; T: N x 2; Y = X W; L = poisson(Y, T)",
        {"D": "(exp(Y) - T)/(2 N)"},
        {"W": "X^T D"},
        {
            "D": (
                ("batch-mean", "exp(Y) - T"),
                ("function-forgotten", "(Y - T)/(2 N)"),
                ("sign", "(exp(Y) + T)/(2 N)"),
                ("term-forgotten", "exp(Y)/(2 N)"),
            )
        },
        {"W": weights("X", "D")},
    ),
    Net(
        "gelu",
        "X: N x 4; W: 4 x 5; V: 5 x 3; T: N x 3; U = X W; H = gelu(U); Y = H V; "
        "L = half_sum_of_squares(Y, T)",
        {"D": "Y - T", "G": "(D V^T) * gelu'(U)"},
        {"V": "H^T D", "W": "X^T G"},
        {
            "D": HALF_SQUARE,
            "G": (
                ("derivative-forgotten", "D V^T"),
                ("derivative-at-output", "(D V^T) * gelu'(H)"),
                ("upstream-forgotten", "gelu'(U)"),
                ("derivative-twice", "(D V^T) * gelu'(U) * gelu'(U)"),
            ),
        },
        {"V": (("activation-forgotten", "U^T D"),)},
    ),
)


def used(net: Net, by: str) -> set[str]:
    """The lines that a gradient is made of, directly or not."""
    found, waiting = set[str](), [net.right[by]]
    while waiting:
        words = set(re.findall(r"\w+", waiting.pop()))
        for name in words & net.lets.keys() - found:
            found.add(name)
            waiting.append(net.lets[name])
    return found


def wrong_claims() -> Iterator[Wrong]:
    """One mistake each."""
    for net in NETS:
        for by, right in net.right.items():
            whole = WHOLE + (OF_SAMPLES if "N" in net.board else ())
            for cause, pattern in whole:
                if cause != "transposed" or not _scalar(net, by):
                    text = pattern.format(right)
                    yield Wrong(net, by, net.lets, text, (cause,))
            for cause, text in net.wrong.get(by, ()):
                yield Wrong(net, by, net.lets, text, (cause,))
            for line in used(net, by):
                for cause, text in net.wrong_lets.get(line, ()):
                    lets = {**net.lets, line: text}
                    yield Wrong(net, by, lets, right, (cause,))


def _scalar(net: Net, by: str) -> bool:
    return re.search(rf"\b{by}: 1 x 1\b", net.board) is not None


def wrong_twice() -> Iterator[Wrong]:
    """Two mistakes each: in two lines, or in a line and the whole."""
    for net in NETS:
        for by, right in net.right.items():
            lines = sorted(used(net, by) & net.wrong_lets.keys())
            for k, line in enumerate(lines):
                for n, (cause, text) in enumerate(net.wrong_lets[line][:4]):
                    lets = {**net.lets, line: text}
                    whole, pattern = (*OF_SAMPLES[:1], *WHOLE[:2])[n % 3]
                    if whole != cause and {whole, cause} != {"factor", "batch-mean"}:
                        causes = (cause, whole)
                        yield Wrong(net, by, lets, pattern.format(right), causes)
                    for other in lines[k + 1 :]:
                        for second, wrong in net.wrong_lets[other][:3]:
                            if second != cause and not second.startswith("upstream"):
                                both = {**lets, other: wrong}
                                yield Wrong(net, by, both, right, (cause, second))


# ---------------------------------------------------------------- right claims

FORMS = (
    "{0}",
    "(({0})^T)^T",
    "2 ({0}) - ({0})",
    "0.5 ({0}) + 0.5 ({0})",
    "3 ({0})/3",
    "-(-({0}))",
)

# By net: other forms of a line.
OTHER_FORMS: Mapping[str, Wrongs] = {
    "two layers, sigmoid, cross-entropy": {
        "G": (
            ("", "(D V^T) * (H - H^2)"),
            ("", "(D V^T) * σ'(U)"),
            ("", "(V D^T)^T * (H - H * H)"),
            ("", "(D V^T) * exp(-U)/(1 + exp(-U))^2"),
            ("", "(D V^T) * σ(U) * σ(-U)"),
        ),
        "D": (
            ("", "1/N Y - 1/N T"),
            ("", "-(T - Y)/N"),
            ("", "(Y - T) * (1/N)"),
            ("", "Y * (-(T/Y) - Σ_columns (-(T/Y) * Y))/N"),
        ),
    },
    "two layers, tanh, mean square": {
        "G": (
            ("", "(D V^T) * (1 - H) * (1 + H)"),
            ("", "(D V^T) * tanh'(U)"),
            ("", "(D V^T) - (D V^T) * H^2"),
            ("", "(D V^T) * (1 - tanh(U)^2)"),
        ),
        "D": (("", "(Y - T)/(1.5 N)"), ("", "2/3 (Y/N - T/N)")),
    },
    "two layers, relu, cross-entropy": {
        "G": (("", "(D V^T) * relu'(U)"), ("", "(D V^T) * step(H, at_zero=0)")),
    },
    "two layers, softplus, half the sum of squares": {
        "G": (("", "(D V^T) * (1 - exp(-H))"), ("", "(D V^T)/(1 + exp(-U))")),
    },
    "tied autoencoder": {
        "E": (("", "(G^T X)^T"),),
        "G": (("", "(D W) * σ'(X W)"),),
        "F": (("", "(H^T D)^T"),),
    },
    "softmax's Jacobian": {
        "S": (("", "(G * Y) [[1], [1], [1], [1]]"), ("", "Σ_columns G * Y")),
    },
    "logistic regression": {
        "D": (("", "(1/(1 + exp(-U)) - T)/N"), ("", "((1 - T) * Y - T * (1 - Y))/N")),
    },
}


def right_claims() -> Iterator[Wrong]:
    """Right gradients in other forms; no cause."""
    for net in NETS:
        for by, right in net.right.items():
            for form in FORMS:
                yield Wrong(net, by, net.lets, form.format(right), ())
            for line, forms in OTHER_FORMS.get(net.name, {}).items():
                for _, text in forms:
                    yield Wrong(net, by, {**net.lets, line: text}, right, ())
