"""The path that a target has for a row, and no row leads out of the author's folder."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.core.workflow import Part, Placeholder, Target, Variable
from penstock.rules.paths import fixed_path, item_path
from tests.doubles import appends, holder, writes

A, B = holder("item.a"), holder("item.b")


def path_of(target: Target, **values: str) -> str:
    def text_of(placeholder: Placeholder) -> str:
        return values[str(placeholder.path[0])]

    return item_path(target, {"DIR": "cache", "EMPTY": ""}, text_of)


# --- climbing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["..", "../x", "x/../y", "x/..", "/etc/passwd", "/", "../../.ssh/config"])
def test_a_value_that_climbs_or_begins_at_the_root_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"\{\{item\.a\}\}.*may not begin with / or climb by \.\."):
        path_of(writes("out/", A, ".json"), a=value)


@pytest.mark.parametrize(
    ("parts", "values"),
    [
        ((A, B, "/x"), {"a": ".", "b": "."}),
        (("out/.", A, "/x"), {"a": "."}),
        (("out/", A, ".", "/x"), {"a": "."}),
        ((A, "../x"), {"a": ""}),
        ((A, "/x"), {"a": ""}),
        ((A, B), {"a": "", "b": "/x"}),
    ],
    ids=[
        "two dots from two values",
        "a dot after a dot",
        "a dot before a dot",
        "nothing before ..",
        "nothing before /",
        "/",
    ],
)
def test_values_that_climb_only_together_with_their_neighbours_are_refused(
    parts: tuple[Part, ...], values: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="may not begin with / or climb"):
        path_of(writes(*parts), **values)


def test_the_refusal_quotes_the_value_and_not_all_of_it() -> None:
    with pytest.raises(ValueError, match=r"^\{\{item\.a\}\} is '\.\./x{77}' here: ") as refusal:
        path_of(writes(A), a="../" + "x" * 10_000)
    assert len(str(refusal.value)) < 300


pieces = st.text(st.sampled_from("./ax"), max_size=6)
authors = st.text(st.sampled_from("./ax"), max_size=4)


@given(authors, pieces, authors, pieces, authors)
@example("", ".", "", ".", "")
@example("", "", "/x", "", "")
@example("out/", ".", "/../", "x", "")
def test_no_row_leads_out_of_the_folder_that_the_author_wrote_before_the_first_value(
    first: str, a: str, second: str, b: str, third: str
) -> None:
    try:
        path = path_of(writes(first, A, second, B, third), a=a, b=b)
    except ValueError:
        return
    folder = posixpath.normpath(posixpath.dirname(first) or ".")
    below = posixpath.relpath(one_slash(path), one_slash(folder)) if path.startswith("/") or folder != "." else path
    assert path.startswith("/") == first.startswith("/")
    assert below.split("/")[0] != ".."


def one_slash(path: str) -> str:
    """POSIX leaves the meaning of two slashes at the beginning open, and `normpath` leaves them there."""
    return "/" + path.lstrip("/") if path.startswith("/") else path


def test_what_the_author_wrote_may_climb() -> None:
    assert path_of(writes("../shared/", A), a="x") == "../shared/x"
    assert path_of(writes("/srv/", A), a="x") == "/srv/x"


# --- paths -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", "x/"])
def test_a_name_that_is_empty_for_a_row_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"the file that out/\{\{item\.a\}\} names for this item has an empty name"):
        path_of(writes("out/", A), a=value)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("x", "out/x.json"),
        ("한국어 🎉", "out/한국어 🎉.json"),
        ("a/b", "out/a/b.json"),
        ("...", "out/....json"),
        ("~", "out/~.json"),
    ],
)
def test_any_other_value_is_part_of_the_path_as_it_is(value: str, path: str) -> None:
    assert path_of(writes("out/", A, ".json"), a=value) == path


def test_variables_of_the_author_are_filled_in() -> None:
    assert path_of(writes(Variable("DIR"), "//./", A), a="x") == "cache/x"
    assert fixed_path(appends("./logs//a.jsonl"), {}) == "logs/a.jsonl"
    assert fixed_path(writes(Variable("DIR"), "/x"), {"DIR": "c"}) == "c/x"


@pytest.mark.parametrize(
    "target", [writes(Variable("NO")), writes(A), writes("x", B), Target(None, True, 1, "$(x)", 0, 4)]
)
def test_a_path_that_is_not_the_same_for_all_or_not_known_is_none(target: Target) -> None:
    assert fixed_path(target, {"DIR": "c"}) is None
