"""GPUs and other processes: pickles, and children that are forked."""

import os
import pickle
import subprocess
import sys

import neurenix
import pytest
from devices.gpus import each_gpu
from neurenix import Tensor


@each_gpu
def test_tensors_stay_where_they_are(gpu):
    x = Tensor([1.0, 2.0], device=gpu, requires_grad=True)
    copies = [Tensor(x), neurenix.tensor(x), pickle.loads(pickle.dumps(x))]
    assert [str(copy.device) for copy in copies] == [gpu] * 3
    assert [copy.tolist() for copy in copies] == [[1, 2]] * 3
    assert copies[2].requires_grad
    assert str(Tensor(x, device="cpu").device) == "cpu"


FORKED = """
import os, sys
import neurenix as nx
x = nx.ones(2, device=sys.argv[1])
x.sum().item()
child = os.fork()
if not child:
    for use in (lambda: x + x, x.tolist, lambda: nx.ones(2, device=sys.argv[1])):
        try:
            use()
        except RuntimeError as error:
            print(error, flush=True)
    print(nx.ones(2).sum().item(), flush=True)
    del x
    sys.exit()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), x.tolist())
"""


@each_gpu
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork processes")
def test_a_forked_child_is_told_that_it_cannot_use_the_gpu(gpu):
    done = subprocess.run(
        [sys.executable, "-c", FORKED, gpu], capture_output=True, text=True, timeout=300, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all("fork" in line and "spawn" in line for line in lines[:3])
    assert lines[3:] == ["2.0", "0 [1.0, 1.0]"]
