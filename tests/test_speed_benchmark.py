"""The benchmark of speed: both ways compute the same, and its sums are right."""

import json
import mmap
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

pytest.importorskip("rich")

from benchmarks.speed import __main__ as command
from benchmarks.speed import naive, scale, search, step
from benchmarks.speed.clock import Result, side_by_side

SMALL = step.Shape(36, (9, 7), 3, 20, 1.0)


@pytest.mark.parametrize("shape", [SMALL, replace(SMALL, n_experts=2, hidden=(8,))])
def test_both_ways_compute_the_same(shape):
    x = step.batch(shape)
    (network, train), (mixture, train_plain) = step.ours(shape), step.plain(shape)
    naive.copy_weights(network, mixture)
    for _ in range(3):
        out = network(x)
        logits, decoded = mixture(x)
        assert_close(out.logits, logits, rtol=1e-4, atol=1e-5)
        assert_close(out.decoded.rows(), torch.stack(decoded, 1), rtol=1e-3, atol=1e-4)
        train(x)
        train_plain(x)


@pytest.mark.parametrize("channels", [(3,), (3, 4)])
def test_plain_convolutions_return_images_of_the_same_size(channels):
    for n_features in (36, 49):
        shape = replace(SMALL, n_features=n_features, channels=channels)
        (network, _), (mixture, train) = step.ours(shape), step.plain(shape)
        train(step.batch(shape))
        _, decoded = mixture(step.batch(shape))
        assert decoded[0].shape == (20, n_features)
        # As many weights: the two are of one size.
        ours, plain = (
            sum(p.numel() for p in m.parameters()) for m in (network, mixture)
        )
        assert ours == plain


@pytest.mark.parametrize("sure", [False, True])
def test_shapes_are_sure_that_are_to_be(sure):
    shape = replace(SMALL, sure=sure)
    network, train = step.ours(shape, learning_rate=0.0)
    before = [p.clone() for p in network.parameters()]
    train(step.batch(shape))
    assert all(map(torch.equal, before, network.parameters()))
    largest = network(step.batch(shape)).logits.softmax(-1).amax(1).mean()
    assert largest > 0.99 if sure else largest < 0.5


def test_operations_are_those_that_torch_counts():
    counter = FlopCounterMode(display=False)
    with counter:
        step.plain(SMALL)[1](step.batch(SMALL))
    assert step.operations(SMALL) == counter.get_total_flops()


def test_calls_are_timed_in_turn_after_one_of_each():
    called = []
    calls = {name: lambda name=name: called.append(name) for name in "ab"}
    seconds = side_by_side(calls, repeats=2, times=3)
    assert "".join(called) == "ab" + 2 * "aaabbb"
    assert set(seconds) == {"a", "b"}


@pytest.mark.parametrize("higher", [True, False])
def test_a_target_is_met_from_the_right_side(higher):
    better, worse = (2.0, 1.0) if higher else (1.0, 2.0)
    for value, met in ((better, True), (1.5, True), (worse, False)):
        assert Result("s", "n", value, "x", 1.5, higher).is_met == met


def test_a_peak_between_start_and_end_is_seen():
    # Of memory that earlier tests left to the allocator nothing new would be seen.
    kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with scale.Peak() as peak:
        block = mmap.mmap(-1, 1 << 26, flags=kind)
        np.frombuffer(block, np.uint8)[:] = 1
        peak._done.wait(0.1)
        block.close()
    assert 50 < peak.mb < 500


def test_results_are_printed_and_appended(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(step, "SHAPES", [SMALL])
    monkeypatch.setattr(step, "MOST_EXPERTS", [2, 4])
    out = tmp_path / "speed.jsonl"
    threads = torch.get_num_threads()
    for name in command.PINNED:
        monkeypatch.setenv(name, "1")
    arguments = ["--suite", "step", "--brief", "--threads", str(threads)]
    assert command.main([*arguments, "--out", str(out)]) == 0
    lines = [json.loads(text) for text in out.read_text().splitlines()]
    assert [line["suite"] for line in lines] == ["step"] * 3
    assert all(line["value"] > 0 and line["machine"]["threads"] for line in lines)
    assert capsys.readouterr().out.count("against the plain way") == 1


@pytest.mark.parametrize("suite", ["fit", "predict"])
def test_other_suites_run_in_brief(suite):
    results = list(command.SUITES[suite](1, **command.BRIEF[suite]))
    assert results
    assert all(np.isfinite(result.value) for result in results)


@pytest.mark.parametrize("kind", scale.KINDS)
def test_a_fit_of_each_kind_of_rows_tells_time_and_memory(kind):
    told = scale.fit(kind, 300)
    assert told["seconds"] > 0
    assert told["memory"] >= 0


def test_the_search_has_eight_settings():
    n = 1
    for values in search.GRID.values():
        n *= len(values)
    assert n == 8
