"""Golden values for the figures of evaluation: evaluation.json beside this file.

Needs Python with pyannote.metrics==4.2.0, meeteval==0.4.3 and diarizationlm==0.1.5 (which brings word-levenshtein).

    python tests/golden/generate_evaluation.py

turns: random recordings (seconds, reference, hypothesis: [start, end, speaker]) and, for each scoring (collar on either
side, skip_overlap), what DiarizationErrorRate and JaccardErrorRate make of them with the whole recording as the evaluated
region. words: random texts of two sides ([speaker, text] in order) with MeetEval's cpWER and DiarizationLM's WDER.
"""

import json
import random
from pathlib import Path

import meeteval
from diarizationlm.metrics import compute_utterance_metrics
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

HERE = Path(__file__).parent
SCORINGS = [(0.0, False), (0.25, False), (0.0, True), (0.25, True)]
VOCABULARY = "the a of one two three yes no well then there was they said who went home again".split()


def annotation(turns):
    made = Annotation()
    for track, (start, end, speaker) in enumerate(turns):
        made[Segment(start, end), track] = speaker
    return made


def random_turns(chance, seconds, speakers, count, style):
    """Turns one after another: apart, touching, or overlapping, also with the same speaker."""
    turns, time = [], chance.uniform(0, 3)
    for _ in range(count):
        length = chance.choice([chance.uniform(0.01, 0.4), chance.uniform(0.4, 3), chance.uniform(3, 8)])
        speaker = chance.choice(speakers)
        turns.append([round(time, 3), round(time + length, 3), speaker])
        touching = style == "touching" and chance.random() < 0.6
        gap = 0.0 if touching else chance.uniform(*{"apart": (0.05, 2), "touching": (0.05, 1), "overlap": (-3, 1)}[style])
        time = max(0.0, round(turns[-1][1], 3) + gap)
        if time > seconds + 3:
            break
    chance.shuffle(turns)
    return turns


def disturbed(chance, turns, speakers):
    """What a program might make of the turns: borders moved, turns lost, cut or given to others."""
    heard = []
    for start, end, speaker in turns:
        if chance.random() < 0.1:
            continue
        name = "S" + speaker if chance.random() < 0.8 else "S" + chance.choice(speakers)
        start = max(0.0, start + chance.gauss(0, 0.2))
        end = max(start + 0.05, end + chance.gauss(0, 0.2))
        cuts = [start, chance.uniform(start, end), end] if chance.random() < 0.3 else [start, end]
        for one, other in zip(cuts, cuts[1:]):
            heard.append([round(one, 3), round(other, 3), name if chance.random() < 0.9 else "S" + chance.choice(speakers)])
    return [turn for turn in heard if turn[1] > turn[0]]


def turn_cases(chance):
    for number in range(60):
        seconds = round(chance.uniform(5, 60), 3)
        speakers = [chr(ord("a") + index) for index in range(chance.randint(1, 7))]
        style = ["apart", "touching", "overlap"][number % 3]
        reference = random_turns(chance, seconds, speakers, chance.randint(1, 25), style)
        if number % 6 == 5:
            # Another recording: as many or more speakers, nothing in common.
            others = [f"x{index}" for index in range(chance.randint(1, 10))]
            hypothesis = random_turns(chance, seconds, others, chance.randint(1, 30), chance.choice(["apart", "touching", "overlap"]))
        else:
            hypothesis = disturbed(chance, reference, speakers)
        yield seconds, reference, hypothesis
    some = [[0.5, 4.25, "a"], [4.25, 6.0, "b"], [5.0, 7.5, "a"]]
    yield 10.0, [], []
    yield 10.0, some, []
    yield 10.0, [], some
    yield 10.0, some, some
    # The same turn twice, a turn inside of another of the same speaker, a turn beyond the end.
    yield 12.0, [[1.0, 5.0, "a"], [1.0, 5.0, "a"], [2.0, 3.0, "a"], [6.0, 20.0, "b"]], [[1.0, 5.5, "x"], [5.5, 12.0, "y"]]


def turn_golden(seconds, reference, hypothesis):
    said, heard = annotation(reference), annotation(hypothesis)
    region = Timeline([Segment(0, seconds)])
    scores = []
    for collar, skip_overlap in SCORINGS:
        options = {"collar": 2 * collar, "skip_overlap": skip_overlap}
        parts = DiarizationErrorRate(**options)(said, heard, uem=region, detailed=True)
        jaccard = JaccardErrorRate(**options)(said, heard, uem=region)
        scores.append({
            "collar": collar,
            "skip_overlap": skip_overlap,
            "error_rate": parts["diarization error rate"],
            "total": parts["total"],
            "missed": parts["missed detection"],
            "false_alarm": parts["false alarm"],
            "confusion": parts["confusion"],
            "jaccard_error_rate": float(jaccard),
        })
    inside = lambda turns: len(annotation(turns).crop(region).labels())
    return {
        "seconds": seconds,
        "reference": reference,
        "hypothesis": hypothesis,
        "speakers": [inside(reference), inside(hypothesis)],
        "scores": scores,
    }


def random_statements(chance, speakers):
    return [[chance.choice(speakers), " ".join(chance.choices(VOCABULARY, k=chance.randint(1, 12)))] for _ in range(chance.randint(1, 15))]


def misheard(chance, statements, speakers):
    heard = []
    for speaker, text in statements:
        words = []
        for word in text.split():
            fate = chance.random()
            words += [] if fate < 0.06 else [chance.choice(VOCABULARY)] if fate < 0.14 else [word, chance.choice(VOCABULARY)] if fate < 0.2 else [word]
        cut = chance.randint(0, len(words)) if chance.random() < 0.5 else len(words)
        for part in (words[:cut], words[cut:]):
            if part:
                heard.append(["S" + (speaker if chance.random() < 0.85 else chance.choice(speakers)), " ".join(part)])
    return heard


def word_cases(chance):
    for number in range(50):
        speakers = [chr(ord("a") + index) for index in range(chance.randint(1, 6))]
        reference = random_statements(chance, speakers)
        if number % 5 == 4:
            hypothesis = random_statements(chance, [f"x{index}" for index in range(chance.randint(1, 7))])
        else:
            hypothesis = misheard(chance, reference, speakers)
        if hypothesis:
            yield reference, hypothesis
    yield [["a", "one two"], ["b", "three"]], []
    yield [["a", "one"], ["b", "two three"], ["c", "four five six"]], [["x", "one two three four five six"]]


def numbered(statements):
    numbers = {}
    flat = [(numbers.setdefault(speaker, len(numbers) + 1), word) for speaker, text in statements for word in text.split()]
    return " ".join(str(number) for number, _ in flat), " ".join(word for _, word in flat)


def word_golden(reference, hypothesis):
    segments = lambda statements: meeteval.io.SegLST([
        {"session_id": "talk", "speaker": speaker, "words": text, "start_time": index, "end_time": index + 1}
        for index, (speaker, text) in enumerate(statements)
    ])
    joined = meeteval.wer.cp_word_error_rate(segments(reference), segments(hypothesis))
    golden = {"reference": reference, "hypothesis": hypothesis, "errors": joined.errors, "words": joined.length}
    if hypothesis:
        (said_by, said), (heard_by, heard) = numbered(reference), numbered(hypothesis)
        metrics = compute_utterance_metrics(heard, said, heard_by, said_by)
        golden |= {"heard": metrics.wder_total, "misattributed": metrics.wder_sub}
    else:
        golden |= {"heard": 0, "misattributed": 0}
    return golden


def main():
    chance = random.Random(7)
    turns = [turn_golden(*case) for case in turn_cases(chance)]
    words = [word_golden(*case) for case in word_cases(chance)]
    lines = lambda rows: "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"
    (HERE / "evaluation.json").write_text(f'{{"turns":{lines(turns)},\n"words":{lines(words)}}}\n')
    print(len(turns), "recordings of turns,", len(words), "of words")


if __name__ == "__main__":
    main()
