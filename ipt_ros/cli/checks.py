"""What `ipt doctor` concludes of node, machine and model: each check takes the facts and gives
findings with what to do.

One function per question, none of which knows ROS; a check that has nothing to say is silent.
"""

from __future__ import annotations

from collections.abc import Callable

from ipt_ros.cli.facts import FAIL, OK, WARN, Facts, Finding, Findings
from ipt_ros.cli.input_checks import check_clock, check_map, check_pair, check_pose, check_topic

#: Above this Fast DDS needs more than its defaults.
LARGE_BYTES = 512_000
#: Room on a GPU beside the weights: activations and the pictures' tokens.
HEADROOM = 1.25


def check_environment(facts: Facts) -> Findings:
    env = facts.environment
    if not env.get("ROS_DISTRO"):
        yield Finding(WARN, "ROS", "ROS_DISTRO is not set", "source /opt/ros/<distro>/setup.bash")
        return
    reach = env.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    only_here = ", this machine only" if reach == "LOCALHOST" else ""
    text = f"{env['ROS_DISTRO']}, {env.get('rmw', '?')}, domain {env.get('ROS_DOMAIN_ID') or 0}"
    yield Finding(OK, "ROS", text + only_here)


def check_node(facts: Facts) -> Findings:
    if facts.copies == 0:
        there = ", ".join(facts.others[:6]) or "none at all"
        name = facts.node.rpartition("/")[2]
        namesakes = [n for n in facts.others if n.rpartition("/")[2] == name and n != facts.node]
        asked = " or ".join(f"ipt doctor --node {n}" for n in namesakes)
        yield Finding(
            FAIL,
            "node",
            f"{facts.node} is not running; nodes seen: {there}",
            asked
            or "ros2 launch imaginative_perception robot.launch.py; elsewhere: same "
            "ROS_DOMAIN_ID? another name: ipt doctor --node NAME",
        )
    elif facts.copies > 1:
        text = f"{facts.copies} nodes are called {facts.node}: which one answers is chance"
        yield Finding(FAIL, "node", text, "end all but one, or give each a namespace")


def check_state(facts: Facts) -> Findings:
    if facts.copies == 0:
        return
    next_step = {"unconfigured": "configure", "inactive": "activate"}.get(facts.state)
    if facts.state == "active":
        yield Finding(OK, "node", f"{facts.node} is active")
    elif next_step:
        yield Finding(
            FAIL,
            "node",
            f"{facts.node} is {facts.state}: it refuses every question",
            f"ros2 lifecycle set {facts.node} {next_step}; if that fails, its log says why",
        )
    else:
        yield Finding(
            FAIL,
            "node",
            f"{facts.node} does not tell its lifecycle state ({facts.state or 'no reply'})",
            "is it hanging or another program of this name? restart it and read its log",
        )


def check_transport(facts: Facts) -> Findings:
    """Will large images survive Fast DDS?"""
    env = facts.environment
    largest = max((int(t.seen.get("n_bytes", 0)) for t in facts.topics), default=0)
    set_up = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    chosen = env.get("FASTDDS_BUILTIN_TRANSPORTS", "DEFAULT") != "DEFAULT"
    if "fastrtps" not in env.get("rmw", "") or largest <= LARGE_BYTES:
        return
    if not chosen and not any(env.get(name) for name in set_up):
        yield Finding(
            WARN,
            "transport",
            f"messages of {largest / 1e6:.1f} MB get lost with the defaults of Fast DDS",
            "export FASTRTPS_DEFAULT_PROFILES_FILE=<package>/config/fastdds.xml for every "
            "process; between machines FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA",
        )


def check_model(facts: Facts) -> Findings:
    name, machine = facts.parameters["model"], facts.machine
    if machine.model_problem and facts.state != "active":
        yield Finding(FAIL, "model", machine.model_problem, "set the parameter model")
    elif str(name).endswith("untrained"):
        text = f"{name} has random weights: it draws and says noise"
        yield Finding(WARN, "model", text, "set the parameter model to trained weights")
    elif not machine.model_problem:
        yield Finding(OK, "model", f"{name}, {machine.model_bytes / 1e6:.0f} MB")


def check_gpu(facts: Facts) -> Findings:
    machine, device = facts.machine, str(facts.parameters["device"])
    gb = 1e9
    if machine.torch_problem:
        remedy = "pip install -r requirements/robot.txt, into the Python of the node"
        yield Finding(FAIL, "torch", machine.torch_problem, remedy)
    elif device == "cpu":
        yield Finding(OK, "GPU", "not used: device is cpu")
    elif not machine.gpu:
        level = FAIL if device.startswith("cuda") else WARN
        if level == FAIL or machine.model_bytes > gb:
            text = "torch sees no CUDA device on this machine"
            yield Finding(level, "GPU", text, "nvidia-smi; a torch built for CUDA; device:=cpu")
        else:
            yield Finding(OK, "GPU", "none; the model is small enough for the CPU")
    elif facts.state != "active" and machine.gpu_free_bytes < HEADROOM * machine.model_bytes:
        yield Finding(
            FAIL,
            "GPU",
            f"{machine.gpu}: {machine.gpu_free_bytes / gb:.1f} GB free, the weights alone take "
            f"{machine.model_bytes / gb:.1f} GB",
            "quantization:=int8 or int4, or end what else is on the GPU",
        )
    else:
        free, total = machine.gpu_free_bytes / gb, machine.gpu_total_bytes / gb
        yield Finding(OK, "GPU", f"{machine.gpu}: {free:.1f} of {total:.1f} GB free")


def check_diagnostics(facts: Facts) -> Findings:
    for status in facts.statuses:
        if status.level:
            level = WARN if status.level == 1 else FAIL
            yield Finding(level, status.name, status.message, "told by the node on /diagnostics")


CHECKS: tuple[Callable[[Facts], Findings], ...] = (
    check_environment,
    check_node,
    check_state,
    check_topic,
    check_pair,
    check_clock,
    check_pose,
    check_map,
    check_transport,
    check_model,
    check_gpu,
    check_diagnostics,
)


def findings(facts: Facts) -> list[Finding]:
    return [finding for check in CHECKS for finding in check(facts)]
