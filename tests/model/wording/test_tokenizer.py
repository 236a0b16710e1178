"""Round trips, controls that cannot be smuggled in, and the files that are read and written."""

import json
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_model.wording.prompts import TAGS
from ipt_model.wording.tokenizer import CONTROLS, Tokenizer, TokenizerError

CORPUS = [
    "Move to the X, keep facing the same way, then turn left 90 degrees.\n(A) closer\n(B) further",
    "Options: left, right. <think>Use the map.</think><image_start><image_end>"
    "<answer>left</answer>",
] * 20


@lru_cache
def trained() -> Tokenizer:
    return Tokenizer.train(CORPUS, 400)


@pytest.fixture
def small() -> Tokenizer:
    return trained()


@given(st.text())
def test_every_text_comes_back(text: str) -> None:
    tokenizer = trained()
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(vars(tokenizer.special).values())


def test_tags_and_frequent_words_are_single_tokens(small: Tokenizer) -> None:
    assert all(len(small.encode(tag)) == 1 for tag in TAGS)
    assert len(small.encode(" closer")) == len(small.encode(" degrees")) == 1
    # The letter of an option line is the letter of the answer.
    assert small.encode("A")[0] in small.encode("(A) closer")
    assert len(small) <= 400


def test_phrases_are_single_tokens_and_the_longest_wins() -> None:
    phrases = ("turn left", "turn left 90 degrees", " way, then ")
    tokenizer = Tokenizer.train(CORPUS, 400, phrases)
    assert [len(tokenizer.encode(p)) for p in phrases] == [1, 1, 1] and len(tokenizer) <= 400
    text = "Keep the way, then turn left 90 degrees; turn left 9."
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert [tokenizer.encode(p)[0] in ids for p in phrases] == [True, True, True]
    assert tokenizer.encode("<answer>left</answer>")[1] == tokenizer.encode("left")[0]


def test_a_caller_cannot_write_control_tokens(small: Tokenizer) -> None:
    for control in CONTROLS:
        assert len(small.encode(control)) > 1


def test_files_round_trip(small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path)
    older = {"vocab.json", "merges.txt", "added_tokens.json"}
    new = {"tokenizer.json", "tokenizer_config.json"}
    assert {p.name for p in tmp_path.iterdir()} == new | older
    again = Tokenizer.load(tmp_path)
    text = CORPUS[0] + "<|im_end|> é\U0001f600"
    assert again.encode(text) == small.encode(text) and again.special == small.special
    assert len(small.encode("<|im_end|>")) > 1, "saving must not change the tokenizer"


def test_training_is_repeatable(small: Tokenizer) -> None:
    assert Tokenizer.train(CORPUS, 400).encode(CORPUS[1]) == small.encode(CORPUS[1])


def test_the_older_pair_of_files_is_read(tmp_path: Path) -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate(alphabet)} | {"an": 256, "ans": 257}
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na n\nan s\n")
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.special.bos == 258 + 1  # after <|endoftext|>, as 151643 and 151644 in Qwen2.5
    assert tokenizer.special.start_of_image - tokenizer.special.bos == 151652 - 151644
    assert tokenizer.decode(tokenizer.encode("answer <x>")) == "answer <x>"
    assert len(tokenizer.encode("ans")) == 1


def test_unusable_folders_are_explained(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no tokenizer\.json"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match="not a tokenizer file"):
        Tokenizer.load(tmp_path)
    import tokenizers

    tokenizers.Tokenizer(tokenizers.models.BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(TokenizerError, match=r"im_start"):
        Tokenizer.load(tmp_path)
