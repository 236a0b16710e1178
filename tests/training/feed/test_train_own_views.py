"""A model's own views: drawn of training rows, and answered from in place of the true ones."""

from __future__ import annotations

import pickle
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import small_settings, write_small_dataset

from ipt_model.network.packing import LatentSegment, VitSegment
from ipt_training.commands.draw_own import main as draw_own
from ipt_training.commands.train import main as train
from ipt_training.commands.train import train as train_run
from ipt_training.datasets.parquet import Dataset
from ipt_training.datasets.schema import example_from_row
from ipt_training.feed.latents import codec_digest, encode_pictures, store_for
from ipt_training.feed.own_views import OwnViews, OwnViewsError
from ipt_training.feed.sequences import SequenceMaker
from ipt_training.feed.sources import RowSource
from ipt_training.finetune.building import build

pytestmark = pytest.mark.slow

ROWS = 12


@pytest.fixture(scope="module")
def drawn(trained, data, tmp_path_factory) -> Path:
    """Half of the rows, drawn by two processes' worth of parts."""
    out = tmp_path_factory.mktemp("own")
    given = ["--model", str(trained), "--data", str(data), "--count", str(ROWS), "--device", "cpu"]
    for part in ("0/2", "1/2"):
        assert draw_own([*given, "--out", str(out), "--part", part, "--flow-steps", "2"]) == 0
    return out


@pytest.fixture(scope="module")
def run(data, trained):
    """Settings and start of a run that goes on from the model that drew."""
    settings = small_settings(
        data, Path(), model={"init": str(trained), "vae": ""}, supervision="ipt"
    )
    return settings, build(settings)


def views_of(drawn: Path, data: Path, start) -> OwnViews:
    return OwnViews(drawn, Dataset(data).digest(), codec_digest(start.codec))


def test_parts_join_and_latents_are_those_of_the_pictures(drawn, data, run) -> None:
    _, start = run
    own = views_of(drawn, data, start)
    assert 0 < len(own.rows) <= ROWS < len(Dataset(data)) and own.of(-1) == []
    (view,) = own.of(own.rows[0])
    picture, latents = view.picture, view.latents
    assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    again = encode_pictures(start.codec, [picture], start.style)[0]
    assert torch.allclose(latents, again, atol=4e-3)


def test_a_loading_process_takes_them_over_without_an_open_file_for_each(drawn, data, run) -> None:
    _, start = run
    own = views_of(drawn, data, start)
    files = len(list(Path("/proc/self/fd").iterdir()))
    sent = ForkingPickler.dumps(own)
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    there = pickle.loads(sent)
    assert there.rows == own.rows
    for row in own.rows:
        for here, one in zip(own.of(row), there.of(row), strict=True):
            assert torch.equal(here.latents, one.latents)
            assert np.array_equal(here.picture, one.picture)


def test_answers_are_learned_from_them_and_drawing_from_the_truth(drawn, data, run) -> None:
    settings, start = run
    own = views_of(drawn, data, start)
    dataset = Dataset(data)
    store = store_for(dataset, start.codec, start.style, drawn)
    store.make(dataset, start.codec, start.style)
    source = RowSource(dataset, "ipt", start.style.prompt, 0, store, own=own, own_share=1.0)
    maker = SequenceMaker(settings, start.config, start.style, start.tokenizer)
    order = [int(row) for row in dataset.shuffled(0)]
    assert source.rows_per_epoch == len(order)
    for number, row in enumerate(order):
        showing = source.show(number)
        if row not in own.rows:
            assert showing.own is None
            continue
        segments = maker.sequences(showing)[0].segments
        pictures = [s for s in segments if isinstance(s, LatentSegment)]
        inputs = len(showing.sample.inputs)
        truth = store[row][-1]
        noised = [s for s in pictures if s.noise is not None]
        assert all(torch.equal(s.latents, truth) for s in noised)
        (view,) = own.of(row)
        clean = pictures[inputs + len(noised) :]
        assert all(torch.equal(s.latents, view.latents) for s in clean)
        seen = [s for s in segments if isinstance(s, VitSegment)][inputs:]
        assert all(np.array_equal(s.pixels, view.picture) for s in seen)


def test_a_share_of_the_showings_has_them(drawn, data, run) -> None:
    _, start = run
    own = views_of(drawn, data, start)
    dataset = Dataset(data)
    store = store_for(dataset, start.codec, start.style, drawn)
    source = RowSource(dataset, "mixed", start.style.prompt, 0, store, own=own, own_share=0.5)
    found = {True: 0, False: 0}
    order = [int(row) for row in dataset.shuffled(0)]
    for number in range(40 * source.rows_per_epoch):
        showing = source.show(number)
        order = (
            order if number % len(order) else [*map(int, dataset.shuffled(number // len(order)))]
        )
        if order[number % len(order)] not in own.rows:
            continue
        if showing.own is not None:
            assert showing.sample.flow_loss
        if showing.sample.flow_loss:
            found[showing.own is not None] += 1
    assert abs(found[True] / sum(found.values()) - 0.5) < 0.12


def test_recalled_views_are_kept_beside_drawn_ones(trained, run, tmp_path) -> None:
    _, start = run
    data = tmp_path / "data"
    write_small_dataset(data, 8, tasks=(("path", 1.0),), variants=("map", "map+memory"))
    given = ["--model", str(trained), "--data", str(data), "--device", "cpu", "--out"]
    assert draw_own([*given, str(tmp_path / "own"), "--flow-steps", "2"]) == 0
    alone = views_of(tmp_path / "own", data, start)
    assert draw_own([*given, str(tmp_path / "own" / "recalled"), "--mode", "recall"]) == 0
    own = views_of(tmp_path / "own", data, start)
    dataset = Dataset(data)
    recalled = {n: example_from_row(row).recalled for n, row in enumerate(dataset)}
    remembering = [n for n, view in recalled.items() if view is not None]
    assert 0 < len(remembering) < len(dataset)
    for row in range(len(dataset)):
        views = own.of(row)
        assert len(views) == (row in remembering) + (row in alone.rows)
        if row in remembering:
            assert any(np.array_equal(v.picture, recalled[row].filled) for v in views)
    store = store_for(dataset, start.codec, start.style, tmp_path)
    store.make(dataset, start.codec, start.style)
    source = RowSource(dataset, "label", start.style.prompt, 0, store, own=own, own_share=0.7)
    for number, row in enumerate(map(int, dataset.shuffled(0))):
        readings = [source.reading(number, k) for k in range(40)]
        assert not any(one.sample.flow_loss for one in readings)
        shown = {None if s.own is None else s.own.picture.tobytes() for s in readings}
        assert shown == {None, *(view.picture.tobytes() for view in own.of(row))}


def test_views_of_other_data_or_another_vae_are_refused(drawn, data, run, tmp_path) -> None:
    _, start = run
    digest, codec = Dataset(data).digest(), codec_digest(start.codec)
    assert OwnViews(drawn, "0" * 64, codec).rows == []
    other = write_small_dataset(tmp_path / "other", 8)
    settings = small_settings(other, Path(), model={"init": str(run[0].model.init), "vae": ""})
    settings = replace(settings, data=replace(settings.data, own=str(drawn)))
    with pytest.raises(OwnViewsError, match="found those of others alone"):
        train_run(settings, tmp_path / "run")
    with pytest.raises(OwnViewsError, match="codec"):
        OwnViews(drawn, digest, "0" * 64)
    with pytest.raises(OwnViewsError, match="found none"):
        OwnViews(tmp_path, digest, codec)


def test_a_run_takes_them(drawn, data, trained, tmp_path, capsys) -> None:
    recipe = tmp_path / "own.yaml"
    recipe.write_text(
        f"""
name: own
supervision: mixed
examples: 16
model: {{init: {trained}}}
data: {{train: {data}, workers: 0, own: {drawn}, own_share: 1.0}}
batch: {{examples: 8, tokens: 4096}}
optimiser: {{rate: 1.0e-3, warmup: 1}}
run: {{save: 0}}
"""
    )
    assert train([str(recipe), "--out", str(tmp_path / "run")]) == 0
    wrong = f"data.own={tmp_path}"
    assert train([str(recipe), "--out", str(tmp_path / "no"), "--override", wrong]) == 2
    assert "found none" in capsys.readouterr().err
