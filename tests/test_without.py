"""Where nothing can be started, as in a browser's Pyodide: no thread and no program."""

import pathlib
import re
import subprocess
import sys

CODE = """
import _thread, os, subprocess, threading

def no(*args, **keywords):
    raise RuntimeError("can't start new thread")

_thread.start_new_thread = threading.Thread.start = no
if hasattr(_thread, "start_joinable_thread"):
    _thread.start_joinable_thread = threading._start_joinable_thread = no
subprocess.Popen = os.fork = os.posix_spawn = os.system = no
os.environ["PATH"] = ""

import numpy as np
import tinygrad_conv as tg
from tinygrad_conv import keras, nn
from tinygrad_conv.graph.drawing import render
from tinygrad_conv.testing import check_gradients

render.find_engine = lambda: None
net = nn.Sequential([nn.Conv2D(4, 3, activation="relu"), nn.MaxPool2D(), nn.Flatten(), nn.Dense(10)], seed=0)
(x, t), _ = tg.data.mnist().arrays()
net.build((None, 28, 28, 1))
optimizer = tg.optim.Adam(net.parameters())

def step(a, b):
    loss = tg.softmax_cross_entropy(net(a), b)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss

eager = [step(x[:256], t[:256]).item() for _ in range(2)]
step = tg.compile(step)
compiled = [step(x[:256], t[:256]).item() for _ in range(3)]
assert compiled[-1] < eager[0]

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
model.compile("sgd", "mse")
model.fit(np.ones((64, 4)), np.ones((64, 2)), verbose=0)

check_gradients(tg.tanh, np.ones(3))
drawing = tg.draw(net, x[:1])
drawing.render("net.html")
drawing.render("net.dot")
tg.microscope(net[0](x[:1])).render("conv.html")
assert "MaxPool2D" in str(tg.draw(net, x[:1], level="modules"))
drawing.render("net.pdf")
assert drawing._repr_mimebundle_()["image/svg+xml"].startswith("<svg")
assert nn.Conv2D(1, 3).as_dense((5, 5, 1)).svg.startswith("<svg")
print("all done")
"""


def test_everything_runs(tmp_path):
    done = subprocess.run([sys.executable, "-W", "error", "-c", CODE], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "all done", done.stderr[-2000:]


def test_the_wheel_is_asked_for_where_it_is():
    """On the six platforms that graphviz-pure has wheels for, and on no other."""
    text = (pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    (marker,) = re.findall(r'"graphviz-pure[^;"]*; (.*)"', text)
    for platform, machines in {
        "linux": ("x86_64", "aarch64"), "darwin": ("x86_64", "arm64"), "win32": ("AMD64", "ARM64"), "emscripten": (),
    }.items():  # fmt: skip
        for machine in ("x86_64", "aarch64", "arm64", "AMD64", "ARM64", "wasm32", "riscv64", "ppc64le", "i686"):
            there = {"sys_platform": platform, "platform_machine": machine}
            assert eval(marker, there) == (machine in machines), there
