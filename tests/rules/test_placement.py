"""Placement: which models are here, and why the others are not."""

from __future__ import annotations

import pytest

from penstock.core.models import Model
from penstock.rules.placement import is_local, told_elsewhere

HERE, AWAY = "http://127.0.0.1:11434", "https://api.example.com/v1"


@pytest.mark.parametrize(
    ("model", "url", "local"),
    [
        (Model("m", "openai", "m"), HERE, True),
        (Model("m", "openai", "m"), "http://localhost:8000/v1", True),
        (Model("m", "openai", "m"), "http://[::1]:8000/v1", True),
        (Model("m", "openai", "m"), AWAY, False),
        (Model("m", "openai", "m"), "http://127.0.0.1.example.com/v1", False),
        (Model("m", "openai", "m"), "http://127.0.0.1@example.com/v1", False),
        (Model("m", "openai", "m"), "", False),
        (Model("m", "openai", "m", placement="local"), AWAY, True),
        (Model("m", "openai", "m", placement="remote"), HERE, False),
        (Model("m", "ollama", "qwen3:8b"), HERE, True),
        (Model("m", "ollama", "qwen3:480b-cloud"), HERE, False),
        (Model("m", "ollama", "qwen3:480b-cloud", placement="local"), HERE, True),
        (Model("m", "sim", "m"), "sim:", True),
        (Model("m", "sim", "m", placement="remote"), "sim:", False),
        (Model("m", "python", "a:b"), "python:", True),
        (Model("m", "python", "a:b", placement="remote"), "python:", False),
    ],
)
def test_a_model_is_here_or_elsewhere(model: Model, url: str, local: bool) -> None:
    assert is_local(model, url) is local
    assert (told_elsewhere([model], lambda model: url) == "") is local


def test_each_model_that_is_elsewhere_is_named_with_the_reason() -> None:
    urls = {"house": HERE, "far": AWAY, "cloud": HERE, "sim": "sim:"}
    models = [
        Model("house", "openai", "m"),
        Model("far", "openai", "m"),
        Model("cloud", "ollama", "big-cloud"),
        Model("sim", "sim", "s", placement="remote"),
    ]
    assert told_elsewhere(models, lambda model: urls[model.name]) == (
        "far: its server is at api.example.com; cloud: its server is here, but sends it on to a cloud; "
        "sim: it is `placement: remote`"
    )
