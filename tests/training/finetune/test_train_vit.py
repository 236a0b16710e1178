"""The vision tower's training: patches are told the truth; it learns it; models begin with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_runs import SMALL_MODEL, small_settings

from ipt_model.network.config import BagelConfig, ConfigError
from ipt_model.network.vision import Detail, patches
from ipt_training.commands.train_vit import main
from ipt_training.finetune.building import build, export, merged_weights, with_tower
from ipt_training.finetune.patch_views import (
    MAPS,
    PRESENT,
    colours_of,
    draw_views,
    many_views,
    vocabulary,
)
from ipt_training.finetune.tower import (
    Seeing,
    TowerReport,
    TowerSettings,
    judged,
    save_tower,
    take_tower,
    tower_of,
    train_tower,
)
from ipt_training.houses.furniture import categories
from ipt_training.recipe.settings import ModelSettings, SettingsError
from ipt_training.scenes.colours import COLOURS
from ipt_training.scenes.splits import split_of
from ipt_training.shell.command import REFUSED

pytestmark = pytest.mark.slow(30)


@pytest.fixture(scope="module")
def views():
    return draw_views(790_000, 790_030, "room", 64, 16)


@pytest.fixture(scope="module")
def config(data, vae) -> BagelConfig:
    return build(small_settings(data, vae)).config


def test_a_patch_is_said_to_show_the_colours_that_it_shows(views) -> None:
    """Seen from the pictures alone: where a yellow thing is said to be, pixels are yellow."""
    words = vocabulary("room")
    yellow = views.things[..., words.index("yellow")]
    rgb = views.pictures.astype(np.int32)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    looks = (red > 1.6 * blue) & (green > 1.35 * blue) & (red < 1.5 * green)
    share = looks.reshape(len(rgb), 4, 16, 4, 16).mean((2, 4)).reshape(len(rgb), 16)
    assert share[yellow].mean() > 3 * share[~yellow].mean()
    assert yellow.sum() > 20 and 0 < PRESENT < 0.1
    assert set(words) >= {"yellow", "cube", "yellow cube"} and set(COLOURS) >= set(words[:8])


def test_surfaces_are_shares_and_depth_is_none_on_maps(views) -> None:
    floor, wall, far = np.moveaxis(views.surfaces, -1, 0)
    assert np.all((floor >= 0) & (wall >= 0) & (floor + wall <= 1.0001))
    # maps have no depth: the nearest that is told
    maps = np.all(far == np.float32(np.log(0.2)), axis=1)
    assert maps.sum() == 30 * MAPS and maps[-1]
    assert np.array_equal(maps, ~np.isnan(views.counts[:, 0, 0]))
    assert np.log(0.3) < far[~maps].mean() < far.max() < np.log(15)


def test_a_map_says_how_many_of_each_colour_stand_where(views) -> None:
    """Whole things in all, and none where a patch does not show the colour."""
    maps = ~np.isnan(views.counts[:, 0, 0])
    colours = len(colours_of("room"))
    counts = views.counts[maps].astype(np.float64)[..., :colours]
    shown = views.things[maps][..., :colours]
    whole = counts.sum(1)
    assert np.abs(whole - whole.round()).max() < 0.01 and whole.max() > 1.5
    assert shown[counts > 0.6].all() and (counts > 0.6).sum() > 30
    # the three maps of one room show the same things, from squares of different sizes
    by_room = whole.round().reshape(-1, MAPS, colours)
    assert np.array_equal(by_room[:, 0], by_room[:, 1])
    assert not np.array_equal(counts[0], counts[1])


def test_it_learns_to_name_things(views, config) -> None:
    torch.manual_seed(0)
    seeing = Seeing(config, len(vocabulary("room")), len(colours_of("room")))
    before = judged(seeing, views).loss
    train_tower(seeing, views, TowerSettings(steps=400, batch=32, rate=1e-2, warmup=10))
    after = judged(seeing, views)
    assert after.loss < 0.1 * before and after.recall > 0.1 and after.counted > 0.3


def test_kinds_can_weigh_more_than_the_rest(views, config) -> None:
    """Otherwise things are told by their colour alone."""
    told = {}
    for kinds in (1.0, 30.0):
        torch.manual_seed(0)
        words, colours = len(vocabulary("room")), len(colours_of("room"))
        seeing = Seeing(config, words, colours, len(categories("room")))
        settings = TowerSettings(steps=400, batch=32, rate=1e-2, warmup=10, kinds=kinds, count=0.0)
        train_tower(seeing, views, settings)
        told[kinds] = judged(seeing, views).kind
    assert 0 < told[1.0] < 0.9 * told[30.0]


def test_a_tower_that_is_held_stays_near_what_a_decoder_reads(views, config) -> None:
    moved = {}
    for hold in (0.001, 100.0):
        torch.manual_seed(0)
        seeing = Seeing(config, len(vocabulary("room")), len(colours_of("room")))
        before = {name: value.detach().clone() for name, value in seeing.kept().items()}
        steps: list[TowerReport] = []
        settings = TowerSettings(steps=120, batch=32, rate=1e-2, warmup=10, hold=hold)

        def on_step(report, steps=steps, seeing=seeing, before=before):
            still = all(torch.equal(value, before[name]) for name, value in seeing.kept().items())
            # while the reading learns alone
            assert still == (report.step <= 30)
            steps.append(report)

        train_tower(seeing, views, settings, on_step=on_step)
        moved[hold] = steps[-1].moved
        assert all(report.moved < 1e-9 for report in steps[:30]) and steps[-1].loss < steps[0].loss
    assert 0 < moved[100.0] < 0.5 * moved[0.001]


def test_a_model_begins_with_it_and_another_architecture_is_refused(
    data, vae, config, tmp_path
) -> None:
    torch.manual_seed(7)
    seeing = Seeing(config, 3)
    save_tower(tmp_path, seeing)
    model = build(small_settings(data, vae, model={"vit": str(tmp_path)})).model
    kept = seeing.kept()
    assert len(kept) > 20
    for name, value in kept.items():
        assert torch.equal(model.get_parameter(name), value), name
    wider = {"vit": str(tmp_path), "vit_config": {**SMALL_MODEL["vit_config"], "hidden_size": 64}}
    with pytest.raises(ValueError, match=r"another architecture .*connector"):
        build(small_settings(data, vae, model=wider))
    lacking = {name: value for name, value in kept.items() if name != "connector.fc1.weight"}
    save_file(lacking, tmp_path / "vit.safetensors")
    with pytest.raises(ValueError, match=r"a tower without connector\.fc1\.weight"):
        build(small_settings(data, vae, model={"vit": str(tmp_path)}))
    with pytest.raises(FileNotFoundError, match="ipt-train-vit"):
        build(small_settings(data, vae, model={"vit": str(tmp_path / "nowhere")}))


def test_convolutions_beside_the_patches_add_nothing_until_trained(data, vae, tmp_path) -> None:
    """A checkpoint without them gets them and sees what it saw; a tower with them is put in."""
    folder = tmp_path / "plain"
    fresh = build(small_settings(data, vae))
    export(folder, fresh, merged_weights(fresh.model), {"step": 1})
    asked = {"init": str(folder), "vae": ""}
    plain = build(small_settings(data, vae, model=asked))
    asked["vit_config"] = {"detail": 4}
    grown = build(small_settings(data, vae, model=asked)).model
    assert grown.config.vit.detail == 4
    pictures = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(grown.look(pictures), plain.model.eval().look(pictures))
    new = {name for name in grown.state_dict() if ".detail." in name}
    assert set(grown.state_dict()) - set(plain.model.state_dict()) == new and new
    with torch.no_grad():
        for name in new:
            grown.get_parameter(name).normal_(std=0.1)
        assert not torch.equal(grown.look(pictures), plain.model.look(pictures))
    seeing = Seeing(grown.config, 3)
    take_tower(seeing, tower_of(grown))
    save_tower(tmp_path / "tower", seeing)
    put = build(small_settings(data, vae, model={**asked, "vit": str(tmp_path / "tower")})).model
    with torch.no_grad():
        assert torch.equal(put.look(pictures), grown.look(pictures))
    with pytest.raises(SettingsError, match="detail changes the vision tower"):
        with_tower(grown, ModelSettings(vit_config={"detail": 2}))


@pytest.mark.parametrize(
    ("entry", "value", "named"),
    [
        ("llm_config", {"num_hidden_layers": 7}, r"llm_config\.num_hidden_layers"),
        ("vae_config", {"z_channels": 5}, r"vae_config\.z_channels"),
        ("config", {"latent_patch_size": 9}, r"config\.latent_patch_size"),
        ("config", {"no_such": 1}, r"config\.no_such"),
    ],
)
def test_what_else_a_recipe_would_have_of_a_checkpoint_is_refused(
    entry, value, named, data, vae, tmp_path
) -> None:
    folder = tmp_path / "before"
    before = build(small_settings(data, vae))
    export(folder, before, merged_weights(before.model), {"step": 1})
    asked = {"init": str(folder), "vae": ""}
    build(small_settings(data, vae, model=asked))  # what it has may be said
    with pytest.raises(SettingsError, match=named):
        build(small_settings(data, vae, model={**asked, entry: value}))


def test_a_checkpoint_takes_a_tower_of_finer_patches(data, vae, tmp_path) -> None:
    """All that is not the tower stays as it was; what the new one sees has its own places."""
    folder = tmp_path / "coarse"
    before = build(small_settings(data, vae))
    export(folder, before, merged_weights(before.model), {"step": 1})
    shape = before.config.vit
    finer = {"patch_size": shape.patch // 2}
    asked = {
        "init": str(folder),
        "vae": "",
        "vit_config": finer,
        "config": {"vit_max_num_patch_per_side": 2 * shape.side},
        "style": {"image_sizes": {"vit": {"stride": shape.patch // 2}}},
    }
    with pytest.raises(SettingsError, match=r"give model\.vit"):
        build(small_settings(data, vae, model=asked))
    own = {**SMALL_MODEL["vit_config"], **finer}
    fresh = {"vit_config": own, **{k: asked[k] for k in ("config", "style")}}
    seeing = Seeing(build(small_settings(data, vae, model=fresh)).config, 3)
    save_tower(tmp_path / "tower", seeing)
    taken = build(small_settings(data, vae, model={**asked, "vit": str(tmp_path / "tower")})).model
    size = shape.patch * shape.side
    pictures = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8)
    assert taken.look(pictures).shape[1] == 4 * before.model.look(pictures).shape[1]
    tower = seeing.kept()
    for name, value in taken.state_dict().items():
        if name in tower:
            assert torch.equal(value, tower[name]), name
        elif name != "vit_pos_embed.pos_embed":
            assert torch.equal(value, before.model.state_dict()[name]), name


def test_what_is_beside_a_patch_changes_its_detail_alone(config) -> None:
    """Convolutions look across the edges of patches; the embedding does not."""
    shape = replace(config.vit, detail=4)
    detail = Detail(shape)
    pictures = torch.zeros(1, 4 * shape.patch, 4 * shape.patch, 3, dtype=torch.uint8)
    other = pictures.clone()
    other[0, : shape.patch, shape.patch - 1] = 255  # the right edge of the first patch
    first, second = (detail(patches(p, shape.patch, torch.float32), 4) for p in (pictures, other))
    changed = (first != second).any(-1)[0].reshape(4, 4)
    assert first.shape == (1, 16, shape.hidden)
    assert changed[0, 0] and changed[0, 1] and not changed[3].any() and not changed[:, 3].any()
    with pytest.raises(ConfigError, match="power of two, got 14"):
        Detail(replace(shape, patch=14))


def test_workers_change_nothing_and_only_training_worlds_are_seen() -> None:
    settings = TowerSettings(pictures=24)
    one, two = (many_views(settings.pictures, "room", 64, 16, workers) for workers in (1, 2))
    assert np.array_equal(one.pictures, two.pictures) and len(one.pictures) >= 20
    assert np.array_equal(one.things, two.things)
    assert split_of(799_999) == "train"
    alone = draw_views(799_997, 800_000, "room", 64, 16)
    assert np.array_equal(alone.pictures, one.pictures)


def test_the_command_says_how_well_it_sees(tmp_path: Path) -> None:
    arguments = ["--pictures", "40", "--steps", "3", "--batch", "4", "--workers", "1"]
    assert main(["--out", str(tmp_path), *arguments, "--threads", "1"]) == 0
    facts = json.loads((tmp_path / "vit.json").read_text())
    assert facts["steps"] == 3 and 0 <= facts["validation"]["recall"] <= 1
    assert (tmp_path / "vit.safetensors").stat().st_size > 4 * facts["parameters"]
    assert 0 <= facts["validation"]["kind"] <= 1 and "moved" not in facts


def test_only_a_tower_that_goes_on_can_be_held(tmp_path: Path, capsys) -> None:
    arguments = ["--pictures", "40", "--steps", "8", "--batch", "4", "--workers", "1"]
    arguments += ["--hold", "1", "--warmup", "1", "--threads", "1"]
    assert main(["--out", str(tmp_path / "fresh"), *arguments]) == REFUSED
    assert "give --init" in capsys.readouterr().err and not (tmp_path / "fresh").exists()
    arguments += ["--init", "ipt-tiny"]
    assert main(["--out", str(tmp_path / "other"), *arguments]) == REFUSED
    assert "give the --recipe that it was trained with" in capsys.readouterr().err
    recipe = Path(__file__).parents[3] / "config" / "training" / "counts_tiny.yaml"
    assert main(["--out", str(tmp_path / "on"), "--recipe", str(recipe), *arguments]) == 0
    facts = json.loads((tmp_path / "on" / "vit.json").read_text())
    assert facts["moved"] > 0 and facts["hold"] == 1
