"""What lies in config/: the nodes' parameter files, RViz, and the transport for large images."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

from ipt_ros.conversions import stamp_to_ns
from ipt_ros.parameters.page import NODES
from ipt_ros.senses.images import image_to_rgb

pytest.importorskip("rclpy", reason="rclpy is not installed")
from harness import BEST_EFFORT, peer, running, until
from sensor_msgs.msg import CameraInfo, Image

ROOT = Path(__file__).parents[3]
FASTDDS = ROOT / "config" / "fastdds.xml"


@pytest.mark.parametrize(("node", "table"), [(name, table) for name, _, table in NODES])
def test_a_yaml_file_holds_exactly_the_declared_parameters(node, table):
    content = yaml.safe_load((ROOT / "config" / f"{node}.yaml").read_text(encoding="utf-8"))
    assert list(content) == [f"/**/{node}"]
    values = content[f"/**/{node}"]["ros__parameters"]
    assert list(values) == [row.name for row in table]
    for row in table:
        assert row.check(values[row.name]) == row.default


def test_the_rviz_configuration_shows_topics_that_the_nodes_publish():
    content = yaml.safe_load((ROOT / "config" / "imaginative_perception.rviz").read_text())
    displays = content["Visualization Manager"]["Displays"]
    topics = {d["Topic"]["Value"] for d in displays if "Topic" in d}
    assert topics == {
        "map", "odom", "camera/image", "truth/image",
        "ipt_node/imagined/tinted", "ipt_node/imagined_space",
    }  # fmt: skip


def test_the_shared_memory_holds_several_large_images():
    space = {"f": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    root = ElementTree.parse(FASTDDS).getroot()
    size = int(root.find(".//f:segment_size", space).text)
    assert size >= 8 * 640 * 480 * (3 + 4)


def test_large_images_all_arrive_through_it(ros_domain, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(FASTDDS))
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(FASTDDS))
    parameters = {"width": 640, "height": 480, "rate": 4.0}
    with (
        running("sim_node", ros_domain, tmp_path, parameters=parameters,
                ros_arguments=("-r", "__ns:=/large")),
        peer(ros_domain) as tester,
    ):  # fmt: skip
        images = tester.collect(Image, "/large/camera/image", BEST_EFFORT)
        infos = tester.collect(CameraInfo, "/large/camera/camera_info", BEST_EFFORT)
        images.wait(1)

        def none_is_lost():
            """Of the views from now on; a busy machine may keep the reader from reading."""
            shown = {stamp_to_ns(m.header.stamp) for m in infos.wait_more(20)}
            images.wait_for(lambda m: stamp_to_ns(m.header.stamp) >= max(shown))
            return shown <= {stamp_to_ns(m.header.stamp) for m in images.messages}

        until(none_is_lost, "all large images arrive")
    assert image_to_rgb(images.newest).shape == (480, 640, 3)
