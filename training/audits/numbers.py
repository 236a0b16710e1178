"""Numbers of a question, each of which alone must not tell the answer: of the visible scene, and
of what is remembered.

In: an `Example`, rendered or recorded. Out: numbers by name; of each option where the name begins
with 'option'.
"""

from __future__ import annotations

import math

from ipt_training.example import Example


def memory_numbers(example: Example) -> dict[str, float | tuple[float, ...]]:
    """How much was seen, and from how many places: neither may tell the answer. Empty where
    nothing is remembered."""
    if example.recalled is None:
        return {}
    views = len(example.facts.get("memory_poses", ()))
    return {"share seen": example.recalled.share_seen, "views remembered": float(views)}


def visible_numbers(example: Example) -> dict[str, float | tuple[float, ...]]:
    """Numbers of the visible scene, each of which alone must not tell the answer."""
    facts = example.facts
    numbers: dict[str, float | tuple[float, ...]]
    task = example.question.task.value
    if is_recorded(example):
        return recorded_numbers(example)
    if task == "perspective":
        right, _, depth = facts["object_before_m"]
        mark_right, _, mark_depth = facts["mark_before_m"]
        numbers = {
            "object distance": facts["distance_before_m"],
            "object depth": depth,
            "object to the right": right,
            "object aside": abs(right),
            "object bearing": math.atan2(right, depth),
            "object bearing, unsigned": abs(math.atan2(right, depth)),
            "object share of the picture": facts["object_share_before"],
            "object column": facts["object_pixel_before"][0],
            "object row": facts["object_pixel_before"][1],
            "target depth": mark_depth,
            "target to the right": mark_right,
            "target aside": abs(mark_right),
            "target distance": math.hypot(mark_right, mark_depth),
            "turn": facts["motion"][2],
            "camera height": facts["camera_height_m"],
            "field of view": facts["fov_rad"],
            "pitch": facts["pitch_rad"],
            "objects in view": facts["objects_in_view"],
        }
        return numbers
    if task == "path":
        options = example.question.options
        return {
            "path length": facts["path_length_m"],
            "option distance to M1": tuple(facts["option_distance_m"][o] for o in options),
            "option footprint": tuple(facts["option_footprint_m2"][o] for o in options),
            "option name length": tuple(float(len(o)) for o in options),
        }
    if task == "counting":
        return {
            "objects in the room": facts["objects_in_room"],
            "objects in view": facts["objects_in_view"],
            "sightings over all frames": facts["sightings"],
            "share of the frames covered": facts["object_share"],
            "field of view": facts["fov_rad"],
            "room size": facts["map_square_m"][2] - facts["map_square_m"][0],
        }
    return {
        "path length": facts["path_length_m"],
        "hidden length": facts["hidden_m"],
        "distance to what is seen": facts["seen_clear_m"],
        "distance of the goal": facts["goal_distance_m"],
        "known share of the map": facts["known_share"],
        "occupied cells seen": facts["seen_occupied_cells"],
        "objects in view": facts["objects_in_view"],
        "field of view": facts["fov_rad"],
    }


def is_recorded(example: Example) -> bool:
    """Whether a robot saw it; rendered examples know their scene instead."""
    return "place_m" in example.facts


def recorded_numbers(example: Example) -> dict[str, float | tuple[float, ...]]:
    """What a recording knows of these numbers."""
    facts = example.facts
    task = example.question.task.value
    if task == "perspective":
        right, down, depth = facts["object_before_m"]
        forward, left, turn = facts["motion"]
        return {
            "object depth": depth,
            "object to the right": right,
            "object below the camera": down,
            "motion ahead": forward,
            "motion to the left": left,
            "turn": turn,
        }
    if task == "path":
        options = example.question.options
        away = tuple(facts["option_distance_m"][o] for o in options)
        return {"option distance to M1": away}
    if task == "counting":
        return {"room size": facts["map_square_m"][2]}
    return {
        "path length": facts["path_length_m"],
        "hidden length": facts["hidden_m"],
        "distance to what is seen": facts["seen_clear_m"],
        "distance of the goal": facts["goal_distance_m"],
        "known share of the map": facts["known_share"],
    }
