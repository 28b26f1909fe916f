"""The report as a reader of HTML finds it."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """A page's text, its tables by caption or id, and its elements."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.tables: dict[str, list[list[str]]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._rows: list[list[str]] = []
        self._caption: str | None = None
        self._cell = False
        self._heading: str | None = None
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag == "table":
            self._rows, self._caption, self._cell = [], "", False
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._cell = True
        elif tag == "caption":
            self._cell = False
        elif tag in ("h1", "h2"):
            self._heading = found.get("id") or tag

    def handle_data(self, data: str) -> None:
        if self._heading:
            self.text[self._heading] = self.text.get(self._heading, "") + data
        if self._caption is not None and self._cell:
            self._rows[-1][-1] += data
        elif self._caption is not None:
            self._caption += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("h1", "h2"):
            self._heading = None
        elif tag == "table":
            rows = [[" ".join(cell.split()) for cell in row] for row in self._rows]
            self.tables[" ".join((self._caption or "").split())] = rows
            self._caption = None

    def table(self, words: str) -> list[list[str]]:
        """The rows of the body of the table whose caption has these words."""
        [found] = [rows for caption, rows in self.tables.items() if words in caption]
        return found[1:]

    @property
    def lines(self) -> list[str]:
        """The lines to run."""
        needs = self.html.split('<dl class="needs">')[1].split("</dl>")[0]
        return [html.unescape(each) for each in re.findall(r"<code>(.*?)</code>", needs)]

    def chart(self, chart_id: str) -> str:
        """The markup of a chart, or of a line of data quality."""
        found = re.search(
            rf'<title id="{re.escape(chart_id)}-t">.*?</svg>.*?</svg>', self.html, re.DOTALL
        )
        assert found, chart_id
        return found[0]

    def path(self, chart_id: str, layer: str) -> list[list[tuple[int, int]]]:
        """The points of a chart's line or area, one list for each part of it."""
        found = re.search(rf'<path class="{layer}" d="([^"]*)"', self.chart(chart_id))
        assert found, (chart_id, layer)
        return points(found[1])

    def bars(self, chart_id: str, layer: str = "bar") -> list[int]:
        """The heights of a chart's bars that aren't 0."""
        found = re.search(rf'<path class="{layer}" d="([^"]*)"', self.chart(chart_id))
        assert found, (chart_id, layer)
        return [int(height) for height in re.findall(r"v-(\d+)h", found[1])]


def points(path: str) -> list[list[tuple[int, int]]]:
    """The points of a path of SVG that has only ``M`` and relative ``l``."""
    found = []
    for part in path.split("M")[1:]:
        numbers = [int(number) for number in re.findall(r"-?\d+", part)]
        x, y = numbers[:2]
        run = [(x, y)]
        for dx, dy in zip(numbers[2::2], numbers[3::2], strict=True):
            x, y = x + dx, y + dy
            run.append((x, y))
        found.append(run)
    return found
