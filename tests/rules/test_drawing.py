"""The seeded sample: its size, that it is uniform in rows and in order, and that it is the same everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.rules.drawing import Reservoir, draw


def indices(rows: int, size: int, seed: int = 1, name: str = "rows.jsonl") -> list[int]:
    return [one.index for one in draw(range(rows), size, seed, name)]


def chi_square(counts: Sequence[int], cells: int) -> float:
    """Pearson's statistic against equal chances."""
    mean = sum(counts) / cells
    return sum((count - mean) ** 2 for count in counts) / mean + (cells - len(counts)) * mean


@given(st.lists(st.text()), st.integers(1, 40), st.integers(), st.text(max_size=5))
def test_a_sample_has_its_size_or_all_there_is_and_no_row_twice(
    rows: list[str], size: int, seed: int, name: str
) -> None:
    sample = draw(rows, size, seed, name)
    assert len(sample) == min(size, len(rows))
    assert len({one.index for one in sample}) == len(sample)
    assert all(rows[one.index] == one.row for one in sample)
    assert sample == draw(iter(rows), size, seed, name)


def test_the_sample_of_a_seed_and_a_name_is_the_same_on_every_machine() -> None:
    assert indices(1000, 8) == [355, 804, 18, 630, 574, 934, 352, 519]
    assert indices(5, 8) == [1, 3, 0, 4, 2]


def test_another_seed_and_another_name_are_other_samples() -> None:
    samples = {tuple(indices(1000, 8, seed, name)) for seed in range(20) for name in ("a", "b")}
    assert len(samples) == 40


def test_a_reservoir_may_be_looked_at_on_the_way_and_holds_no_more_than_its_size() -> None:
    reservoir: Reservoir[int] = Reservoir(10, 3, "a")
    for row in range(500):
        reservoir.add(row)
        assert len(reservoir.sample()) == min(10, row + 1)
    assert reservoir.seen == 500
    assert reservoir.sample() == draw(range(500), 10, 3, "a")


@pytest.mark.parametrize(("rows", "size"), [(10, 1), (10, 3), (10, 9), (10, 10), (100, 5)])
def test_each_row_is_equally_likely_at_each_place_of_the_sample(rows: int, size: int) -> None:
    """Chi-square of (row, place) with a fixed seed: three and a half deviations above the mean, and as much below."""
    counts: Counter[tuple[int, int]] = Counter()
    for seed in range(4000):
        counts.update((index, place) for place, index in enumerate(indices(rows, size, seed)))
    cells = rows * size
    freedom = (rows - 1) * (size if rows > size else size - 1)
    statistic = chi_square(list(counts.values()), cells)
    assert abs(statistic - freedom) < 3.5 * (2 * freedom) ** 0.5 + 4


def test_each_set_of_rows_is_equally_likely() -> None:
    counts = Counter(frozenset(indices(7, 3, seed)) for seed in range(7000))
    assert len(counts) == 35
    assert chi_square(list(counts.values()), 35) < 34 + 3.5 * 68**0.5


def test_each_order_is_equally_likely() -> None:
    counts = Counter(tuple(indices(4, 4, seed)) for seed in range(4800))
    assert len(counts) == 24
    assert chi_square(list(counts.values()), 24) < 23 + 3.5 * 46**0.5


def test_rows_late_in_a_long_stream_are_as_likely_as_early_ones() -> None:
    found = [index for seed in range(20) for index in indices(50_000, 50, seed)]
    tenths = Counter(index // 5000 for index in found)
    assert chi_square([tenths[tenth] for tenth in range(10)], 10) < 9 + 3.5 * 18**0.5


def test_a_sample_of_no_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="is none"):
        draw([1], 0, 1, "a")
