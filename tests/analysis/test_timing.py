import statistics

import pytest
import torch

from hrvmamba.analysis.timing import (
    Timing,
    copy_bandwidth,
    environment,
    find_device,
    markdown_table,
    time_interleaved,
)

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that functions move on themselves; it stands still otherwise."""

    class Clock:
        now = 0.0

        def advance(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr("time.perf_counter", lambda: clock.now)
    return clock


def test_functions_take_turns_and_calls_fit_the_time(clock):
    order = []

    def function(name, seconds):
        def run():
            order.append(name)
            clock.advance(seconds)

        return run

    functions = {"fast": function("fast", 0.25), "slow": function("slow", 2.0)}
    *earlier, timings = time_interleaved(functions, CPU, seconds=4.0, rounds=4)
    assert [len(timing["fast"].rounds) for timing in earlier] == [1, 2]
    assert timings["fast"].calls == 4 and timings["slow"].calls == 1
    assert timings["fast"].rounds == pytest.approx([0.25] * 3)
    assert timings["slow"].rounds == pytest.approx([2.0] * 3)
    there, back = ["fast"] * 4 + ["slow"], ["slow"] + ["fast"] * 4
    assert order == ["fast", "slow"] + there + back + there


def test_slow_functions_get_three_rounds_and_fast_ones_no_more_than_asked(clock):
    *_, timings = time_interleaved({"slow": lambda: clock.advance(100)}, CPU, 1.0, 10)
    assert len(timings["slow"].rounds) == 3
    *_, timings = time_interleaved({"fast": lambda: clock.advance(0.01)}, CPU, 1.0, 5)
    assert len(timings["fast"].rounds) == 5
    with pytest.raises(ValueError, match="at least 3, got 2"):
        next(time_interleaved({}, CPU, 1.0, 2))


def test_summary():
    timing = Timing((4.0, 1.0, 2.0, 3.0, 5.0), calls=7)
    assert timing.median == statistics.median(timing.rounds) == 3
    assert timing.quartiles == (2.0, 4.0)
    assert timing.spread == pytest.approx(2 / 3)
    assert timing.as_dict() == {
        "median_s": 3.0,
        "lower_quartile_s": 2.0,
        "upper_quartile_s": 4.0,
        "spread": timing.spread,
        "rounds": 5,
        "calls_per_round": 7,
    }
    assert Timing((2.0,), calls=1).quartiles == (2.0, 2.0)


def test_a_copy_counts_bytes_read_and_written(clock, monkeypatch):
    monkeypatch.setattr("hrvmamba.analysis.timing._COPY_BYTES", {"cpu": 1000})
    copy_ = torch.Tensor.copy_
    monkeypatch.setattr(
        torch.Tensor, "copy_", lambda *arguments: (clock.advance(0.5), copy_(*arguments))
    )
    assert copy_bandwidth(CPU, 1.0, 3) == pytest.approx(2 * 1000 / 0.5)


def test_devices_that_are_not_there_are_named(monkeypatch):
    assert find_device("cpu") == CPU
    for name in ("tpu9", "meta"):
        with pytest.raises(ValueError, match=f"cpu or cuda, got '{name}'"):
            find_device(name)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert find_device("cuda") == torch.device("cuda", 0)
    with pytest.raises(ValueError, match=r"no cuda:2: .* finds 2 GPUs"):
        find_device("cuda:2")


def test_environment_says_what_ran():
    said = environment(CPU)
    assert said["torch"] == torch.__version__
    assert said["threads"] == torch.get_num_threads()
    assert said["device"]


def test_markdown():
    assert markdown_table(["a", "b"], [["1", "2"], ["3", "4"]]).splitlines() == [
        "| a | b |",
        "| :-- | --: |",
        "| 1 | 2 |",
        "| 3 | 4 |",
    ]
