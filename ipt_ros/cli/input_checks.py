"""What `ipt doctor` concludes of the node's inputs: topics, stamps, camera, depth, pose and map.

As in `checks`, one function per question and no ROS.
"""

from __future__ import annotations

import math

from ipt_ros.cli.facts import FAIL, OK, WARN, Facts, Finding, Findings, Topic

#: Seconds between two clocks that nobody can have meant.
OTHER_CLOCK_S = 3600.0


def check_topic(facts: Facts) -> Findings:
    """Is each input there, of the right type, compatible, and does it arrive?"""
    for topic in facts.topics:
        missing = FAIL if topic.needed else WARN
        wrong = [p for p in topic.publishers if p.type != topic.type]
        mismatched = [p for p in topic.publishers if p.qos_mismatch]
        if not topic.publishers:
            others = [n for n in facts.by_type.get(topic.type, ()) if n != topic.name]
            hint = f" -r {topic.name}:={others[0]}" if others else ""
            remedy = "start what publishes it"
            if others:
                remedy = f"is it one of {', '.join(others[:4])}? then remap:{hint}"
            yield Finding(missing, topic.role, f"nobody publishes {topic.name}", remedy)
        elif wrong:
            yield Finding(
                missing,
                topic.role,
                f"{topic.name} is {wrong[0].type} ({wrong[0].node}), expected {topic.type}",
                "remap the topic of the right type"
                + ("; image_transport:=compressed?" if "Compressed" in wrong[0].type else ""),
            )
        elif mismatched:
            remedy = "set the parameter reliability to best_effort, which hears every publisher"
            if topic.role == "map":
                remedy = "publish the map reliable and transient_local, as map servers do"
            yield Finding(
                missing,
                topic.role,
                f"QoS of {mismatched[0].node} and the node do not go together on {topic.name}: "
                f"{mismatched[0].qos_mismatch}",
                remedy,
            )
        elif topic.heard == 0:
            yield Finding(
                missing,
                topic.role,
                f"{topic.publishers[0].node} publishes {topic.name}, but nothing came in "
                f"{facts.listened_s:.0f} s",
                "has the driver stopped? on another machine: firewall, or images too large for "
                "UDP (docs/cli.md)",
            )
        elif topic.problem:
            yield Finding(missing, topic.role, topic.problem, "mend the publisher of it")
        else:
            yield Finding(OK, topic.role, f"{topic.name}: {_figures(topic)}")
        if facts.state in ("active", "inactive") and not topic.subscribed:
            text = f"the node does not listen to {topic.name}"
            yield Finding(WARN, topic.role, text, "was it remapped? compare ros2 node info")


def _figures(topic: Topic) -> str:
    seen = topic.seen
    parts = [] if math.isnan(topic.rate_hz) else [f"{topic.rate_hz:.1f} Hz"]
    if "width" in seen:
        parts.append(f"{seen['width']}x{seen['height']} {seen.get('encoding', '')}".strip())
    if topic.role == "odometry":
        parts.append(f"{seen['frame']} -> {seen['child_frame']}")
    if "unknown_share" in seen:
        parts.append(f"{100 * seen['unknown_share']:.0f} % unknown")
    return ", ".join(parts) or "arrives"


def check_clock(facts: Facts) -> Findings:
    """Are stamps and the node's clock the same clock?"""
    simulated = bool(facts.parameters.get("use_sim_time"))
    if simulated and not any(t.heard for t in facts.of_role("clock")):
        return  # check_topic has said it
    for topic in facts.of_role("image") + facts.of_role("odometry"):
        age_s = topic.age_by_clock_s if simulated else topic.age_s
        if not topic.heard or math.isnan(age_s):
            continue
        other_s = topic.age_s if simulated else topic.age_by_clock_s
        limit_s = float(facts.parameters["view_max_age_s"])
        about = f"{topic.role} stamps"
        if abs(age_s) > OTHER_CLOCK_S or (age_s > limit_s and abs(other_s) < limit_s):
            right = str(not simulated).lower()
            yield Finding(
                FAIL,
                about,
                f"{topic.name} is stamped {age_s:.0f} s before the node's clock "
                f"(use_sim_time {str(simulated).lower()})",
                f"start the node with use_sim_time:={right}"
                if abs(other_s) < limit_s
                else "stamp with the time of capture, from the same clock as the node's",
            )
        elif age_s > limit_s:
            yield Finding(
                FAIL,
                about,
                f"{topic.name} is {age_s:.1f} s old when it arrives, more than view_max_age_s "
                f"({limit_s:g})",
                "a slow driver or link: fewer pixels or a lower rate; or raise view_max_age_s",
            )
        elif age_s < -0.1:
            text = f"{topic.name} is stamped {-age_s:.1f} s in the future"
            yield Finding(WARN, about, text, "set the machines' clocks by chrony or ptp")
        else:
            yield Finding(OK, about, f"{1e3 * max(age_s, 0.0):.0f} ms old on arrival")


def check_pair(facts: Facts) -> Findings:
    """Do image, depth and camera_info of each camera belong together?"""
    for i, image in enumerate(facts.of_role("image")):
        info = facts.of_role("camera_info")[i]
        size = (image.seen.get("width"), image.seen.get("height"))
        of_info = (info.seen.get("width"), info.seen.get("height"))
        if image.heard and info.heard and None not in size and size != of_info:
            yield Finding(
                FAIL,
                "camera_info",
                f"{info.name} is of {of_info[0]}x{of_info[1]} pixels, the image has "
                f"{size[0]}x{size[1]}",
                "take the camera_info that the driver publishes beside this very image topic",
            )
        depths = facts.of_role("depth")
        if i < len(depths) and depths[i].heard and image.heard:
            yield from _check_depth(facts, image, depths[i])


def _check_depth(facts: Facts, image: Topic, depth: Topic) -> Findings:
    keys = ("width", "height")
    if all(k in image.seen and k in depth.seen for k in keys) and any(
        image.seen[k] != depth.seen[k] for k in keys
    ):
        yield Finding(
            FAIL,
            "depth",
            f"{depth.name} is {depth.seen['width']}x{depth.seen['height']}, the image "
            f"{image.seen['width']}x{image.seen['height']}: it is not registered",
            "use the depth that is aligned to colour (RealSense: align_depth.enable:=true)",
        )
    elif image.seen.get("frame") != depth.seen.get("frame"):
        yield Finding(
            WARN,
            "depth",
            f"depth is in {depth.seen.get('frame')}, the image in {image.seen.get('frame')}",
            "use the depth that is registered to the colour camera",
        )
    apart_s = min(
        (abs(a - b) / 1e9 for a in image.stamps_ns for b in depth.stamps_ns), default=0.0
    )
    slop_s = float(facts.parameters["sync_slop_s"])
    if apart_s > slop_s:
        yield Finding(
            FAIL,
            "depth",
            f"no depth within sync_slop_s ({slop_s:g} s) of an image; the nearest is "
            f"{apart_s:.3f} s away",
            "let the camera synchronise them, or raise sync_slop_s",
        )
    if depth.seen.get("returns_share") == 0.0:
        yield Finding(WARN, "depth", "no pixel has depth", "is the sensor covered or too near?")


def check_pose(facts: Facts) -> Findings:
    """Can the cameras' poses be told?"""
    fixed = facts.parameters["fixed_frame"]
    if facts.parameters["pose_source"] == "tf":
        frames = {str(t.seen["frame"]) for t in facts.of_role("image") if "frame" in t.seen}
        if frames and facts.transforms is None:
            text = "pose_source is tf, but tf2_ros cannot be imported here to look it up"
            yield Finding(WARN, "pose", text, "apt install ros-$ROS_DISTRO-tf2-ros-py")
        for frame in sorted(frames & set(facts.transforms or ())):
            problem = (facts.transforms or {})[frame]
            remedy = "publish that transform, or set fixed_frame, or pose_source:=odometry"
            if problem:
                yield Finding(FAIL, "pose", problem, remedy)
            else:
                yield Finding(OK, "pose", f"tf leads from {frame} to {fixed}")
    for topic in facts.of_role("odometry"):
        if not topic.heard or topic.problem:
            continue
        frame, child = topic.seen["frame"], topic.seen["child_frame"]
        base = facts.parameters["base_frame"]
        if frame != fixed:
            text = f"odometry is stated in '{frame}', fixed_frame is '{fixed}'"
            yield Finding(FAIL, "pose", text, f"set fixed_frame:={frame}")
        elif child and child != base:
            text = f"odometry is of '{child}', base_frame is '{base}': the mount would not fit"
            yield Finding(WARN, "pose", text, f"set base_frame:={child} and mounts for it")


def check_map(facts: Facts) -> Findings:
    """Does the map fit the poses, and is anything unknown in it?"""
    fixed = facts.parameters["fixed_frame"]
    for topic in facts.of_role("map"):
        if not topic.heard or topic.problem:
            continue
        frame = topic.seen["frame"]
        by_tf = facts.parameters["pose_source"] == "tf"
        problem = (facts.transforms or {}).get(frame, "")
        if frame != fixed and by_tf and problem:
            remedy = f"publish where '{frame}' lies, as localisation does, or set fixed_frame"
            yield Finding(FAIL, "map", problem, remedy)
        elif frame != fixed and not by_tf:
            yield Finding(
                FAIL,
                "map",
                f"the map is in '{frame}', fixed_frame is '{fixed}'",
                "pose_source:=tf relates them; or publish the map in fixed_frame",
            )
        if topic.seen["unknown_share"] == 0.0:
            text = "no cell of the map is unknown: nothing is left to imagine"
            yield Finding(WARN, "map", text, "remap map to the one of your SLAM")
