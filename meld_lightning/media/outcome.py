"""The outcome of decoding a corpus's clips, for its report: which utterances have frames and sound,
which lack them and why, and which lost part of their clip.

Reads a Media; writes nothing. Used by `prepare`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from meld_lightning.media.chunks import KINDS, is_silent, kinds_of
from meld_lightning.media.losses import Losses, is_doubtful
from meld_lightning.media.store import Media

if TYPE_CHECKING:
    import pandas as pd

LOSSES = tuple(field.name for field in fields(Losses))
NAMED = 10  # doubtful clips in the summary; the report names all


def media_report(media: Media, table: pd.DataFrame) -> dict[str, Any]:
    """The outcome of decoding, for the corpus report, as JSON-able data.

    Keys: summary (one line), counts {kind: {split: utterances that have it}}, rows [{key, modality,
    reason}] for the utterances without it, repaired [{key, not_finite, decoded}] for those whose
    sound had samples that are not finite, replaced by silence, silent [key] for those whose sound
    is 0 throughout and is kept, lost [{key, modality, packets,
    dropped, damaged, cut, doubtful}] for the tracks that lost a part (see losses.py).
    """
    kept = [kind for kind in KINDS if kind in media.settings["keep"]]
    has = {kind: media.counts(kind) > 0 for kind in kinds_of(media.settings)}
    splits = table["split"].to_numpy()
    counts = {
        kind: {str(s): int((has[kind] & (splits == s)).sum()) for s in dict.fromkeys(splits)}
        for kind in kept
    }
    rows = [
        {"key": key, "modality": kind, "reason": reason}
        for kind in kept
        # a corpus without any clips is just text
        if has[kind].any() or (kind == "faces" and media.frames_searched)
        for key, reason in media.reasons[kind].items()
    ]
    repaired = [
        {"key": entry["key"], **{name: entry["audio"][name] for name in ("not_finite", "decoded")}}
        for entry in media.entries
        if "not_finite" in entry["audio"]
    ]
    silent = [entry["key"] for entry in media.entries if is_silent(entry["audio"])]
    lost = [
        {"key": entry["key"], "modality": kind, **losses, "doubtful": is_doubtful(losses)}
        for entry in media.entries
        for kind in kept
        if (losses := {name: entry[kind][name] for name in LOSSES if name in entry[kind]})
    ]
    frames, hours = (
        int(media.frame_counts.sum()),
        media.samples.sum() / media.settings["rate"] / 3600,
    )
    summary = (
        f"{frames} frames, {hours:.2f} hours of sound; frames or sound missing in"
        f" {sum(row['modality'] != 'faces' for row in rows)} cases"
    )
    if "faces" in kept:
        summary += f"; {_faces_summary(media)}"
    if repaired:
        plural = "s" if len(repaired) > 1 else ""
        summary += f"; samples that are not finite became silence in {len(repaired)} clip{plural}"
    if silent:
        plural = "s" if len(silent) > 1 else ""
        summary += f"; silent throughout: {len(silent)} clip{plural}"
    if lost:
        summary += f"; parts of {len(lost)} tracks lost"
    if doubtful := list(dict.fromkeys(row["key"] for row in lost if row["doubtful"])):
        summary += f"; doubtful, with more than a tenth or their end lost: {_named(doubtful)}"
    return {
        "summary": summary if any(map(np.any, has.values())) else "none",
        "counts": counts,
        "rows": rows,
        "repaired": repaired,
        "silent": silent,
        "lost": lost,
    }


def _faces_summary(media: Media) -> str:
    counts = media.counts("faces")
    without = sum(entry["faces"].get("empty", 0) for entry in media.entries)
    return (
        f"{counts.sum()} faces in {np.count_nonzero(counts)} clips; no face in {without} of"
        f" {media.frames_searched} frames"
    )


def nothing_decoded(media: Media, table: pd.DataFrame) -> str | None:
    """A line if rows name files and not one could be decoded; else None."""
    if any(media.counts(kind).any() for kind in media.settings["keep"]):
        return None
    files = int(table[["clip", "audio"]].notna().any(axis=1).sum())
    reasons = Counter(
        reason
        for kind in media.settings["keep"]
        for reason in media.reasons[kind].values()
        if reason != "no file"
    )
    if not files or not reasons:
        return None
    return f"not one of the clips of {files} rows can be decoded: {reasons.most_common(1)[0][0]}"


def _named(keys: Sequence[str]) -> str:
    more = len(keys) - NAMED
    return ", ".join(keys[:NAMED]) + (f" and {more} more" if more > 0 else "")
