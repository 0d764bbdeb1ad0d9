"""Pictures, snapshots and pages have the same bytes in every process."""

import os
import subprocess
import sys
from pathlib import Path

SHOWN = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import tinygrad_conv as tg
from graph_models import DRAWINGS, IMAGE, SMALL, Recurrent, convnet
from test_graph import RESIDUAL_ARGS, network, residual
from tinygrad_conv.graph import diff, draw, microscope, page, snapshot
from tinygrad_conv.graph.microscope import dense, slides

state = np.ones((1, 4), "float32")
convolution, volume = tg.nn.Conv2D(2, 3, padding=1, stride=2, seed=0), np.arange(147, dtype="f4").reshape(1, 7, 7, 3)
whole = snapshot(convnet(), IMAGE, values=True, gradients=True, backward=1)
shown = {f"drawing {name}": drawing().source for name, drawing in DRAWINGS.items()}
for name, args in {"network": (network(), IMAGE), "residual": (residual, *RESIDUAL_ARGS)}.items():
    drawing = draw(*args)
    shown |= {f"source of {name}": drawing.source, f"picture of {name}": drawing.svg}
shown |= {
    "values": draw(Recurrent(), state, show=("values", "gradients", "legend")).svg,
    "tree": str(draw(convnet(), IMAGE)),
    "snapshot": whole.to_json(),
    "hash": snapshot(convnet(), IMAGE).structural_hash(),
    "difference": str(diff(snapshot(convnet(), IMAGE), snapshot(Recurrent(), state))),
    "page": page.html(whole),
    "microscope": slides.page(tg.microscope(convolution(volume))),
    "matrix": dense.as_dense(convolution, (7, 7, 3)).svg,
}
for name, text in shown.items():
    print(name, hashlib.sha256(text.encode()).hexdigest())
"""


def test_in_every_process():
    runs = []
    for seed in ("0", "1", "4711"):  # of the order of sets
        command = [sys.executable, "-W", "error", "-c", SHOWN, str(Path(__file__).parent)]
        env = {**os.environ, "PYTHONHASHSEED": seed}
        runs.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True))
    one, *others = [run.communicate()[0].splitlines() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(one) > 10
    for other in others:
        assert one == other
