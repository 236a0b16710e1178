"""A `Setting`: a recording that is played to the node up to each place where it is asked, and no
further, so that it has heard what lies before the place and nothing of what follows.
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from ipt_model.spatial.maps import OccupancyGrid
from ipt_ros.client import Asker, Waiter
from ipt_ros.evaluation.episodes import Episode, Stand
from ipt_ros.evaluation.in_bag.playback import Playback
from ipt_ros.evaluation.in_bag.recording import Recording
from ipt_training.bags.frames import Frame
from ipt_training.bags.mining.perspective import FRAME_RGB, FRAME_SHARE
from ipt_training.bags.mining.window import framed


class Played:
    def __init__(
        self, recording: Recording, asker: Asker, waiter: Waiter, fixed_frame: str, ends: ExitStack
    ) -> None:
        """ends: closes the recording and the playback."""
        self._recording, self._ends = recording, ends
        self._asker, self._waiter, self._fixed_frame = asker, waiter, fixed_frame
        self.name = recording.name
        self._here: Frame | None = None
        self._framed = False

    def begin(self) -> None:
        frames = self._ends.enter_context(self._recording.frames())
        self._playback = Playback(self._asker, self._waiter, frames, self._fixed_frame)
        self._ends.callback(self._playback.close)
        self._playback.begin()

    def reach(self, stand: Stand) -> None:
        self._here, self._framed = self._playback.play_to(stand.stamp_ns), False

    def show(self, episode: Episode) -> np.ndarray | None:
        """The picture of here; what has no other name is framed in it, as in the rows of
        training."""
        assert self._here is not None
        rgb = self._here.rgb
        if episode.spot_px is not None:
            # as large as in the square pictures that the model was trained with
            square = min(rgb.shape[:2]) / rgb.shape[0]
            rgb = framed(rgb, episode.spot_px, FRAME_RGB, 0.5 * FRAME_SHARE * square)
        if self._framed or episode.spot_px is not None:
            self._playback.show(rgb)
        self._framed = episode.spot_px is not None
        return rgb if self._framed else None

    def see_anew(self) -> None:
        self._playback.see_anew()

    def true_view(self, episode: Episode) -> np.ndarray:
        return self._recording.true_view(episode.id)

    def true_map(self, stand: Stand) -> OccupancyGrid:
        return self._recording.truths.maps[stand.id]
