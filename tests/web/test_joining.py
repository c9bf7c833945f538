"""Requests that arrive together are answered together, and each as if alone."""

import threading
import time

import numpy as np
import pytest

from keras_transformer.web.joining import Joined


def row(*values):
    return {"x": np.array(values)}


def ask_all(joined, requests):
    """The answers to requests that are sent at the same time; errors as they are."""
    answers = [None] * len(requests)

    def ask(number):
        try:
            answers[number] = joined.ask("f", requests[number], 10)
        except Exception as error:
            answers[number] = error

    threads = [threading.Thread(target=ask, args=[n]) for n in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.fixture
def calls():
    return []


@pytest.fixture
def doubled(calls):
    def run(name, inputs):
        calls.append(len(inputs["x"]))
        if (inputs["x"] == -1).any():
            raise ValueError("-1")
        return {"y": inputs["x"] * 2}

    return run


def test_rows_of_many_requests_are_one_call(calls, doubled):
    joined = Joined(doubled, max_rows=40, patience=5)
    answers = ask_all(joined, [row(n, n + 1) for n in range(20)])
    assert [answer["y"].tolist() for answer in answers] == [
        [2 * n, 2 * n + 2] for n in range(20)
    ]
    assert calls == [40]


def test_no_call_has_more_rows_than_it_may(calls, doubled):
    joined = Joined(doubled, max_rows=8, patience=0.3)
    answers = ask_all(joined, [row(n, n, n) for n in range(9)] + [row(*range(50))])
    assert [len(answer["y"]) for answer in answers] == [3] * 9 + [50]
    assert sum(calls) == 77
    assert [count for count in calls if count > 8] == [50]


def test_one_request_s_error_is_its_own(doubled):
    answers = ask_all(Joined(doubled, patience=0.3), [row(1), row(-1), row(2)])
    assert isinstance(answers[1], ValueError)
    assert [answers[n]["y"].tolist() for n in (0, 2)] == [[2], [4]]


def test_rows_of_other_shapes_and_empty_requests_are_answered_alone(calls, doubled):
    requests = [row(1), row([1, 2]), row(), row(2), {"x": np.array(3)}]
    requests[-1] = {"x": np.array([4]), "z": np.array([1, 2])}
    answers = ask_all(Joined(doubled, patience=0.3), requests)
    assert [answer["y"].tolist() for answer in answers] == [
        [2],
        [[2, 4]],
        [],
        [4],
        [8],
    ]
    assert sorted(calls) == [0, 1, 1, 2]


def test_outputs_without_a_row_for_each_text_are_never_shared_out():
    def run(name, inputs):
        return {"mean": np.array(inputs["x"].mean())}

    answers = ask_all(Joined(run, patience=0.3), [row(1.0), row(3.0)])
    assert [answer["mean"].tolist() for answer in answers] == [1.0, 3.0]


def test_a_request_that_waits_too_long_is_not_computed(calls):
    started = threading.Event()

    def run(name, inputs):
        calls.append(inputs["x"].tolist())
        started.set()
        time.sleep(0.5)
        return inputs

    joined = Joined(run, patience=0)
    first = threading.Thread(target=joined.ask, args=("f", row(1)))
    first.start()
    started.wait()
    with pytest.raises(TimeoutError):
        joined.ask("f", row(2), timeout=0.05)
    first.join()
    assert joined.ask("f", row(3))["x"].tolist() == [3]
    assert calls == [[1], [3]]


def test_threads_without_work_end_and_start_again(monkeypatch, doubled):
    monkeypatch.setattr("keras_transformer.web.joining._IDLE_SECONDS", 0.05)
    joined = Joined(doubled, patience=0)
    for number in (1, 2):
        before = threading.active_count()
        assert joined.ask("f", row(number))["y"].tolist() == [2 * number]
        end = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < end:
            time.sleep(0.02)
        assert threading.active_count() <= before


def test_calls_run_side_by_side_up_to_their_limit():
    both = threading.Barrier(2, timeout=10)

    def run(name, inputs):
        # Passes only when two calls are in it.
        both.wait()
        return inputs

    joined = Joined(run, max_rows=4, patience=0, max_calls=2)
    answers = ask_all(joined, [row(1, 2, 3), row(4, 5, 6)])
    assert [answer["x"].tolist() for answer in answers] == [[1, 2, 3], [4, 5, 6]]


def test_a_few_rows_wait_for_others_while_a_call_is_under_way(calls, monkeypatch):
    monkeypatch.setattr("keras_transformer.web.joining._PATIENCE_BESIDE", 5)
    started, go_on = threading.Event(), threading.Event()

    def run(name, inputs):
        calls.append(sorted(inputs["x"].tolist()))
        started.set()
        assert go_on.wait(10)
        return inputs

    joined = Joined(run, max_rows=12, patience=0, max_calls=2)
    first = threading.Thread(target=joined.ask, args=("f", row(0)))
    first.start()
    assert started.wait(10)
    others = threading.Thread(target=ask_all, args=(joined, [row(1), row(2), row(3)]))
    others.start()
    time.sleep(0.2)
    assert calls == [[0]]
    # The call's end is enough; they don't wait for what never comes.
    go_on.set()
    first.join(3)
    others.join(3)
    assert not others.is_alive()
    assert calls == [[0], [1, 2, 3]]
