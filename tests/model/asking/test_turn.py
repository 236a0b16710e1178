"""Each stage of an answer against the same contexts built by hand from the reference's rules."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import small_style, write_model

from ipt_model.asking.clock import Clock
from ipt_model.asking.costs import StageCosts
from ipt_model.asking.prepared import Prepared
from ipt_model.asking.turn import Turn
from ipt_model.inference.context import Context
from ipt_model.inference.flow import FlowSettings, draw
from ipt_model.question import Mode, Question, Task
from ipt_model.weights.loading import LoadedModel, load
from ipt_model.wording import prompts
from ipt_model.wording.prompts import PromptStyle

RNG = np.random.default_rng(2)
IMAGES = (
    RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8),
    RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8),
)
ASKED = Question(Task.PATH, IMAGES, "What is on your left?", ("left", "right"), think="Looking.")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(write_model(tmp_path_factory.mktemp("model")), "cpu")


def turn_of(loaded: LoadedModel, question: Question = ASKED) -> Turn:
    clock = Clock(StageCosts(), loaded.device, None, None, time.perf_counter())
    return Turn(loaded, [Prepared(loaded, question)], clock)


def prompt_text(loaded: LoadedModel, *, draws: bool) -> str:
    """System prompt and question, where the pictures come before both."""
    style = loaded.style.prompt
    return style.system(draws=draws) + prompts.question_text(ASKED, style.answer_style)


def read(loaded: LoadedModel, *parts: str | np.ndarray, vae: bool = True) -> Context:
    """A context that reads texts and pictures (clean VAE, then ViT) in order."""
    assert loaded.codec is not None
    context = Context(loaded.model)
    for part in parts:
        if isinstance(part, str):
            context.add_text(loaded.tokenizer.encode(part))
        else:
            if vae:
                context.add_latents(loaded.codec.encode(torch.from_numpy(part)))
            context.add_vit(torch.from_numpy(part))
    return context


def same(one: Context, two: Context) -> bool:
    """Whether two contexts continue alike."""
    rows = [c.logits_after([[0, 300]])[0] for c in (one, two)]
    return (one.tokens, one.rope) == (two.tokens, two.rope) and torch.allclose(*rows, atol=1e-4)


def test_pictures_first(loaded: LoadedModel) -> None:
    text = prompt_text(loaded, draws=True)
    turn = turn_of(loaded)
    contexts = turn.read(Mode.IMAGINE)
    assert same(contexts.main, read(loaded, *IMAGES, text))
    assert same(contexts.cfg_text, read(loaded, *IMAGES))
    assert same(contexts.cfg_img, read(loaded, text))
    assert contexts.main.tokens == turn.asked[0].tokens(Mode.IMAGINE)
    turn.think(contexts)
    assert same(contexts.main, read(loaded, *IMAGES, text, prompts.think_text("Looking.")))
    assert same(contexts.cfg_img, read(loaded, text)), "thinking guides nothing"


def test_system_prompt_first(loaded: LoadedModel) -> None:
    style = small_style(prompt=PromptStyle(order="system_first"))
    contexts = turn_of(dataclasses.replace(loaded, style=style)).read(Mode.IMAGINE)
    system = style.prompt.system(draws=True)
    text = prompts.question_text(ASKED, "letter")
    assert same(contexts.main, read(loaded, system, *IMAGES, text))
    assert same(contexts.cfg_text, read(loaded, system, *IMAGES))
    assert same(contexts.cfg_img, read(loaded, system, text))


def test_without_drawing_nothing_is_read_twice(loaded: LoadedModel) -> None:
    text = prompt_text(loaded, draws=False)
    contexts = turn_of(loaded).read(Mode.ANSWER)
    assert same(contexts.main, read(loaded, *IMAGES, text))
    assert contexts.cfg_img.tokens == 0
    inputs = dataclasses.replace(loaded.style.inputs, answer=("vit",))
    vit = dataclasses.replace(loaded, style=dataclasses.replace(loaded.style, inputs=inputs))
    contexts = turn_of(vit).read(Mode.ANSWER)
    assert same(contexts.main, read(loaded, *IMAGES, text, vae=False))


def test_what_modes_share_is_read_once(loaded: LoadedModel) -> None:
    """The pictures for both prompts, a prompt for every mode that needs it."""
    turn = turn_of(loaded)
    read_as: list[int] = []
    layer = loaded.model.language_model.model.layers[0]
    hook = layer.register_forward_pre_hook(
        lambda _, args: read_as.append(sum(x.shape[1] for x in args[1:3] if x is not None))
    )
    turn.read(Mode.ANSWER)
    before = len(read_as)
    contexts = turn.read(Mode.IMAGINE)
    texts = len(loaded.tokenizer.encode(prompt_text(loaded, draws=True))) + 2
    assert read_as[before:] == [texts, texts], "the text alone, into main and cfg_img"
    contexts.main.add_text([5])
    again = turn.read(Mode.IMAGINE)
    hook.remove()
    assert len(read_as) == before + 3
    alone = read(loaded, *IMAGES, prompt_text(loaded, draws=True))
    assert same(again.main, alone), "nothing of the first use is left"


def test_the_drawing_is_the_flows(loaded: LoadedModel) -> None:
    assert loaded.codec is not None
    turn = turn_of(loaded)
    contexts = turn.read(Mode.IMAGINE)
    turn.think(contexts)
    drawn = turn.draw(contexts, steps=5, seeds=[9, 10], tail_s=0.0)
    text = prompt_text(loaded, draws=True)
    noise = torch.randn(12, 64, generator=torch.Generator().manual_seed(9))
    settings = FlowSettings(6, 1.0, 2.0, 1.5, renorm="channel")
    latents = draw(
        loaded.model,
        read(loaded, *IMAGES, text, prompts.think_text("Looking.")),
        read(loaded, *IMAGES),
        read(loaded, text),
        48,
        64,
        settings,
        noise=noise,
    )
    expected = loaded.codec.picture(latents, 48, 64)
    assert (drawn.pictures[:1].int() - expected.int()).abs().max() <= 1
    looked = turn.look(contexts, drawn).logits_after([[0, 300]])[0]
    for entry, picture in enumerate(drawn.arrays):
        alone = read(loaded, *IMAGES, text, prompts.think_text("Looking."), picture.copy())
        assert torch.allclose(looked[entry], alone.logits_after([[0, 300]])[0][0], atol=1e-4)


def test_the_true_view_stands_where_the_drawing_would(loaded: LoadedModel) -> None:
    turn = turn_of(loaded, dataclasses.replace(ASKED, true_view=IMAGES[0]))
    contexts = turn.read(Mode.IMAGINE)
    turn.show_view(contexts, Mode.GIVEN)
    text = prompt_text(loaded, draws=True)
    thought = prompts.think_text("Looking.")
    assert same(contexts.main, read(loaded, *IMAGES, text, thought, IMAGES[0]))


@pytest.mark.parametrize("order", ["images_first", "system_first"])
def test_an_answer_that_rests_on_the_view_has_read_its_words_and_the_view(
    loaded: LoadedModel, order: prompts.Order
) -> None:
    """And nothing of the input pictures, nor of what has looked at them."""
    prompt = PromptStyle(order=order)
    style = small_style(prompt=prompt, rests_on_view=(Task.PATH,))
    resting = dataclasses.replace(loaded, style=style)
    asked = prompts.question_text(ASKED, "letter")
    system = prompt.system(draws=True)
    words = [system + asked] if order == "images_first" else [system, asked]
    thought = prompts.think_text("Looking.")
    turn = turn_of(resting, dataclasses.replace(ASKED, true_view=IMAGES[0]))
    contexts = turn.read(Mode.GIVEN)
    assert contexts.main.tokens == turn.asked[0].tokens(Mode.GIVEN)
    turn.show_view(contexts, Mode.GIVEN)
    assert same(contexts.main, read(loaded, *words, thought, IMAGES[0]))
    # in the same turn, after a drawing, for which the inputs are looked at as ever
    contexts = turn.read(Mode.IMAGINE)
    assert contexts.main.tokens == turn.asked[0].tokens(Mode.IMAGINE)
    turn.think(contexts)
    drawn = turn.draw(contexts, steps=3, seeds=[9, 10], tail_s=0.0)
    looked = turn.look(contexts, drawn).logits_after([[0, 300]])[0]
    for entry, picture in enumerate(drawn.arrays):
        alone = read(loaded, *words, thought, picture.copy())
        assert torch.allclose(looked[entry], alone.logits_after([[0, 300]])[0][0], atol=1e-4)
    # a question of another task looks at everything
    other = turn_of(resting, dataclasses.replace(ASKED, task=Task.FREE, true_view=IMAGES[0]))
    contexts = other.read(Mode.GIVEN)
    assert contexts.main.tokens == other.asked[0].tokens(Mode.IMAGINE)


def test_writing_from_a_draft_is_writing(loaded: LoadedModel, tmp_path: Path) -> None:
    """However much of a draft the model agrees with, the text is its own greedy one."""
    style = dataclasses.replace(loaded.style, max_think_tokens=12)
    turn = turn_of(dataclasses.replace(loaded, style=style))
    main = turn.read(Mode.IMAGINE).main
    own = list(main.write(12).inner[0])
    for draft in ([], own[:5], own, [*own[:3], 7, 8], [9]):
        assert turn._write(main, draft, [0]) == [own]
