"""Word times of known text by a teacher: PocketSphinx's English hidden Markov model in forced alignment."""

import re
import subprocess
from pathlib import Path

import numpy
import pocketsphinx

from corpora import Utterance

MODEL = Path(pocketsphinx.__file__).parent / "model" / "en-us"
FRAME_SECONDS = 0.01
# flite's names for two phones that PocketSphinx's set lacks.
PHONES = {"AX": "AH", "AXR": "ER"}


class Teacher:
    """A decoder with a dictionary that grows by flite's letter-to-sound rules.

    `offset` is added to both edges. PocketSphinx's frames are labelled by their left edge although its window of 25 ms
    looks further on, so its edges come a little early; `measured_offset` says by how much on speech with exact times.
    """

    def __init__(self, offset: float = 0.0):
        dictionary = MODEL / "cmudict-en-us.dict"
        lines = dictionary.read_text().splitlines()
        self.known = {re.sub(r"\(\d+\)$", "", line.split()[0]) for line in lines if line.strip()}
        self.offset = offset
        self.decoder = pocketsphinx.Decoder(
            hmm=str(MODEL / "en-us"), dict=str(dictionary), lm=None, loglevel="FATAL",
            beam=1e-80, wbeam=1e-60, pbeam=1e-80, bestpath=False, fwdflat=False,
        )

    def teach(self, word: str) -> bool:
        """Adds a word that the dictionary lacks; False where its sound cannot be told."""
        command = ["flite", "-voice", "kal16", "-t", word, "-ps", "-o", "none"]
        said = subprocess.run(command, capture_output=True, text=True)
        phones = [re.sub(r"\d", "", phone).upper() for phone in said.stdout.split() if phone != "pau"]
        if not phones:
            return False
        self.decoder.add_word(word, " ".join(PHONES.get(phone, phone) for phone in phones), True)
        self.known.add(word)
        return True

    def decode(self, samples: bytes):
        """One pass over the recording."""
        self.decoder.start_utt()
        self.decoder.process_raw(samples, full_utt=True)
        self.decoder.end_utt()

    def place(self, utterance: Utterance) -> list[tuple[float, float]] | None:
        """(start, end) of every word in seconds; None where the text does not fit the recording."""
        if not all(word in self.known or self.teach(word) for word in set(utterance.words)):
            return None
        samples = (numpy.clip(utterance.samples, -1, 1) * 32767).astype(numpy.int16).tobytes()
        try:
            self.decoder.set_align_text(" ".join(utterance.words))
            self.decode(samples)
            if self.decoder.hyp() is None:
                return None
            self.decoder.set_alignment()
            self.decode(samples)
            placed = list(self.decoder.get_alignment().words())
        except RuntimeError:
            return None
        named = [(re.sub(r"\(\d+\)$", "", word.name), word.start, word.start + word.duration) for word in placed]
        named = [item for item in named if not re.match(r"[<\[]", item[0])]
        if [name for name, _, _ in named] != utterance.words:
            return None
        return [(start * FRAME_SECONDS + self.offset, end * FRAME_SECONDS + self.offset) for _, start, end in named]


def measured_offset(teacher: Teacher, exact: list[Utterance]) -> float:
    """What has to be added to the teacher's edges so that their median error on exactly known speech is nil."""
    errors = []
    for utterance in exact:
        placed = teacher.place(utterance)
        for (start, end), (exact_start, exact_end) in zip(placed or [], utterance.times or []):
            errors += [exact_start - start, exact_end - end]
    return float(numpy.median(errors))
