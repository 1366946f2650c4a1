"""Numbers in lessons against computations that share nothing with them."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest

from kokuban.lessons import activations, batch_and_online, cost, sgd, writers
from kokuban.lessons.writers import Told


@pytest.fixture
def text(telling: Callable[[str, str], Told]) -> Callable[[str], str]:
    return lambda name: writers.text(telling(name, "en"))


def rows(page: str, head: str) -> list[list[float]]:
    """The numbers of the table whose head begins so, row by row."""
    lines = page[page.index(head) :].split("\n")[2:]
    found = []
    for line in lines:
        cells = line.split()
        if not cells or not re.fullmatch(r"-?[\d.]+", cells[0]):
            break
        found.append([float(c) for c in cells if re.fullmatch(r"-?[\d.]+", c)])
    return found


def test_gates(text: Callable[[str], str]) -> None:
    page = text("perceptron")
    gates: list[Callable[[int, int], int]] = [
        lambda x, y: x & y,
        lambda x, y: x | y,
        lambda x, _: 1 - x,
    ]
    corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
    wanted = [[x, y, *(g(x, y) for g in gates)] for x, y in corners]
    assert rows(page, "  x  y  x AND y") == wanted
    wanted = [[x, y, x | y, 1 - (x & y), x ^ y] for x, y in corners]
    assert rows(page, "  x  y  x OR y") == wanted


def test_losses(text: Callable[[str], str]) -> None:
    for y, square, by_square, entropy, by_entropy in rows(text("losses"), "  y  "):
        assert square == pytest.approx((1 - y) ** 2, abs=1e-4)
        assert by_square == pytest.approx(y - 1, abs=1e-4)
        assert entropy == pytest.approx(-math.log(y), abs=1e-4)
        assert by_entropy == pytest.approx(-1 / y, abs=1e-3)


def test_descent(text: Callable[[str], str]) -> None:
    x, t = (sgd.POINTS[k][:, 0] for k in "XT")
    found = rows(text("sgd"), "  step")
    assert len(found) == 6
    for k, rate in enumerate(sgd.RATES):
        path = [sgd.START]
        for _ in range(sgd.STEPS):
            path.append(path[-1] - rate * 2 * float(np.mean(x * (x * path[-1] - t))))
        for line in found:
            assert line[k + 1] == pytest.approx(path[int(line[0])], abs=1e-4)


def test_chain_rule(text: Callable[[str], str]) -> None:
    page = text("chain-rule")
    assert f"the derivative is {2 * 1.2 * math.cos(1.44):.6f}" in page
    assert f"derivative {1.5 * 1.44 - 1:.6f} falls" in page
    through_u, through_v = 2 * 1.2 * math.sin(1.2), 1.44 * math.cos(1.2)
    assert f"{through_u:.4f} through u and {through_v:.4f} through v" in page


def test_formulas_of_differences(text: Callable[[str], str]) -> None:
    """As in the tables of numerical analysis."""
    page = text("numerical-differentiation")
    assert "≈ (L(p + h) - L(p))/h   forward" in page
    assert "≈ (L(p) - L(p - h))/h   backward" in page
    assert "≈ (L(p + h) - L(p - h))/(2h)   central" in page
    assert "(-L(p + 2h) + 8L(p + h) - 8L(p - h) + L(p - 2h))/(12h)" in page
    seven = "(L(p + 3h) - 9L(p + 2h) + 45L(p + h) - 45L(p - h) + 9L(p - 2h) - L(p - 3h))"
    assert f"{seven}/(60h)" in page
    tanh = math.tanh(0.7 * 1.3)
    assert f"{2 * (tanh - 0.5) * (1 - tanh**2) * 1.3:.12f}" in page


def test_gradients_through_depth(text: Callable[[str], str]) -> None:
    """The sigmoid net's gradients by a backward pass written out here."""
    rng = np.random.default_rng(3)
    shape = activations.ROWS, activations.WIDTH
    x, target = rng.normal(size=shape), rng.uniform(size=shape)
    rng = np.random.default_rng(0)
    deviation = 1 / math.sqrt(activations.WIDTH)
    weights = [
        deviation * rng.normal(size=(activations.WIDTH, activations.WIDTH))
        for _ in range(activations.DEPTH)
    ]
    layers = [x]
    for w in weights:
        layers.append(1 / (1 + np.exp(-layers[-1] @ w)))
    above, sizes = 2 * (layers[-1] - target) / target.size, {}
    for k in range(activations.DEPTH, 0, -1):
        delta = above * layers[k] * (1 - layers[k])
        sizes[k] = float(np.sqrt(np.mean((layers[k - 1].T @ delta) ** 2)))
        above = delta @ weights[k - 1].T
    page = text("activations")
    assert f"10       {sizes[10]:.4f}" in page
    mantissa, exponent = f"{sizes[1]:.1e}".split("e-")
    raised = str(int(exponent)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    assert f"1      {mantissa}·10⁻{raised}" in page
    assert f"{(sizes[1] / sizes[10]) ** (1 / 9):.2f} with sigmoid" in page


def test_gap_of_online_updates(text: Callable[[str], str]) -> None:
    page = text("batch-and-online")
    data = batch_and_online._data()
    x, target = data["X"], data["T"]
    rng = np.random.default_rng(0)
    start = rng.uniform(-1, 1, (3, 2)), rng.uniform(-1, 1, (1, 2))
    rate = float(batch_and_online.RATES[0])

    def trained(size: int) -> np.ndarray:
        w, b = (v.copy() for v in start)
        for k in range(0, len(x), size):
            part, delta = x[k : k + size], x[k : k + size] @ w + b - target[k : k + size]
            w, b = w - rate * part.T @ delta, b - rate * delta.sum(axis=0)
        return np.concatenate([w, b])

    gap = float(np.linalg.norm(trained(len(x)) - trained(1)))
    ((eta, shown, _), *_) = rows(page, "  η   ")
    assert (eta, shown) == (rate, pytest.approx(gap, rel=1e-2))


def test_counts(text: Callable[[str], str]) -> None:
    """N rows, width w: 3 products forward, 5 back, each of N w w multiplications."""
    found = rows(text("cost"), "  width")
    assert [int(line[0]) for line in found] == list(cost.WIDTHS)
    for width, parameters, forward, both, numerical, _ in found:
        one = cost.SAMPLES * width**2
        assert parameters == 3 * (width**2 + width)
        assert (forward, both) == (3 * one, 8 * one)
        assert numerical == 2 * parameters * forward
