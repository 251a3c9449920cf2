"""Whether an utterance has any text.

Reads and writes nothing. Used by the corpus report, by data/tokens.py and for a run's identity.
"""

import unicodedata

INVISIBLE = ("Cc", "Cf", "Zl", "Zp", "Zs")  # Unicode's control, format and blank characters


def has_text(text: str) -> bool:
    """False for a text that is empty or holds nothing but blanks and control characters."""
    return any(unicodedata.category(character) not in INVISIBLE for character in text)
