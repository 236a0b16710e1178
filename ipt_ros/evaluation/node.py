"""The evaluator as a node: asks a running ipt_node in a simulated world whose truth is known, or
in a recording that it plays, and ends when all is asked.

Writes episodes.jsonl while it runs, evaluation.json and evaluation.html at its end, however it
ends. Exit status: 0 when every episode is finished, 1 when something is not as it must be, 2 for a
recording of no use, both told in one line, 130 after Ctrl-C. The same command goes on where it was
stopped.
"""

from __future__ import annotations

from ipt_ros import one_math_thread  # noqa: F401  before numpy

# isort: split
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ipt_ros.client import Asker, AskTimeout, Waiter
from ipt_ros.evaluation.asking import NodeGone, Questioner
from ipt_ros.evaluation.body import Body, PlaceError, Simulated
from ipt_ros.evaluation.course import Course, Setting, mask_id, wait_for_node
from ipt_ros.evaluation.episodes import Stand
from ipt_ros.evaluation.map_look import MapLook
from ipt_ros.evaluation.page import page
from ipt_ros.evaluation.records import Records, RecordsError
from ipt_ros.evaluation.scores import summary
from ipt_ros.parameters.evaluate_node import EVALUATE_PARAMETERS
from ipt_ros.parameters.table import ParameterError, Values, declare
from ipt_ros.run import leave, read_arguments
from ipt_ros.starting.interruption import INTERRUPTED, Interrupted, interruptible, undisturbed
from ipt_ros.texts import cut
from ipt_training.bags.contract import Contract, ContractError
from ipt_training.bags.reading import BagError
from ipt_training.scenes.scene import SceneError

if TYPE_CHECKING:
    from ipt_ros.evaluation.true_world import TrueWorld

EPISODES, RESULT, PAGE, PICTURES = (
    "episodes.jsonl",
    "evaluation.json",
    "evaluation.html",
    "pictures",
)
#: What ends an evaluation with one line.
REFUSALS = (AskTimeout, NodeGone, PlaceError, RecordsError, SceneError, ParameterError, OSError)


def main() -> None:
    code, why = 1, ""
    try:
        with interruptible():
            _read_arguments()
            code = _run()
    except Interrupted:
        code = INTERRUPTED
    except (BagError, ContractError) as error:
        code, why = 2, f"evaluate_node: {cut(error)}"
    except REFUSALS as error:
        why = f"evaluate_node: {cut(error)}"
    leave(code, why)


def _read_arguments() -> None:
    try:
        read_arguments("evaluate_node")
    except Exception as error:  # of rcl, about arguments that it cannot read
        leave(2, f"evaluate_node: {cut(' '.join(str(error).split()))}")


def _run() -> int:
    import rclpy
    from rclpy.exceptions import ParameterException
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    asker = Asker(name="evaluate_node")
    try:
        values = declare(asker.node, EVALUATE_PARAMETERS).values
        asker.target = values.target
        return evaluate(asker, values, Waiter(), shipped_worlds())
    except ParameterException as error:
        raise ParameterError(str(error)) from error
    finally:
        asker.close()
        rclpy.try_shutdown()


def shipped_worlds() -> Path:
    from ament_index_python.packages import get_package_share_path

    return get_package_share_path("imaginative_perception") / "worlds"


#: Makes the setting once a node is there to be asked; what must be ended goes on the stack.
Make = Callable[[ExitStack], Setting]


def evaluate(asker: Asker, values: Values, waiter: Waiter, worlds: Path) -> int:
    """Ask what is left in the world or recording, and write the report of all that was ever asked
    into the folder. worlds: those that come with the package.
    """
    out = Path(values.out)
    records = Records(out / EPISODES)
    tell = asker.node.get_logger().info
    try:
        if values.simulator == "bag":
            stands, make = _in_a_bag(asker, values, waiter)
        else:
            stands, make = _in_a_world(asker, values, waiter, worlds)
        if left(stands, records):
            _ask(asker, values, waiter, stands, make, records)
        code = 0
    except Interrupted:
        tell("stopped; the same command goes on")
        code = INTERRUPTED
    finally:
        if records.finished:
            tell(f"wrote {write_report(records, out, values)}")
    return code


def _in_a_world(
    asker: Asker, values: Values, waiter: Waiter, worlds: Path
) -> tuple[list[Stand], Make]:
    world = true_world(values.world, worlds)

    def make(_: ExitStack) -> Setting:
        body = Body(asker, waiter, values.simulator, world.name, world.robot["model"])
        return Simulated(body, world, values.target, values.start_timeout_s)

    return stands_for(world, values), make


def true_world(name: str, worlds: Path) -> TrueWorld:
    """worlds: those that come with the package."""
    with undisturbed():
        # loads what draws worlds, which a recording does not need
        from ipt_ros.evaluation.true_world import TrueWorld
        from ipt_training.worlds.reading import find_truth

        return TrueWorld(find_truth(name, worlds))


def _in_a_bag(asker: Asker, values: Values, waiter: Waiter) -> tuple[list[Stand], Make]:
    from ipt_ros.evaluation.in_bag.played import Played
    from ipt_ros.evaluation.in_bag.recording import Recording

    if not values.bag:
        raise BagError("simulator is bag: name the recording (bag)")
    contract = Contract.load(Path(values.contract)) if values.contract else None
    recording = Recording(Path(values.bag), contract, values.questions_seed, values.robot_radius_m)
    asker.node.get_logger().info(f"{recording.name}: looking for places to ask at")
    stands = recording.stands(values.stands, values.masks, values.mode)

    def make(ends: ExitStack) -> Setting:
        return Played(recording, asker, waiter, values.fixed_frame, ends)

    return stands, make


def stands_for(world: TrueWorld, values: Values) -> list[Stand]:
    """The stands that these parameters ask for."""
    from ipt_ros.evaluation.questions import stands_of

    found = stands_of(
        world, values.stands, values.questions_seed, values.masks, values.robot_radius_m
    )
    named = [_in_mode(stand, values.mode) for stand in found]
    if not named:
        raise SceneError(f"world {world.name}: nothing can be asked in it; take another")
    return named


def _in_mode(stand: Stand, mode: str) -> Stand:
    """Answers of two modes are two episodes."""
    episodes = tuple(replace(e, id=f"{mode}/{e.id}") for e in stand.episodes)
    return replace(stand, id=f"{mode}/{stand.id}", episodes=episodes)


def left(stands: Sequence[Stand], records: Records) -> int:
    """How many episodes are not finished."""
    names = [e.id for s in stands for e in s.episodes] + [mask_id(s) for s in stands if s.mask]
    return sum(name not in records.finished for name in names)


def _ask(
    asker: Asker,
    values: Values,
    waiter: Waiter,
    stands: Sequence[Stand],
    make: Make,
    records: Records,
) -> None:
    tell = asker.node.get_logger().info
    with ExitStack() as ends:
        setting = make(ends)
        look = MapLook(asker, waiter, values.mask_timeout_s)
        tell(f"{setting.name}: waiting for {values.target}")
        wait_for_node(asker, waiter, values.start_timeout_s)
        questioner = Questioner(
            asker,
            waiter,
            values.fixed_frame,
            values.mode,
            values.answer_seed,
            values.goal_timeout_s,
        )
        pictures = Path(values.out) / PICTURES
        Course(setting, questioner, look, records, pictures, tell).run(stands)


def write_report(records: Records, out: Path, values: Values) -> Path:
    """evaluation.json and evaluation.html of every finished episode; the path of the page."""
    kept = list(records.finished.values())
    found = {**summary(kept), "simulator": values.simulator}
    (out / RESULT).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    path = out / PAGE
    path.write_text(page(found, kept, out / PICTURES, values.shown), encoding="utf-8")
    return path
