"""What tests of the nodes share: a context of rclpy in a domain of its own."""

import os

import pytest


@pytest.fixture(scope="session")
def ros_domain() -> int:
    """A domain that no other test run on this machine is likely to use."""
    return 1 + os.getpid() % 100


@pytest.fixture
def ros(ros_domain):
    """A context of rclpy for nodes inside the test's own process."""
    rclpy = pytest.importorskip(
        "rclpy", reason="rclpy is not installed (source a ROS or run make setup)"
    )
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    yield context
    rclpy.try_shutdown(context=context)
