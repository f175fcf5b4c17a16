"""Transcribes files one after the other and writes FOLDER/<name>.json for each, with the wall and CPU seconds of the call alone."""
import json
import os
import resource
import time


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def transcribe_all(files, folder, version, transcribe):
    """`transcribe(path)` gives what Palabra's JSON holds; reading the file is part of it, loading the model is not."""
    for path in files:
        cpu, wall = cpu_seconds(), time.perf_counter()
        transcript = transcribe(path)
        transcript["timings"] = {"total": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}
        transcript["engine"] = version
        name = os.path.join(folder, os.path.splitext(os.path.basename(path))[0] + ".json")
        with open(name, "w", encoding="utf-8") as file:
            json.dump(transcript, file, ensure_ascii=False)
