"""Shows an answer on the demo's page, as HTML without scripts, and draws a waveform.

Reads and writes nothing. Used by page.py. Axes: N utterances of val, C labels.
"""

import html
import io
from typing import Any

import numpy as np
import pandas as pd

from meld_lightning.inference.answers.output import LABEL, SHARE, labels_of, modalities_of
from meld_lightning.inference.val_scores import ValScores

NEAR = 0.1  # an answer is compared with answers on val whose confidence differs by at most this
FEWEST = 10  # such answers on val that a comparison needs
STYLE = """
.answer {font-size: 15px; line-height: 1.45; overflow-wrap: anywhere}
.answer h3 {margin: 0 0 .5em; font-size: 22px}
.answer .row {display: grid; grid-template-columns: minmax(4.5em, 7em) 1fr 3.6em; gap: .6em;
  align-items: center; margin: .25em 0}
.answer .track {background: rgba(127, 127, 127, .18); border-radius: 4px; height: 14px}
.answer .fill {background: #4477AA; border-radius: 4px; height: 14px}
.answer .best .fill {background: #CC6677}
.answer .best {font-weight: 600}
.answer .value {text-align: right; font-variant-numeric: tabular-nums}
.answer p {margin: .6em 0 0}
.answer .parts {display: flex; height: 14px; border-radius: 4px; overflow: hidden; margin: .3em 0}
.answer .problem {border-left: 4px solid #CC6677; padding: .4em .8em}
"""
COLOURS = ("#4477AA", "#228833", "#AA4499", "#888822", "#BB5566")  # of modalities


def answer_html(answers: pd.DataFrame, val: ValScores) -> str:
    """The first answer: emotion, probabilities, shares, missing modalities, and how often answers
    of similar confidence were right on val."""
    row = answers.iloc[0]
    ranked = sorted(labels_of(answers), key=lambda label: -row[LABEL + label])
    confidence = _percent(row["confidence"])
    title = f"{text_html(row['emotion'])}, {confidence}"
    if row["abstained"]:
        reason = "Too uncertain to answer" if row["used"] else "Nothing could be read"
        title = f"{reason} (most probable: {title})"
    bars = "".join(_bar(label, row[LABEL + label], label == row["emotion"]) for label in ranked)
    missing = "".join(
        f"<p>Missing: {text_html(name)} ({text_html(reason)})</p>"
        for name, reason in row["missing"].items()
    )
    return (
        f'<div class="answer"><h3>{title}</h3>{bars}'
        f"<p>Each modality's share in the decision:</p>{_shares(row, modalities_of(answers))}"
        f"{missing}<p>{calibration(row['confidence'], val)}</p></div>"
    )


def text_html(words: str) -> str:
    """Text as HTML shows it, on one line: the page shows HTML through Markdown, where a blank line
    would end the HTML."""
    return html.escape(" ".join(words.split()))


def problem_html(message: str) -> str:
    """An error message of one line."""
    return f'<div class="answer"><p class="problem" role="alert">{text_html(message)}</p></div>'


def calibration(confidence: float, val: ValScores) -> str:
    """A sentence on how often answers of similar confidence were right on val."""
    right_N, near_N = ~val.mistakes, np.abs(val.confidences - confidence) <= NEAR
    if near_N.sum() < FEWEST:
        return (
            f"Too few of the {len(right_N)} val utterances had a similar confidence for a"
            " comparison."
        )
    return (
        f"Of the {near_N.sum()} val utterances with a similar confidence"
        f" (within {_percent(NEAR)}), {_percent(right_N[near_N].mean())} were answered correctly."
    )


def caption(labels: list[str], probabilities_C: np.ndarray) -> str:
    """The two most probable labels of a frame."""
    best = np.argsort(-probabilities_C)[:2]
    return ", ".join(f"{labels[one]} {_percent(probabilities_C[one])}" for one in best)


def waveform_picture(waveform: np.ndarray, rate: int) -> Any:
    """A picture (PIL) of the waveform, float32 (T,); None without sound."""
    if not len(waveform):
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    group = max(1, len(waveform) // 1000)
    frames_FT = waveform[: len(waveform) // group * group].reshape(-1, group)
    times = np.arange(len(frames_FT)) * group / rate
    figure = Figure(figsize=(8, 1.6), layout="constrained")
    axis = figure.add_subplot()
    axis.fill_between(times, frames_FT.min(1), frames_FT.max(1), color="#4477AA", linewidth=0.3)
    axis.set(yticks=[], xlabel="seconds", xlim=(0, len(waveform) / rate))
    axis.spines[["top", "right", "left"]].set_visible(False)
    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return Image.open(content)


def _bar(label: str, value: float, best: bool) -> str:
    return (
        f'<div class="row{" best" if best else ""}"><span>{text_html(label)}</span>'
        f'<div class="track"><div class="fill" style="width:{100 * value:.1f}%"></div></div>'
        f'<span class="value">{_percent(value)}</span></div>'
    )


def _shares(row: Any, modalities: list[str]) -> str:
    used = [name for name in modalities if name in row["used"]]
    if not used:
        return "<p>none: the probabilities are the prior</p>"
    parts, said = "", []
    for place, name in enumerate(used):
        share, colour = row[SHARE + name], COLOURS[place % len(COLOURS)]
        parts += f'<div style="flex:{max(abs(share), 0.001):.4f};background:{colour}"></div>'
        against = " (against it)" if share < 0 else ""
        said.append(f'<b style="color:{colour}">{text_html(name)}</b> {_percent(share)}{against}')
    return f'<div class="parts" aria-hidden="true">{parts}</div><span>{", ".join(said)}</span>'


def _percent(value: float) -> str:
    return f"{100 * value:.0f}%"
