"""Writes docs/parameters.md and config/<node>.yaml from the tables that the nodes declare.

`python -m ipt_ros.parameters.page`, in the folder that holds docs/ and config/ or with that folder
as its argument. The files say nothing that the tables do not.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from ipt_ros.parameters.evaluate_node import EVALUATE_PARAMETERS
from ipt_ros.parameters.ipt_node import IPT_PARAMETERS
from ipt_ros.parameters.sim_node import SIM_PARAMETERS
from ipt_ros.parameters.table import Parameter, Value

#: Node, what it is, its table.
NODES: tuple[tuple[str, str, tuple[Parameter, ...]], ...] = (
    ("ipt_node", "Answers questions about space that the robot cannot see.", IPT_PARAMETERS),
    ("sim_node", "The embedded simulator.", SIM_PARAMETERS),
    (
        "evaluate_node",
        "Scores a running ipt_node in a simulated world or a recording.",
        EVALUATE_PARAMETERS,
    ),
)

HEAD = """# Parameters

Made by `python -m ipt_ros.parameters.page` from the tables in `ipt_ros/parameters/`; change
those. *At start* parameters are read once; *live* ones can be changed with `ros2 param set` and
are checked before they are taken. A refused value leaves the old one in place and the answer says
what was expected.
"""


def shown(value: Value) -> str:
    """As YAML has it."""
    if isinstance(value, tuple):
        return "[" + ", ".join(shown(v) for v in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def section(node: str, what: str, table: Iterable[Parameter]) -> str:
    """Of the page: one node's parameters as a table."""
    lines = [f"## {node}", "", what, ""]
    lines += ["| name | type | default | allowed | set | meaning |", "|---|---|---|---|---|---|"]
    for row in table:
        when = "at start" if row.read_only else "live"
        cells = (row.name, row.type_name, shown(row.default), row.allowed, when, row.description)
        name, *rest = (cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| `{name}` | " + " | ".join(rest) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    return "\n".join([HEAD] + [section(*node) for node in NODES])


def yaml_file(node: str, what: str, table: Iterable[Parameter]) -> str:
    """A parameter file with every default, each under what it means."""
    lines = [
        f"# {node}: {what}",
        "# Every parameter with its default; a file of yours needs only those that you change.",
        "# Made by `python -m ipt_ros.parameters.page`.",
        f"/**/{node}:",
        "  ros__parameters:",
    ]
    for row in table:
        allowed = f" ({row.allowed})" if row.allowed else ""
        comment = row.description.rstrip(".") + allowed
        indent = "    # "
        lines += textwrap.wrap(comment, 99, initial_indent=indent, subsequent_indent=indent)
        lines.append(f"    {row.name}: {shown(row.default)}")
    return "\n".join(lines) + "\n"


def files() -> dict[str, str]:
    """Path below the package to what it holds."""
    return {"docs/parameters.md": page()} | {
        f"config/{name}.yaml": yaml_file(name, what, table) for name, what, table in NODES
    }


def main(arguments: list[str] | None = None) -> None:
    given = sys.argv[1:] if arguments is None else arguments
    root = Path(given[0] if given else ".")
    for name, text in files().items():
        (root / name).write_text(text, encoding="utf-8")
        print(f"wrote {root / name}")


if __name__ == "__main__":
    main()
