"""`python scripts/messages_page.py` writes docs/messages.md from msg/, srv/ and action/.

A field's meaning is the comment behind it, with the lines of comment below that continue it. What
all actions share is shown once. Needs no ROS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "messages.md"
PARTS = {".msg": ("",), ".srv": ("request", "response"), ".action": ("goal", "result", "feedback")}
FIELD = re.compile(
    r"(?P<type>[\w/\[\]]+)\s+(?P<name>\w+)(=(?P<value>\w+))?\s*(# *(?P<meaning>.*))?"
)

HEAD = """# Messages, service and actions

Made by `python scripts/messages_page.py` from the files in `msg/`, `srv/` and `action/`; change
those. The package is `imaginative_perception`. What the actions take into account is in
[actions.md](actions.md), what to do about an error in [errors.md](errors.md).
"""


@dataclass(frozen=True)
class Field:
    type: str
    name: str
    value: str  # of a constant, else empty
    meaning: str


@dataclass(frozen=True)
class Interface:
    """A file: what it is for, and the fields of each of its parts."""

    name: str
    kind: str
    about: str
    parts: dict[str, list[Field]]


def read(path: Path) -> Interface:
    sections = path.read_text(encoding="utf-8").split("\n---\n")
    lines = sections[0].splitlines()
    first = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    about = " ".join(line.lstrip("# ") for line in lines[:first])
    sections[0] = "\n".join(lines[first:])
    parts = {part: fields(text) for part, text in zip(PARTS[path.suffix], sections, strict=True)}
    return Interface(path.stem, path.suffix[1:], about, parts)


def fields(text: str) -> list[Field]:
    found: list[Field] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("# --"):  # a heading among the fields
            continue
        if line.startswith("#"):
            found[-1] = replace(found[-1], meaning=f"{found[-1].meaning} {line.lstrip('# ')}")
            continue
        match = FIELD.fullmatch(line)
        if match is None:
            raise ValueError(f"expected `type name`, `=value` and `# meaning` at most: {line!r}")
        found.append(
            Field(*(match[group] or "" for group in ("type", "name", "value", "meaning")))
        )
    return found


def table(rows: list[Field], known: set[str]) -> list[str]:
    """Constants, then fields; types of our own lead to their section."""
    lines: list[str] = []
    constants = [row for row in rows if row.value]
    if constants:
        lines += ["| constant | value | meaning |", "|---|--:|---|"]
        lines += [f"| `{row.name}` | {row.value} | {row.meaning} |" for row in constants] + [""]
    plain = [row for row in rows if not row.value]
    if plain:
        lines += ["| field | type | meaning |", "|---|---|---|"]
        for row in plain:
            own = row.type in known
            kind = f"[{row.type}](#{row.type.lower()})" if own else f"`{row.type}`"
            lines.append(f"| `{row.name}` | {kind} | {row.meaning} |")
        lines.append("")
    return lines


def page(root: Path = ROOT) -> str:
    paths = [p for kind in ("action", "msg", "srv") for p in sorted(root.glob(f"{kind}/*.{kind}"))]
    interfaces = [read(path) for path in paths]
    known = {interface.name for interface in interfaces}
    actions = [interface for interface in interfaces if interface.kind == "action"]
    shared = {
        part: [row for row in actions[0].parts[part] if all(row in a.parts[part] for a in actions)]
        for part in PARTS[".action"]
    }
    lines = [HEAD, "## What all actions share", ""]
    for part, rows in shared.items():
        lines += [f"Every {part}:", "", *table(rows, known)]
    for interface in interfaces:
        lines += [
            f"## {interface.name}",
            "",
            f"`{interface.kind}/`. {interface.about}".strip(),
            "",
        ]
        for part, rows in interface.parts.items():
            of_all = shared[part] if interface in actions else []
            own = [row for row in rows if row not in of_all]
            if part and own:
                lines += [f"{part.capitalize()}:", ""]
            lines += table(own, known)
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
