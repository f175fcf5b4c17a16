"""How transcripts in WhisperX's JSON schema are scored against a folder of reference recordings.

The folder holds `manifest.jsonl`, one JSON object a recording: id, path, seconds, language, set and, where there is a
reference, transcript, words (path of [{word, start, end}]), rttm or rttm_words (paths), overlap (true: not for word errors).
"""
import collections
import json
import os
import re
import statistics
import zlib

import jiwer
from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

#: Written without spaces between words: errors are counted by character.
UNSPACED = {"zh", "ja", "yue", "th"}
#: Cantonese is Chinese to models that know no other name for it.
SAME_LANGUAGE = {"yue": {"yue", "zh"}}
#: Text that zlib shrinks by more than this repeats itself (the threshold of Whisper's own gate).
LOOP_RATIO = 2.4
DIGITS = "zero one two three four five six seven eight nine".split()
NORMALIZERS = {True: EnglishTextNormalizer(), False: BasicTextNormalizer()}


def load_manifest(folder, sets=()):
    with open(os.path.join(folder, "manifest.jsonl"), encoding="utf-8") as lines:
        recordings = [json.loads(line) for line in lines if line.strip()]
    return [recording for recording in recordings if not sets or recording["set"] in sets]


def letters(text):
    return re.sub(r"[\W_]", "", text.lower())


def word_errors(language, reference, hypothesis):
    """(errors, length of the reference), both in words; in characters where words are not written apart."""
    normal = NORMALIZERS[language == "en"]
    reference, hypothesis = normal(reference).strip(), normal(hypothesis).strip()
    if language in UNSPACED:
        reference, hypothesis = " ".join(letters(reference)), " ".join(letters(hypothesis))
    elif re.fullmatch(r"[\d ]+", reference):
        # The normalizer joins spoken digits into one number; they are scored digit by digit.
        reference = " ".join(reference.replace(" ", ""))
        hypothesis = " ".join(part for word in hypothesis.split() for part in (word if word.isdigit() else [word]))
    if not reference:
        return len(hypothesis.split()), 0
    counts = jiwer.process_words(reference, hypothesis)
    wrong = counts.substitutions + counts.deletions
    return wrong + counts.insertions, counts.hits + wrong


def timed_forms(words):
    """(spoken form, start, end) of each word; of a number written in digits, one for each digit, with what times are known."""
    forms = []
    for word in words:
        plain = letters(word["word"])
        if not plain or word.get("start") is None:
            continue
        spoken = [DIGITS[int(digit)] for digit in plain] if plain.isdigit() and plain.isascii() else [plain]
        for index, form in enumerate(spoken):
            last = index == len(spoken) - 1
            forms.append((form, word["start"] if index == 0 else None, word["end"] if last else None))
    return forms


def word_time_errors(reference, hypothesis):
    """Absolute errors in seconds of the starts and the ends of reference words that the hypothesis has, and how many it lacks."""
    ours, theirs = timed_forms(reference), timed_forms(hypothesis)
    if not ours or not theirs:
        return [], [], len(ours)
    alignment = jiwer.process_words(" ".join(form for form, _, _ in ours), " ".join(form for form, _, _ in theirs)).alignments[0]
    starts, ends, found = [], [], 0
    for part in alignment:
        if part.type != "equal":
            continue
        for offset in range(part.ref_end_idx - part.ref_start_idx):
            _, start, end = ours[part.ref_start_idx + offset]
            _, got_start, got_end = theirs[part.hyp_start_idx + offset]
            found += 1
            if got_start is not None and start is not None:
                starts.append(abs(start - got_start))
            if got_end is not None and end is not None:
                ends.append(abs(end - got_end))
    return starts, ends, len(ours) - found


def sound_words(words, seconds):
    """How many words have start < end inside the file and do not start before the word ahead of them."""
    sound, last = 0, 0.0
    for word in words:
        start, end = word.get("start"), word.get("end")
        if start is not None and end is not None and last <= start < end <= seconds + 0.05:
            sound += 1
        last = max(last, start or 0.0)
    return sound


def loops(hypothesis):
    """Whether a segment repeats itself."""
    texts = [segment["text"].encode() for segment in hypothesis["segments"]]
    return any(len(text) / len(zlib.compress(text)) > LOOP_RATIO for text in texts if text)


def hears_language(recording, hypothesis):
    """Whether the transcript is in the language that the recording names."""
    language = recording["language"]
    return hypothesis.get("language") in SAME_LANGUAGE.get(language, {language})


def derails(recording, hypothesis):
    """Whether the transcript repeats itself or is in another language than the recording names."""
    return loops(hypothesis) or (recording["language"] not in ("und", None) and not hears_language(recording, hypothesis))


def annotation(turns):
    from pyannote.core import Annotation, Segment
    result = Annotation()
    for number, (start, end, speaker) in enumerate(turns):
        if end > start:
            result[Segment(start, end), number] = speaker
    return result


def read_rttm(path):
    with open(path, encoding="utf-8") as lines:
        parts = [line.split() for line in lines if line.startswith("SPEAKER")]
    return annotation((float(part[3]), float(part[3]) + float(part[4]), part[7]) for part in parts)


def diarization_errors(folder, recording, hypothesis, collar):
    """pyannote.metrics' parts of the error, in seconds, and whether the number of speakers is right; overlap is scored."""
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate
    reference = read_rttm(os.path.join(folder, recording.get("rttm_words") or recording["rttm"]))
    turns = annotation((turn["start"], turn["end"], turn["speaker"]) for turn in hypothesis.get("turns", []))
    # The metric's collar is the whole width of what it leaves out around an edge.
    metric = DiarizationErrorRate(collar=2 * collar, skip_overlap=False)
    parts = metric(reference, turns, uem=Timeline([Segment(0, recording["seconds"])]), detailed=True)
    return parts, len(reference.labels()) == len(turns.labels())


class Score:
    """What is counted over the recordings of a set."""

    def __init__(self):
        self.sums = collections.Counter()
        self.starts, self.ends = [], []

    def add(self, folder, recording, hypothesis, collar=0.25):
        sums = self.sums
        words = [word for segment in hypothesis["segments"] for word in segment.get("words", [])]
        sums["files"] += 1
        sums["loops"] += loops(hypothesis)
        sums["words"] += len(words)
        sums["sound"] += sound_words(words, recording["seconds"])
        language = recording["language"]
        if language not in ("und", None):
            sums["languages"] += 1
            sums["right"] += hears_language(recording, hypothesis)
        if recording.get("transcript") and not recording.get("overlap"):
            text = " ".join(segment["text"].strip() for segment in hypothesis["segments"])
            errors, length = word_errors(language, recording["transcript"], text)
            sums.update(errors=errors, length=length)
        if recording.get("words"):
            with open(os.path.join(folder, recording["words"]), encoding="utf-8") as file:
                starts, ends, lost = word_time_errors(json.load(file), words)
            self.starts += starts
            self.ends += ends
            sums["lost"] += lost
        if (recording.get("rttm") or recording.get("rttm_words")) and "turns" in hypothesis:
            parts, right = diarization_errors(folder, recording, hypothesis, collar)
            sums.update(speech=parts["total"], missed=parts["missed detection"], false=parts["false alarm"], confused=parts["confusion"], counted=1, count_right=right)

    def merge(self, other):
        self.sums.update(other.sums)
        self.starts += other.starts
        self.ends += other.ends

    def cells(self):
        """The cells of a table's row: see COLUMNS."""
        sums = self.sums
        share = lambda part, whole: f"{100 * sums[part] / sums[whole]:.1f}" if sums[whole] else ""
        ratio = lambda part, whole: f"{sums[part]}/{sums[whole]}" if sums[whole] else ""
        spread = lambda errors: f"{1000 * statistics.median(errors):.0f} / {1000 * sorted(errors)[int(0.9 * len(errors))]:.0f}" if errors else ""
        speaker = f"{100 * (sums['missed'] + sums['false'] + sums['confused']) / sums['speech']:.1f}" if sums["speech"] else ""
        parts = " / ".join(share(part, "speech") for part in ("missed", "false", "confused")) if sums["speech"] else ""
        return [str(sums["files"]), share("errors", "length"), ratio("right", "languages"), str(sums["loops"]), share("sound", "words"),
                spread(self.starts), spread(self.ends), str(sums["lost"]) if self.starts else "", speaker, parts, ratio("count_right", "counted")]


COLUMNS = ["files", "WER %", "language right", "loops", "sound words %", "starts ms med / p90", "ends ms med / p90", "words lost", "DER %", "missed / false / confused %", "speakers right"]
