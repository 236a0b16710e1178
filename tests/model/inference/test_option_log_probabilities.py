"""Scores of options against probabilities multiplied out word by word."""

import math
from pathlib import Path

import pytest
import torch
from tiny_models import BOS, EOS, write_model

from ipt_model.inference.context import Context
from ipt_model.inference.option_log_probabilities import normalise, score_options
from ipt_model.weights.loading import LoadedModel, load
from ipt_model.wording.prompts import answer_text

#: One a beginning of another, one of several words, one that needs bytes.
NAMES = ("left", "left ball", "behind the red ball", "über", "10")
REPLIES = [answer_text(name, drawn=True) for name in NAMES]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(write_model(tmp_path_factory.mktemp("model")), "cpu")


def word_by_word(context: Context, ids: list[int]) -> list[float]:
    """log p of each id after all before it, one separate pass per word; the first id is given."""
    out = []
    for i in range(1, len(ids)):
        rows = context.logits_after([ids[:i]])[0][0]
        out.append(float(rows[-1].log_softmax(-1)[ids[i]]))
    return out


def test_words_are_scored_up_to_the_tag_that_ends_them(loaded: LoadedModel) -> None:
    context = Context(loaded.model).add_text(loaded.tokenizer.encode("Where is it?"))
    (score,) = score_options(context, loaded.tokenizer, [REPLIES], "word")
    opening = 0.0
    expected = []
    for name in NAMES:
        opened = loaded.tokenizer.encode("<image_end><answer>")
        inner = loaded.tokenizer.encode(name)
        closing = loaded.tokenizer.encode("</answer>")
        logs = word_by_word(context, [loaded.tokenizer.special.bos, *opened, *inner, *closing])
        opening = sum(logs[: len(opened)])
        expected.append(sum(logs[len(opened) :]))
    assert score.log_probabilities == pytest.approx(expected, abs=1e-4)
    mass = sum(math.exp(opening + e) for e in expected)
    assert score.mass == pytest.approx(mass, rel=1e-3) and score.greedy is None


def test_letters_are_scored_by_one_token(loaded: LoadedModel) -> None:
    context = Context(loaded.model).add_text(loaded.tokenizer.encode("Where is it?"))
    replies = [answer_text(letter, drawn=False) for letter in "ABC"]
    (score,) = score_options(context, loaded.tokenizer, [replies], "letter")
    opened = [loaded.tokenizer.special.bos, *loaded.tokenizer.encode("<answer>")]
    row = context.logits_after([opened])[0][0, -1].log_softmax(-1)
    ids = [loaded.tokenizer.encode(letter)[0] for letter in "ABC"]
    assert score.log_probabilities == pytest.approx(row[ids].tolist(), abs=1e-4)


def test_every_entry_of_a_batch_has_its_own(loaded: LoadedModel) -> None:
    context = Context(loaded.model, batch=2)
    words = [loaded.tokenizer.encode(t) for t in ("Where is it?", "Where is one?")]
    assert len(words[0]) == len(words[1])
    context.add_text(torch.tensor(words))
    both = score_options(context, loaded.tokenizer, [REPLIES] * 2, "word")
    for ids, score in zip(words, both, strict=True):
        single = Context(loaded.model).add_text(ids)
        (alone,) = score_options(single, loaded.tokenizer, [REPLIES], "word")
        assert score.log_probabilities == pytest.approx(alone.log_probabilities, abs=1e-4)
    assert both[0].log_probabilities != both[1].log_probabilities


def test_the_greedy_reply_is_recognised_whole(tmp_path: Path) -> None:
    chain = {BOS: "<image_end>", "<image_end>": "<answer>", "<answer>": "left"}
    rest = {"left": {" ball": 5.0, "</answer>": 4.0}, " ball": "</answer>", "</answer>": EOS}
    loaded = load(write_model(tmp_path, {**chain, **rest}), "cpu")
    (score,) = score_options(Context(loaded.model), loaded.tokenizer, [REPLIES], "word")
    assert score.greedy == 1, "`left` alone is likely too, but not what the model writes"
    written = Context(loaded.model).write(20, logits=True).inner[0]
    assert loaded.tokenizer.decode(written) == REPLIES[1]


def test_normalised_scores_sum_to_one() -> None:
    assert normalise((-1.0, -1.0), 1.0) == (0.5, 0.5)
    assert sum(normalise((-900.0, -1.0, -2.0), 0.7)) == pytest.approx(1, abs=1e-12)
    cold, warm = normalise((0.0, -1.0), 0.5), normalise((0.0, -1.0), 2.0)
    assert cold[0] > warm[0] > 0.5


def test_entries_with_replies_of_their_own_are_scored_as_if_alone(loaded: LoadedModel) -> None:
    """Also where their names have different lengths and the shorter are padded."""
    texts = [loaded.tokenizer.encode(t) for t in ("Where is it?", "Where is one?")]
    assert len(texts[0]) == len(texts[1])
    names = [("left", "behind the red ball", "10"), ("über", "left ball", "right")]
    replies = [[answer_text(name, drawn=False) for name in own] for own in names]
    together = Context(loaded.model, batch=2).add_text(torch.tensor(texts))
    scores = score_options(together, loaded.tokenizer, replies, "word")
    for text, own, score in zip(texts, replies, scores, strict=True):
        alone = Context(loaded.model).add_text(text)
        (expected,) = score_options(alone, loaded.tokenizer, [own], "word")
        assert score.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-4)
        assert score.mass == pytest.approx(expected.mass, rel=1e-3)
    with pytest.raises(ValueError, match="equally many replies"):
        score_options(together, loaded.tokenizer, [replies[0], replies[1][:2]], "word")
