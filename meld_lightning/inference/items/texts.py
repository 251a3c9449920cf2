"""Checks texts that users give.

Reads and writes nothing. Used by table.py and table_files.py.
"""

from meld_lightning.corpus.texts import has_text
from meld_lightning.errors import UserError

MAX_CHARACTERS = 100_000  # far more than any model reads; a longer text is a file given by mistake


def checked_text(text: str, where: str, required: bool = False) -> str:
    """`text` itself; UserError, which begins with `where`, if it is too long or not valid Unicode
    or, with `required`, if it contains only blanks."""
    if len(text) > MAX_CHARACTERS:
        raise UserError(
            f"{where}: {len(text):,} characters, expected one utterance of at most"
            f" {MAX_CHARACTERS:,}; give a shorter text"
        )
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"{where}: is not valid Unicode; save or type it as UTF-8")
    if required and not has_text(text):
        raise UserError(f"{where}: is empty; give an utterance, or leave it out")
    return text
