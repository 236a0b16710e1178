"""Names that nothing but their own tests uses: `make unused`.

A name is a function, class, method or constant. It has a user when it is mentioned in code, in a
string or in a configuration file, anywhere but at its definition and in tests. Names of Python's
own protocols and of test frameworks are skipped. What is listed is a place to look, not a verdict.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("ipt_model", "ipt_ros", "training", "launch", "benchmarks", "scripts")
#: Called by name from outside: rclpy, launch, torch and transformers.
CALLED = re.compile(
    r"__\w+__|on_(configure|activate|deactivate|cleanup|shutdown)|forward|main"
    r"|generate_launch_description|[gs]et_(in|out)put_embeddings|_init_weights|config_class"
    r"|base_model_prefix|main_input_name|supports_gradient_checkpointing|_supports_sdpa"
    r"|_no_split_modules"
)


def definitions(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append((node.name, node.lineno))
        if isinstance(node, ast.Module | ast.ClassDef):
            for child in node.body:
                targets = child.targets if isinstance(child, ast.Assign) else ()
                if isinstance(child, ast.AnnAssign):
                    targets = (child.target,)
                found += [(t.id, t.lineno) for t in targets if isinstance(t, ast.Name)]
    return [(name, line) for name, line in found if not CALLED.fullmatch(name)]


def main() -> int:
    sources = [p for room in ROOMS for p in sorted((ROOT / room).rglob("*.py"))]
    others = [ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "ipt_ros/setup.cfg"]
    others += [
        p for folder in ("config", "msg", "srv", "action") for p in ROOT.glob(f"{folder}/**/*.*")
    ]
    mentions: Counter[str] = Counter()
    for path in sources + others:
        mentions.update(re.findall(r"\w+", path.read_text()))
    defined = Counter(name for path in sources for name, _ in definitions(path))
    unused = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sources
        for name, line in definitions(path)
        if mentions[name] <= defined[name]
    ]
    print("\n".join(unused) or "every name has a user")
    return bool(unused)


if __name__ == "__main__":
    sys.exit(main())
