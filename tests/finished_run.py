"""A finished run's folder, made by hand: two rounds under the policy of `made_ledger`, with a witness."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

import made_ledger
from covey import plan as plans
from covey.arrays import digest
from covey.claim import Privacy
from covey.examples import Standardise
from covey.ledger import entries
from covey.ledger.entries import AnyEntry, Members, Settle
from covey.package.archive import pack
from covey.package.contents import Draft, Variant, assemble
from covey.package.keys import new_signing_key
from covey.package.verify import sign_package
from covey.plan import Task, Validate
from covey_io.ledger_files import LedgerFiles
from covey_models.export import to_onnx
from covey_models.golden import golden
from covey_models.observing import probes
from covey_models.quantise import to_int8
from covey_models.training import initial, load
from covey_models.zoo.digits import MODEL
from covey_server.checkpoint import Checkpoint
from covey_server.run_folder import RunFolder
from covey_server.summary import Summary
from made_ledger import SIZE, SOFTWARE, TRAIN
from secagg_fleet import NOW

NAME = "lab"
SCALE = Standardise(mean=(4.9,), deviation=(6.0,))
CARD = "# lab\n\nint8 calibration: Public probes.\n"
CONFIG: dict[str, Any] = {
    "name": NAME,
    "seed": 3,
    "model": {"name": "digits"},
    "federation": {"rounds": 2},
    "privacy": {"epsilon": 4.0, "delta": 1e-5},
    "data": {"source": "what only a simulation has"},
}
MEMBERS = Members(advertised=SIZE, sharing=SIZE, survivors=SIZE, noise_left=1)


@dataclass(frozen=True)
class Finished:
    """The folder, and what a reader trusts.

    Attributes:
        path: The run's folder.
        run: The run's identifier.
        policy: The signed policy's file.
        private: The publisher's key, a file.
        public: Its public half.
    """

    path: Path
    run: str
    policy: Path
    private: Path
    public: Path


def finished(folder: Path, *, seed: int = 1, int8: bool = True, gate: bool = False) -> Finished:
    """Make one.

    Args:
        folder: Empty.
        seed: Decides the trained parameters.
        int8: Whether the run made an int8 model.
        gate: Whether it was to have a gate; its verdict is not written here.
    """
    run = RunFolder.create(folder / NAME, CONFIG | ({"release": {"gate": True}} if gate else {}))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parameters = initial(MODEL, seed)
    run.save(Checkpoint(run.config, 2, parameters, {}, SCALE))
    lines = [entries.encode(each) for each in _entries(run.run, digest(parameters))]
    files = LedgerFiles(run.path / "ledger")
    files.path.mkdir()
    files.entries.write_bytes(b"".join(line + b"\n" for line in lines))
    files.checkpoint.write_bytes(made_ledger.head_over(lines))
    network = MODEL.build()
    load(network, parameters)
    fp32 = to_onnx(network, MODEL.input_shape)
    models: dict[Variant, bytes] = {"fp32": fp32}
    if int8:
        models["int8"] = to_int8(fp32, probes(MODEL.input_shape, 3))
    keys = new_signing_key()
    (run.path / f"{NAME}.covey").write_bytes(packed(models, keys[0]))
    (run.path / "summary.json").write_bytes(msgspec.json.encode(_summary(run.path, int8=int8)))
    policy, private, public = (folder / each for each in ("policy.signed", "release.pem", "release.pub.pem"))
    policy.write_bytes(made_ledger.policy_note())
    private.write_bytes(keys[0])
    public.write_bytes(keys[1])
    return Finished(run.path, run.run, policy, private, public)


def packed(models: dict[Variant, bytes], private: bytes | None = None) -> bytes:
    """A run's package of these models; signed by a key of its own if none is given."""
    return pack(sign_package(_package(models), private or new_signing_key()[0]))


def _package(models: dict[Variant, bytes]) -> dict[str, bytes]:
    return assemble(
        Draft(
            name=NAME,
            version="0",
            model=MODEL.name,
            labels=MODEL.labels,
            preprocessing=SCALE,
            models=models,
            golden=golden(MODEL, models, SCALE, 3),
            card=CARD,
        )
    )


def _entries(run: str, trained: str) -> list[AnyEntry]:
    policy, listed = made_ledger.policy_note(), made_ledger.roster()
    made: list[AnyEntry] = [entries.RunPolicy(time=NOW, run=run, policy=policy.decode())]
    asked: list[tuple[Task, int, str]] = [
        (TRAIN, 0, "0" * 64),
        (TRAIN, 1, "1" * 64),
        (Validate(100), 2, trained),
    ]
    for serial, (task, done, carried) in enumerate(asked, 1):
        plan = made_ledger.plan_of(serial, task, done, policy, listed, run=run, model_sha256=carried)
        reserve = made_ledger.reserve_of(plan, NOW)
        named = plans.digest(reserve.plan)
        made += [reserve, _settle(named)]
    return made


def _settle(plan: str) -> Settle:
    return Settle(
        time=NOW, plan=plan, members=MEMBERS, sets=None, evidence=None, sum="0" * 64, software=SOFTWARE
    )


def _summary(path: Path, *, int8: bool) -> Summary:
    claimed = Privacy(
        masks="on",
        noise="skellam",
        simulated=False,
        unit="device",
        delta=1e-5,
        epsilon_server=1.0,
        epsilon_release=1.0,
        sums={"train": 2, "validate": 1},
        unopened=0,
        statement="as the ledger says",
    )
    return Summary(
        name=NAME,
        simulation=True,
        model=MODEL.name,
        rounds=2,
        devices=SIZE,
        privacy=claimed,
        accuracy_federated=0.9,
        accuracy_central=None,
        accuracy_fp32=0.92,
        accuracy_int8=0.91 if int8 else None,
        model_sha256="0" * 64,
        package=str(path / f"{NAME}.covey"),
        package_bytes=1,
        latency_p50_us=42.4,
        seconds=1.0,
    )
