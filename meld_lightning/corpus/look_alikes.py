"""One spelling for text that looks the same: names are compared, and texts tokenised, in it.

Reads and writes nothing. Used by the readers for labels, ids, speakers, dialogues, columns and file
names, and for utterances.
"""

import re
import unicodedata

# Removed from names: characters that are not drawn (Unicode's Cf: zero-width blanks and joiners,
# byte order marks, soft hyphens, direction marks) and the selectors of a character's variant.
_VARIANTS = ("\ufe0e", "\ufe0f")
_JOINED = re.compile("(?<=[\u2190-\u2bff\U0001f000-\U0001faff])\u200d")  # emoji of several parts
_KEPT = "\0"  # stands for a joiner that is kept; no name contains it

# Cyrillic and Greek letters that are drawn like these Latin ones
_TWINS = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u03bf\u03bd\u03b9\u03b1",
    "aeopcyxijshovia",
)


def clean_name(name: str) -> str:
    """A name without what cannot be seen: composed (Unicode's NFC), without zero-width characters,
    every kind of blank as a plain one, none at the ends. Case and visible characters are kept."""
    if name.isascii() and name.isprintable():  # the usual case, and a fast one
        return name.strip()
    marked = _JOINED.sub(_KEPT, "".join(one for one in name if one not in _VARIANTS))
    plain = "".join(_plain(character) for character in marked).replace(_KEPT, "\u200d")
    return unicodedata.normalize("NFC", plain).strip()


def shape(name: str) -> str:
    """What names that differ only in case, or in letters that look the same, have in common."""
    return unicodedata.normalize("NFKC", name).casefold().translate(_TWINS)


def clean_text(text: str) -> str:
    """An utterance with its characters composed (Unicode's NFC) and otherwise as it is."""
    return unicodedata.normalize("NFC", text)


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if character == _KEPT:
        return character
    if category == "Cf":
        return ""
    return " " if category in ("Zs", "Zl", "Zp", "Cc") else character
