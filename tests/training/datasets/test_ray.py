"""A local Ray cluster makes the same bytes as a process; without ray the command says what to
install.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from ipt_training.datasets import ray_cluster
from ipt_training.datasets.generate import GenerationError, WorkerError, write_dataset
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.datasets.ray_cluster import ClusterError

PLAN = DatasetPlan(6, 32, (("perspective", 1.0),), variants=("pose",), shards=2)
HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.mark.skipif(not HAS_RAY, reason="needs the extra 'cluster' (ray)")
def test_a_local_cluster_makes_the_same_bytes(tmp_path: Path) -> None:
    write_dataset(PLAN, tmp_path / "ray", ray_address="local")
    write_dataset(PLAN, tmp_path / "here")
    for path in (tmp_path / "here").iterdir():
        assert (tmp_path / "ray" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.skipif(not HAS_RAY, reason="needs the extra 'cluster' (ray)")
def test_a_cluster_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="no Ray cluster answers"):
        write_dataset(PLAN, tmp_path, ray_address="127.0.0.1:9")
    with pytest.raises(ClusterError, match="expected 'local', 'auto', host:port"):
        write_dataset(PLAN, tmp_path, ray_address="somewhere")


@pytest.mark.skipif(not HAS_RAY, reason="needs the extra 'cluster' (ray)")
def test_what_goes_wrong_on_the_cluster_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finds_nothing(plan: DatasetPlan, shard: int) -> None:
        raise GenerationError("no such example")

    def dies(plan: DatasetPlan, shard: int) -> None:
        os._exit(1)

    monkeypatch.setattr(ray_cluster, "build_shard", finds_nothing)
    with pytest.raises(GenerationError, match=r"^no such example$"):
        write_dataset(PLAN, tmp_path, ray_address="local")
    monkeypatch.setattr(ray_cluster, "build_shard", dies)
    with pytest.raises(WorkerError, match=r"its worker on the cluster was lost.*goes on"):
        write_dataset(PLAN, tmp_path, ray_address="local")


@pytest.mark.skipif(HAS_RAY, reason="ray is installed")
def test_without_ray_the_extra_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"imaginative-perception\[cluster\]"):
        write_dataset(PLAN, tmp_path, ray_address="local")
