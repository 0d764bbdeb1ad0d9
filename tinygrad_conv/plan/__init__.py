"""Compiled steps: `compile` records a step once and replays it as a `Plan`, without a graph and in laid-out memory."""

from .compiled import Compiled, compile
from .plan import Plan

__all__ = ["Compiled", "Plan", "compile"]
