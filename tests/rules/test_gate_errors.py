"""How often the gate is wrong when it looks after every row: simulated, and worked out exactly.

Beside it the mistake that it avoids: a 95 % bound for one look, looked at after every row.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from penstock.rules.sampling import beta_probability
from penstock.rules.sequential import Gate

SEQUENCES = 2000
ROWS = 1500

Rows = list[bool]
Stops = list[int]


def passing(gate: Gate, rows: int) -> Stops:
    """For each number of rows, the most rejects that pass there; -1 where none do."""
    return climbing(rows, gate.passes)


def failing(gate: Gate, rows: int) -> Stops:
    """For each number of rows, the fewest rejects that fail there; more than all where none do."""
    return [most + 1 for most in climbing(rows, lambda rejects, judged: not gate.fails(rejects, judged))]


def climbing(rows: int, holds: Callable[[int, int], bool]) -> Stops:
    """The most rejects for which it holds after 0, 1, 2 … rows, where it holds for fewer and for more rows too."""
    found, most = [], -1
    for judged in range(rows + 1):
        while most < judged and holds(most + 1, judged):
            most += 1
        found.append(most)
    return found


def naive(rejects: int, judged: int) -> bool:
    """Whether the one-sided 95 % Clopper-Pearson bound lies at 0.95 or above."""
    return judged > rejects and beta_probability(judged - rejects, rejects + 1, 0.95) <= 0.05


def share(sequences: list[Rows], stops: Callable[[int, int], bool]) -> float:
    """The share of sequences that are stopped after one of their rows."""
    return sum(stopped(rows, stops) for rows in sequences) / len(sequences)


def stopped(rows: Rows, stops: Callable[[int, int], bool]) -> bool:
    rejects = 0
    for judged, reject in enumerate(rows, start=1):
        rejects += reject
        if stops(rejects, judged):
            return True
    return False


@pytest.fixture(scope="module")
def at_the_limit() -> list[Rows]:
    """Sequences in which exactly the share of rejects that breaks the rate is rejected."""
    draw = random.Random("at the limit").random
    return [[draw() < 0.05 for _ in range(ROWS)] for _ in range(SEQUENCES)]


def test_looking_after_every_row_is_wrong_in_no_more_than_one_of_twenty(at_the_limit: list[Rows]) -> None:
    passes, fails = passing(Gate(0.95), ROWS), failing(Gate(0.95), ROWS)
    false_passes = share(at_the_limit, lambda rejects, judged: rejects <= passes[judged])
    false_fails = share(at_the_limit, lambda rejects, judged: rejects >= fails[judged])
    assert 0.01 < false_passes <= 0.05
    assert 0.01 < false_fails <= 0.05


def test_a_bound_for_one_look_is_wrong_in_far_more_when_it_is_looked_at_after_every_row(
    at_the_limit: list[Rows],
) -> None:
    bounds = climbing(ROWS, naive)
    assert 0.10 < share(at_the_limit, lambda rejects, judged: rejects <= bounds[judged]) < 0.30
    for rows, wrong in ((200, 0.117), (500, 0.183), (ROWS, 0.256)):
        exact = reached(bounds[: rows + 1], 0.05, lambda rejects, most: rejects <= most)
        assert exact == pytest.approx(wrong, abs=5e-4)


@pytest.mark.parametrize("total", [300])
def test_in_a_batch_that_just_breaks_or_just_keeps_the_rate_it_is_wrong_as_seldom(total: int) -> None:
    gate = Gate(0.95, 0.95, total)
    order = random.Random("a batch")
    passes, fails = passing(gate, total), failing(gate, total)
    broken = [order.sample([True] * 16 + [False] * (total - 16), total) for _ in range(SEQUENCES)]
    kept = [order.sample([True] * 15 + [False] * (total - 15), total) for _ in range(SEQUENCES)]
    assert 0.01 < share(broken, lambda rejects, judged: rejects <= passes[judged]) <= 0.05
    assert 0.01 < share(kept, lambda rejects, judged: rejects >= fails[judged]) <= 0.05
    assert share(broken, lambda rejects, judged: rejects >= fails[judged]) == 1


@pytest.mark.parametrize(("rate", "confidence"), [(0.95, 0.95), (0.9, 0.9), (0.5, 0.95), (0.99, 0.95), (0.8, 0.99)])
def test_the_chance_of_a_wrong_decision_is_below_alpha_exactly(rate: float, confidence: float) -> None:
    gate = Gate(rate, confidence)
    wrong = reached(passing(gate, 800), 1 - rate, lambda rejects, most: rejects <= most)
    assert wrong <= 1 - confidence
    assert reached(passing(gate, 800), 1 - rate + 0.02, lambda rejects, most: rejects <= most) < wrong
    assert reached(failing(gate, 800), 1 - rate, lambda rejects, least: rejects >= least) <= 1 - confidence


def reached(stops: Stops, p: float, is_stopped: Callable[[int, int], bool]) -> float:
    """The probability that the number of rejects ever comes to its stop, by carrying its distribution on."""
    alive, done = {0: 1.0}, 0.0
    for stop in stops[1:]:
        grown: dict[int, float] = {}
        for rejects, chance in alive.items():
            grown[rejects] = grown.get(rejects, 0.0) + chance * (1 - p)
            grown[rejects + 1] = grown.get(rejects + 1, 0.0) + chance * p
        done += sum(chance for rejects, chance in grown.items() if is_stopped(rejects, stop))
        alive = {
            rejects: chance for rejects, chance in grown.items() if chance > 1e-15 and not is_stopped(rejects, stop)
        }
    return done
