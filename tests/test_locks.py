"""Finalizers and other threads meet no lock that is held: each script here once waited for ever."""

import subprocess
import sys
import textwrap

import pytest

BEGIN = """
import faulthandler; faulthandler.dump_traceback_later(60, exit=True)
import gc, sys, threading
import neurenix, numpy as np
class Owner(np.ndarray):
    def __del__(self):
        finalizer()
def owned(*shape):
    return neurenix.Tensor.from_dlpack(np.ones(shape, "f4").view(Owner))
class Hook:
    def __call__(self, g):
        return None
    def __del__(self):
        finalizer()
seen = []
t = neurenix.ones(4, requires_grad=True)
def finalizer():
    seen.append((t.grad is None, t.shape, t.requires_grad, t.is_leaf, (t * 2).sum().item(), u.requires_grad))
u = t * 2
"""

SCRIPTS = {
    "a gradient is replaced": """
        t.grad = owned(4)
        t.grad = neurenix.zeros(4)
        t.grad = owned(4)
        t.grad = None
        assert len(seen) == 2
    """,
    "data are replaced": """
        t.data = owned(4)
        t.data = neurenix.zeros(4)
        p = owned(4)
        p.to("float64", inplace=True)
        assert len(seen) == 2
    """,
    "a hook is removed": """
        t.register_hook(Hook()).remove()
        u.register_hook(Hook()).remove()
        t.register_post_accumulate_grad_hook(Hook()).remove()
        assert len(seen) == 3
    """,
    "a hook removes itself in its finalizer": """
        class Again(Hook):
            def __del__(self):
                handle.remove()
                finalizer()
        for where in (t, u):
            handle = where.register_hook(Again())
            handle.remove()
        assert len(seen) == 2
    """,
    "a result is taken off the tape, or gets another history": """
        v = t * owned(4)
        v.detach_()
        v = owned(4).requires_grad_() * owned(4)
        v.register_hook(Hook())
        v[0] = 1.0
        v.copy_(t)
        del v
        gc.collect()
        assert len(seen) == 4, seen
    """,
    "a graph is used up": """
        a, b = owned(4), owned(4)
        v = (t * a * b).sum()
        del a, b
        v.backward()
        assert len(seen) == 2
    """,
    "a graph is refused": """
        t.register_hook(lambda g: owned(3))
        try:
            (t * 2).sum().backward()
        except ValueError:
            pass
        assert len(seen) == 1
    """,
    "gradients are added to while another thread looks": """
        import warnings; warnings.simplefilter("ignore")
        sys.setswitchinterval(1e-5)
        def finalizer(): pass
        stop = threading.Event()
        def train():
            for i in range(10_000):
                t.grad = neurenix.from_numpy(np.ones(4, "f4"))
                (t * t).sum().backward(create_graph=True)
                t.grad = neurenix.from_numpy(np.ones(4, "f4"))
                loss = (t * neurenix.from_numpy(np.ones(4, "f4"))).sum()
                loss.backward(retain_graph=True)
                loss.backward()
            stop.set()
        threading.Thread(target=train, daemon=True).start()
        n = 0
        while not stop.is_set():
            n += t.grad is not None
            n += t.requires_grad
    """,
    "a step replaces what another thread looks at": """
        p = neurenix.nn.Parameter(neurenix.ones(30_000))
        q = neurenix.nn.Parameter(neurenix.ones(30_000))
        sys.setswitchinterval(1e-5)
        def finalizer(): pass
        optimizer = neurenix.optim.Adam([p, q])
        stop = threading.Event()
        def train():
            for i in range(2_000):
                p.grad = neurenix.from_numpy(np.ones(30_000, "f4"))
                optimizer.step()
                p.grad = None
            stop.set()
        threading.Thread(target=train, daemon=True).start()
        while not stop.is_set():
            p.grad = None
            optimizer.state_dict()
    """,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_lock_is_held_while_others_run(name):
    script = BEGIN + textwrap.dedent(SCRIPTS[name]) + "\nprint('done')\n"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.strip().endswith("done"), done.stdout + done.stderr
