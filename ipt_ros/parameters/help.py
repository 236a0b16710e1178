"""What `ipt_node --help` and `sim_node --help` print, from the tables that the nodes declare."""

from __future__ import annotations

import textwrap

from ipt_ros.parameters.page import NODES, shown


def node_help(name: str) -> str:
    what, table = next((what, table) for node, what, table in NODES if node == name)
    lines = [
        f"usage: ros2 run imaginative_perception {name} "
        "[--ros-args -p NAME:=VALUE ... --params-file FILE -r FROM:=TO ...]",
        "",
        what,
        "",
        "parameters (docs/parameters.md); those marked * can be changed while it runs:",
    ]
    for row in table:
        mark = " " if row.read_only else "*"
        lines.append(f" {mark}{row.name} ({row.type_name}, {shown(row.default)})")
        allowed = f" ({row.allowed})" if row.allowed else ""
        lines += textwrap.wrap(
            row.description + allowed, 92, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    return "\n".join(lines)
