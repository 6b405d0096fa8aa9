"""Puts the studio's page with its data into one HTML file that needs no server and no network.

It reads the page's files as they are, follows their static relative imports, and writes the
sources into the file in an order in which each stands after what it imports; a few lines of
script make modules of them.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import posixpath
import re
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable

from backlight.errors import DataError

INDEX = "index.html"
REPORT_FORMAT = "backlight.report"
REPORT_VERSION = 1

_IMPORT = re.compile(
    r"""(?P<before>\b(?:from|import)\s*)(?P<quote>["'])(?P<path>\.{1,2}/[^"'\n]+)(?P=quote)"""
)
_SCRIPT = re.compile(r"""<script\b[^>]*\bsrc=["'](?P<path>\./[^"']+)["'][^>]*>\s*</script>""")
_STYLE = re.compile(r"""<link\b[^>]*\brel=["']stylesheet["'][^>]*>""")
_ICON = re.compile(r"""<link\b[^>]*\brel=["'](?:icon|preload|modulepreload)["'][^>]*>\s*""")
_HREF = re.compile(r"""\bhref=["'](?P<path>\./[^"']+)["']""")
_FORBIDDEN = re.compile(r"<script|</script|<!--", re.IGNORECASE)

# Makes a module of each source, in order; a source names the earlier ones as backlight:PATH.
LOADER = """
{
  const urls = new Map();
  let entry = "";
  for (const source of document.querySelectorAll('script[type="text/plain"][data-module]')) {
    const text = source.textContent.replace(/"backlight:([^"\\n]+)"/g,
      (_, path) => JSON.stringify(urls.get(path)));
    entry = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    urls.set(source.dataset.module, entry);
  }
  const script = document.createElement("script");
  script.type = "module";
  script.src = entry;
  document.head.append(script);
}
"""


def page_folder() -> Traversable:
    """Return the folder of the page's files, which the studio serves as well."""
    return resources.files("backlight").joinpath("studio", "page")


def has_page(folder: Traversable | None = None) -> bool:
    """Tell whether the page is installed."""
    return (folder or page_folder()).joinpath(INDEX).is_file()


def sources(entry: str, folder: Traversable) -> dict[str, str]:
    """Read a module and all that it imports, each after what it imports itself.

    Parameters
    ----------
    entry : str
        The path of the first module in the folder, such as ``app.js``.
    folder : Traversable

    Returns
    -------
    dict of str to str
        Path → source, with imports written as ``"backlight:PATH"``; the entry is last.

    Raises
    ------
    DataError
        When a file is missing, imports go in circles, or a source cannot stand in a page.
    """
    ready: dict[str, str] = {}
    open_: dict[str, None] = {}
    waiting = [(entry, False)]
    while waiting:
        path, done = waiting.pop()
        if path in ready:
            continue
        text = _read(folder, path)
        imports = [_resolved(path, found["path"]) for found in _IMPORT.finditer(text)]
        if done:
            ready[path] = _renamed(path, text)
            open_.pop(path)
            continue
        if path in open_:
            raise DataError(
                f"The page's modules {', '.join(open_)} import each other in a circle; a report "
                f"cannot hold them."
            )
        open_[path] = None
        waiting.append((path, True))
        for each in reversed(imports):
            if each in open_ and each not in ready:
                raise DataError(
                    f"The page's modules {path} and {each} import each other in a circle; a "
                    f"report cannot hold them."
                )
            waiting.append((each, False))
    return ready


def _resolved(path: str, relative: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), relative))


def _renamed(path: str, text: str) -> str:
    if _FORBIDDEN.search(text):
        raise DataError(f"The page's module {path} holds a script tag; a report cannot hold it.")
    return _IMPORT.sub(
        lambda found: f'{found["before"]}"backlight:{_resolved(path, found["path"])}"', text
    )


def _read(folder: Traversable, path: str) -> str:
    if path.startswith(("/", "..")):
        raise DataError(f"The page's file {path} is outside of the page's folder.")
    try:
        return folder.joinpath(*path.split("/")).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"The page's file {path} cannot be read; install Backlight again."
        ) from error


def embedded(data: object) -> str:
    """Write JSON so that it can stand inside a script tag.

    Examples
    --------
    >>> embedded({"a": "</script>"})
    '{"a":"\\\\u003c/script>"}'
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _digest(text: str) -> str:
    found = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{found}'"


def bundle(
    data: Mapping[str, object],
    *,
    title: str,
    without_script: str = "",
    folder: Traversable | None = None,
) -> str:
    """Make one HTML file of the page and its data.

    Parameters
    ----------
    data : mapping
        What the page finds as ``#backlight-report``; plain JSON data.
    title : str
    without_script : str
        HTML, already escaped, for readers without scripts.
    folder : Traversable, optional
        Of the page's files.

    Raises
    ------
    DataError
        When the page is not installed or cannot be bundled.
    """
    place = folder or page_folder()
    index = _read(place, INDEX)
    entry = _SCRIPT.search(index)
    if entry is None:
        raise DataError(f"The page's {INDEX} starts no script; install Backlight again.")
    modules = sources(posixpath.normpath(entry["path"]), place)
    styles = []
    for link in _STYLE.finditer(index):
        href = _HREF.search(link[0])
        if href is not None:
            styles.append(_read(place, posixpath.normpath(href["path"])))
    css = "\n".join(styles)
    policy = (
        f"default-src 'none'; script-src {_digest(LOADER)} blob:; style-src {_digest(css)}; "
        f"img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    head = "\n".join(
        [
            f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">',
            f"<title>{html.escape(title)}</title>",
            f"<style>{css}</style>",
        ]
    )
    body = "\n".join(
        [
            f"<noscript>{without_script}</noscript>" if without_script else "",
            '<script type="application/json" id="backlight-report">'
            + embedded({"format": REPORT_FORMAT, "version": REPORT_VERSION, **data})
            + "</script>",
            *(
                f'<script type="text/plain" data-module="{html.escape(path)}">{text}</script>'
                for path, text in modules.items()
            ),
            f"<script>{LOADER}</script>",
        ]
    )
    page = _SCRIPT.sub("", index)
    page = _ICON.sub("", _STYLE.sub("", page))
    page = re.sub(r"<title>.*?</title>", "", page, flags=re.DOTALL)
    page = _insert(page, "<head>", head, after=True)
    return _insert(page, "</body>", body, after=False)


def _insert(page: str, tag: str, text: str, *, after: bool) -> str:
    place = page.find(tag)
    if place < 0:
        raise DataError(f"The page's {INDEX} has no {tag}; install Backlight again.")
    cut = place + len(tag) if after else place
    return f"{page[:cut]}\n{text}\n{page[cut:]}"
