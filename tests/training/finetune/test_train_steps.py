"""Showings of a step are dealt out so that no process waits long for another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from small_runs import rows_of, small_settings

from ipt_training.feed.sequences import SequenceMaker
from ipt_training.finetune.building import build
from ipt_training.finetune.steps import dealt


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 5))
def test_every_showing_is_dealt_to_one_process_and_none_has_much_more(sizes, processes) -> None:
    hands = [dealt(sizes, rank, processes) for rank in range(processes)]
    assert sorted(k for hand in hands for k in hand) == list(range(len(sizes)))
    assert all(hand == sorted(hand) for hand in hands)
    loads = [sum(sizes[k] for k in hand) for hand in hands]
    assert max(loads) - min(loads) <= max(sizes, default=0)
    counts = [len(hand) for hand in hands]
    assert max(counts) - min(counts) <= 1 + (len(sizes) % (2 * processes) > processes)


def test_a_source_knows_which_showings_are_long(data, vae) -> None:
    """In the order of their tokens: pictures in, and one drawn or none."""
    settings = small_settings(data, vae)
    start = build(settings)
    source = rows_of(settings, start, vae)
    maker = SequenceMaker(settings, start.config, start.style, start.tokenizer)
    known: dict[int, set[int]] = {}
    for number in range(source.rows_per_epoch):
        sequence = maker.sequences(source.show(number))[0]
        pictures = len(source.show(number).sample.inputs)
        draws = sequence.gen > 0 and source.show(number).sample.flow_loss
        assert source.size(number) == pictures + (3 if draws else 0)
        known.setdefault(source.size(number), set()).add(sequence.und + sequence.gen)
    assert len(known) > 2
    middles = [sorted(tokens)[len(tokens) // 2] for _, tokens in sorted(known.items())]
    assert middles == sorted(middles)
