"""Who answers now, through loading, activation and the end of both; no executor, no weights."""

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from ipt_model.spatial.picture_geometry import PictureGeometry
from ipt_ros.answering import model_life
from ipt_ros.answering.model_life import ModelLife
from ipt_ros.errors import ErrorCode


class Imaginer:
    model_id, device = "tiny", "cpu"

    def __init__(self, max_size=64, pictures=PictureGeometry()):  # noqa: B008 (it is frozen)
        self.style = SimpleNamespace(
            image_sizes=SimpleNamespace(vae=SimpleNamespace(max_size=max_size)), pictures=pictures
        )
        self.closed = False

    def close(self):
        self.closed = True


@pytest.fixture
def reports():
    told = []
    return SimpleNamespace(
        told=told,
        inform=told.append,
        publish=lambda: None,
        report=lambda error, during, code: told.append((str(error), during, code)),
    )


@pytest.fixture
def loadings(monkeypatch):
    """What the model asked to load, in order: the test ends them."""
    begun = []

    def start(values):
        begun.append(Future())
        return begun[-1]

    monkeypatch.setattr(model_life, "start_loading", start)

    async def bridged(work, _):
        while not work.done():
            await asyncio.sleep(0)

    monkeypatch.setattr(model_life, "bridged", bridged)
    return begun


@pytest.fixture
def model(reports):
    values = SimpleNamespace(model="tiny", waiting_goals=1)
    return ModelLife(SimpleNamespace(values=values), reports)


def loaded(model, loadings, end):
    """The answer to a wish to activate; end: what happens once loading has begun."""

    async def wish():
        answer = asyncio.ensure_future(model.loaded(None))
        await asyncio.sleep(0)
        end(loadings[-1])
        return await answer

    return asyncio.run(wish())


def test_nobody_answers_until_what_was_loaded_is_activated(model, loadings):
    pictures = PictureGeometry(map_side_m=4.0)
    imaginer = Imaginer(pictures=pictures)
    assert "not active" in model.why_not_active() and not model.activate()

    def end(loading):
        assert model.is_loading and "loading" in model.why_not_active()
        loading.set_result(imaginer)

    assert loaded(model, loadings, end)
    assert model.active is None and model.picture_px == model_life.MOST_PX
    assert model.activate() and not model.is_loading
    assert model.active.imaginer is imaginer and model.picture_px == 64
    assert model.pictures == pictures
    model.deactivate()
    assert model.active is None and model.pictures == PictureGeometry() and imaginer.closed


def test_a_model_that_cannot_be_loaded_is_told_and_asked_for_anew(model, loadings, reports):
    assert not loaded(model, loadings, lambda one: one.set_exception(OSError("no such file")))
    assert ("no such file", "activate", ErrorCode.MODEL_FAILED) in reports.told
    assert not model.is_loading
    assert loaded(model, loadings, lambda one: one.set_result(Imaginer()))
    assert len(loadings) == 2


def test_a_model_that_nobody_wants_any_more_is_freed_when_it_comes(model, loadings):
    imaginer = Imaginer()

    def end(loading):
        model.stop_loading()
        loading.set_result(imaginer)

    assert not loaded(model, loadings, end)
    assert imaginer.closed and not model.activate()


def test_work_that_nobody_waits_for_gives_way(model, loadings):
    loaded(model, loadings, lambda one: one.set_result(Imaginer()))
    model.activate()
    active, ends = model.active, Future()
    assert active.is_free
    goal = active.worker.submit_goal(ends.result)
    assert not active.is_free
    ends.set_result(None)
    goal.result(30)
    model.end("the node is going")
    assert active.stopping.is_set() and not active.is_free


def test_who_asks_once_it_has_ended_hears_why_and_nothing_is_loaded_any_more(model, loadings):
    imaginer = Imaginer()

    def end(loading):
        model.end("the node is going")
        loading.set_result(imaginer)

    assert not loaded(model, loadings, end)
    assert imaginer.closed and not model.activate() and model.active is None
    assert model.why_not_active() == "the node is going"
    assert not asyncio.run(model.loaded(None)) and len(loadings) == 1
