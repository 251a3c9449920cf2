"""Loads a checkpoint as training will, so that `prepare` finds an incomplete one.

Reads checkpoint folders; writes nothing. Used by study/preparation.py.
"""

from pathlib import Path

from meld_lightning.pretrained.files import model_files

FACES = ("face", "face_detector")
LARGE = 4 << 30  # bytes of weights that are not loaded: the machine may not have the memory


def check_loads(folder: Path, role: str) -> None:
    """Loads config, preprocessing and, up to LARGE, weights of the checkpoint.

    role: the key of `checkpoints` that names it, which decides how models load it. A key that the
        user added is not checked, because its models are unknown.
    Raises UserError for what training would refuse.
    """
    if role not in ("bert", "roberta", "wav2vec2", "speech_emotion", "clip", *FACES):
        return
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    small = sum(file.stat().st_size for file in model_files(folder)) <= LARGE
    if role in ("bert", "roberta"):
        from meld_lightning.pretrained.text import load_encoder, text_config, text_tokenizer

        config = text_config(folder)
        text_tokenizer(folder, config)
        if small:
            load_encoder(folder, config)
    elif role == "wav2vec2":
        from meld_lightning.pretrained.speech import SpeechEncoder, speech_config, speech_extractor

        speech_config(folder)
        speech_extractor(folder)
        if small:
            SpeechEncoder(folder, "head", spec_augment=False)
    elif role == "speech_emotion" and small:
        from meld_lightning.pretrained.emotion import load_emotion

        load_emotion(folder)
    elif role == "clip" and small:
        from meld_lightning.pretrained.clip import Clip

        Clip(folder, None)
    elif role == "face" and small:
        from meld_lightning.pretrained.faces import FaceEncoder

        FaceEncoder(folder)
    elif role == "face_detector":
        from meld_lightning.media.face_detector import load_detector

        load_detector(folder)
