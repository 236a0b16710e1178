"""`ipt-style`: how a checkpoint folder wants to be asked, written into its `ipt.json`.

    ipt-style list
    ipt-style write FOLDER --style ipt-mvc
    ipt-style import FOLDER --from prepare_datasets.py --from inferencer.py
    ipt-style show FOLDER

`import` reads the published system prompts, as constants, from files of your own clone of the
public repository; nothing in them is executed.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from ...network.config import BagelConfig
from ..asking_style import FILE_NAME, AskingStyle, AskingStyleError
from ..checkpoint import MODEL_STEMS, read_config
from ..loading import sizes_of_tables
from ..tensors import CheckpointError, read_index
from . import published_prompts, read_style, style_names, with_entries


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 2 cannot be done, with one line that says why."""
    given = _parser().parse_args(arguments)
    try:
        if given.what == "list":
            for name in style_names():
                print(name)
            return 0
        folder: Path = given.folder
        if not (folder / "config.json").is_file():
            raise AskingStyleError(f"{folder}: expected a checkpoint folder with config.json")
        style = style_of(folder)
        if given.what == "write":
            style = with_entries(style, read_style(given.style))
        elif given.what == "import":
            prompts = published_prompts(given.files)
            style = with_entries(style, {"prompt": {**prompts, "published": True}})
        if given.what == "show":
            print(json.dumps(style.to_dict(), indent=1, ensure_ascii=False))
            return 0
        style.save(folder)
    except (AskingStyleError, CheckpointError, OSError) as error:
        print(f"ipt-style: {error}", file=sys.stderr)
        return 2
    missing = style.prompt.published and style.prompt.system_think is None
    print(f"{folder / FILE_NAME}: written" + ("; now: ipt-style import" if missing else ""))
    return 0


def style_of(folder: Path) -> AskingStyle:
    """As the model would be asked now, with sizes that its tables allow."""
    style = AskingStyle.load(folder)
    if (folder / FILE_NAME).is_file():
        return style
    found = [entries for stem in MODEL_STEMS if (entries := read_index(folder, stem))]
    config = read_config(folder, found[0]) if found else BagelConfig.from_folder(folder)
    return replace(style, image_sizes=sizes_of_tables(config))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ipt-style", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("list", help="the styles that come with the package")
    for name, what in (
        ("write", "write a style into the folder's ipt.json"),
        ("import", "read the published system prompts into the folder's ipt.json"),
        ("show", "print the folder's style"),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("folder", type=Path, metavar="FOLDER")
        if name == "write":
            command.add_argument("--style", required=True, help="name, or JSON file of entries")
        if name == "import":
            command.add_argument(
                "--from", dest="files", required=True, action="append", metavar="FILE.py"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
