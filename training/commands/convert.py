"""`ipt-convert`: datasets between this package and public training codes.

    ipt-convert out DATASET OUT --layout ipt --style /models/mvc-mixed
    ipt-convert hub RAW OUT --task mvc --style /models/mvc-mixed

`out` writes what the published trainer reads, or with `--trainer` ThinkMorph's or BAGEL's own;
`hub` turns the columns of the published sets into rows to train on. Both go on where they were
stopped and write a page to look at.
`--style` is a checkpoint folder whose `ipt.json` has the prompts (`ipt-style import`), a style's
name or a JSON file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ipt_model.weights.asking_style import FILE_NAME, AskingStyle
from ipt_model.weights.styles import read_style, warn_of_prompts, with_entries
from ipt_training.datasets.contact_sheet import write_contact_sheet
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.public import LAYOUTS, TRAINERS, convert_hub, export_dataset, hub_rows
from ipt_training.datasets.schema import IMAGE_FORMATS
from ipt_training.folder_lock import only_writer
from ipt_training.progress import Watch
from ipt_training.shell.command import in_words


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ipt-convert", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    out = commands.add_parser("out", help="write a public layout")
    out.add_argument("--layout", choices=LAYOUTS, default="ipt")
    out.add_argument("--trainer", choices=TRAINERS, default="published", help="who reads it")
    out.add_argument("--format", choices=list(IMAGE_FORMATS), default="png")
    hub = commands.add_parser("hub", help="read the columns of the published sets")
    hub.add_argument("--task", choices=("mvc", "pet"), required=True)
    for command, source in ((out, "DATASET"), (hub, "RAW")):
        command.add_argument("source", type=Path, metavar=source)
        command.add_argument("out", type=Path, metavar="OUT")
        command.add_argument("--style", default="bagel", help="folder, name or JSON file")
    given = parser.parse_args(arguments)
    return in_words("ipt-convert", lambda: _convert(given))


def _convert(given: argparse.Namespace) -> int:
    style = style_of(given.style)
    warn_of_prompts(style)
    if given.out.resolve() == given.source.resolve():
        raise ValueError(f"{given.out}: the source itself; choose another folder")
    given.out.mkdir(parents=True, exist_ok=True)
    dataset = Dataset(given.source, ignore_unknown=True) if given.what == "out" else None
    total = len(dataset) if dataset is not None else hub_rows(given.source)
    with only_writer(given.out), Watch("rows", total) as watch:
        done = 0

        def count(rows: int) -> None:
            nonlocal done
            done += rows
            watch.tell(done)

        left = 0
        if dataset is None:
            rows, left = convert_hub(given.source, given.out, given.task, style.prompt, count)
        else:
            rows, left = export_dataset(
                dataset,
                given.out,
                given.layout,
                style.prompt,
                given.format,
                given.trainer,
                count,
            )
    missing = f", {left} left out for their number of pictures" if left else ""
    print(f"{given.out}: {rows} rows{missing}")
    if rows and getattr(given, "trainer", "") != "bagel":  # whose rows hold no answer to show
        print(f"look at {write_contact_sheet(given.out)}")
    return 0


def style_of(name: str) -> AskingStyle:
    """Of a checkpoint folder, or by name or file."""
    folder = Path(name).expanduser()
    if (folder / FILE_NAME).is_file():
        return AskingStyle.load(folder)
    return with_entries(AskingStyle(model_id=name), read_style(name))


if __name__ == "__main__":
    raise SystemExit(main())
