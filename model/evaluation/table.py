"""Tables of numbers in the terminal: as many below one another as its width asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_NAME_WIDTH = 24
_GAP = 2


def table_console() -> Console:
    """Return the console to print tables on: wide where it is no terminal, so that a file has whole rows."""
    console = Console()
    return console if console.is_terminal else Console(width=240)


def print_table(console: Console, heading: str, titles: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    """Print a table; one that is wider than the console goes on below, with the names of the rows again.

    Args:
        console: where to.
        heading: over the names of the rows.
        titles: of the columns.
        rows: name of the row → its cells, one for each column.
    """
    widths = [_GAP + max(cell_len(text) for text in column) for column in zip(titles, *rows.values(), strict=True)]
    names = min(_NAME_WIDTH, max(map(cell_len, (heading, *rows))))
    begin = 0
    while begin < len(titles):
        end, width = begin + 1, names + widths[begin]
        while end < len(titles) and width + widths[end] <= console.width:
            width += widths[end]
            end += 1
        table = Table(box=None, pad_edge=False)
        table.add_column(Text(heading), no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
        for title in titles[begin:end]:
            table.add_column(Text(title), justify="right", no_wrap=True)
        for name, cells in rows.items():
            table.add_row(Text(name), *map(Text, cells[begin:end]))
        if begin:
            console.print()
        console.print(table)
        begin = end
