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
OTHER = Colour("#997700", "#D9BC55")  # a modality of the user's own


def colour_of(modality: str) -> Colour:
    """The colour of a modality's runs; of a fusion's for `fusion`."""
    return MODALITIES.get(modality, OTHER)
