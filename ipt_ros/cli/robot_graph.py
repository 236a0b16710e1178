"""Gathers the doctor's facts from a running ROS graph: who publishes what, how, and what arrives.

Reads the node's own parameters, finds its topics through its subscriptions, so that remappings are
followed, and tries the newest message with the functions the node reads it with.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from ipt_ros.cli.facts import Facts, Publisher
from ipt_ros.cli.listening import Heard, SimClock
from ipt_ros.cli.machine import MachineLook
from ipt_ros.cli.one_of_several import Statuses, full_name, transforms_of
from ipt_ros.client import Asker, AskTimeout, read_parameters
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.table import defaults
from ipt_ros.senses.camera_input import sensor_qos

#: Discovery takes no longer, s, and is over when nothing changed for a while.
DISCOVERY_S, SETTLED_S = 6.0, 0.5
#: For a service of a node that may hang, s.
REPLY_S = 4.0
_ENVIRONMENT = (
    "ROS_DISTRO",
    "ROS_DOMAIN_ID",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "FASTDDS_BUILTIN_TRANSPORTS",
    "FASTRTPS_DEFAULT_PROFILES_FILE",
    "FASTDDS_DEFAULT_PROFILES_FILE",
)
_TYPES = {
    "image": "sensor_msgs/msg/Image",
    "compressed": "sensor_msgs/msg/CompressedImage",
    "depth": "sensor_msgs/msg/Image",
    "camera_info": "sensor_msgs/msg/CameraInfo",
    "odometry": "nav_msgs/msg/Odometry",
    "map": "nav_msgs/msg/OccupancyGrid",
    "clock": "rosgraph_msgs/msg/Clock",
}


def gather(asker: Asker, listen_s: float) -> Facts:
    from rclpy.utilities import get_rmw_implementation_identifier

    node = asker.node
    full = node.resolve_service_name(asker.target)
    namespace, name = full.rsplit("/", 1)
    namespace = namespace or "/"
    began = time.monotonic()
    names = _names(node, (name, namespace))
    copies = names.count((name, namespace))
    parameters: Mapping[str, Any] = {**defaults(IPT_PARAMETERS), "use_sim_time": False}
    state = ""
    if copies:
        try:
            state = _state(asker)
            parameters = read_parameters(asker, tuple(parameters), REPLY_S)
        except AskTimeout:
            pass  # state stays empty, which says it
    machine = MachineLook(str(parameters["model"]))
    wanted = _wanted(node, parameters, name, namespace)
    end = max(began + DISCOVERY_S, time.monotonic() + SETTLED_S)
    _await_publishers(node, [topic for _, topic, _, needed in wanted if needed], end)
    clock = SimClock(node)
    heard = {topic: Heard(node, kind, topic, role, clock) for role, topic, kind, _ in wanted}
    statuses = Statuses(node, name, namespace)
    _listen(heard, statuses, listen_s)
    transforms = None
    if parameters["pose_source"] == "tf":
        stated = {
            str(heard[topic].newest.header.frame_id)
            for role, topic, _, _ in wanted
            if role in ("image", "map") and heard[topic].newest is not None
        }
        transforms = transforms_of(
            node, (name, namespace), str(parameters["fixed_frame"]), stated, REPLY_S
        )
    return Facts(
        node=full,
        environment={k: os.environ.get(k, "") for k in _ENVIRONMENT}
        | {"rmw": get_rmw_implementation_identifier()},
        copies=copies,
        others=tuple(sorted(full_name(*n) for n in names if n[0] != node.get_name())),
        state=state,
        parameters=parameters,
        topics=tuple(
            heard[topic].fact(
                needed, *_publishers(node, topic, role, parameters, name, namespace), parameters
            )
            for role, topic, _, needed in wanted
        ),
        by_type=_by_type(node, names, (name, namespace)),
        machine=machine.result(),
        statuses=statuses.newest(),
        transforms=transforms,
        listened_s=listen_s,
    )


def _by_type(
    node: Any, names: list[tuple[str, str]], asked: tuple[str, str]
) -> dict[str, tuple[str, ...]]:
    """Topics that the node might be given, by type: its own products and what lies in the
    namespaces of other robots are none.
    """
    name, namespace = asked
    foreign = {
        f"{ns.rstrip('/')}/"
        for n, ns in names
        if n == name and not full_name("", namespace).startswith(full_name("", ns))
    }
    found: dict[str, list[str]] = {}
    for topic, kinds in node.get_topic_names_and_types():
        publishers = node.get_publishers_info_by_topic(topic)
        from_others = any((p.node_name, p.node_namespace) != asked for p in publishers)
        if from_others and not topic.startswith(tuple(foreign)):
            found.setdefault(kinds[0], []).append(topic)
    return {kind: tuple(topics) for kind, topics in found.items()}


def _names(node: Any, wanted: tuple[str, str]) -> list[tuple[str, str]]:
    """Nodes of the graph, once the wanted one is among them and nothing new turns up."""
    began = unchanged = time.monotonic()
    never = threading.Event()
    known: Any = None
    while True:
        names: list[tuple[str, str]] = node.get_node_names_and_namespaces()
        topics = [(t, node.count_publishers(t)) for t, _ in node.get_topic_names_and_types()]
        if (names, topics) != known:
            known, unchanged = (names, topics), time.monotonic()
        now = time.monotonic()
        quiet = now - unchanged > SETTLED_S and wanted in names
        if quiet or now - began > DISCOVERY_S:
            return names
        never.wait(0.1)


def _await_publishers(node: Any, topics: list[str], end: float) -> None:
    """Participants that missed each other's first words try again seconds later."""
    never = threading.Event()
    while time.monotonic() < end and not all(node.count_publishers(t) for t in topics):
        never.wait(0.1)


def _state(asker: Asker) -> str:
    from lifecycle_msgs.srv import GetState

    service = f"{asker.target}/get_state"
    return str(asker.call(GetState, service, GetState.Request(), REPLY_S).current_state.label)


def _wanted(
    node: Any, parameters: Mapping[str, Any], name: str, namespace: str
) -> list[tuple[str, str, str, bool]]:
    """Role, topic, type and whether nothing works without it, of every input."""
    compressed = parameters["image_transport"] == "compressed"
    relative = []
    for camera in parameters["cameras"]:
        kind = _TYPES["compressed" if compressed else "image"]
        suffix = "image/compressed" if compressed else "image"
        relative.append(("image", f"{camera}/{suffix}", kind, True))
        if parameters["use_depth"]:
            relative.append(("depth", f"{camera}/depth_image", _TYPES["depth"], True))
        relative.append(("camera_info", f"{camera}/camera_info", _TYPES["camera_info"], True))
    if parameters["pose_source"] == "odometry":
        relative.append(("odometry", "odom", _TYPES["odometry"], True))
    relative.append(("map", "map", _TYPES["map"], bool(parameters["imagined_space"])))
    relative.append(("clock", "/clock", _TYPES["clock"], bool(parameters["use_sim_time"])))
    subscribed = _subscriptions(node, name, namespace)
    base = namespace.rstrip("/")
    full = [(r, t if t.startswith("/") else f"{base}/{t}", k, n) for r, t, k, n in relative]
    claimed = {t for _, t, _, _ in full}
    found = []
    for role, topic, kind, needed in full:
        if topic not in subscribed:
            # remapped: the subscription of this type that is nobody else's
            spare = [t for t, kinds in subscribed.items() if kind in kinds and t not in claimed]
            named = [t for t in spare if ("depth" in t) == (role == "depth")]
            if named:
                topic = named[0]
                claimed.add(topic)
        if role != "clock" or needed or kind in _kinds(node, topic):
            found.append((role, topic, kind, needed))
    return found


def _kinds(node: Any, topic: str) -> list[str]:
    return [i.topic_type for i in node.get_publishers_info_by_topic(topic)]


def _subscriptions(node: Any, name: str, namespace: str) -> dict[str, list[str]]:
    from rclpy.node import NodeNameNonExistentError

    try:
        return dict(node.get_subscriber_names_and_types_by_node(name, namespace))
    except NodeNameNonExistentError:
        return {}


def _publishers(
    node: Any, topic: str, role: str, parameters: Mapping[str, Any], name: str, namespace: str
) -> tuple[tuple[Publisher, ...], bool]:
    """Who publishes a topic, whether the node hears it, and whether the node listens at all."""
    from rclpy.qos import QoSCompatibility, qos_check_compatible

    own = [
        s.qos_profile
        for s in node.get_subscriptions_info_by_topic(topic)
        if (s.node_name, s.node_namespace) == (name, namespace)
    ]
    profile = own[0] if own else _profile(role, parameters)
    found = []
    for info in node.get_publishers_info_by_topic(topic):
        verdict, reason = qos_check_compatible(info.qos_profile, profile)
        mismatch = reason.strip("; ") if verdict == QoSCompatibility.ERROR else ""
        publisher = full_name(info.node_name, info.node_namespace)
        found.append(Publisher(publisher, info.topic_type, mismatch))
    return tuple(found), bool(own) or role == "clock"


def _profile(role: str, parameters: Mapping[str, Any]) -> Any:
    """What the node would ask for, where it has not asked yet."""
    from rclpy.qos import DurabilityPolicy, QoSProfile

    if role == "map":
        return QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return sensor_qos("best_effort" if role == "clock" else parameters["reliability"])


def _listen(heard: Mapping[str, Heard], statuses: Statuses, listen_s: float) -> None:
    """Until all that is published was heard ten times and the node told its state, or the time is
    over."""
    end = time.monotonic() + listen_s
    never = threading.Event()
    sources: tuple[Heard | Statuses, ...] = (*heard.values(), statuses)
    while time.monotonic() < end and not all(source.enough for source in sources):
        never.wait(0.05)
    for one in heard.values():
        one.stop()
