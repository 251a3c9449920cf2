"""The remarks on the paper that its tables carry as footnotes; a table's spec names them by
number."""

NOTES: dict[int, str] = {
    1: (
        "MELD's own split is 9989 / 1109 / 2610 utterances. The paper's 1112 is the number of dev"
        " files; its 4807 fits the 2747 real test clips plus about 2060 macOS stubs in the test"
        " archive (inferred). Neither is a sample count."
    ),
    2: (
        "The paper's Table 10 mixes metrics: T .6547 is Table 5's accuracy (.6548 there), A .3375"
        " Table 8's accuracy, V .2479 Table 9's weighted F1. Which of them the fused .45 is, is not"
        " said."
    ),
    3: (
        "The constant baseline predicts the commonest label of train for every utterance. On MELD's"
        " test split it reaches accuracy .481 and weighted F1 .313, above the paper's audio and"
        " video models and, by accuracy, its fusion."
    ),
    4: (
        "The paper's first row prints learning rate 2e-4 at batch 8; its text says 1e-4. The table"
        " is taken."
    ),
    5: (
        "The paper's Tables 3 and 5 do not name their rows; they are taken in the order of Tables 2"
        " and 4. What the paper calls weighted accuracy is accuracy."
    ),
    6: (
        "The paper's text says that 256 tokens ran out of memory where 512 did not, which is"
        " implausible: MELD's longest utterance has 69 words, so that either limit pads almost"
        " everything away."
    ),
    7: "SACL-LSTM's 66.86 is its best single seed; its own mean over five seeds is 66.45.",
    8: (
        "With MELD's 2610 test utterances the 95 % interval of a weighted F1 is about ±1.8 points:"
        " most differences inside the paper's Tables 2-7 are noise."
    ),
    9: "The paper's recall .64 in row 2 is .6436 rounded: weighted recall equals accuracy.",
    10: (
        "The paper does not say how its wav2vec2 was trained; it is fine-tuned here. An existing"
        " emotion checkpoint, scored as it is, stands beside it."
    ),
    11: (
        "The paper fuses with fixed weights, text's the largest, and prints none: 0.5, 0.25 and"
        " 0.25 are taken for `average`. The other fusions are fitted on val and cross-validated"
        " over its dialogues; T+A+V and the pairs take the best of them and of the single"
        " modalities there."
    ),
}
