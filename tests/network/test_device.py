import pytest
import torch

from napari_ssan.errors import BadInput
from napari_ssan.network import device as module
from napari_ssan.network.device import autocast, choose_device, device_name, has_fast_bfloat16


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine with so many CUDA devices, and with or without MPS."""

    def pretend(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index}")
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(2, True, "cuda:0"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_takes_the_best_there_is(machine, cuda, mps, chosen):
    machine(cuda, mps)
    assert choose_device("auto") == torch.device(chosen)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_named_devices_are_taken_as_named(machine, name):
    machine(cuda=2, mps=True)
    assert choose_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7", "mps", "cpu:1", "meta", "xpu"])
def test_absent_devices_are_refused_and_not_replaced(machine, name):
    machine()
    with pytest.raises(BadInput, match="is not available"):
        choose_device(name)


def test_a_gpu_beyond_the_last_is_refused(machine):
    machine(cuda=2)
    with pytest.raises(BadInput, match="cuda:2"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "Auto", "cuda:-1"])
def test_unknown_names_are_refused(machine, name):
    machine(cuda=1)
    with pytest.raises(BadInput, match="Unknown device"):
        choose_device(name)


def test_devices_are_described_in_words(machine):
    machine(cuda=2)
    assert device_name(torch.device("cpu")) == "CPU"
    assert device_name(torch.device("mps")) == "Apple GPU"
    assert device_name(torch.device("cuda:1")) == "GPU Card 1"


@pytest.mark.parametrize("fast", [True, False])
def test_autocast_only_where_bfloat16_is_fast_and_wanted(monkeypatch, fast):
    monkeypatch.setattr(module, "has_fast_bfloat16", lambda device: fast)
    x = torch.ones(4, 4)
    for enabled in (True, False):
        with autocast(torch.device("cpu"), enabled):
            expected = torch.bfloat16 if fast and enabled else torch.float32
            assert (x @ x).dtype == expected


def test_bfloat16_goes_by_the_hardware(monkeypatch):
    for there in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda there=there: there)
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, there=there: there
        )
        assert has_fast_bfloat16(torch.device("cpu")) is there
        assert has_fast_bfloat16(torch.device("cuda:0")) is there
    assert not has_fast_bfloat16(torch.device("mps"))
