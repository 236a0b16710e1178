"""Shows what was imagined to whoever looks: picture, camera and frame, as a real camera would.

`~/imagined/image` and `~/imagined/camera_info` are what RViz and image tools read, and
`~/imagined/tinted` is the same picture with what was imagined of it tinted. The frame that they
name is broadcast where tf2_msgs is installed, so that RViz puts the picture in its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipt_ros.answering.tint import tinted
from ipt_ros.senses.images import image_to_mask, image_to_rgb, rgb_to_image

if TYPE_CHECKING:
    from rclpy.node import Node


class ImaginedOutput:
    def __init__(self, node: Node) -> None:
        from sensor_msgs.msg import CameraInfo, Image

        self._node = node
        self._image = node.create_publisher(Image, "~/imagined/image", 1)
        self._tinted = node.create_publisher(Image, "~/imagined/tinted", 1)
        self._info = node.create_publisher(CameraInfo, "~/imagined/camera_info", 1)
        self._transforms = _transform_publisher(node)

    def show(self, view: Any) -> None:
        """An ImaginedView that holds a picture. Any thread may call. Nothing is packed for
        nobody: a picture of 1024 px is 3 MB.
        """
        if view.camera_info.width:
            if self._transforms is not None:
                self._transforms.publish(_transform_message(view))
            if self._info.get_subscription_count():
                self._info.publish(view.camera_info)
        if self._image.get_subscription_count():
            self._image.publish(view.image)
        if self._tinted.get_subscription_count():
            picture = tinted(image_to_rgb(view.image), image_to_mask(view.seen))
            self._tinted.publish(rgb_to_image(picture, view.header))

    def destroy(self) -> None:
        for publisher in (self._image, self._tinted, self._info, self._transforms):
            if publisher is not None:
                self._node.destroy_publisher(publisher)


def _transform_publisher(node: Node) -> Any:
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        return None
    return node.create_publisher(TFMessage, "/tf", 10)


def _transform_message(view: Any) -> Any:
    from geometry_msgs.msg import Transform, TransformStamped, Vector3
    from tf2_msgs.msg import TFMessage

    at = view.pose.pose
    place = Transform(
        translation=Vector3(x=at.position.x, y=at.position.y, z=at.position.z),
        rotation=at.orientation,
    )
    moved = TransformStamped(
        header=view.pose.header, child_frame_id=view.header.frame_id, transform=place
    )
    return TFMessage(transforms=[moved])
