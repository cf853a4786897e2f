"""Where the values of secrets come from (environment, `.env`, command, keyring), and what is said if none has one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.api.secrets import values_of
from penstock.core.errors import OperatorError, WorkflowError
from penstock.core.workflow import Workflow
from penstock.load.build import load

Values = Callable[[str], dict[str, str]]

KEYRING = """
from keyring.errors import KeyringLocked

def get_password(service, username):
    if service == "locked":
        raise KeyringLocked("the collection is locked")
    return {("penstock", "HOUSE_KEY"): "kept-in-the-house", ("penstock", "SHORT"): "tiny"}.get((service, username))
"""
ERRORS = '''
class KeyringError(Exception):
    """Any failure."""

class KeyringLocked(KeyringError):
    """Nobody has unlocked it."""
'''


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Values:
    """The secrets of a workflow that declares these, whose step `a` asks for those named in `ask`."""
    for name in ("TOKEN", "OTHER", "DB"):
        monkeypatch.delenv(name, raising=False)

    def looked_up(secrets: str) -> dict[str, str]:
        return values_of(workflow(tmp_path, secrets))

    return looked_up


def workflow(folder: Path, secrets: str) -> Workflow:
    text = f"name: x\nsecrets: {secrets}\nsteps: [{{id: a, run: echo, secrets: [TOKEN]}}]"
    if "TOKEN" not in secrets:
        text = text.replace(", secrets: [TOKEN]", "")
    return load(folder / "flow.yaml", overrides={}, environ={}, text=text)


def refusal(values: Values, secrets: str) -> OperatorError:
    with pytest.raises(OperatorError) as caught:
        values(secrets)
    return caught.value


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of that name in front of any other, with two entries."""
    package = tmp_path / "packages" / "keyring"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(KEYRING)
    (package / "errors.py").write_text(ERRORS)
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "keyring"}
    for name in before:
        del sys.modules[name]
    monkeypatch.syspath_prepend(str(package.parent))
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "keyring"]:
        del sys.modules[name]
    sys.modules.update(before)


def test_the_environment_comes_before_dot_env(values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("TOKEN=from-dot-env\nOTHER=other-of-dot-env\n")
    monkeypatch.setenv("TOKEN", "from-environment")
    assert values("[OTHER, TOKEN]") == {"OTHER": "other-of-dot-env", "TOKEN": "from-environment"}


def test_an_empty_variable_is_none_at_all(values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("TOKEN=from-dot-env\n")
    monkeypatch.setenv("TOKEN", "")
    assert values("[TOKEN]") == {"TOKEN": "from-dot-env"}


def test_a_name_that_no_step_asks_for_may_have_no_value(values: Values) -> None:
    assert values("[OTHER]") == {}


def test_a_name_that_a_step_asks_for_is_missed_with_the_places_looked_at(values: Values) -> None:
    error = refusal(values, "[TOKEN, OTHER]")
    assert str(error) == "no value for the secret TOKEN (step a)"
    assert error.help == "set it in the environment, or in .env beside the workflow"


def test_no_command_is_run_where_a_variable_is_missing(values: Values, tmp_path: Path) -> None:
    refusal(values, "[TOKEN, {DB: {command: 'touch ran; echo long-enough'}}]")
    assert not (tmp_path / "ran").exists()


def test_a_wrong_dot_env_is_told_by_its_line(values: Values, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOKEN\n")
    with pytest.raises(WorkflowError):
        values("[TOKEN]")


def test_a_command_is_the_only_source_of_its_secret(values: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB", "from-environment")
    assert values("[{DB: {command: echo from-command}}]") == {"DB": "from-command"}


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("printf 'long enough'", "long enough"),
        ("printf 'long enough\\n'", "long enough"),
        ("printf 'long enough\\n\\n'", "long enough\n"),
        ("printf 'long enough\\r\\n'", "long enough"),
        ("printf '  spaces  \\n'", "  spaces  "),
        ("printf 'two\\nlines of it\\n'", "two\nlines of it"),
        ("printf '비밀번호비밀번호'", "비밀번호비밀번호"),
        ("echo $((1 + 1))-is-counted; exit 0", "2-is-counted"),
        ("cat; echo nothing-to-read", "nothing-to-read"),
        ("echo warned >&2; echo long-enough", "long-enough"),
        ("head -c 300000 /dev/zero | tr '\\0' x", "x" * 300_000),
    ],
)
def test_the_value_is_what_the_command_prints_less_one_newline(values: Values, command: str, value: str) -> None:
    quoted = command.replace("'", "''")
    assert values(f"[{{DB: {{command: '{quoted}'}}}}]") == {"DB": value}


def test_a_command_runs_in_the_workflows_folder_with_our_environment(
    values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").write_text("kept-in-a-file\n")
    (tmp_path / "startup").write_text("echo never-read\n")
    monkeypatch.setenv("BASH_ENV", str(tmp_path / "startup"))
    monkeypatch.setenv("VAULT", "kept")
    assert values("[{DB: {command: cat $VAULT}}]") == {"DB": "kept-in-a-file"}


def test_a_command_that_fails_is_told_with_its_standard_error_and_never_its_output(values: Values) -> None:
    error = refusal(values, "[{DB: {command: 'echo tHe-VaLuE; echo no such entry >&2; exit 3'}}]")
    assert str(error) == "the command of the secret DB ended with exit status 3: no such entry"
    assert error.help is not None
    assert "flow.yaml:2:11" in error.help


def test_a_standard_error_that_repeats_the_output_is_shown_without_that_line(values: Values) -> None:
    command = "echo tHe-VaLuE; echo got tHe-VaLuE >&2; echo no more >&2; false"
    assert "tHe-VaLuE" not in str(refusal(values, f"[{{DB: {{command: '{command}'}}}}]"))


def test_a_standard_error_cannot_write_to_the_terminal(values: Values) -> None:
    error = refusal(values, "[{DB: {command: \"printf '\\\\033[2Jgone\\\\a' >&2; false\"}}]")
    assert str(error) == "the command of the secret DB ended with exit status 1: gone"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("true", "printed nothing"),
        ("echo", "printed nothing"),
        ("false | echo long-enough", "ended with exit status 1"),
        ("echo $NO_SUCH_VARIABLE_IS_SET", "ended with exit status 1"),
        ("no-such-command-at-all", "ended with exit status 127"),
        ("kill -9 $$", "was killed by signal 9"),
        ("echo tiny", "is shorter than eight characters"),
        ("printf 'long\\0enough'", "holds a NUL"),
        ("printf 'long\\377enough'", "not UTF-8"),
    ],
)
def test_a_command_that_gives_no_value_is_an_error_that_names_the_secret(
    values: Values, command: str, told: str
) -> None:
    quoted = command.replace("'", "''")
    error = refusal(values, f"[{{DB: {{command: '{quoted}'}}}}]")
    assert told in str(error)
    assert "DB" in str(error)
    assert "tiny" not in str(error)
    assert "enough" not in str(error)


def test_a_short_secret_is_named_and_its_value_is_not(values: Values, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "seven77")
    error = refusal(values, "[TOKEN]")
    assert "the secret TOKEN is shorter than eight characters" in str(error)
    assert "seven77" not in f"{error} {error.help}"
    monkeypatch.setenv("TOKEN", "eight888")
    assert values("[TOKEN]") == {"TOKEN": "eight888"}


def test_a_keyring_is_asked_by_service_and_by_the_secrets_name(values: Values, keyring: Path) -> None:
    assert values("[{HOUSE_KEY: {keyring: penstock}}]") == {"HOUSE_KEY": "kept-in-the-house"}


@pytest.mark.parametrize(
    ("secret", "told", "help"),
    [
        ("NONE: {keyring: penstock}", "has no entry for the secret NONE under the service penstock", "keyring set"),
        ("NONE: {keyring: locked}", "cannot be asked for the secret NONE: the collection is locked", "unlock it"),
        ("SHORT: {keyring: penstock}", "the secret SHORT is shorter than eight characters", "a longer secret"),
    ],
)
def test_a_keyring_that_gives_no_value_is_told(
    values: Values, keyring: Path, secret: str, told: str, help: str
) -> None:
    error = refusal(values, f"[{{{secret}}}]")
    assert told in str(error)
    assert help in (error.help or "")
    assert "tiny" not in str(error)


def test_without_the_keyring_package_the_extra_is_named(values: Values, keyring: Path) -> None:
    (keyring / "__init__.py").write_text("raise ModuleNotFoundError(name='keyring')\n")
    error = refusal(values, "[{HOUSE_KEY: {keyring: penstock}}]")
    assert "the keyring package is not installed" in str(error)
    assert error.help == "pip install 'penstock[keyring]'"
