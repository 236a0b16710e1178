"""Makes the questions of a world from its truth: the same ones for the same seed.

In: a `TrueWorld`, how many stands, a seed. Out: `Stand`s with episodes of the four tasks. A thing
that is asked about is in view from the stand, alone of its name; no answer hangs on a few pixels
or on a cell of the map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ipt_model.question import Task
from ipt_model.spatial.maps import OCCUPIED, UNKNOWN, MapView
from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_model.wording.phrasing import (
    DISTANCE_OPTIONS,
    SIDE_OPTIONS,
    Motion,
    perspective_question,
    round_motion,
)
from ipt_ros.evaluation.episodes import (
    ASK_SPATIAL,
    CLEARANCE_OPTIONS,
    COUNT_OBJECTS,
    IMAGINE_VIEW,
    TRACE_PATH,
    Episode,
    Pose,
    Stand,
)
from ipt_ros.evaluation.true_world import TrueWorld
from ipt_training.scenes.grids import clearance_m
from ipt_training.scenes.scene import LEVELS
from ipt_training.tasks.geometry import free_points, is_free, moved
from ipt_training.tasks.recast import shows_its_colour

#: As the tasks of training have them: in view for sure; out of view for sure; off the middle.
IN_VIEW, OUT_OF_VIEW, SIDE_MARGIN = 0.006, 0.0004, 0.1
MIN_CHANGE_M = 0.5
#: Places that are tried for one stand, motions from it, ways of a path.
PLACES, MOTIONS, WAYS = 12, 48, 72
#: What the robot keeps from everything where it is put, m.
CLEAR_M = 0.4
#: A path is clear with this much to spare, and blocked with this much missing, m.
SPARE_M, MISSING_M = 0.05, 0.1
#: Of a path that is asked about, at least this share is unseen.
MIN_HIDDEN = 0.2
PATH_TEXT = "Which of these do you see there?"
OPTIONS = 4
_STEP_M = 0.1


def stands_of(
    world: TrueWorld, number: int, seed: int, masks: int, radius_m: float
) -> Iterator[Stand]:
    """number: every second one is turned on. masks: of those without a turn, the first so many
    look at the imagined space."""
    for index in range(number):
        turn = index % 2 == 1
        stand = _stand(world, index, seed, turn, radius_m)
        if stand is not None:
            yield replace(stand, mask=not turn and index // 2 < masks)


def _stand(world: TrueWorld, index: int, seed: int, turn: bool, radius_m: float) -> Stand | None:
    """Of the places that are tried the first that gives every kind of question, else the one that
    gives most; None where none gives any."""
    level = LEVELS.index(world.scene.level)
    rng = np.random.default_rng([seed, level, world.scene.seed, index])
    name = f"{world.name}/q{seed}/{index:03d}"
    best: tuple[Episode, ...] = ()
    pose_of_best: Pose | None = None
    wanted = 5 if turn else 4
    for x, y in free_points(world.scene, world.table, rng, 8 * PLACES, CLEAR_M)[:PLACES]:
        pose = (float(x), float(y), float(rng.uniform(-math.pi, math.pi)))
        asker = _Asker(world, pose, turn, rng)
        found = asker.turned() if turn else asker.looking(radius_m)
        episodes = tuple(
            replace(e, id=f"{name}/{e.task.value} {e.kind}") for e in found if e is not None
        )
        if len(episodes) > len(best):
            best, pose_of_best = episodes, pose
        if len(best) == wanted:
            break
    if pose_of_best is None:
        return None
    x, y, yaw = (round(v, 4) for v in pose_of_best)
    return Stand(name, (x, y, yaw), turn, False, best)


class _Asker:
    """What can be asked from one place."""

    def __init__(self, world: TrueWorld, pose: Pose, turn: bool, rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng
        self.pose = (round(pose[0], 4), round(pose[1], 4), round(pose[2], 4))
        self.looks = world.around(self.pose) if turn else [self.pose]
        self.shares = world.in_view([self.pose])[0][0]
        self._motions: list[tuple[Motion, Pose, np.ndarray, np.ndarray]] | None = None

    def looking(self, radius_m: float) -> list[Episode | None]:
        return [
            self.perspective("side"),
            self.perspective("distance"),
            self.clearance(radius_m, "clear"),
            self.clearance(radius_m, "blocked"),
        ]

    def turned(self) -> list[Episode | None]:
        return [
            self.perspective("side"),
            self.in_words(),
            self.midpoint(),
            self.count(by_colour=True),
            self.count(by_colour=False),
        ]

    # -- what is seen from elsewhere --------------------------------------------------------------

    def motions(self) -> list[tuple[Motion, Pose, np.ndarray, np.ndarray]]:
        """Motions in words to places where the robot can stand, with where its base is then and
        what it has in view (shares and columns, as `in_view` gives them).
        """
        if self._motions is None:
            world, rng = self.world, self.rng
            forward, left = rng.uniform(-1.0, 2.2, MOTIONS), rng.uniform(-1.5, 1.5, MOTIONS)
            turns = rng.integers(2, 19, MOTIONS) * 5.0 * rng.choice((-1, 1), MOTIONS)
            motions = [
                round_motion(Motion(float(f), float(s), math.radians(float(t))))
                for f, s, t in zip(forward, left, turns, strict=True)
            ]
            there = [(m, self.after(m)) for m in motions]
            at = np.array([base[:2] for _, base in there])
            free = is_free(world.scene, world.table, at, CLEAR_M)
            there = [one for one, ok in zip(there, free, strict=True) if ok]
            self._motions = []
            if there:
                shares, columns = world.in_view([base for _, base in there])
                self._motions = [
                    (*t, s, c) for t, s, c in zip(there, shares, columns, strict=True)
                ]
        return self._motions

    def after(self, motion: Motion) -> Pose:
        """The base once the camera has made the motion."""
        body = np.array(self.world.body_at(self.pose))
        x, y, yaw = moved(
            body, *(np.array(v) for v in (motion.forward_m, motion.left_m, motion.turn_rad))
        )
        return self.world.base_of((float(x), float(y), float(yaw)))

    def perspective(self, asked: str) -> Episode | None:
        """Where a thing in view will be: on the left or right, or closer or further."""
        found = self._asked_of_a_thing(asked)
        if found is None:
            return None
        _, base, name, answer = found
        options = SIDE_OPTIONS if asked == "side" else DISTANCE_OPTIONS
        return self._view(Task.PERSPECTIVE, asked, options, answer, base, object=name, text=asked)

    def in_words(self) -> Episode | None:
        """The same in words alone, through AskSpatial."""
        found = self._asked_of_a_thing("side")
        if found is None:
            return None
        motion, base, name, answer = found
        phrase = perspective_question("side", name, motion)
        return replace(
            self._view(Task.PERSPECTIVE, "in words", phrase.options, answer, base),
            action=ASK_SPATIAL,
            text=phrase.text,
        )

    def _asked_of_a_thing(self, asked: str) -> tuple[Motion, Pose, str, str] | None:
        """A motion, where it ends, a thing in view before and after, and the right answer; either
        answer is looked for first as often."""
        world = self.world
        before = world.distances(self.pose)
        options = SIDE_OPTIONS if asked == "side" else DISTANCE_OPTIONS
        wanted = options[int(self.rng.integers(2))]
        others = None
        for k in self.rng.permutation(len(self.motions())):
            motion, base, shares, columns = self.motions()[int(k)]
            after = world.distances(base)
            both = np.flatnonzero((self.shares >= IN_VIEW) & (shares >= IN_VIEW))
            for i in self.rng.permutation(both):
                if not world.unique[i]:
                    continue
                if asked == "side":
                    off = columns[i] - 0.5
                    sure, answer = abs(off) >= SIDE_MARGIN, "left" if off < 0 else "right"
                else:
                    change = after[i] - before[i]
                    sure = abs(change) >= MIN_CHANGE_M
                    answer = "closer" if change < 0 else "further"
                if sure:
                    one = motion, base, world.scene.objects[i].name, answer
                    if answer == wanted:
                        return one
                    others = others or one
        return others

    def midpoint(self) -> Episode | None:
        """What is seen to one side halfway along a straight path that is clear."""
        world, rng = self.world, self.rng
        unique = np.flatnonzero(world.unique)
        if len(unique) < OPTIONS:
            return None
        motions = []
        for _ in range(MOTIONS):
            way, half = rng.uniform(-math.pi, math.pi), rng.uniform(0.7, 2.0)
            turn = way + rng.choice((-0.5, 0.5)) * math.pi
            motions.append(
                round_motion(Motion(half * math.cos(way), half * math.sin(way), float(turn)))
            )
        bases = [self.after(m) for m in motions]
        shares, _ = world.in_view(bases)
        for motion, base, share in zip(motions, bases, shares, strict=True):
            seen = unique[share[unique] >= IN_VIEW]
            unseen = unique[share[unique] <= OUT_OF_VIEW]
            if not len(seen) or len(unseen) < OPTIONS - 1 or not self._walkable(base):
                continue
            chosen = [int(rng.choice(seen)), *rng.choice(unseen, OPTIONS - 1, replace=False)]
            names = [world.scene.objects[int(i)].name for i in chosen]
            options = tuple(names[int(i)] for i in rng.permutation(OPTIONS))
            side = "left" if self._turned_left(motion) else "right"
            return self._view(
                Task.PATH, f"midpoint, {side}", options, names[0], base, text=PATH_TEXT
            )
        return None

    def _turned_left(self, motion: Motion) -> bool:
        return math.sin(motion.turn_rad - math.atan2(motion.left_m, motion.forward_m)) > 0

    def _walkable(self, middle: Pose) -> bool:
        """Whether the robot gets from here straight through `middle` and as far again."""
        here, there = np.array(self.pose[:2]), np.array(middle[:2])
        line = here + np.linspace(0.0, 2.0, 24)[:, None] * (there - here)
        clear = bool((self.world.room_along(line) >= self.world.robot["radius"] + SPARE_M).all())
        at = is_free(self.world.scene, self.world.table, there[None], CLEAR_M)
        return clear and bool(at[0])

    def _view(
        self,
        task: Task,
        kind: str,
        options: tuple[str, ...],
        answer: str,
        base: Pose,
        object: str = "",
        text: str = "",
    ) -> Episode:
        return Episode(
            "",
            task,
            kind,
            IMAGINE_VIEW,
            options,
            answer,
            round(self.world.share_seen(base, self.looks), 4),
            object=object,
            text=text,
            viewpoint=self.world.body_at(base),
            then=base,
        )

    # -- how many, and may one pass ---------------------------------------------------------------

    def count(self, by_colour: bool) -> Episode | None:
        """How many things of a colour, or of a kind, stand around: all that there are in the world
        and in view of a turn on the spot, none by a sliver.
        """
        world, rng = self.world, self.rng
        things = world.scene.objects
        most = np.max(world.in_view(self.looks)[0], axis=0)
        groups: dict[str, list[int]] = {}
        for i, thing in enumerate(things):
            word = f"{thing.colour} object" if by_colour else thing.category
            groups.setdefault(word, []).append(i)
        pictures = PictureGeometry()
        fit: list[tuple[str, int, list[int]]] = []
        for word, members in sorted(groups.items()):
            if by_colour and not all(shows_its_colour(things[i]) for i in members):
                continue
            here = [i for i in members if most[i] >= IN_VIEW]
            if any(OUT_OF_VIEW < most[i] < IN_VIEW for i in members):
                continue
            tops = [
                m
                for m in sorted(pictures.count_most)
                if m - pictures.count_options + 1 <= len(here) <= m
            ]
            if here and tops:
                fit.append((word, len(here), tops))
        if not fit:
            return None
        # small counts are the most common: each number is taken as often as the world allows
        number = int(rng.choice(sorted({n for _, n, _ in fit})))
        alike = [one for one in fit if one[1] == number]
        word, _, tops = alike[int(rng.integers(len(alike)))]
        top = tops[int(rng.integers(len(tops)))]
        options = tuple(str(n) for n in range(top - pictures.count_options + 1, top + 1))
        return Episode(
            "",
            Task.COUNTING,
            "by colour" if by_colour else "by kind",
            COUNT_OBJECTS,
            options,
            str(number),
            1.0,
            category=word,
            max_count=top,
        )

    def clearance(self, radius_m: float, wanted: str) -> Episode | None:
        """A straight path ahead, partly through what is out of sight, that sight alone does not
        decide; clear or blocked in truth.
        """
        world = self.world
        known = world.map_from([self.pose])
        near_seen = clearance_m(
            replace(known, cells=np.where(known.cells == OCCUPIED, known.cells, 0)), False
        )
        pictures = PictureGeometry()
        shown = MapView.ahead(world.body_at(self.pose), 64, pictures)
        x, y, yaw = self.pose
        for way in self.rng.permutation(WAYS):
            angle = yaw + 2 * math.pi * int(way) / WAYS
            length = float(self.rng.uniform(1.2, 4.0))
            steps = np.arange(0.0, length, _STEP_M)[:, None]
            line = np.array([x, y]) + steps * (math.cos(angle), math.sin(angle))
            row, column = known.indices(line)
            if not known.inside(row, column).all() or not shown.shows(line, pictures).all():
                continue
            x_end, y_end = (float(v) for v in line[-1])
            if world.scene.room_at(x_end, y_end) != world.scene.room_at(x, y):
                continue
            if (near_seen[row, column] < radius_m + SPARE_M).any():
                continue
            hidden = float((known.values(line) == UNKNOWN).mean())
            room = float(world.room_along(line).min())
            clear = room >= radius_m + SPARE_M
            blocked = room <= radius_m - MISSING_M
            if hidden < MIN_HIDDEN or not (clear if wanted == "clear" else blocked):
                continue
            return Episode(
                "",
                Task.CLEARANCE,
                wanted,
                TRACE_PATH,
                CLEARANCE_OPTIONS,
                wanted,
                round(1.0 - hidden, 4),
                path=tuple((round(float(a), 4), round(float(b), 4)) for a, b in line),
                radius_m=radius_m,
            )
        return None
