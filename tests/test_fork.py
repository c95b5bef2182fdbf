"""A forked child computes with threads of its own."""

import os
import signal
import sys
import time

import neurenix
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

WATCHDOG = 20  # seconds


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_hang():
    a = neurenix.randn(600, 600)
    expected = (a @ a).sum().item()  # starts the parent's threads
    child = os.fork()
    if child == 0:
        try:
            same = (a @ a).sum().item() == expected
            model = neurenix.nn.Linear(600, 600)
            model(a).exp().sum().backward()
            os._exit(0 if same and model.weight.grad is not None else 3)
        finally:
            os._exit(4)
    deadline = time.monotonic() + WATCHDOG
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert os.waitstatus_to_exitcode(status) == 0
            break
        time.sleep(0.02)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail(f"the child still ran after {WATCHDOG} s")
    assert (a @ a).sum().item() == expected


def test_a_signal_handler_can_interrupt():
    """Python's handlers run between operations: Ctrl-C works."""

    def handler(*_):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in range(sys.maxsize):
                neurenix.ones(1000).sum()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
