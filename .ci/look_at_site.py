"""Opens each page of a site in Chromium, as a desk and as a telephone, light and dark, and says what is wrong with it.

``python .ci/look_at_site.py SITE [SHOTS]``: what is wider than the window, text below 9 px, pictures that are
not there, errors of scripts, and what is asked of other sites. SHOTS is a folder for a picture of each.
"""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests"))

from browser import Browser, find

LOOK = """(() => {
    const found = [], wide = document.documentElement.scrollWidth - innerWidth;
    if (wide > 0) found.push(`${wide} px wider than the window`);
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode.nodeValue.trim(), at = texts.currentNode.parentElement;
        if (!text || !at.checkVisibility({visibilityProperty: true}) || !at.getBoundingClientRect().width) continue;
        const size = parseFloat(getComputedStyle(at).fontSize) * (at.ownerSVGElement?.getScreenCTM()?.a || 1);
        if (size < 8.9) found.push(`${text.slice(0, 20)} in ${size.toFixed(1)} px`);
    }
    for (const it of document.images) if (it.complete && !it.naturalWidth) found.push(`no picture ${it.src}`);
    return found;
})()"""


def look(browser: Browser, page: pathlib.Path, width: int, height: int, dark: bool) -> list[str]:
    """What is wrong with a page."""
    browser.size(width, height)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser("Emulation.setEmulatedMedia", features=[scheme])
    browser("Page.navigate", url="about:blank")
    browser.complaints.clear()
    browser.requests.clear()
    browser("Page.navigate", url=page.absolute().as_uri())
    while browser.run("location.protocol != 'file:' || document.readyState != 'complete'"):
        time.sleep(0.02)
    outside = [f"asks for {url}" for url in browser.requests if not url.startswith(("file:", "about:", "blob:"))]
    return [*browser.run(LOOK), *browser.complaints, *outside]


def main(site: str, shots: str | None = None) -> int:
    """The number of looks at which something was wrong."""
    if find() is None:
        print("no Chromium on this machine")
        return 0
    root, browser, wrong = pathlib.Path(site), Browser(), 0
    pages = [page for page in sorted(root.rglob("*.html")) if "lite" not in page.relative_to(root).parts]
    for page in pages:
        for width, height in ((1280, 900), (390, 844)):
            for dark in (False, True):
                found = look(browser, page, width, height, dark)
                name = f"{page.relative_to(root).with_suffix('')}, {width} px, {'dark' if dark else 'light'}"
                if found:
                    print(name, *found[:5], sep="\n  ", flush=True)
                    wrong += 1
                if shots is not None:
                    browser.shot(pathlib.Path(shots, name.replace("/", "_") + ".png"))
    browser.close()
    print(f"{len(pages)} pages, {wrong} of {4 * len(pages)} looks with something wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
