"""What `ipt doctor` knows and finds, as plain data. `robot_graph` gathers, `checks` judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

OK, WARN, FAIL = "OK", "WARN", "FAIL"


@dataclass(frozen=True)
class Publisher:
    """qos_mismatch: why the middleware delivers nothing of it to the node; empty when it does."""

    node: str
    type: str
    qos_mismatch: str = ""


@dataclass(frozen=True)
class Topic:
    """One of the node's inputs.

    role: image, depth, camera_info, odometry, map or clock. needed: without it nothing works.
    heard, rate_hz: while we listened. age_s: clock less stamp when a message arrived, median; by
    the wall and by /clock. problem: why the node could not read the newest message. seen: figures
    of the newest message (width, height, encoding, frame, child_frame, n_bytes, unknown_share,
    returns_share).
    """

    role: str
    name: str
    type: str
    needed: bool = True
    publishers: tuple[Publisher, ...] = ()
    subscribed: bool = True
    heard: int = 0
    rate_hz: float = float("nan")
    age_s: float = float("nan")
    age_by_clock_s: float = float("nan")
    problem: str = ""
    seen: Mapping[str, Any] = field(default_factory=dict)
    #: Stamps of the last messages, ns.
    stamps_ns: tuple[int, ...] = ()


@dataclass(frozen=True)
class Machine:
    """Of the machine that the doctor runs on. gpu: its name, empty without one."""

    model_problem: str = ""
    model_bytes: int = 0
    gpu: str = ""
    gpu_free_bytes: int = 0
    gpu_total_bytes: int = 0
    torch_problem: str = ""


@dataclass(frozen=True)
class Status:
    """Of /diagnostics. level: 0 fine, 1 warning, 2 error, 3 stale."""

    name: str
    level: int
    message: str


@dataclass(frozen=True)
class Facts:
    """environment: ROS_DISTRO, ROS_DOMAIN_ID and what else decides who hears whom. copies: nodes
    of the wanted name. others: full names of the other nodes. state: lifecycle state in words,
    empty where nobody tells. parameters: of the node, or the defaults where it is not there.
    by_type: topics that the node might be given. transforms: for each frame that was heard, why tf
    does not lead from it to the fixed frame, empty when it does; None where tf2 cannot be asked.
    """

    node: str
    environment: Mapping[str, str]
    copies: int
    others: tuple[str, ...]
    state: str
    parameters: Mapping[str, Any]
    topics: tuple[Topic, ...]
    by_type: Mapping[str, tuple[str, ...]]
    machine: Machine
    statuses: tuple[Status, ...] = ()
    transforms: Mapping[str, str] | None = None
    listened_s: float = 0.0

    def of_role(self, role: str) -> list[Topic]:
        return [t for t in self.topics if t.role == role]


@dataclass(frozen=True)
class Finding:
    """level: OK, WARN or FAIL. about: what was looked at. remedy: what to do unless OK."""

    level: str
    about: str
    text: str
    remedy: str = ""


Findings = Iterator[Finding]
