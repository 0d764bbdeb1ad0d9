"""`tg.distributed`: one training run in several processes, on one machine or many, over MPI.

Each process, a *rank*, has the whole net and computes a part of each batch; gradients are averaged, so all ranks make
the same step. The same script runs alone::

    optimizer = tg.distributed.Optimizer(tg.optim.Adam(net.parameters()), net)
    for x, y in batches:                      # the same on all ranks
        optimizer.zero_grad()
        for xs, ys in optimizer.parts(x, y):  # what of the batch is this rank's
            tg.softmax_cross_entropy(net(xs), ys).backward()
        optimizer.step()

``mpiexec -n 4 python script.py`` starts four. Without ``mpiexec`` nothing of MPI is imported.
"""

from .norms import synchronize
from .optimizer import Optimizer
from .supervising import restarted
from .world import rank, size

__all__ = ["Optimizer", "rank", "restarted", "size", "synchronize"]
