"""What the pages in ``docs/lessons/`` need: `check` for exercises, `pictures` and `slider` to look at things."""

from .showing import Slider, pictures, slider
from .solving import check

__all__ = ["Slider", "check", "pictures", "slider"]
