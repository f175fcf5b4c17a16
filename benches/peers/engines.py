"""The engines that can be compared, by name: how each is called, and which of Palabra's runs it stands against."""
import dataclasses
import json
import os

from .process import Failed, Process

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclasses.dataclass
class Setting:
    """What is the same for all engines."""
    palabra: str
    model: str
    prefix: str
    processors: list
    extra: list
    device: str = "cpu"

    @property
    def threads(self):
        return str(len(self.processors))


@dataclasses.dataclass
class Run:
    """One transcription without the loading of the model: wall and CPU seconds, and the peak memory of the process in MiB."""
    wall: float
    cpu: float
    memory: float


def read_json(folder, audio):
    with open(os.path.join(folder, os.path.splitext(os.path.basename(audio))[0] + ".json"), encoding="utf-8") as file:
        return json.load(file)


@dataclasses.dataclass
class Palabra:
    label: str
    options: tuple = ()
    words: bool = False
    diarize: bool = False
    rival = None

    def command(self, setting, files, folder, language, words=False, diarize=False):
        command = [setting.palabra, "transcribe", *files, "--model", setting.model, "--device", setting.device, "--threads", setting.threads,
                   "--offline", "--quiet", "--format", "json", "--output-dir", folder]
        command += ["--language", language] if language else []
        command += [] if words or self.words else ["--align", "off"]
        command += ["--diarize"] if diarize or self.diarize else []
        return [*command, *self.options, *setting.extra]

    def run(self, setting, audio, silence, folder, language):
        """The process on a second of silence loads the same models and does nothing else: its CPU seconds are those of loading."""
        load = Process(self.command(setting, [silence], folder, language), setting.processors)
        process = Process(self.command(setting, [audio], folder, language), setting.processors)
        transcript = read_json(folder, audio)
        timings = transcript["timings"]
        return Run(timings["total"] - timings.get("load", 0.0), process.cpu - load.cpu, process.memory), transcript

    def version(self, setting, _):
        return Process([setting.palabra, "--version"], setting.processors).output.decode().strip()


@dataclasses.dataclass
class Peer:
    """An engine in an environment of its own, whose script measures the call inside the process."""
    label: str
    environment: str
    script: str
    weights: str
    rival: str
    options: tuple = ()
    detects: bool = True
    times_words: bool = True

    def command(self, setting, files, folder, language, words=False, diarize=False):
        if not language and not self.detects:
            raise Failed("it is told the language: add --given")
        python = os.path.join(setting.prefix, self.environment, "bin", "python")
        if not os.path.exists(python):
            raise Failed(f"{python} is not there: run benches/peers/set_up.py first")
        command = [python, "-B", os.path.join(HERE, "inside", self.script), *files, "--model", os.path.join(setting.prefix, "weights", self.weights),
                   "--output-dir", folder, "--threads", setting.threads]
        command += ["--language", language] if language else []
        command += ["--words"] if words and self.times_words else []
        return [*command, *self.options]

    def run(self, setting, audio, silence, folder, language):
        process = Process(self.command(setting, [audio], folder, language), setting.processors)
        transcript = read_json(folder, audio)
        return Run(transcript["timings"]["total"], transcript["timings"]["cpu"], process.memory), transcript

    def version(self, _, transcript):
        return transcript["engine"]


def faster_whisper(label, rival, compute_type, *more):
    return Peer("faster-whisper, " + label, "faster-whisper", "run_faster_whisper.py", "ctranslate2", rival, ("--compute-type", compute_type, *more))


def whisper_cpp(label, rival, kind, *options):
    return Peer("whisper.cpp, " + label, "whisper-cpp", "run_whisper_cpp.py", f"ggml-{kind}.bin", rival, options, detects=False, times_words=False)


#: The runs of Palabra that the others are held against stand first in each round.
ENGINES = {
    "palabra": Palabra("Palabra"),
    "palabra-int8": Palabra("Palabra, int8", ("--compute-type", "int8")),
    "palabra-float32": Palabra("Palabra, float32", ("--compute-type", "float32")),
    "palabra-beam5": Palabra("Palabra, beam 5", ("--beam-size", "5")),
    "palabra-words": Palabra("Palabra, with word times", words=True),
    "palabra-words-batch4": Palabra("Palabra, with word times, batches of 4", ("--batch-size", "4"), words=True),
    "palabra-whole": Palabra("Palabra, with word times and speakers", words=True, diarize=True),
    "faster-whisper-int8": faster_whisper("int8", "palabra", "int8"),
    "faster-whisper-int8-batch16": faster_whisper("int8, batches of 16", "palabra", "int8", "--batch-size", "16"),
    "faster-whisper-float32": faster_whisper("float32", "palabra-float32", "float32"),
    "faster-whisper-beam5": faster_whisper("int8, beam 5", "palabra-beam5", "int8", "--beam-size", "5"),
    "whisper.cpp-q8_0": whisper_cpp("q8_0", "palabra", "q8_0"),
    "whisper.cpp-q8_0-windows": whisper_cpp("q8_0, no timestamps", "palabra", "q8_0", "--no-timestamps"),
    "whisper.cpp-f16": whisper_cpp("f16", "palabra-float32", "f16"),
}
#: Five rounds of these on ten minutes of audio take about ten minutes on two cores; whisper.cpp would take half as long again.
DEFAULT = "palabra,palabra-float32,palabra-beam5,faster-whisper-int8,faster-whisper-float32,faster-whisper-beam5"
#: (engine of Palabra, engine it stands against) beyond each peer's own rival.
FURTHER_PAIRS = [
    ("palabra-words", "faster-whisper-int8"),
    ("palabra-words-batch4", "faster-whisper-int8"),
    ("palabra-words-batch4", "whisper.cpp-q8_0"),
    ("palabra-whole", "faster-whisper-int8"),
]


def pairs(names):
    """Which of Palabra's runs stands against which peer's, among the engines that ran."""
    wanted = [(ENGINES[name].rival, name) for name in names if ENGINES[name].rival] + FURTHER_PAIRS
    return [(ours, theirs) for ours, theirs in wanted if ours in names and theirs in names]
