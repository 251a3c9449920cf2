"""Type and meaning of keys that no class of this project describes: entries of a mapping, and
arguments of a library's class, which `--help` must not import.

Used by `sections`.
"""

from typing import Any, Final

from meld_lightning.config.signatures import Parameter


def _parameters(group: str, annotation: Any, **docs: str) -> dict[str, Parameter]:
    return {f"{group}.{name}": Parameter(name, annotation, None, doc) for name, doc in docs.items()}


MEANINGS: Final[dict[str, Parameter]] = {
    **_parameters(
        "checkpoints",
        str | None,
        bert="text encoder of model=bert, bert_context and bert_recurrent",
        roberta="text encoder of model=roberta",
        wav2vec2="speech encoder of model=wav2vec2 and speech_probe",
        speech_emotion="speech encoder with an emotion head, of model=speech_emotion",
        clip="CLIP of model=clip and clip_probe",
        face="network for faces, of model=face_expression and face_probe",
        face_detector="TinyFaceDetector, with which media.keep=[faces] finds faces",
    ),
    **_parameters(
        "runs",
        str | None,
        text="folder, hash or name of the text run",
        audio="folder, hash or name of the audio run",
        video="folder, hash or name of the video run",
    ),
    **_parameters(
        "optimizer",
        list[float],
        betas="decay rates of AdamW's averages of the gradient and of its square",
    ),
    **_parameters(
        "optimizer",
        bool,
        fused="compute each step in one kernel, which is faster",
    ),
}
