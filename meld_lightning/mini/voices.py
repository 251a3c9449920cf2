"""Synthesises the mini corpus's voices: harmonics and noise through formants. Pitch contour, tempo
and timbre show the cue.

Reads and writes nothing; used by clips.py. The speaker's pitch, vocal tract and loudness are drawn
independently of the cue, and voices have equal power before the loudness is applied.

Axes: T samples, H harmonics.
"""

import random
from dataclasses import dataclass

import numpy as np

RATE = 16000
HARMONICS = np.arange(1, 31)


@dataclass(frozen=True)
class Tone:
    """The sound of a cue.

    pitch: relative to the speaker's own.
    slope: change of pitch over a syllable, in octaves.
    wave, rate: depth (octaves) and rate (Hz) of the vibrato.
    tempo: syllables per second.
    tilt: exponent of the harmonics' decay.
    breath: proportion of noise.
    formants: Hz.
    rough: depth of a 35 Hz tremolo.
    """

    pitch: float
    slope: float
    wave: float
    rate: float
    tempo: float
    tilt: float
    breath: float
    formants: tuple[float, float]
    rough: float = 0.0


TONES = {
    "neutral": Tone(1.0, 0.0, 0.0, 1.0, 4.0, 1.2, 0.02, (500, 1500)),
    "joy": Tone(1.5, 0.5, 0.25, 3.0, 6.0, 0.7, 0.02, (700, 2200)),
    "surprise": Tone(1.6, 1.1, 0.0, 1.0, 3.0, 0.8, 0.05, (850, 1200)),
    "anger": Tone(1.2, -0.5, 0.0, 1.0, 7.5, 0.2, 0.10, (900, 2800), 0.8),
    "sadness": Tone(0.8, -0.4, 0.0, 1.0, 2.0, 2.2, 0.05, (350, 900)),
    "disgust": Tone(0.65, -0.1, 0.0, 1.0, 3.0, 0.9, 0.05, (300, 2900), 0.9),
    "fear": Tone(1.7, 0.1, 0.30, 9.0, 5.5, 1.0, 0.35, (450, 2500)),
    "murmur": Tone(0.9, 0.0, 0.0, 1.0, 3.0, 1.6, 0.55, (300, 600)),
    "shout": Tone(1.4, 0.0, 0.0, 1.0, 5.0, 0.1, 0.02, (1100, 1800)),
    "gasp": Tone(1.3, 0.3, 0.0, 1.0, 4.5, 1.0, 0.90, (1500, 3300)),
}


def speak(cue: str, seconds: float, stream: random.Random) -> np.ndarray:
    """float32 (T,) at RATE: `seconds` of speech-like sound."""
    tone, count = TONES[cue], max(1, round(seconds * RATE))
    own, tract = stream.uniform(110, 170), stream.uniform(0.92, 1.08)
    tempo = tone.tempo * stream.uniform(0.9, 1.1)
    time = np.arange(count) / RATE
    beat = (time * tempo + stream.random()) % 1.0
    octaves = tone.slope * (beat - 0.5) + tone.wave * np.sin(
        2 * np.pi * (tone.rate * time + stream.random())
    )
    pitch = own * tone.pitch * 2.0**octaves
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    mean_pitch = own * tone.pitch
    sound = np.zeros(count)
    for harmonic in HARMONICS[mean_pitch * HARMONICS < 6000]:
        sound += (
            _gain(mean_pitch * harmonic, tone, tract)
            / harmonic**tone.tilt
            * np.sin(harmonic * phase)
        )
    noise = np.random.default_rng(stream.getrandbits(32)).normal(size=count)
    sound = _normal(sound) * (1 - tone.breath) + _normal(_shaped(noise, tone, tract)) * tone.breath
    sound *= np.clip(1.25 * np.sin(np.pi * beat), 0.05, 1) * (
        1 + tone.rough * np.sin(2 * np.pi * 35 * time)
    )
    return (_normal(sound) * 0.08 * 10 ** stream.uniform(-0.3, 0.3)).astype(np.float32)


def _gain(hertz: float | np.ndarray, tone: Tone, tract: float) -> np.ndarray:
    """The gain of two resonances above a constant floor."""
    peaks = [
        1 / (1 + ((np.asarray(hertz) - formant * tract) / 180) ** 2) for formant in tone.formants
    ]
    return np.asarray(0.05 + sum(peaks))


def _shaped(noise: np.ndarray, tone: Tone, tract: float) -> np.ndarray:
    """Noise filtered by the same resonances."""
    spectrum = np.fft.rfft(noise)
    return np.fft.irfft(
        spectrum * _gain(np.fft.rfftfreq(len(noise), 1 / RATE), tone, tract), len(noise)
    )


def _normal(sound: np.ndarray) -> np.ndarray:
    return sound / (np.sqrt(np.mean(sound**2)) + 1e-9)
