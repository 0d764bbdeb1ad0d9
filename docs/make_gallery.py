"""Makes the pictures of docs/gallery.md by running the page's own code: ``python docs/make_gallery.py``."""

import contextlib
import io
import pathlib
import re

PAGE = pathlib.Path(__file__).with_name("gallery.md")
IMAGES = PAGE.parent / "images"


def pictures() -> dict[str, object]:
    """File name -> what the code above its place on the page calls `picture`."""
    found: dict[str, object] = {}
    names: dict[str, object] = {"__name__": "__gallery__"}
    page = PAGE.read_text(encoding="utf-8")
    for code, image in re.findall(r"^```python\n(.*?)^```|\]\(images/(.*?)\)", page, re.M | re.S):
        if image:
            found[image] = names["picture"]
            continue
        if ">>>" in code:
            code = "\n".join(line[4:] for line in code.splitlines() if line.startswith((">>> ", "... ")))
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code, names)
    return found


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        picture.render(IMAGES / name)  # type: ignore[attr-defined]
