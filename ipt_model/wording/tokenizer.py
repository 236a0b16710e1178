"""Text to token ids and back, for the released vocabulary and for small ones trained on a corpus.

`Tokenizer.load(folder)` reads a `tokenizer.json`, or the `vocab.json` + `merges.txt` that older
folders hold. Both are byte-level BPE: every UTF-8 text comes back unchanged (in the released one,
after NFC). What a caller writes can never become a control token: `<|im_end|>` in a question is
ten characters of text, and so is every other added word in angle brackets but the tags of
`tags`, which a question must not hold. Nothing pickled is read or written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..tags import TAGS, SpecialTokens

if TYPE_CHECKING:
    import tokenizers

#: The controls of the decoder, in the order bos, eos, start of image, end of image.
CONTROLS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")

#: Qwen2's split into words: a text is cut here before pairs are merged.
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
#: The split of small tokenizers: as above, but punctuation stands alone, so that the A of `(A)` is
#: the A of an answer.
_SMALL_SPLIT = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]|\s+(?!\S)|\s+"


class TokenizerError(ValueError):
    """The files hold no tokenizer that the model can use; the message says what is missing."""


class Tokenizer:
    """A byte-level BPE vocabulary with the four control tokens."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        found = {name: backend.token_to_id(name) for name in CONTROLS}
        ids = [i for i in found.values() if i is not None]
        if len(ids) != len(CONTROLS):
            missing = [name for name, i in found.items() if i is None]
            raise TokenizerError(f"tokenizer: control tokens {missing} are not in the vocabulary")
        backend.encode_special_tokens = True
        self._backend = backend
        self.special = SpecialTokens(*ids)

    @staticmethod
    def load(folder: str | Path) -> Tokenizer:
        """From a checkpoint folder."""
        import tokenizers

        folder = Path(folder)
        if (path := folder / "tokenizer.json").is_file():
            try:
                stored = json.loads(path.read_text(encoding="utf-8"))
                for entry in stored.get("added_tokens", ()):
                    # the released vocabulary marks some of its controls as plain words
                    word = entry["content"]
                    if word.startswith("<") and word.endswith(">") and word not in TAGS:
                        entry["special"] = True
                return Tokenizer(tokenizers.Tokenizer.from_str(json.dumps(stored)))
            except TokenizerError:
                raise
            except Exception as error:  # the library raises bare Exception on malformed files
                raise TokenizerError(f"{path}: not a tokenizer file: {error}") from error
        vocab, merges = folder / "vocab.json", folder / "merges.txt"
        if vocab.is_file() and merges.is_file():
            return Tokenizer(_from_vocab_and_merges(vocab, merges))
        raise TokenizerError(
            f"{folder}: no tokenizer.json, nor vocab.json with merges.txt; "
            "copy the tokenizer files of the model there"
        )

    @staticmethod
    def train(
        corpus: Iterable[str], vocab_size: int = 1024, phrases: Sequence[str] = ()
    ) -> Tokenizer:
        """A small vocabulary from the texts of a task: frequent words and every tag become single
        tokens.

        phrases: become single tokens wherever they occur, spaces included; the longest that begins
        at a place wins. vocab_size counts the 256 bytes, the controls, the tags and the phrases;
        the result may be smaller. Same corpus in the same order, same vocabulary.
        """
        import tokenizers
        from tokenizers import decoders, models, pre_tokenizers, trainers

        backend = tokenizers.Tokenizer(models.BPE())
        backend.pre_tokenizer = _byte_level(_SMALL_SPLIT)
        backend.decoder = decoders.ByteLevel()
        backend.train_from_iterator(
            corpus,
            trainers.BpeTrainer(
                vocab_size=vocab_size - len(TAGS) - len(phrases),
                special_tokens=list(CONTROLS),
                initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                show_progress=False,
            ),
        )
        whole = [*TAGS, *phrases]
        backend.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in whole])
        return Tokenizer(backend)

    def __len__(self) -> int:
        """Number of token ids, controls included."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without the controls that frame a segment."""
        return self._backend.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; control tokens are left out, bytes that are no UTF-8 become U+FFFD."""
        controls = set(vars(self.special).values())
        return self._backend.decode(
            [i for i in ids if i not in controls], skip_special_tokens=False
        )

    def save(self, folder: str | Path) -> None:
        """Write `tokenizer.json`, the small `tokenizer_config.json` that transformers'
        AutoTokenizer reads, and the older files of Qwen2's own class: vocabulary, merges, added
        words.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._backend.encode_special_tokens = False
        try:
            self._backend.save(str(folder / "tokenizer.json"))
        finally:
            self._backend.encode_special_tokens = True
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": CONTROLS[0],
            "eos_token": CONTROLS[1],
            "clean_up_tokenization_spaces": False,
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
        stored = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        words = {entry["content"]: entry["id"] for entry in stored["added_tokens"]}
        model = stored["model"]
        vocabulary = {w: i for w, i in model["vocab"].items() if w not in words}
        merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
        for name, text in (
            ("vocab.json", json.dumps(vocabulary, ensure_ascii=False)),
            ("merges.txt", "\n".join(["#version: 0.2", *merges]) + "\n"),
            ("added_tokens.json", json.dumps(words, ensure_ascii=False, indent=1)),
        ):
            (folder / name).write_text(text, encoding="utf-8")


def _byte_level(split: str) -> tokenizers.pre_tokenizers.PreTokenizer:
    import tokenizers
    from tokenizers import pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(split), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _from_vocab_and_merges(vocab: Path, merges: Path) -> tokenizers.Tokenizer:
    """A Qwen2 tokenizer from its two oldest files; the controls follow the vocabulary as in
    Qwen2.5.
    """
    import tokenizers
    from tokenizers import decoders, models, normalizers

    backend = tokenizers.Tokenizer(models.BPE.from_file(str(vocab), str(merges)))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = _byte_level(_QWEN_SPLIT)
    backend.decoder = decoders.ByteLevel()
    # Qwen2.5 numbers its controls from the end of the vocabulary: 151643 is end of text, the rest
    # follow.
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>"]
    names += [
        "<|object_ref_end|>",
        "<|box_start|>",
        "<|box_end|>",
        "<|quad_start|>",
        "<|quad_end|>",
    ]
    names += ["<|vision_start|>", "<|vision_end|>"]
    backend.add_special_tokens([tokenizers.AddedToken(n, normalized=False) for n in names])
    return backend
