"""What tests of the nodes share: domains of their own, and a context of rclpy in one of them."""

import socket

import pytest

#: Domains above about 100 have ports among those that Linux gives to clients.
LAST_DOMAIN = 100
DOMAINS_PER_RUN = 4


@pytest.fixture(scope="session")
def ros_domain():
    """The first of four domains that nobody else who runs these tests on this machine uses.

    An abstract socket is the reservation: it is as far-reaching as the network that DDS uses, and
    the kernel takes it away with the process, however that ends.
    """
    for first in range(1, LAST_DOMAIN, DOMAINS_PER_RUN):
        with socket.socket(socket.AF_UNIX) as reserved:
            try:
                reserved.bind(f"\0imaginative_perception tests in domain {first}")
            except OSError:
                continue
            yield first
            return
    pytest.fail(f"all domains up to {LAST_DOMAIN} are in use by runs of these tests: end some")


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
