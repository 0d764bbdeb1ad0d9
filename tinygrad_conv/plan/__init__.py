"""Compiled steps: `compile` records a step once and replays it as a `Plan`, without a graph and in laid-out memory.

How a step becomes a plan, file by file:

================================  ===================================================================================
the call                          ``signature`` takes apart what a step is called with, ``loan`` lends it lists to fill
what it can read                  ``naming`` finds names in code, ``reach`` the ``places`` behind them, and ``values``
                                  compares what is there; ``assumptions`` does so before each replay
recording                         ``tape`` writes down ``calls``; ``ours`` knows which are of the library
fewer calls                       ``owning`` copies what others may hold, ``fusing`` makes one of two
memory                            ``into`` writes results where it is told, ``layout`` tells where
programs of small calls           ``standins``, ``instructions``, ``lowerings``, ``programs``; ``updates`` of optimisers
the function that runs            ``source`` writes it, ``raising`` tells its errors, ``plan`` holds it all
what a plan tells                 ``telling``
which plan                        ``recorded`` says when one may be replayed, ``compiled`` chooses one at each call
================================  ===================================================================================
"""

from .compiled import Compiled, compile
from .plan import Plan

__all__ = ["Compiled", "Plan", "compile"]
