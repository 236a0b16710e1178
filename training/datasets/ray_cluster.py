"""Shards made on a Ray cluster: the driver keeps the disk, the cluster makes the bytes.

In: a plan and shard numbers. Out: bytes and reports, as they get ready. Needs the extra `cluster`;
the package must be installed on the workers too. `cluster` is for whoever has other work for one.
"""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ipt_training.datasets.generate import ShardResult, WorkerError, build_shard
from ipt_training.datasets.plan import DatasetPlan


class ClusterError(RuntimeError):
    """The cluster cannot be used; the message says what to do."""


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """The module `ray`, connected for one block.

    address: of the cluster's head (`ray://host:10001`, `host:6379`), or 'local' for one on this
    machine.
    """
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            "--ray-address needs ray: pip install 'imaginative-perception[cluster]'"
        ) from error

    started = not ray.is_initialized()
    if started:
        _check_address(address)
        try:
            if address == "local":
                ray.init(include_dashboard=False, log_to_driver=False)
            else:
                ray.init(address=address, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(f"{address}: no Ray cluster answers there ({error})") from error
    try:
        yield ray
    finally:
        if started:
            ray.shutdown()


def build_on_ray(
    plan: DatasetPlan, shards: Sequence[int], address: str
) -> Generator[tuple[bytes, ShardResult], None, None]:
    """address: as `cluster` takes it."""
    with cluster(address) as ray:
        # one core each, as the processes of a single machine
        make = ray.remote(num_cpus=1, max_retries=2)(build_shard)
        waiting = {make.remote(plan, shard): shard for shard in shards}
        while waiting:
            (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
            shard = waiting.pop(ready)
            try:
                made = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None  # what went wrong, without the way it came
            except ray.exceptions.RayError as error:
                raise WorkerError(
                    f"shard {shard}: its worker on the cluster was lost ({error}) Finished shards "
                    "are kept: the same command goes on from here"
                ) from error
            yield made


def _check_address(address: str) -> None:
    """Ray itself waits for minutes for a head that is not there."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in ("local", "auto"):
        return
    if not host or not port.isdigit():
        raise ClusterError(
            f"{address!r}: expected 'local', 'auto', host:port or ray://host:port of the head"
        )
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ClusterError(f"{address}: no Ray cluster answers there ({error})") from error
