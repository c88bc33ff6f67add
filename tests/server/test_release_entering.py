"""What a package says of its making counts for that package only, before anybody is shown it."""

import msgspec
import pytest

import made_provenance
from covey.errors import InputError, PackageError
from covey.gate import GateLimits, GateReport, counts_of, decide
from covey.package import manifest as manifests
from covey.package.archive import pack
from covey.package.names import MANIFEST, PROVENANCE
from covey_server.release_entering import check_gate, record_of

replace = msgspec.structs.replace


def report(right: int, only_old: int, only_new: int) -> GateReport:
    """What a gate decides on 10,000 examples, of which the old model had 9,500 right."""
    cells = [10_000, 9_500, right, only_old, only_new, 9_000, 300, 300, 1_000, 20, 20]
    return decide(counts_of(cells, ("a", "b"), (), 0), GateLimits())


GOOD, BAD = report(9_490, 40, 30), report(9_000, 540, 40)


def test_what_passed_its_gate_may_be_published() -> None:
    archive = pack(made_provenance.files(made_provenance.record(gate=GOOD)))
    check_gate(record_of(archive))
    with pytest.raises(InputError, match="the gate failed"):
        check_gate(record_of(pack(made_provenance.files(made_provenance.record(gate=BAD)))))


@pytest.mark.parametrize("changes", [{"version": "2.0.0"}, {"int8": False}])
def test_the_verdict_on_another_release_publishes_nothing(changes: dict[str, object]) -> None:
    """Provenance of a release that passed, put into one that devices were never asked about."""
    passed = made_provenance.files(made_provenance.record(gate=GOOD))
    version, int8 = str(changes.get("version", "1.0.0")), bool(changes.get("int8", True))
    other = made_provenance.files(made_provenance.record(version=version), int8=int8)
    other[PROVENANCE] = passed[PROVENANCE]
    listed = manifests.decode(other[MANIFEST])
    other[MANIFEST] = manifests.encode(replace(listed, files=manifests.listing(other)))
    with pytest.raises(PackageError, match="of another release or of other models"):
        record_of(pack(other))


def test_a_verdict_that_its_numbers_do_not_give_publishes_nothing() -> None:
    said = made_provenance.record(gate=replace(BAD, verdict="passed"))
    with pytest.raises(InputError, match="not what its numbers say"):
        check_gate(said)
