"""The colours of modalities, the same in every figure and on the page.

They are Paul Tol's "bright" scheme, which readers with colour-blindness can tell apart, and lighter
variants of it for a dark background. Used by the page and by figures of modalities.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """A colour on a light and on a dark background."""

    light: str
    dark: str


MODALITIES = {
    "text": Colour("#4477AA", "#7FB2E5"),
    "audio": Colour("#228833", "#6CC47C"),
    "video": Colour("#AA3377", "#E58BBD"),
    "fusion": Colour("#222222", "#EEEEEE"),
}
# modalities of the user's own, in the order in which they appear
OTHERS = (Colour("#997700", "#D9BC55"), Colour("#B5404B", "#F0909A"), Colour("#1B7F9C", "#7CCDE6"))


def colour_of(modality: str) -> Colour:
    """The colour of a modality's runs, or of fusions for `fusion`; the first of OTHERS for a
    modality that is not among MODALITIES."""
    return MODALITIES.get(modality, OTHERS[0])
