"""Numbered remarks on the paper, printed below the tables whose specs name them."""

from collections.abc import Mapping

from meld_lightning.study.spec import Table, spec_error

NOTES: dict[int, str] = {
    1: (
        "MELD's own split is 9989 / 1109 / 2610 utterances. The paper's 1112 is the number of dev"
        " files; its 4807 probably counts the 2747 real test clips and about 2060 macOS stub files"
        " in the test archive (our inference). Neither is a number of utterances."
    ),
    2: (
        "The paper's Table 10 mixes metrics: T .6547 is Table 5's accuracy (printed there as"
        " .6548), A .3375 is Table 8's accuracy, and V .2479 is Table 9's weighted F1. The paper"
        " does not say which metric the fused .45 is."
    ),
    3: (
        "The constant baseline predicts the most common train label for every utterance. On MELD's"
        " test split it reaches accuracy .481 and weighted F1 .313, above the paper's audio and"
        " video models and, if its .45 is an accuracy, its fusion."
    ),
    4: (
        "The paper's first row prints learning rate 2e-4 at batch size 8, but its text says 1e-4."
        " We follow the table."
    ),
    5: (
        "The paper does not name the rows of its Tables 3 and 5; we take them in the order of"
        " Tables 2 and 4. What the paper calls weighted accuracy is accuracy."
    ),
    6: (
        "The paper's text says that 256 tokens ran out of memory and 512 did not, which is"
        " implausible: MELD's longest utterance has 69 words, so with either limit most of a padded"
        " sequence is padding."
    ),
    7: "SACL-LSTM's 66.86 is its best single seed; its mean over five seeds is 66.45.",
    8: (
        "With MELD's 280 test dialogues, the 95 % interval of one run's weighted F1 is ±2.3 points"
        " or more, and that of the difference between two runs about ±1.5 (study meld_minilm,"
        " without the variance of seeds). The paper reports one run for each row."
    ),
    9: "The paper's recall of .64 in row 2 is .6436 rounded: weighted recall equals accuracy.",
    10: (
        "The paper does not say how its wav2vec2 was trained; we fine-tune it. An existing emotion"
        " checkpoint, scored without training, is shown beside it."
    ),
    11: (
        "The paper fuses with fixed weights, the largest for text, but does not print them;"
        " `average` uses 0.5, 0.25 and 0.25. The other fusions are fitted on val and"
        " cross-validated over its dialogues; T+A+V and the pairs use whichever fusion or single"
        " modality is best there."
    ),
}


def check_notes(tables: Mapping[str, Table]) -> None:
    """UserError if a table names a note that does not exist."""
    for table in tables.values():
        for number in table.notes:
            if number not in NOTES:
                raise spec_error(
                    table.name,
                    "notes",
                    f"names note {number}, but report/notes.py has 1-{max(NOTES)}",
                )


def notes_of(table: Table) -> list[str]:
    """The table's notes as printed."""
    return [f"Note {number}. {NOTES[number]}" for number in table.notes]
