import inspect

import pytest

from covey import errors
from covey.errors import ConfigError, CoveyError, InputError, PlanRefused, ProtocolError, TooFewDevices


def tree() -> dict[str, type[CoveyError]]:
    classes = inspect.getmembers(errors, inspect.isclass)
    return {name: kind for name, kind in classes if issubclass(kind, CoveyError)}


def test_every_error_stands_in_the_drawn_tree_under_its_parent() -> None:
    drawn: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        words = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ")
        name = words.split()[0] if words.split() else ""
        if name in tree():
            depth = len(words) - len(words.lstrip())
            above[depth] = name
            drawn[name] = above.get(depth - 4, "Exception")
    assert drawn == {name: kind.__bases__[0].__name__ for name, kind in tree().items()}


@pytest.mark.parametrize("kind", [kind for kind in tree().values() if issubclass(kind, InputError)])
def test_what_a_person_gave_exits_with_2(kind: type[CoveyError]) -> None:
    assert kind.exit_status == 2


@pytest.mark.parametrize("kind", [kind for kind in tree().values() if not issubclass(kind, InputError)])
def test_everything_else_exits_with_1(kind: type[CoveyError]) -> None:
    assert kind.exit_status == 1


def test_the_hint_follows_the_message() -> None:
    assert str(TooFewDevices("2 of 5 answered", hint="bring more up")) == "2 of 5 answered (bring more up)"
    assert str(TooFewDevices("2 of 5 answered")) == "2 of 5 answered"


def test_a_configuration_error_names_source_key_and_expectation() -> None:
    error = ConfigError("a.toml", "federation.rounds", "expected a number", hint="say 5")
    assert str(error) == "a.toml: federation.rounds: expected a number (say 5)"
    assert (error.source, error.key) == ("a.toml", "federation.rounds")
    assert str(ConfigError("a.toml", "", "no such file")) == "a.toml: no such file"


def test_a_protocol_error_says_whose_fault_it_is() -> None:
    assert ProtocolError("no", blame="node 3").blame == "node 3"
    assert PlanRefused("no").blame == "server"
