"""Writes docs/parameters.md from the tables that the nodes declare: `python -m
ipt_ros.parameters_page`.

In: nothing. Out: the page, at the path given or at docs/parameters.md of the folder it is run in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from ipt_ros.parameters import Parameter, Value
from ipt_ros.sim_parameters import SIM_PARAMETERS

#: Node, what it is, its table.
NODES: tuple[tuple[str, str, tuple[Parameter, ...]], ...] = (
    ("sim_node", "The embedded simulator.", SIM_PARAMETERS),
)

HEAD = """# Parameters

Made by `python -m ipt_ros.parameters_page` from the tables in `ipt_ros/*_parameters.py`; change
those. *At start* parameters are read once; *live* ones can be changed with `ros2 param set` and
are checked before they are taken. A refused value leaves the old one in place and the answer says
what was expected.
"""


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(v) for v in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def section(node: str, what: str, table: Iterable[Parameter]) -> str:
    lines = [f"## {node}", "", what, ""]
    lines += ["| name | type | default | allowed | set | meaning |", "|---|---|---|---|---|---|"]
    for row in table:
        when = "at start" if row.read_only else "live"
        cells = (row.name, row.type_name, _shown(row.default), row.allowed, when, row.description)
        name, *rest = (cell.replace("|", "\\|") for cell in cells)
        lines.append(f"| `{name}` | " + " | ".join(rest) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    return "\n".join([HEAD] + [section(*node) for node in NODES])


def main(arguments: list[str] | None = None) -> None:
    given = sys.argv[1:] if arguments is None else arguments
    target = Path(given[0] if given else "docs/parameters.md")
    target.write_text(page(), encoding="utf-8")
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
