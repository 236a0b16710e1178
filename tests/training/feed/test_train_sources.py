"""Showings by number: every row once an epoch, whatever the processes, and latents from disk."""

from __future__ import annotations

import itertools
import pickle
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import rows_of, small_settings

from ipt_model.weights.checkpoint import load_codec
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.plan import DatasetPlan
from ipt_training.datasets.schema import decode_image
from ipt_training.feed.latents import LatentStore, encode_pictures, store_for
from ipt_training.feed.sources import FreshSource, MixedSource, RowSource
from ipt_training.finetune.building import build
from ipt_training.recipe.settings import SettingsError


def names(source: RowSource, numbers: range) -> list[tuple]:
    shown = [source.show(n).sample.example for n in numbers]
    return [(e.scene_seed, e.question.text, e.answer_index) for e in shown]


def test_every_row_comes_once_an_epoch_in_a_new_order(data, vae) -> None:
    settings = small_settings(data, vae, supervision="label")
    source = rows_of(settings, build(settings), vae)
    n = source.rows_per_epoch
    epochs = [names(source, range(k * n, (k + 1) * n)) for k in range(2)]
    assert Counter(epochs[0]) == Counter(epochs[1]) and epochs[0] != epochs[1]
    assert n == len(Dataset(data)) and max(Counter(epochs[0]).values()) == 1
    assert names(source, range(3, 5)) == epochs[0][3:5]  # back to an earlier epoch


def test_tasks_may_be_left_out(data, vae) -> None:
    settings = small_settings(data, vae, supervision="label")
    start = build(settings)
    store = store_for(Dataset(data), start.codec, start.style, vae)
    source = RowSource(
        Dataset(data), "label", start.style.prompt, 0, store, tasks=("path", "counting")
    )
    shown = [
        source.show(n).sample.example.question.task.value for n in range(source.rows_per_epoch)
    ]
    assert Counter(shown) == {"path": 6, "counting": 6}
    with pytest.raises(ValueError, match="no row of the tasks"):
        RowSource(Dataset(data), "label", start.style.prompt, 0, store, tasks=("cooking",))


def test_rows_of_a_task_may_come_more_often(data, vae) -> None:
    settings = small_settings(data, vae, supervision="label")
    start = build(settings)
    store = store_for(Dataset(data), start.codec, start.style, vae)
    source = RowSource(
        Dataset(data),
        "label",
        start.style.prompt,
        0,
        store,
        tasks=("path", "counting"),
        repeat={"counting": 3, "clearance": 2},
    )
    assert source.rows_per_epoch == 6 + 3 * 6
    epochs = [[source.name(n) for n in range(24 * k, 24 * (k + 1))] for k in range(2)]
    assert epochs[0] != epochs[1]
    tasks = Dataset(data).column("task")
    for epoch in epochs:
        times = Counter(epoch)
        assert {tasks[int(row.split()[1])]: n for row, n in times.items()} == {
            "path": 1,
            "counting": 3,
        }
        assert sum(a == b for a, b in itertools.pairwise(epoch)) < 9
    with pytest.raises(SettingsError, match=r"data\.repeat: expected at least 1"):
        small_settings(data, vae, data={"repeat": {"path": 0}})


def test_mixed_data_have_their_shares_and_every_row_its_turn(data, vae) -> None:
    settings = small_settings(data, vae, supervision="label")
    start = build(settings)
    store = store_for(Dataset(data), start.codec, start.style, vae)
    style = start.style.prompt
    one, two = (
        RowSource(Dataset(data), "label", style, 0, store, tasks=(task,))
        for task in ("path", "counting")
    )
    mixed = MixedSource([one, two], [0.75, 0.25], seed=0)
    shown = [mixed.name(n) for n in range(2 * MixedSource.BLOCK)]
    of_one = [name for name in shown if name.startswith("source 0")]
    assert len(of_one) == 0.75 * len(shown)
    assert of_one == [f"source 0, {one.name(n)}" for n in range(len(of_one))]
    assert shown[:80] != sorted(shown[:80], key=lambda name: name[:8])
    # any showing by itself, and under its own number
    assert [mixed.name(n) for n in (130, 7)] == [shown[130], shown[7]]
    again = mixed.show(130)
    assert again.number == 130
    task = again.sample.example.question.task.value
    assert task == ("path" if shown[130].startswith("source 0") else "counting")
    with pytest.raises(ValueError, match="add up to 1"):
        MixedSource([one, two], [0.5, 0.4], seed=0)


def test_wrong_views_are_other_examples_of_the_task(data, vae) -> None:
    settings = small_settings(data, vae, supervision="ipt_wrong")
    source = rows_of(settings, build(settings), vae)
    views: dict[str, list[np.ndarray]] = {}
    for row in Dataset(data):
        views.setdefault(row.own["task"], []).append(decode_image(row.drawn[0]))
    for number in range(source.rows_per_epoch):
        showing = source.show(number)
        example = showing.sample.example
        wrong = showing.sample.target[1]
        assert not np.array_equal(wrong, example.true_view)
        of_task = views[example.question.task.value]
        assert any(np.array_equal(wrong, view) for view in of_task)
        again = source.show(number).sample.target[1]
        assert np.array_equal(wrong, again)


def test_latents_on_disk_are_those_of_the_vae(data, vae) -> None:
    settings = small_settings(data, vae, supervision="ipt")
    start = build(settings)
    source = rows_of(settings, start, vae)
    showing = source.show(5)
    pictures = [*showing.sample.inputs, showing.sample.target[1]]
    expected = encode_pictures(start.codec, pictures, start.style)
    assert len(showing.latents) == len(expected)
    for got, true in zip(showing.latents, expected, strict=True):
        assert got.shape == (16, 8, 8) and torch.allclose(got, true, atol=4e-3)
    label = rows_of(small_settings(data, vae, supervision="label"), start, vae).show(5)
    assert set(label.latents) == {None}


def test_stores_are_shared_resumed_and_never_mixed_up(data, vae, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ipt_training.feed.latents.ROWS_PER_CHUNK", 10)
    start = build(small_settings(data, vae))
    dataset = Dataset(data)
    store = LatentStore(tmp_path / "a", len(dataset))
    assert store.missing() == [0, 1, 2]
    store.make(dataset, start.codec, start.style, rank=1, world_size=2)
    assert store.missing() == [0, 2]
    store.make(dataset, start.codec, start.style)
    whole = LatentStore(tmp_path / "b", len(dataset))
    whole.make(dataset, start.codec, start.style)
    for row in (0, 9, 10, len(dataset) - 1):
        for a, b in zip(store[row], whole[row], strict=True):
            assert torch.equal(a, b)
    with pytest.raises(IndexError):
        store[len(dataset)]
    key = LatentStore.key(dataset.digest(), start.codec, start.style)
    with torch.no_grad():
        next(start.codec.parameters()).add_(1e-3)
    assert key != LatentStore.key(dataset.digest(), start.codec, start.style)


def test_a_source_moves_to_another_process_without_its_files(data, vae) -> None:
    settings = small_settings(data, vae)
    source = rows_of(settings, build(settings), vae)
    source.show(3)
    twin = pickle.loads(pickle.dumps(source))
    assert names(twin, range(6)) == names(source, range(6))
    assert torch.equal(twin.show(1).latents[0], source.show(1).latents[0])


def test_fresh_examples_come_from_training_houses_and_repeat_by_number(vae) -> None:
    settings = small_settings(Path(), vae, data={"train": "", "fresh": {"size_px": 64}})
    start = build(settings)
    plan = DatasetPlan(16, size_px=64)
    make = partial(load_codec, vae, start.config, "cpu", torch.float32)
    source = FreshSource(plan, "ipt", start.style, make)
    one, again = source.show(3), FreshSource(plan, "ipt", start.style, make).show(3)
    assert one.sample.example.scene_seed < 800_000
    assert np.array_equal(one.sample.target[1], again.sample.target[1])
    expected = encode_pictures(start.codec, [one.sample.target[1]], start.style)[0]
    assert torch.allclose(one.latents[-1], expected, atol=1e-5)
    with pytest.raises(ValueError, match="split 'train'"):
        FreshSource(DatasetPlan(16, size_px=64, split="test"), "ipt", start.style, make)
