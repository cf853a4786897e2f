"""`models:` becomes the models that it says, and a step's `model` finds them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from penstock.core.errors import WorkflowError
from penstock.core.generation import Generate
from penstock.core.models import Model, Price, Rates
from penstock.core.workflow import Workflow

Load = Callable[..., Workflow]
STEPS = "\nsteps: [{id: a, run: echo}]\n"


def asked(workflow: Workflow, step_id: str) -> tuple[Model, ...]:
    spec = workflow.step(step_id).spec
    assert isinstance(spec, Generate)
    return spec.models


def test_the_models_of_the_language_page_are_read_as_they_stand_there(loaded: Load) -> None:
    workflow = loaded(
        """\
        name: x
        models:
          small: {model: ollama/llama3.1:8b}
          house: {model: openai/my-model, base_url: http://gpu.internal/v1, api_key: ${HOUSE_KEY}, price: {input: 0.1, output: 0.2}}
          cheap: {model: sim/cheap, quality: 0.8, invalid: 0.05, truncated: 0.02, refused: 0.01, error_429: 0.02, error_500: 0.01, latency: 50ms, seed: 7}
        steps: [{id: a, run: echo}]
        """  # noqa: E501
    )
    assert workflow.models == (
        Model("small", "ollama", "llama3.1:8b"),
        Model(
            "house",
            "openai",
            "my-model",
            base_url="http://gpu.internal/v1",
            key_variable="HOUSE_KEY",
            price=Price(Decimal("0.1"), Decimal("0.2")),
        ),
        Model("cheap", "sim", "cheap", rates=Rates(0.8, 0.05, 0.02, 0.01, 0.02, 0.01, 0.05, 7)),
    )


def test_every_key_of_a_model_has_its_value(loaded: Load) -> None:
    (model,) = loaded(
        "name: x\nenv: {SIZE: 70b, HOST: gpu}\n"
        "models: {big: {model: 'openai/llama-${SIZE}', base_url: 'https://${HOST}:8000/v1', api_key: '${KEY}', "
        "price: {input: 3, output: 1.50, cache_read: .3, cache_write: 3.75e0}, concurrency: 8, placement: local, "
        "max_tokens: 4096, context: 128000}}" + STEPS
    ).models
    assert model == Model(
        "big",
        "openai",
        "llama-70b",
        base_url="https://gpu:8000/v1",
        key_variable="KEY",
        price=Price(Decimal(3), Decimal("1.50"), Decimal("0.3"), Decimal("3.75")),
        placement="local",
        max_tokens=4096,
        context_tokens=128000,
        concurrency=8,
    )


def test_a_price_is_kept_as_it_is_written_and_not_as_a_float(loaded: Load) -> None:
    (model,) = loaded("name: x\nmodels: {a: {model: sim/a, price: {input: 0.10, output: 0x10}}}" + STEPS).models
    assert model.price is not None
    assert (str(model.price.input), str(model.price.output)) == ("0.10", "16")


@pytest.mark.parametrize(
    ("written", "provider", "served"),
    [
        ("ollama/llama3.1:8b", "ollama", "llama3.1:8b"),
        ("openai/org/model:free", "openai", "org/model:free"),
        ("anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        ("python/pkg.mod:Class.method", "python", "pkg.mod:Class.method"),
        ("python/mod:f", "python", "mod:f"),
        ("sim/a", "sim", "a"),
    ],
)
def test_a_model_may_be_a_text_alone_or_be_asked_without_a_declaration(
    loaded: Load, written: str, provider: str, served: str
) -> None:
    workflow = loaded(
        f"name: x\nmodels: {{m: {written}}}\nsteps: [{{id: a, generate: {{model: [m, {written}], prompt: Hello}}}}]"
    )
    assert workflow.models == (Model("m", provider, served), Model(written, provider, served))
    assert asked(workflow, "a") == workflow.models


def test_a_name_of_models_comes_before_what_it_would_mean_as_a_provider(loaded: Load) -> None:
    workflow = loaded(
        "name: x\nmodels: {openai/gpt-4o: {model: openai/gpt-4o, concurrency: 3}}\n"
        "steps: [{id: a, generate: {model: openai/gpt-4o, prompt: Hello}}]"
    )
    assert asked(workflow, "a") == (Model("openai/gpt-4o", "openai", "gpt-4o", concurrency=3),)
    assert len(workflow.models) == 1


def test_a_variable_may_choose_the_model(loaded: Load) -> None:
    text = "name: x\nenv: {MODEL: sim/a}\nsteps: [{id: a, generate: {model: ${MODEL}, prompt: Hello}}]"
    assert [model.name for model in asked(loaded(text), "a")] == ["sim/a"]
    assert [model.name for model in asked(loaded(text, {"MODEL": "sim/b"}), "a")] == ["sim/b"]


def test_faults_that_are_one_together_are_allowed(loaded: Load) -> None:
    (model,) = loaded(
        "name: x\nmodels:\n"
        "  a: {model: sim/a, invalid: 0.1, truncated: 0.2, refused: 0.3, error_429: 0.3, error_500: 0.1}" + STEPS
    ).models
    assert model.rates.error_500 == 0.1


@pytest.mark.parametrize("key", ["sk-abc", "$NAME", "${}", "${A}B", "prefix-${A}", "${A b}", "", "7"])
def test_a_key_that_is_no_reference_is_refused_and_not_repeated(loaded: Load, key: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        loaded(f'name: x\nmodels: {{a: {{model: openai/a, api_key: "{key}"}}}}{STEPS}')
    (problem,) = caught.value.problems
    assert problem.message.startswith("`models.a.api_key` must be `${NAME}`")
    assert not key or f'"{key}"' not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x/v1", "http://", "http://a b/v1", "http://[1/v1", "http://x:y"]
)
def test_an_address_that_is_none_is_refused(loaded: Load, url: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        loaded(f'name: x\nmodels: {{a: {{model: openai/a, base_url: "{url}"}}}}{STEPS}')
    assert len(caught.value.problems) == 1


def test_the_rates_of_a_model_and_the_longest_wait_for_its_server_are_read(loaded: Load) -> None:
    first, second = loaded(
        "name: x\nmodels:\n"
        "  large: {model: openai/gpt-4o, rpm: 500, tpm: 200000, concurrency: 32, max_wait: 1.5m}\n"
        "  never: {model: openai/gpt-4o, max_wait: 0s}" + STEPS
    ).models
    assert first == Model("large", "openai", "gpt-4o", rpm=500, tpm=200_000, concurrency=32, max_wait_s=90.0)
    assert (second.rpm, second.tpm, second.max_wait_s) == (None, None, 0.0)


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("rpm: 0", "`models.a.rpm` must be a whole number of at least 1, not the number 0"),
        ("tpm: 90k", '`models.a.tpm` must be a whole number of at least 1, not the text "90k"'),
        ("max_wait: 60", "`models.a.max_wait` must be a duration such as `300ms`, `30s`, `5m`, `2h` or `1d`"),
    ],
)
def test_a_rate_that_is_none_is_refused(loaded: Load, written: str, wrong: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        loaded(f"name: x\nmodels: {{a: {{model: openai/gpt-4o, {written}}}}}" + STEPS)
    (problem,) = caught.value.problems
    assert problem.message.startswith(wrong)
