"""Text in lines that fit a terminal, whatever its letters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.cli.wrapping import columns, wrapped

WORDS = st.lists(st.text(st.sampled_from("ab-예시모\u0301"), min_size=1, max_size=30), max_size=20)


@given(words=WORDS, head=st.text(st.sampled_from(" x예"), max_size=8), width=st.integers(20, 60))
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(words: list[str], head: str, width: int) -> None:
    lines = wrapped(" ".join(words), head, width)
    assert all(columns(line) <= width for line in lines)
    assert lines[0].startswith(head.rstrip())
    assert "".join("".join(lines)[len(head) :].split()) == "".join(words)


def test_words_share_a_line_as_long_as_they_fit() -> None:
    assert wrapped("aa bb cc", "- ", 7) == ["- aa bb", "  cc"]
    assert wrapped("aa bb", "- ", 6) == ["- aa", "  bb"]
    assert wrapped("  echo 'a  b'\tc", "", 16) == ["echo 'a  b'   c"]


def test_a_wide_letter_takes_two_columns_and_a_mark_none() -> None:
    assert columns("예a\u0301") == 3
    assert wrapped("예시 모", "", 5) == ["예시", "모"]
    assert wrapped("예시 모", "", 7) == ["예시 모"]


def test_a_word_that_is_wider_than_a_line_is_cut() -> None:
    assert wrapped("abcdefg h", "> ", 5) == ["> abc", "  def", "  g h"]
    assert wrapped("", "label", 5) == ["label"]
