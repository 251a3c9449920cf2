"""Suggests the known config key that an unknown one was probably meant to be. Used by the messages
about unknown keys, on the command line and in files."""

from collections.abc import Iterable

from meld_lightning.errors import near_miss

TABLES = "table."
# the least similarity of a key of the same node, and of another node
BESIDE, ELSEWHERE = 0.6, 0.75


def suggestion(key: str, known: Iterable[str]) -> str:
    """` (did you mean 'optimizer.lr'?)` for `lr` or `model.lr`: a key with the same last part, else
    one spelt much like it; else the empty string.

    Keys of tables, some of which are named like keys of runs, are suggested only for one another.
    """
    known = [name for name in known if name.startswith(TABLES) == key.startswith(TABLES)]
    leaf = key.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] == leaf and name != key]
    if 0 < len(same) <= 3:
        return f" (did you mean {' or '.join(map(repr, same))}?)"
    parent = key.rpartition(".")[0]
    beside = [name for name in known if name.rpartition(".")[0] == parent]
    if found := near_miss(key, beside, BESIDE):
        return found
    close = near_miss(leaf, {name.rpartition(".")[2] for name in known}, ELSEWHERE)
    meant = close.split("'")[1] if close else ""
    full = [name for name in known if name.rpartition(".")[2] == meant]
    return f" (did you mean {full[0]!r}?)" if full else near_miss(key, known, ELSEWHERE)
