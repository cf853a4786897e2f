"""`models`: the models that the file names, and those that its steps ask by PROVIDER/MODEL."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from decimal import Decimal
from urllib.parse import urlsplit

from penstock.core.models import Model, Price, Rates
from penstock.load import tree
from penstock.load.env import Variables, expand
from penstock.load.fields import Fields
from penstock.load.findings import Findings
from penstock.load.model_keys import KEY_REFERENCE, PROVIDERS, SIMULATED
from penstock.load.quantities import exact
from penstock.load.shapes import seconds
from penstock.load.suggest import did_you_mean, either, lines
from penstock.load.tree import Node, Scalar

_WITHOUT_SERVER = ("python", "sim")
_OF_A_SERVER = ("base_url", "api_key")
_FAULTS = ("invalid", "truncated", "refused", "error_429", "error_500")
_WORD = r"[^\W\d]\w*"
_CALLABLE = re.compile(rf"{_WORD}(?:\.{_WORD})*:{_WORD}(?:\.{_WORD})*")
_LISTED = f"the providers are {either(PROVIDERS, 'and')}; any server that speaks OpenAI's protocol is `openai`"
_BY_PROVIDER = f"or write PROVIDER/MODEL; {_LISTED}"


class Catalogue:
    """The models by name. One that is declared wrongly is known, but is no Model."""

    def __init__(self, node: Node | None, variables: Variables, findings: Findings) -> None:
        self._variables = variables
        self._findings = findings
        self._doubtful = node is not None and not isinstance(node, tree.Mapping)
        entries = node.entries if isinstance(node, tree.Mapping) else ()
        self._models: dict[str, Model | None] = {key.text: None for key, _ in entries}
        self._cascades: dict[str, tuple[Model, ...]] = {}
        for key, value in entries:
            if isinstance(value, tree.Sequence):
                self._cascades[key.text] = ()
            else:
                self._models[key.text] = self._declared(key.text, value)
        for key, value in entries:
            if isinstance(value, tree.Sequence) and findings.sound(value):
                self._cascades[key.text] = self._cascade(value)

    @property
    def models(self) -> tuple[Model, ...]:
        """Those that the file declares, in its order, then those that were asked for."""
        return tuple(model for model in self._models.values() if model)

    @property
    def cascades(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The names that stand for several models, and the names of those, from cheap to strong."""
        return tuple((name, tuple(model.name for model in models)) for name, models in self._cascades.items())

    def find(self, scalar: Scalar) -> tuple[Model, ...]:
        """The model of a name, or of PROVIDER/MODEL, or those for which the name stands; none is a problem."""
        name = expand(scalar, self._variables, self._findings)
        if name in self._cascades:
            return self._cascades[name]
        model = self._one(scalar, name)
        return (model,) if model else ()

    def _cascade(self, node: tree.Sequence) -> tuple[Model, ...]:
        """The models of a list, each once, and none of which stands for several itself."""
        found: dict[str, Model] = {}
        for scalar in node.elements:
            if not isinstance(scalar, Scalar) or not self._findings.sound(scalar):
                continue
            name = expand(scalar, self._variables, self._findings)
            model = self._one(scalar, name) if name not in self._cascades else None
            if name in self._cascades:
                what = f"`{name}` stands for several models itself"
                self._findings.wrong(scalar, what, "name its models here, one by one")
            elif model and model.name in found:
                self._findings.wrong(scalar, f"`{model.name}` is named twice", "name each model once")
            elif model:
                found[model.name] = model
        return tuple(found.values())

    def _one(self, scalar: Scalar, name: str | None) -> Model | None:
        """The model of a name that does not stand for several; None if there is none, which is a problem."""
        if name is None:
            return None
        if name not in self._models:
            if "/" not in name:
                if not self._doubtful:
                    self._findings.wrong(scalar, *unknown(name, self._models))
                return None
            split = self._split(scalar, name)
            if split is None:
                return None
            self._models[name] = Model(name, *split)
        return self._models[name]

    def _declared(self, name: str, node: Node) -> Model | None:
        if not self._findings.sound(node):
            return None
        if isinstance(node, Scalar):
            split = self._provider(node)
            return Model(name, *split) if split else None
        fields = Fields(node, self._findings) if isinstance(node, tree.Mapping) else None
        if fields is None:
            return None
        scalar = fields.scalar("model")
        split, address = self._provider(scalar) if scalar else None, self._address(fields.scalar("base_url"))
        if split is None:
            return None
        self._must_fit(fields, split[0])
        key = KEY_REFERENCE.fullmatch(fields.text("api_key") or "")
        max_wait = fields.text("max_wait")
        return Model(
            name,
            *split,
            base_url=address,
            key_variable=key.group(1) if key else None,
            price=_price(fields.inner("price")),
            placement=fields.text("placement"),
            max_tokens=fields.whole("max_tokens"),
            context_tokens=fields.whole("context"),
            concurrency=fields.whole("concurrency"),
            rates=_rates(fields),
            rpm=fields.whole("rpm"),
            tpm=fields.whole("tpm"),
            max_wait_s=seconds(max_wait) if max_wait else None,
        )

    def _provider(self, scalar: Scalar) -> tuple[str, str] | None:
        """(provider, its name for the model) of `model` in a declaration."""
        name = expand(scalar, self._variables, self._findings)
        return None if name is None else self._split(scalar, name)

    def _split(self, scalar: Scalar, name: str) -> tuple[str, str] | None:
        wrong = fault_of(name, [known for known in self._models if known != name])
        if wrong:
            self._findings.wrong(scalar, *wrong)
            return None
        provider, _, served = name.partition("/")
        return provider, served

    def _must_fit(self, fields: Fields, provider: str) -> None:
        """Keys that say nothing at a model of this provider, and chances that cannot all be."""
        for key, value in fields.mapping.entries:
            if key.text in SIMULATED and provider != "sim" and self._findings.sound(value):
                what = f"`{key.text}` is for models of the simulator, and this one is of `{provider}`"
                self._findings.wrong(key, what, "remove it, or write `model: sim/NAME`")
            if key.text in _OF_A_SERVER and provider in _WITHOUT_SERVER and self._findings.sound(value):
                self._findings.wrong(key, f"a model of `{provider}` has no server, so no `{key.text}`", "remove it")
        chances = {name: exact(fields.node(name)) or Decimal() for name in _FAULTS}
        if provider == "sim" and sum(chances.values()) > 1:
            given = [name for name, chance in chances.items() if chance]
            spot = fields.mapping.key(given[-1]) or fields.mapping
            what = f"{either((f'`{name}`' for name in given), 'and')} are {sum(chances.values())} together"
            self._findings.wrong(spot, what, "one answer has one of these faults: they are at most 1 together")

    def _address(self, scalar: Scalar | None) -> str | None:
        url = expand(scalar, self._variables, self._findings) if scalar else None
        if scalar is None or url is None:
            return None
        fault = _fault(url)
        if fault:
            self._findings.wrong(scalar, *fault)
        return None if fault else url


def fault_of(name: str, known: Iterable[str]) -> tuple[str, str] | None:
    """What is wrong with PROVIDER/MODEL, and what to write; None if it names a model. `known` are names of `models`."""
    provider, _, served = name.partition("/")
    if provider not in PROVIDERS and "/" not in name:
        return f"`{name}` is not PROVIDER/MODEL", _LISTED
    if provider not in PROVIDERS:
        guess = did_you_mean(name, known, cutoff=0.8) or did_you_mean(provider, PROVIDERS)
        return f"there is no provider `{provider}`", lines(guess, _LISTED) or _LISTED
    if not served.strip():
        return f"`{name}` names no model", f"write `{provider}/MODEL`"
    if provider == "python" and not _CALLABLE.fullmatch(served):
        return f"`{name}` names no function", "write `python/pkg.module:function`"
    if re.search(r"\s", served):
        return f"`{name}` has white space in it", "write PROVIDER/MODEL, with no space"
    return None


def unknown(name: str, known: Collection[str]) -> tuple[str, str | None]:
    """That there is no model of a name among the `known` ones, and what to write."""
    names = either((f"`{one}`" for one in known), "and") if known else None
    guess = did_you_mean(name, {*known, *(f"{provider}/" for provider in PROVIDERS)})
    there = f"the models of this file are {names}" if names else "this file declares no `models`"
    return f"there is no model `{name}`", lines(guess, there, _BY_PROVIDER)


def _fault(url: str) -> tuple[str, str] | None:
    """What is wrong with a server's address, and what to write."""
    help = "write the address as in `http://localhost:8000/v1`"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises if it is no number
    except ValueError:
        return "`base_url` is no address", help
    if parts.username is not None or parts.password is not None:
        return "`base_url` holds a user or a password", "write the address alone, and `api_key: ${NAME}` for the key"
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", url):
        return "`base_url` must be an http or https address", help
    if parts.query or parts.fragment:
        return "`base_url` ends with its path: what follows `?` or `#` is not sent", help
    return None


def _price(fields: Fields | None) -> Price | None:
    if fields is None:
        return None
    input, output = exact(fields.node("input")), exact(fields.node("output"))
    if input is None or output is None:
        return None
    return Price(input, output, exact(fields.node("cache_read")), exact(fields.node("cache_write")))


def _rates(fields: Fields) -> Rates:
    said = {name: float(chance) for name in ("quality", *_FAULTS) if (chance := exact(fields.node(name))) is not None}
    latency = fields.text("latency")
    return Rates(**said, latency_s=seconds(latency) if latency else 0.0, seed=fields.whole("seed") or 0)
