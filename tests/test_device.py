"""Devices and their kinds."""

import pickle
import subprocess
import sys
from pathlib import Path

import neurenix
import pytest
from neurenix import Device, DeviceType


def test_kinds():
    assert [kind.name for kind in DeviceType] == ["CPU", "CUDA", "ROCM", "WEBGPU"]


def test_device():
    device = Device(DeviceType.WEBGPU, 2)
    assert (device.type, device.index) == (DeviceType.WEBGPU, 2)
    assert device == Device("webgpu:2") != Device("webgpu")
    assert Device("cpu") == Device(DeviceType.CPU, index=0)
    assert len({Device("cpu"), Device("cpu:0"), Device("cuda")}) == 2
    assert pickle.loads(pickle.dumps(device)) == device
    assert "webgpu:2" in repr(device)


def test_kinds_equal_their_names():
    assert Device("cpu").type == "cpu" == DeviceType.CPU
    assert Device("cpu").type != "cuda"
    assert {DeviceType.CPU: 1}["cpu"] == 1
    assert f"{DeviceType.WEBGPU}:{0}" == "webgpu:0"
    assert str(DeviceType.CPU) == "cpu"


def test_the_cpu_is_available_and_has_a_name():
    devices = neurenix.get_available_devices()
    assert devices[0] == Device("cpu")
    assert devices[0].name
    assert all(isinstance(device.type, DeviceType) for device in devices)


@pytest.mark.skipif(
    not Path("/proc/self/maps").exists(), reason="only Linux lists the libraries of a process"
)
def test_importing_touches_no_gpu():
    code = "import neurenix; neurenix.ones(2).sum().item(); print(open('/proc/self/maps').read())"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "_phynexus" in found
    assert "vulkan" not in found


@pytest.mark.parametrize("device", ["cpu", "cpu:0", Device("cpu"), DeviceType.CPU])
def test_tensors_go_where_they_are_told(device):
    x = neurenix.zeros(2, device=device)
    assert x.device == Device("cpu")
    assert x.to(device).device == x.cpu().device == Device("cpu")
    assert x.to(device, inplace=True) is x
