"""What a person is told of a round beyond what the coordinator says."""

from covey_server.coordinator import RoundEnded
from covey_simulations.watching import Watcher
from sum_rows import Row, abort, reserve, settle


class Told:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.rounds: list[RoundEnded] = []

    def stage(self, name: str) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """Nothing."""

    def step(self, done: int, total: int) -> None:
        """Nothing."""

    def round_ended(self, ended: RoundEnded) -> None:
        """Keep it."""
        self.rounds.append(ended)


def ended(number: int, *refused: str) -> RoundEnded:
    return RoundEnded(number, 9, 1.0, None, 20, refused, 0.1)


def test_a_sum_that_was_given_up_is_told_once_with_its_round() -> None:
    told, sums = Told(), list[Row]()
    watcher = Watcher(told, lambda: list(sums))
    first, lost, second = reserve(1), reserve(1, cohort_number=1), reserve(2)
    sums += [first, lost, settle(first), abort(lost)]
    watcher.round_ended(ended(1, "node 7: late"))
    sums += [second, settle(second)]
    watcher.round_ended(ended(2))
    assert [each.refused for each in told.rounds] == [("node 7: late", "a whole sum (train): too few"), ()]


def test_what_was_given_up_in_other_rounds_is_not_told() -> None:
    told = Told()
    Watcher(told, lambda: [reserve(1), abort(reserve(1))]).round_ended(ended(2))
    assert told.rounds[0].refused == ()
