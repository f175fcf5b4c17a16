#!/usr/bin/env python3
"""Writes the golden files of Whisper: what transformers and openai-whisper compute on real weights and real speech.

usage: generate_whisper.py MODEL_DIR SAMPLE_WAV DATA_DIR [OUT_DIR]

MODEL_DIR   Whisper base as a transformers folder (model.safetensors, config.json, generation_config.json, tokenizer.json)
SAMPLE_WAV  pyannote/audio/sample/sample.wav of the published wheel pyannote-audio 4.0.7 (30 s, 16 kHz, two speakers)
DATA_DIR    the reference recordings (a folder with manifest.jsonl and audio/); only token ids and times derived from them are written
OUT_DIR     where the files go (default: beside this script)

Needs (pip, in a virtual environment): torch transformers==4.57.6 safetensors soundfile openai-whisper==20250625

whisper_base.safetensors, all f32 unless named otherwise; [a::b] is a stride; T = 44 tokens. The sample's first 30 s:
  mel                (300, 80)        log-mel, time-major, frames [::10] of 3000                  (transformers' feature extractor)
  mel_padded         (150, 80)        the same for the first 7.3 s, padded with silence, frames [::20]
  conv2              (60, 128)        after the second convolution and its GELU, before positions; frames [::25] of 1500, channels [::4] of 512
  encoder_layer_{0..5} (60, 128)      output of each encoder layer, same strides
  encoder            (150, 128)       encoder output after the last norm, computed in f64; frames [::10], channels [::4]
  tokens             (T,) i64         what the decoder is fed: start, language, transcribe, notimestamps, text
  decoder_layer_{0..5} (T, 128)       output of each decoder layer; channels [::4]
  logits             (T, 514)         decoder logits, vocabulary [::101]
  logits_argmax      (T,) i64         and the most likely token at each position
  cross_attention    (8, T/2, 250)    softmaxed cross-attention of the alignment heads in their order, tokens [::2], frames [::6] of 1500
  language_logits    (99,)            logits of the language tokens (50259..) after the start token alone
whisper_greedy.json: greedy tokens, {"prompt", "suppress_tokens", "begin_suppress_tokens", "clips": [...]}; each clip padded with silence to
  30 s, nothing else done to it. `tokens` end before <|endoftext|>; `smallest_margin` is the least difference between the best and the
  second-best logit on the way (a tie closer than the implementations' difference may fall either way).
whisper_timestamps.json: the same with timestamp tokens, under openai-whisper's timestamp rules.
whisper_words.json: word times of openai-whisper's alignment on the greedy text: `raw` as aligned, `words` after punctuation is merged.
"""
import json
import os
import sys

import numpy as np
import soundfile
import torch
import whisper
from safetensors.torch import load_file, save_file
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration
from whisper.timing import add_word_timestamps, find_alignment
from whisper.tokenizer import get_tokenizer

SAMPLE_RATE, CHUNK = 16_000, 480_000
GREEDY = """sample ls_1688-142285-0000 ls_1688-142285-0002 ls_2414-128291-0000 ls_3080-5032-0000 emu_msajc003 emu_msajc010 emu_msajc023
timit_fcjf0_sa1 praatio_bobby pysle_pumpkins jfk lv_0870 lv_0930 sb_spk1_snt1 sb_spk1_snt2 leopard_en leopard_de leopard_it leopard_ko
mfa_13697_11991_000000 mfa_acoustic_corpus mfa_se10x016-08071999-1334_u0016004 sppas_cat_TB_FE1_H1_phrase1 sppas_cmn_f1_P8
sppas_deu_DEU_F10_DEU_T02 sppas_fra_AC_track_0379 sppas_fra_F_F_B003_P9 sppas_jpn_JPA_M16_JPA_T02 sppas_pol_0003
sppas_por_POR_F25_POR_T02 sppas_spa_SPA_F23_SPA_T02 lid_watson_ar_AR_Broadband_sample1 lid_riva_ru_RU_sample""".split()
TIMESTAMPS = """sample jfk ls_1688-142285-0000 leopard_de mfa_13697_11991_000000 mfa_acoustic_corpus sppas_cmn_f1_P8 sppas_fra_F_F_B003_P9
sppas_jpn_JPA_M16_JPA_T02 sppas_por_POR_F25_POR_T02""".split()
WORDS = "sample jfk ls_1688-142285-0000 emu_msajc023 leopard_de sppas_fra_F_F_B003_P9 sppas_cmn_f1_P8 pysle_pumpkins".split()


def openai_model(folder, config, generation):
    """The same weights as openai-whisper's module, whose parameters carry other names."""
    names = [("model.", ""), (".layers.", ".blocks."), ("encoder.embed_positions.weight", "encoder.positional_embedding"),
             ("decoder.embed_positions.weight", "decoder.positional_embedding"), ("embed_tokens", "token_embedding"),
             ("encoder.layer_norm", "encoder.ln_post"), ("decoder.layer_norm", "decoder.ln"), ("self_attn_layer_norm", "attn_ln"),
             ("encoder_attn_layer_norm", "cross_attn_ln"), ("final_layer_norm", "mlp_ln"), ("self_attn", "attn"), ("encoder_attn", "cross_attn"),
             ("q_proj", "query"), ("k_proj", "key"), ("v_proj", "value"), ("out_proj", "out"), ("fc1", "mlp.0"), ("fc2", "mlp.2")]
    state = {}
    for key, tensor in load_file(os.path.join(folder, "model.safetensors")).items():
        for theirs, ours in names:
            key = key.replace(theirs, ours)
        state[key] = tensor.float()
    dims = whisper.model.ModelDimensions(
        n_mels=config.num_mel_bins, n_audio_ctx=config.max_source_positions, n_audio_state=config.d_model, n_audio_head=config.encoder_attention_heads,
        n_audio_layer=config.encoder_layers, n_vocab=config.vocab_size, n_text_ctx=config.max_target_positions, n_text_state=config.d_model,
        n_text_head=config.decoder_attention_heads, n_text_layer=config.decoder_layers)
    model = whisper.model.Whisper(dims)
    model.load_state_dict(state)
    heads = torch.zeros(config.decoder_layers, config.decoder_attention_heads, dtype=torch.bool)
    for layer, head in generation.alignment_heads:
        heads[layer, head] = True
    model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    return model.eval()


class Clips:
    """Samples and languages of the clips by id."""

    def __init__(self, sample, data):
        with open(os.path.join(data, "manifest.jsonl"), encoding="utf-8") as lines:
            self.rows = {row["id"]: row for row in map(json.loads, lines)}
        self.sample, self.data = sample, data

    def load(self, name):
        """(samples of at most 30 s, language)"""
        path, language = (self.sample, "en") if name == "sample" else (os.path.join(self.data, self.rows[name]["path"]), self.rows[name]["language"])
        samples, rate = soundfile.read(path, dtype="float32")
        assert rate == SAMPLE_RATE and samples.ndim == 1, name
        return samples[:CHUNK], language


class Reference:
    def __init__(self, folder):
        self.model = WhisperForConditionalGeneration.from_pretrained(folder, attn_implementation="eager").float().eval()
        self.generation = self.model.generation_config
        self.features = WhisperFeatureExtractor(feature_size=self.model.config.num_mel_bins)
        self.openai = openai_model(folder, self.model.config, self.generation)

    def mel(self, samples):
        """(1, mels, 3000)"""
        return self.features(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features

    def prompt(self, language):
        g = self.generation
        return [g.decoder_start_token_id, g.lang_to_id[f"<|{language}|>"], g.task_to_id["transcribe"], g.no_timestamps_token_id]

    def greedy(self, samples, language):
        """(tokens without prompt and end, least margin between the two best logits)"""
        prompt = self.prompt(language)
        out = self.model.generate(self.mel(samples), language=language, task="transcribe", return_timestamps=False, num_beams=1, do_sample=False,
                                  return_dict_in_generate=True, output_scores=True)
        ids = out.sequences[0].tolist()
        ids = ids[len(prompt):] if ids[:len(prompt)] == prompt else ids
        margins = [(best[0] - best[1]).item() for best in (scores[0].topk(2).values for scores in out.scores)]
        return ids[:ids.index(self.generation.eos_token_id)], min(margins)

    def decode(self, samples, language, timestamps):
        """openai-whisper's greedy decoding of the same chunk."""
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples))
        return whisper.decode(self.openai, mel, whisper.DecodingOptions(language=language, without_timestamps=not timestamps, fp16=False))


def boundaries(reference, samples, tokens):
    """Every tensor of whisper_base.safetensors."""
    model, out, layers = reference.model.model, {}, {}
    mel = reference.mel(samples)
    out["mel"] = mel[0].T[::10]
    out["mel_padded"] = reference.mel(samples[: int(7.3 * SAMPLE_RATE)])[0].T[::20]
    hooks = [model.encoder.conv2.register_forward_hook(lambda _, __, y: layers.__setitem__("conv2", torch.nn.functional.gelu(y)[0].T[::25, ::4]))]
    for index, layer in enumerate(model.encoder.layers):
        hooks.append(layer.register_forward_hook(lambda _, __, y, i=index: layers.__setitem__(f"encoder_layer_{i}", y[0][0, ::25, ::4])))
    for index, layer in enumerate(model.decoder.layers):
        hooks.append(layer.register_forward_hook(lambda _, __, y, i=index: layers.__setitem__(f"decoder_layer_{i}", y[0][0, :, ::4])))
    ids = torch.tensor([tokens])
    full = reference.model(input_features=mel, decoder_input_ids=ids, output_attentions=True, use_cache=False)
    for hook in hooks:
        hook.remove()
    out.update(layers)
    # In f64, and back: in f32 the reference itself is 1e-3 away from this in single values.
    out["encoder"] = model.encoder.double()(mel.double()).last_hidden_state[0, ::10, ::4].float()
    model.encoder.float()
    out["tokens"] = ids[0]
    out["logits"] = full.logits[0, :, ::101]
    out["logits_argmax"] = full.logits[0].argmax(-1)
    heads = [full.cross_attentions[layer][0, head] for layer, head in reference.generation.alignment_heads]
    out["cross_attention"] = torch.stack(heads)[:, ::2, ::6]
    start = torch.tensor([[reference.generation.decoder_start_token_id]])
    languages = sorted(reference.generation.lang_to_id.values())
    out["language_logits"] = reference.model(encoder_outputs=(full.encoder_last_hidden_state,), decoder_input_ids=start).logits[0, 0, languages]
    return {name: tensor.contiguous().clone() for name, tensor in out.items()}


def word_times(reference, samples, language, tokens):
    tokenizer = get_tokenizer(multilingual=True, language=language, task="transcribe", num_languages=99)
    frames = len(samples) // 160
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples))
    raw = find_alignment(reference.openai, tokenizer, tokens, mel, frames)
    segment = {"seek": 0, "start": 0.0, "end": len(samples) / SAMPLE_RATE, "tokens": tokens}
    add_word_timestamps(segments=[segment], model=reference.openai, tokenizer=tokenizer, mel=mel, num_frames=frames, last_speech_timestamp=0.0)
    plain = lambda word: {"word": word["word"], "start": round(float(word["start"]), 3), "end": round(float(word["end"]), 3), "probability": round(float(word["probability"]), 5)}
    return {"frames": frames, "raw": [{**plain(vars(word)), "tokens": word.tokens} for word in raw], "words": [plain(word) for word in segment["words"]]}


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        head = {key: part for key, part in value.items() if key != "clips"}
        clips = ",\n".join("  " + json.dumps(clip, ensure_ascii=False) for clip in value["clips"])
        file.write(json.dumps(head)[:-1] + ', "clips": [\n' + clips + "\n]}\n")


@torch.no_grad()
def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    reference, clips = Reference(sys.argv[1]), Clips(sys.argv[2], sys.argv[3])
    folder = sys.argv[4] if len(sys.argv) == 5 else os.path.dirname(os.path.abspath(__file__))
    settings = reference.generation
    greedy = {}
    for name in GREEDY:
        samples, language = clips.load(name)
        tokens, margin = reference.greedy(samples, language)
        peer = reference.decode(samples, language, timestamps=False)
        if peer.tokens != tokens:
            print(f"{name}: openai-whisper and transformers differ (smallest margin {margin:.5f})")
        mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples))
        probabilities = whisper.detect_language(reference.openai, mel)[1]
        detected = max(probabilities, key=probabilities.get)
        greedy[name] = {"id": name, "language": language, "prompt": reference.prompt(language), "tokens": tokens, "smallest_margin": round(margin, 5), "same_in_openai": peer.tokens == tokens,
                        "avg_logprob": round(peer.avg_logprob, 5), "no_speech_prob": round(peer.no_speech_prob, 6), "compression_ratio": round(peer.compression_ratio, 4),
                        "detected_language": detected, "detected_probability": round(probabilities[detected], 5), "text": peer.text if name == "sample" else None}
        if name == "sample":
            sample_tokens = (reference.prompt(language) + tokens)[:44]
            save_file(boundaries(reference, samples, sample_tokens), os.path.join(folder, "whisper_base.safetensors"))
        print(name, len(tokens), f"{margin:.4f}", detected, flush=True)
    write_json(folder, "whisper_greedy.json", {
        "prompt": ["<|startoftranscript|>", "language", "<|transcribe|>", "<|notimestamps|>"], "end": settings.eos_token_id,
        "suppress_tokens": settings.suppress_tokens, "begin_suppress_tokens": settings.begin_suppress_tokens, "clips": list(greedy.values())})
    timed = []
    for name in TIMESTAMPS:
        samples, language = clips.load(name)
        result = reference.decode(samples, language, timestamps=True)
        timed.append({"id": name, "language": language, "prompt": reference.prompt(language)[:3], "tokens": result.tokens, "avg_logprob": round(result.avg_logprob, 5)})
    write_json(folder, "whisper_timestamps.json", {"first_timestamp_token": settings.no_timestamps_token_id + 1, "seconds_per_timestamp": 0.02, "latest_first_timestamp": 1.0, "clips": timed})
    words = [{"id": name, "language": greedy[name]["language"], **word_times(reference, *clips.load(name), greedy[name]["tokens"])} for name in WORDS]
    write_json(folder, "whisper_words.json", {"alignment_heads": settings.alignment_heads, "median_filter": 7, "clips": words})


if __name__ == "__main__":
    main()
