"""Real signals to real commands are sent in test_repair.py and test_train.py."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from itertools import repeat

import pytest

from napari_ssan.cli import signals
from napari_ssan.cli.signals import SIGNALS, handled, interruptible
from napari_ssan.errors import Cancelled

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals")


@pytest.fixture(autouse=True)
def clean():
    """Where the tests run in the background, interrupts are ignored."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, how in before.items():
        signal.signal(number, how)


def later() -> None:
    """Wait until signals are heard again, though the machine may be busy."""
    time.sleep(signals.AT_ONCE + 0.5)


@pytest.mark.parametrize(
    ("number", "code", "sentence"),
    [
        (signal.SIGINT, 130, "Stopped."),
        (signal.SIGTERM, 143, "Stopped by SIGTERM."),
        (signal.SIGHUP, 129, "Stopped by SIGHUP."),
    ],
)
def test_each_signal_raises_and_has_its_code(number, code, sentence):
    with handled() as received:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert (received.code, str(received)) == (code, sentence)
    assert signal.getsignal(number) is signal.SIG_DFL


def test_what_comes_at_once_is_one_signal_and_what_comes_later_is_another():
    with handled() as received:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)
        for number in SIGNALS:
            os.kill(os.getpid(), number)
        later()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        assert received.code == 129


def test_the_first_signal_sets_the_flag_and_the_second_raises():
    with handled() as received, interruptible() as flag:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert flag.is_set()
        later()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert received.code == 143


def test_what_came_at_once_is_one_signal_though_c_code_held_it_up():
    def busy(steps: int) -> float:
        begin = time.monotonic()
        deque(repeat(None, steps), maxlen=0)  # Python hears of no signal meanwhile
        return time.monotonic() - begin

    steps = int(10**7 * 3 * signals.AT_ONCE / busy(10**7))
    with handled(), interruptible() as flag:
        os.kill(os.getpid(), signal.SIGTERM)
        second = subprocess.Popen(["sh", "-c", f"sleep 0.05; kill -TERM {os.getpid()}"])
        busy(steps)
        second.wait()
        assert flag.is_set()
        later()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_came_while_the_first_was_handled_is_part_of_it():
    with handled() as received, interruptible() as flag:
        os.kill(os.getpid(), signal.SIGTERM)
        received.listen_again()
        received(signal.SIGTERM, None)  # Python tells of it only now
        assert flag.is_set()
        later()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_work_that_was_cancelled_ends_as_an_interrupt():
    with handled() as received:
        with pytest.raises(KeyboardInterrupt), interruptible():
            raise Cancelled
        with interruptible() as flag:
            assert not flag.is_set()
        assert received.code == 130
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_signals_that_are_ignored_stay_so():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with handled() as received:
        os.kill(os.getpid(), signal.SIGHUP)
        assert received.number == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
