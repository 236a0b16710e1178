"""Messages of a rosbag2 recording, SQLite or MCAP, compressed or not, in the order of the log.

Only rosbags is used, no ROS. Whatever is wrong with a file is one error that names it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ipt_training.bags.vision_types import TYPES


class BagError(ValueError):
    """A recording that cannot be read; the message says which and why."""


class Bag:
    """An open recording. topics: every topic and its type. counts: of their messages."""

    def __init__(self, path: Path, reader: Any, store: Any) -> None:
        self.path, self._reader, self._store = path, reader, store
        infos = reader.topics.items()
        self.topics = {str(name): str(info.msgtype or "") for name, info in infos}
        self.counts = {str(name): int(info.msgcount) for name, info in infos}
        self.seconds = max(0.0, reader.duration * 1e-9)

    def messages(self, topics: Collection[str]) -> Iterator[tuple[str, Any]]:
        """(topic, message). A message that cannot be decoded comes as None; a file that ends early
        ends with a BagError."""
        for _, topic, message in self.numbered(topics):
            yield topic, message

    def numbered(
        self, topics: Collection[str], skip: int = 0, but: Collection[int] = ()
    ) -> Iterator[tuple[int, str, Any]]:
        """(number, topic, message), numbered from 0. Of the first `skip` only those whose number
        is in `but` come; the others are not decoded."""
        wanted = [c for c in self._reader.connections if c.topic in topics]
        if not wanted:
            return
        try:
            every = self._reader.messages(connections=wanted)
            for number, (connection, _, raw) in enumerate(every):
                if number < skip and number not in but:
                    continue
                try:
                    message = self._store.deserialize_cdr(raw, connection.msgtype)
                except Exception:
                    message = None
                yield number, connection.topic, message
        except GeneratorExit:
            raise
        except Exception as error:
            raise BagError(f"{self.path}: ends early: {_said(error)}") from error


@contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """A folder with metadata.yaml, or a single .mcap or .db3 file."""
    try:
        from rosbags.rosbag2 import Reader
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError as error:
        raise BagError("rosbags is not installed: pip install '.[bags]'") from error
    if not path.exists():
        raise BagError(f"{path}: there is no such file or folder")
    if path.is_file() and path.stat().st_size == 0:
        raise BagError(f"{path}: is empty")
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        raise BagError(
            f"{path}: is no recording that can be read: it has no metadata.yaml; give its .mcap "
            "or .db3 file, or let `ros2 bag reindex` write one"
        )
    reader: Any = None
    try:
        reader = Reader(path)
        reader.open()
        # What is read are messages that every ROS 2 since Humble defines alike. The definitions
        # within a recording are left alone: they may be damaged, or of types nothing here parses.
        store = get_typestore(Stores.ROS2_JAZZY)
        for name, text in TYPES.items():
            store.register(get_types_from_msg(text, name))
        bag = Bag(path, reader, store)
    except Exception as error:
        if reader is not None and reader.is_open:
            reader.close()
        raise BagError(f"{path}: is no recording that can be read: {_said(error)}") from error
    try:
        yield bag
    finally:
        reader.close()


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
