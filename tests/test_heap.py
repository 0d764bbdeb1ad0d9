"""Memory that a step frees is kept for the next one: the system counts faults, and what is resident."""

import os
import subprocess
import sys

import pytest

import tinygrad_conv as tg
from tinygrad_conv.errors import ArgumentError
from tinygrad_conv.kernels import heap

GNU = sys.platform == "linux" and "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")
STEPS = """
import resource, numpy as np, tinygrad_conv as tg

x = tg.Tensor(np.ones((256, 1024, 8), "f4"), requires_grad=True)  # 8 MB

def step():
    y = x
    for _ in range(3):
        y = tg.tanh(y)
    tg.sum(y).backward()
    x.zero_grad()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(3):
    step()
before = faults()
for _ in range(5):
    step()
print(faults() - before)
"""
LARGE = """
import os, numpy as np, tinygrad_conv as tg

file = os.open("/proc/self/statm", os.O_RDONLY)

def resident():  # without memory from the heap: what lies behind the arrays would keep them there
    return int(os.pread(file, 100, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

before = resident()
arrays = [np.ones((20 << 20,), "u1") for _ in range(12)]
most = resident() - before
del arrays
print(most, resident() - before)
"""


def run(code, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    output = subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, check=True
    ).stdout
    return [int(number) for number in output.split()]


@pytest.mark.skipif(not GNU, reason="only GNU's C library can be told")
def test_a_step_in_memory_that_was_kept_faults_no_more():
    (kept,), (not_kept,) = run(STEPS), run(STEPS, TINYGRAD_CONV_KEEP_MB="0")
    assert kept < 200 < 1000 < not_kept


@pytest.mark.skipif(not GNU, reason="only GNU's C library can be told")
def test_what_is_kept_has_a_bound():
    most, left = run(LARGE, TINYGRAD_CONV_KEEP_MB="50")
    assert most > 200
    assert left < 90


@pytest.mark.skipif(not GNU, reason="only GNU's C library can be told")
def test_settings_of_the_c_library_win(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv(heap.SETTING, raising=False)
    assert heap.keep() == heap.DEFAULT
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert heap.keep() == 0


@pytest.mark.parametrize("said", ["-1", "much", "1.5", "2048", "²"])
def test_a_setting_that_is_no_size_is_refused(monkeypatch, said):
    monkeypatch.setenv(heap.SETTING, said)
    with pytest.raises(ArgumentError, match="TINYGRAD_CONV_KEEP_MB: expected whole megabytes from 0 to 2047, got"):
        heap.keep()


def test_views_keep_their_memory():
    """As ever: nothing but `malloc` decides whose memory is whose."""
    kept = []
    for k in range(20):
        y = tg.add(tg.full((1 << 18,), float(k)), 1.0)
        kept.append(y.numpy()[5:7])
        del y
    assert [view.tolist() for view in kept] == [[k + 1.0, k + 1.0] for k in range(20)]
