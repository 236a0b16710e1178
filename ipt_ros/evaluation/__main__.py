"""Evaluates the node in the embedded simulator, world after world, each with processes of its own:
sim_node, ipt_node and evaluate_node; or, with --bag, in a recording that is played to it.
`python -m ipt_ros.evaluation --out evaluate_out`; the same command goes on where it was stopped.
Ctrl-C and SIGTERM end it with a report of what was asked. Exit status: 0 when all was asked, 1
when something is not as it must be, 2 when nothing can be done so, 130 when it was stopped.
"""

from __future__ import annotations

from ipt_ros.starting.interruption import (
    INTERRUPTED,
    Interrupted,
    end_at_once,
    held_back,
    interruptible,
    undisturbed,
)

if __name__ == "__main__":  # before anything that takes long is imported
    end_at_once(INTERRUPTED)

# isort: split
import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipt_model.weights import DEFAULT_MODEL

if TYPE_CHECKING:
    from ipt_ros.demo.robot import NodeProcess
    from ipt_ros.parameters.table import Values

#: Test seeds: nothing was trained in these worlds. Name, stands, masks.
SMALL = tuple(
    (world, 8, 2) for world in ("room_850000", "room_850001", "house_850001", "house_850006")
)
FULL = (
    *((f"room_{850_000 + i}", 16, 4) for i in range(12)),
    *((f"house_{850_000 + i}", 16, 4) for i in range(12)),
)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ipt_ros.evaluation", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("evaluate_out"), help="folder")
    parser.add_argument("--full", action="store_true", help="24 worlds with 16 stands each")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name, or folder with weights")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--mode", choices=("answer", "imagine", "recall", "auto"), default="auto")
    parser.add_argument("--sim-time", action="store_true", help="all nodes take time from /clock")
    parser.add_argument(
        "--bag", type=Path, help="ask in this recording: a rosbag2 folder, or an .mcap or .db3"
    )
    parser.add_argument(
        "--contract", type=Path, help="of --bag, from ipt-bag inspect --write; else it is guessed"
    )
    parser.add_argument("--places", type=int, default=24, help="of --bag, where it is asked")
    given = parser.parse_args(argv)
    if given.contract and not given.bag:
        parser.error("--contract: says what the topics of --bag are, and there is none")
    if not 1 <= given.places <= 1000:
        parser.error("--places: expected 1 to 1000")
    return given


def main(argv: list[str] | None = None) -> int:
    chosen = arguments(argv)
    try:
        with interruptible():
            code = evaluated(chosen)
    except Interrupted:
        code = INTERRUPTED
    if code == INTERRUPTED:
        write_missing_report(chosen)
        print("ipt_ros.evaluation: stopped; the same command goes on", file=sys.stderr)
    return code


def evaluated(chosen: argparse.Namespace) -> int:
    """The exit status of the first world that does not end well, else 0."""
    with undisturbed():
        # a library that was broken off while it loaded cannot be loaded again for the report
        import ipt_ros.demo.scenario
        import ipt_ros.evaluation.node  # noqa: F401
        from ipt_ros.demo.robot import begin

    if not begin("ipt_ros.evaluation", chosen.out):
        return 2
    began = time.monotonic()
    if chosen.bag:
        code = in_bag(chosen)
    else:
        worlds = FULL if chosen.full else SMALL
        codes = (in_world(chosen, *world) for world in worlds)
        code = next((code for code in codes if code), 0)
    if code:
        return code
    print(f"{chosen.out / 'evaluation.html'}\n{time.monotonic() - began:.0f} s")
    return 0


def in_world(chosen: argparse.Namespace, world: str, stands: int, masks: int) -> int:
    """Its evaluator's exit status."""
    from ipt_ros.demo.robot import start_node
    from ipt_ros.demo.scenario import Scenario

    level, seed = world.split("_")
    clock: dict[str, Any] = {"use_sim_time": True} if chosen.sim_time else {}
    wanted = {
        "world": world,
        "stands": stands,
        "masks": masks,
        "out": chosen.out,
        "mode": chosen.mode,
        **clock,
    }
    if is_finished(chosen, world, stands, masks):
        print(f"{world}: every question was asked before")
        return 0
    with ExitStack() as nodes:
        sim = start_node(
            nodes,
            "sim_node",
            {"level": level, "seed": int(seed), "publish_clock": bool(clock)},
            chosen.out / "sim_node.log",
        )
        ipt = start_asked(nodes, chosen, {"mounts": list(Scenario.MOUNT), **clock})
        code = evaluator(wanted, (sim, ipt))
    if code == 1:
        print(f"what the other nodes said: {sim.log}, {ipt.log}", file=sys.stderr)
    return code


def in_bag(chosen: argparse.Namespace) -> int:
    """Its evaluator's exit status."""
    from ipt_training.bags.contract import ContractError
    from ipt_training.bags.reading import BagError

    wanted = {
        "simulator": "bag",
        "bag": chosen.bag.absolute(),
        **({"contract": chosen.contract.absolute()} if chosen.contract else {}),
        "stands": chosen.places,
        "masks": max(1, chosen.places // 4),
        "out": chosen.out,
        "mode": chosen.mode,
    }
    try:
        check_bag(chosen)
    except (BagError, ContractError) as error:
        print(f"ipt_ros.evaluation: {error}", file=sys.stderr)
        return 2
    with ExitStack() as nodes:
        # the player tells it where the camera was, whatever the mount
        ipt = start_asked(nodes, chosen, {"use_sim_time": True})
        code = evaluator(wanted, (ipt,))
    if code == 1:
        print(f"what the other node said: {ipt.log}", file=sys.stderr)
    return code


def start_asked(nodes: ExitStack, chosen: argparse.Namespace, more: dict[str, Any]) -> NodeProcess:
    """The ipt_node that is asked. more: parameters of this setting."""
    from ipt_ros.demo.robot import start_node

    return start_node(
        nodes,
        "ipt_node",
        {
            "model": chosen.model,
            "device": chosen.device,
            "pose_source": "odometry",
            # its own map begins anew with every stand, as its memory does
            "map_source": "memory",
            **more,
        },
        chosen.out / "ipt_node.log",
    )


def check_bag(chosen: argparse.Namespace) -> None:
    """Raises BagError and ContractError for what no node need be started for."""
    from ipt_ros.evaluation.in_bag.recording import Recording
    from ipt_training.bags.contract import Contract

    contract = Contract.load(chosen.contract) if chosen.contract else None
    values = parameters_of(chosen)
    Recording(chosen.bag, contract, values.questions_seed, values.robot_radius_m)


def parameters_of(chosen: argparse.Namespace, **changes: Any) -> Values:
    """Of an evaluate_node that this program starts."""
    from ipt_ros.parameters.evaluate_node import EVALUATE_PARAMETERS
    from ipt_ros.parameters.table import checked, defaults

    given = {"mode": chosen.mode, **changes}
    return checked(EVALUATE_PARAMETERS, defaults(EVALUATE_PARAMETERS), given)


def is_finished(chosen: argparse.Namespace, world: str, stands: int, masks: int) -> bool:
    """Whether nothing is left there, so that no node need be started."""
    from ipt_ros.evaluation.node import EPISODES, left, shipped_worlds, stands_for, true_world
    from ipt_ros.evaluation.records import Records

    records = Records(chosen.out / EPISODES)
    if not records.finished:
        return False
    values = parameters_of(chosen, stands=stands, masks=masks)
    return not left(stands_for(true_world(world, shipped_worlds()), values), records)


def write_missing_report(chosen: argparse.Namespace) -> None:
    """Where no evaluator ran that could write it, or it was stopped before it began."""
    from ipt_ros.evaluation.node import EPISODES, RESULT, write_report
    from ipt_ros.evaluation.records import Records

    episodes, result = chosen.out / EPISODES, chosen.out / RESULT
    if not episodes.exists() or (
        result.exists() and result.stat().st_mtime_ns >= episodes.stat().st_mtime_ns
    ):
        return
    records = Records(episodes)
    if records.finished:
        write_report(records, chosen.out, parameters_of(chosen))


def evaluator(parameters: dict[str, Any], others: Sequence[NodeProcess]) -> int:
    """Runs evaluate_node in this terminal, and ends it where another node ends. A signal is passed
    on, and its report waited for.
    """
    from ipt_ros.demo.robot import command_line

    with held_back():
        process = subprocess.Popen(command_line("evaluate_node", parameters))
    try:
        while True:
            try:
                return process.wait(1.0)
            except subprocess.TimeoutExpired:
                for node in others:
                    node.check()
    except Interrupted:
        # Ctrl-C reached it already, and the other nodes too; it hears one signal only
        process.send_signal(signal.SIGINT)
        process.wait()
        return INTERRUPTED
    except RuntimeError as error:
        print(f"ipt_ros.evaluation: {error}", file=sys.stderr)
        process.send_signal(signal.SIGINT)
        process.wait()
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
