"""Turns the Whisper folder that Palabra reads into what the other engines read; the numbers stay the same."""
