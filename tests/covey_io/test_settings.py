from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from covey.errors import ConfigError
from covey_io.settings import convert, load, read


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=10)] = 0.1
    epochs: Annotated[int, msgspec.Meta(ge=1)] = 1
    schedule: Literal["constant", "cosine"] = "constant"
    subjects: tuple[int, ...] = ()


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    name: str
    training: Training = Training()
    limit: int | None = None


def written(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, "utf-8")
    return path


def refused(folder: Path, text: str, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(written(folder, text), File, overrides)
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)
    return caught.value


def test_load_reads_tables_and_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, 'name = "größe"\n[training]\nlearning_rate = 1\nsubjects = [1, 2]\n')
    assert load(path, File) == File(name="größe", training=Training(learning_rate=1.0, subjects=(1, 2)))


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("", "", "object missing required field `name`"),
        ("name = 3", "name", "expected `str`, got `int`"),
        ('name = "a"\ntraining = 3', "training", "expected `object`, got `int`"),
        ('name = "a"\n[training]\nepochs = 0', "training.epochs", "expected `int` >= 1"),
        ('name = "a"\n[training]\nepochs = 1.5', "training.epochs", "expected `int`, got `float`"),
        ('name = "a"\n[training]\nepochs = "3"', "training.epochs", "expected `int`, got `str`"),
        ('name = "a"\n[training]\nepochs = true', "training.epochs", "expected `int`, got `bool`"),
        ('name = "a"\n[training]\nlearning_rate = 0', "training.learning_rate", "expected `float` > 0.0"),
        ('name = "a"\n[training]\nlearning_rate = 11', "training.learning_rate", "expected `float` <= 10.0"),
        ('name = "a"\n[training]\nlearning_rate = nan', "training.learning_rate", "expected `float` > 0.0"),
        ('name = "a"\n[training]\nlearning_rate = inf', "training.learning_rate", "expected `float` <= 10.0"),
        ('name = "a"\n[training]\nlearning_rate = -inf', "training.learning_rate", "expected `float` > 0.0"),
        ('name = "a"\n[training]\nschedule = "step"', "training.schedule", "invalid enum value 'step'"),
        (
            'name = "a"\n[training]\nsubjects = [1, "b"]',
            "training.subjects[1]",
            "expected `int`, got `str`",
        ),
        ('name = "a"\nlimit = 2026-01-01', "limit", "expected `int | null`, got `date`"),
    ],
)
def test_a_wrong_value_names_file_key_and_expectation(
    tmp_path: Path, text: str, key: str, expected: str
) -> None:
    error = refused(tmp_path, text)
    assert error.source == str(tmp_path / "run.toml")
    assert error.key == key
    assert error.message == ": ".join(filter(None, [error.source, key, expected]))


@pytest.mark.parametrize(
    ("text", "key", "told"),
    [
        ('nme = "a"', "nme", "unknown key; did you mean name?"),
        (
            'name = "a"\n[training]\nlearing_rate = 1',
            "training.learing_rate",
            "unknown key; did you mean learning_rate?",
        ),
        ('name = "a"\nzzz = 1', "zzz", "unknown key; known keys: name, training, limit"),
        (
            'name = "a"\n[training]\nzzz = 1',
            "training.zzz",
            "unknown key; known keys: learning_rate, epochs, schedule, subjects",
        ),
    ],
)
def test_an_unknown_key_is_told_what_was_meant(tmp_path: Path, text: str, key: str, told: str) -> None:
    error = refused(tmp_path, text)
    assert error.message == f"{tmp_path / 'run.toml'}: {key}: {told}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: no such file \(give the path of a TOML file\)"):
        read(tmp_path / "gone.toml")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path}: cannot be read: "):
        read(tmp_path)


def test_what_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b'name = "\xff"')
    with pytest.raises(ConfigError, match=r"run\.toml: cannot be read: "):
        read(tmp_path / "run.toml")


@pytest.mark.parametrize("text", ["name = a b\n", '{"name": "a"}', 'name = "a"\nname = "b"\n'])
def test_what_is_not_toml_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    error = refused(tmp_path, text)
    assert error.message.startswith(f"{tmp_path / 'run.toml'}: not valid TOML: ")
    assert f"(at line {text.count(chr(10)) or 1}, column " in error.message


def with_set(*overrides: str, table: dict[str, Any] | None = None) -> File:
    return convert({"name": "a"} if table is None else table, File, "run.toml", overrides)


@pytest.mark.parametrize(
    ("override", "name"),
    [
        ("name=b", "b"),
        ("name = b ", "b"),
        ('name="3"', "3"),
        ("name='3'", "3"),
        ("name=", ""),
        ("name=b=c", "b=c"),
        ("name=two words", "two words"),
        ("name=b # c", "b # c"),
        ("name=../x.toml", "../x.toml"),
    ],
)
def test_a_value_that_is_no_toml_is_a_string(override: str, name: str) -> None:
    assert with_set(override).name == name


def test_set_reaches_into_tables_and_keeps_what_stands_beside() -> None:
    table = {"name": "a", "training": {"epochs": 7, "learning_rate": 0.5}}
    found = with_set("training.learning_rate=2", "training.subjects=[1, 2]", table=table)
    assert found.training == Training(epochs=7, learning_rate=2.0, subjects=(1, 2))
    assert table == {"name": "a", "training": {"epochs": 7, "learning_rate": 0.5}}


def test_set_makes_a_table_that_is_not_there() -> None:
    assert with_set("training.epochs=3").training == Training(epochs=3)


def test_the_last_set_wins() -> None:
    assert with_set("training.epochs=3", "training.epochs=4").training.epochs == 4


@pytest.mark.parametrize(
    "override", ["", "name", "=3", ".name=3", "training.=3", "training..epochs=3", " =3"]
)
def test_a_bad_form_is_shown_a_good_one(override: str) -> None:
    with pytest.raises(ConfigError, match="expected key=value, such as --set ") as caught:
        with_set(override)
    assert caught.value.source == "--set"
    assert caught.value.key == override


def test_set_goes_into_no_value() -> None:
    with pytest.raises(ConfigError, match=r"--set: name\.first: name is a value, not a table"):
        with_set("name.first=b")


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("training.epochs=0", "training.epochs"),
        ("training.epochs=many", "training.epochs"),
        ("training.learning_rate=nan", "training.learning_rate"),
        ("training.epoch=1", "training.epoch"),
        ("training=3", "training"),
        ("name=3", "name"),
    ],
)
def test_a_set_value_is_checked_like_one_in_the_file(override: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_set(override)
    assert caught.value.key == key
