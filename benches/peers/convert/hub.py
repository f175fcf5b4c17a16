"""A Whisper in the model hub's layout: config.json, generation_config.json, tokenizer.json, model.safetensors."""
import json
import os

import numpy
from safetensors import safe_open


class HubFolder:
    def __init__(self, folder):
        self.folder = folder
        self.config = self._read("config.json")
        self.generation = self._read("generation_config.json")
        self.tensors = safe_open(self.path("model.safetensors"), framework="numpy")

    def path(self, name):
        return os.path.join(self.folder, name)

    def _read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return json.load(file)

    def tensor(self, name):
        """The tensor as it is stored, float16 or float32."""
        return self.tensors.get_tensor("model." + name)

    def names(self):
        """Names of all tensors without their `model.`; the output projection is the token embedding and not among them."""
        return [name.removeprefix("model.") for name in self.tensors.keys() if name != "proj_out.weight"]

    def tokens(self):
        """Every token's text by its number, as the tokenizer spells it (one is empty). Timestamps are named here where the tokenizer leaves them out."""
        tokenizer = self._read("tokenizer.json")
        known = {number: text for text, number in tokenizer["model"]["vocab"].items()}
        known.update((token["id"], token["content"]) for token in tokenizer["added_tokens"])
        first = next(number for number, text in known.items() if text == "<|notimestamps|>") + 1
        return [known.get(number, f"<|{(number - first) * 0.02:.2f}|>") for number in range(self.config["vocab_size"])]

    def language_tokens(self):
        """Numbers of the tokens that name a language: they stand between the start of the transcript and the tasks."""
        tokens = self.tokens()
        return list(range(tokens.index("<|startoftranscript|>") + 1, tokens.index("<|translate|>")))


def stacked(parts):
    """Matrices or vectors one below the other."""
    return numpy.concatenate(parts, axis=0)
