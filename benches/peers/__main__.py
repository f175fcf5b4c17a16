"""Palabra beside faster-whisper and whisper.cpp on the same weights, audio and processors; prints tables.

usage: python benches/peers DATA_DIR [options]               the file is made of clips of DATA_DIR (fields of its manifest: scoring.py)
       python benches/peers --audio FILE [options]           any file of one language
       python benches/peers --print RESULTS.json ... [--markdown]  the tables of earlier runs
What follows `--` goes to every run of Palabra. The Python is that of the environment `scoring` that set_up.py makes.

Every engine transcribes the same file once a round, in a process of its own, held to the same processors, round after round, so
that a machine that gets slower or busier does so for all. Times are those of the transcription, reading the audio included,
loading of the model left out: Palabra reports its own wall time, and its CPU seconds are those of the process less those of
the same process on a second of silence; the peers are measured inside their process, around the call. Memory is the whole process's peak.
The machine must do nothing else: whisper.cpp's threads wait for one another by spinning, and lose the most when disturbed.
"""
import argparse
import json
import os
import sys
import tempfile

# This folder is a package, and the scripts beside it are its libraries.
sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def arguments_of(words):
    from peers.engines import DEFAULT, ENGINES
    from peers.process import split_arguments
    own, extra = split_arguments(words)
    parser = argparse.ArgumentParser(prog="benches/peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--audio", help="a file of some minutes to use instead of DATA_DIR's clips; word errors are not counted")
    parser.add_argument("--set", default="ljspeech", help="the set whose clips are joined (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=600, help="how much of it (default: %(default)s)")
    parser.add_argument("--engines", default=DEFAULT, help=f"separated by commas, of {', '.join(ENGINES)} (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--accuracy", metavar="SETS", help="also transcribe these sets of DATA_DIR, separated by commas, and count their word errors")
    parser.add_argument("--palabra", default="target/release/palabra", help="the program (default: %(default)s)")
    parser.add_argument("--model", default="base", help="Palabra's model, the one that set_up.py converted (default: %(default)s)")
    parser.add_argument("--prefix", default="target/peers", help="what set_up.py made (default: %(default)s)")
    parser.add_argument("--language", default="en", help="told to all engines (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each engine, and processors it is held to (default: %(default)s)")
    parser.add_argument("--json", help="where results are written (default: results.json in --prefix)")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--print", metavar="RESULTS", dest="earlier", nargs="+", help="print the tables of these results and measure nothing")
    arguments = parser.parse_args(own)
    arguments.extra, arguments.engines = extra, arguments.engines.split(",")
    unknown = [name for name in arguments.engines if name not in ENGINES]
    if unknown:
        parser.error(f"there is no engine {', '.join(unknown)}; there are {', '.join(ENGINES)}")
    if arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    if not arguments.earlier and bool(arguments.data) == bool(arguments.audio):
        parser.error("name either DATA_DIR or --audio")
    if arguments.accuracy and not arguments.data:
        parser.error("--accuracy needs DATA_DIR")
    if not 1 <= arguments.threads <= len(os.sched_getaffinity(0)):
        parser.error(f"--threads is at most {len(os.sched_getaffinity(0))}, the processors at hand")
    return arguments


def write_results(results, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)


def measured(arguments, path):
    """What the rounds measured; it is written to `path` after each of them, so that an interrupted run is not lost."""
    from peers import audio, rounds
    from peers.engines import Setting
    setting = Setting(arguments.palabra, arguments.model, arguments.prefix, sorted(os.sched_getaffinity(0))[:arguments.threads], arguments.extra)
    samples, rate, reference = (*audio.one_channel(arguments.audio), None) if arguments.audio else audio.joined_clips(arguments.data, arguments.set, arguments.seconds)
    seconds = len(samples) / rate
    with tempfile.TemporaryDirectory() as folder:
        minutes, short, silence = (os.path.join(folder, name + ".wav") for name in ("minutes", "short", "silence"))
        audio.write(minutes, samples, rate)
        audio.write(short, samples[:10 * rate], rate)
        audio.write(silence, 0 * samples[:rate], rate)
        # A child's peak memory begins with that of the process it was made by.
        del samples
        versions, left_out = rounds.ready(arguments.engines, setting, short, silence, folder, arguments.language)
        if not versions:
            sys.exit("none of the engines can run")
        results = {"processor": rounds.processor_name(), "processors": setting.processors, "seconds": seconds, "language": arguments.language,
                   "accuracy": {}, "versions": versions, "left_out": left_out}
        for runs, transcripts in rounds.run_rounds(list(versions), setting, arguments.rounds, minutes, silence, folder, arguments.language):
            errors = {name: rounds.word_error_rate(arguments.language, reference, transcript) for name, transcript in transcripts.items()} if reference else {}
            results.update(rounds=runs, word_errors=errors)
            write_results(results, path)
        if arguments.accuracy:
            results["accuracy"] = rounds.set_errors(list(versions), setting, arguments.data, arguments.accuracy.split(","), folder)
            write_results(results, path)
    return results


def main():
    arguments = arguments_of(sys.argv[1:])
    from peers.process import Failed
    from peers.table import print_results
    for path in arguments.earlier or []:
        with open(path, encoding="utf-8") as file:
            print_results(json.load(file), arguments.markdown)
    if not arguments.earlier:
        try:
            results = measured(arguments, arguments.json or os.path.join(arguments.prefix, "results.json"))
        except Failed as error:
            sys.exit(str(error))
        print_results(results, arguments.markdown)


if __name__ == "__main__":
    main()
