"""Pictures and CSV files of results."""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurenix._atomic import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int) -> None:
    """Draws a picture of the kind that the path's ending says; names in it are shown as they are, not as formulas."""
    import matplotlib as mpl
    from matplotlib.text import Text

    data = io.BytesIO()
    with mpl.rc_context({"text.parse_math": False, "text.usetex": False}), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of characters that the font does not have
        for text in figure.findobj(Text):
            text.set_parse_math(False)
        figure.savefig(data, format=Path(path).suffix[1:].lower() or None, dpi=dpi)
    with writing(path, len(data.getbuffer())) as file:
        file.write(data.getvalue())


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    r"""Lines of CSV. Texts that a spreadsheet would run as a formula begin with an apostrophe.

    >>> csv_text([["=1+1", "-x", "-1.5", -2]])
    "'=1+1,'-x,-1.5,-2\n"
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
