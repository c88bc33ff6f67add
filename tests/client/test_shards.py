"""However files come and go, no example changes sides."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import DataError
from covey_client.shards import Division, Shard, cut_of, digest, read, refusal, with_shard, write


def sha(number: int) -> str:
    return digest(b"%d" % number)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=40),
    st.lists(st.integers(0, 50), min_size=7),
)
def test_a_shard_is_divided_as_it_was_however_often_it_comes_back(
    seen: list[tuple[int, int]], sizes: list[int]
) -> None:
    division, cuts = Division("npz"), dict[str, int]()
    for content, name in seen:
        if refusal(division, f"{name}", sha(content), {}):
            continue
        division = with_shard(division, f"{name}", sha(content), sizes[content])
        cut = cut_of(division, sha(content))
        assert 0 <= cut <= sizes[content]
        assert cuts.setdefault(sha(content), cut) == cut


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_a_quarter_of_all_is_held_out_however_small_the_shards_are(sizes: list[int]) -> None:
    division = Division("npz")
    for number, size in enumerate(sizes):
        division = with_shard(division, f"{number}", sha(number), size)
        total = sum(each.examples for each in division.shards)
        held_out = total - sum(each.cut for each in division.shards)
        assert held_out == -(-total // 4)


def test_the_last_of_a_shard_are_held_out() -> None:
    assert with_shard(Division("npz"), "a", sha(1), 100).shards == (Shard("a", sha(1), 100, 75),)


def test_what_has_changed_is_refused_also_after_it_was_away() -> None:
    division = with_shard(Division("npz"), "a", sha(1), 10)
    assert refusal(division, "a", sha(2), {}) == "it has changed since it was divided"
    assert not refusal(division, "a", sha(1), {})
    assert not refusal(division, "b", sha(2), {})


def test_a_copy_is_refused_and_a_new_name_is_not() -> None:
    division = with_shard(Division("npz"), "a", sha(1), 10)
    assert refusal(division, "b", sha(1), {sha(1): "a"}) == "it holds the same as a"
    assert not refusal(division, "b", sha(1), {})
    renamed = with_shard(division, "b", sha(1), 10)
    assert refusal(renamed, "b", sha(2), {}) == "it has changed since it was divided"
    assert cut_of(renamed, sha(1)) == cut_of(division, sha(1))
    assert with_shard(renamed, "b", sha(1), 10) == renamed


def test_a_division_is_read_as_it_was_written(tmp_path: Path) -> None:
    division = with_shard(Division("npz"), "a", sha(1), 10)
    write(tmp_path / "a.json", division)
    assert read(tmp_path / "a.json", "npz") == division
    with pytest.raises(DataError, match="were cut from the files by 'npz', now by 'csv"):
        read(tmp_path / "a.json", "csv {}")


@pytest.mark.parametrize(
    "text",
    ["", '{"cut_by": "npz", "shards": [["a", "b", 1, 1]]}', '{"shards": []}', '{"cut_by": "npz", "x": 1}'],
)
def test_a_damaged_division_is_no_new_beginning(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match="is damaged"):
        read(tmp_path / "a.json", "npz")
