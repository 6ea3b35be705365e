"""Names that come from outside, made harmless for a terminal, a page or a spreadsheet."""

from __future__ import annotations

import unicodedata

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_FORMULA = tuple("=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}")
_FORMULA += tuple("\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}")


def spell_out(text: object) -> str:
    r"""Write out what is invisible, breaks the line, steers a terminal, reverses writing, or is no character.

    Examples
    --------
    >>> print(spell_out("two\nlines \x1b[31mred"))
    two\nlines \x1b[31mred
    """
    return "".join(
        char if unicodedata.category(char) not in _HIDDEN else char.encode("unicode_escape").decode()
        for char in str(text)
    )


def defuse_cell(value: object) -> str:
    """Write a value for a cell of CSV: one line, and never a formula.

    A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` (wide forms too); an
    apostrophe before it makes it text.

    Examples
    --------
    >>> defuse_cell('=HYPERLINK("http://x")'), defuse_cell(0.5), defuse_cell(None)
    ('\\'=HYPERLINK("http://x")', '0.5', '')
    """
    text = "" if value is None else spell_out(value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
