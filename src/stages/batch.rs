//! The decoding batch: slots that hear chunks, rows that write text, rows that leave and make room. Rows of different
//! requests share it, those that follow one text and those that follow several; nothing of a row depends on the others.

use std::{collections::BTreeMap, sync::Arc};

use candle_core::{DType, Tensor};

use super::{
    align::Emissions,
    dtw::{self, Attention},
    ears,
    language::Distribution,
    recorded::Recorded,
    row::{Decoding, Row, Seat},
    spectrogram::spectrograms,
    transcribe::Transcriber,
    written::{self, Piece, Written},
};
use crate::{
    audio::Chunk,
    error::{Error, Result},
    models::whisper::{KvCache, MEL_FRAMES, POSITIONS_PER_SECOND},
    ops::{Choice, Chosen, candidates, choose_tokens, profile},
    transcript::{Token, Word},
};

/// Chunks encoded in one call on the CPU, where more would only cost memory.
const ENCODED_AT_ONCE_ON_CPU: usize = 2;

/// Names what is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkKey {
    /// The request.
    pub request: u64,
    /// The place of the chunk in its recording.
    pub chunk: usize,
    /// How much of the chunk has been written already: how often its rest has been read.
    pub readings: usize,
}

impl ChunkKey {
    /// A chunk of which nothing has been written.
    pub fn new(request: u64, chunk: usize) -> Self {
        Self { request, chunk, readings: 0 }
    }
}

/// Slots and their caches.
pub struct Batch {
    transcriber: Arc<Transcriber>,
    cache: KvCache,
    /// The chunk that each slot hears, and when it began to.
    heard: Vec<Option<(ChunkKey, u64)>>,
    /// What the aligner heads read of it, where there are any.
    states: Option<States>,
    listened: u64,
    recorded: Recorded,
    /// Chunks that one call of the encoder takes.
    encoded_at_once: usize,
}

/// What the aligner heads read of the chunks in all slots. Written in place: buffers that come and go with every chunk would
/// scatter the allocator's memory.
struct States {
    /// (slots, 3000, bins).
    mel: Tensor,
    /// (slots, 1500, d_model) each, in bf16: half the memory, and no word moves by it.
    taps: Vec<Tensor>,
}

impl States {
    /// `None` where no head listens to this transcriber.
    fn new(transcriber: &Transcriber, slots: usize) -> Result<Option<Self>> {
        let (config, device) = (transcriber.config(), &transcriber.compute().device);
        let (positions, size) = (config.max_source_positions, config.d_model);
        let taps = ears::taps(transcriber.heads())?.iter();
        let taps = taps.map(|_| Tensor::zeros((slots, positions, size), DType::BF16, device));
        let taps = taps.collect::<candle_core::Result<Vec<_>>>()?;
        if taps.is_empty() {
            return Ok(None);
        }
        let mel = Tensor::zeros((slots, MEL_FRAMES, config.num_mel_bins), DType::F32, device)?;
        Ok(Some(Self { mel, taps }))
    }

    /// Keeps what one chunk of a group gave.
    fn set(&self, slot: usize, mel: &Tensor, taps: &[Tensor], index: usize) -> Result<()> {
        let _timed = profile::span(profile::Class::CacheCopy, || {
            // f32 is read, bf16 written.
            let of_chunk = |tap: &Tensor| 6 * tap.elem_count() / tap.dims().first().copied().unwrap_or(1).max(1);
            profile::Work::pass(0, taps.iter().map(of_chunk).sum())
        });
        let own = |tensor: &Tensor, dtype| tensor.narrow(0, index, 1)?.to_dtype(dtype)?.contiguous();
        self.mel.slice_set(&own(mel, DType::F32)?, 0, slot)?;
        for (kept, tap) in self.taps.iter().zip(taps) {
            kept.slice_set(&own(tap, DType::BF16)?, 0, slot)?;
        }
        Ok(())
    }

    /// Takes over what another one holds of the first slots.
    fn take_over(&self, other: &Self) -> Result<()> {
        self.mel.slice_set(&other.mel, 0, 0)?;
        for (kept, tap) in self.taps.iter().zip(&other.taps) {
            kept.slice_set(tap, 0, 0)?;
        }
        Ok(())
    }
}

impl Batch {
    /// A batch of `slots` empty slots.
    ///
    /// # Errors
    /// When the caches do not fit the device.
    pub fn new(transcriber: Arc<Transcriber>, slots: usize) -> Result<Self> {
        let compute = transcriber.compute();
        let cache = KvCache::new(transcriber.config(), slots, compute.dtype, &compute.device, compute.precision)?;
        let states = States::new(&transcriber, slots)?;
        let encoded_at_once = encoded_at_once(&transcriber, slots);
        Ok(Self {
            cache,
            heard: vec![None; slots],
            states,
            listened: 0,
            recorded: Recorded::default(),
            encoded_at_once,
            transcriber,
        })
    }

    /// How many chunks fit.
    pub fn slots(&self) -> usize {
        self.heard.len()
    }

    /// How many texts fit.
    pub fn texts(&self) -> usize {
        self.cache.texts()
    }

    /// Makes room for `texts`; what the present ones have written stays.
    ///
    /// # Errors
    /// When the caches do not fit the device.
    pub fn grow_texts(&mut self, texts: usize) -> Result<()> {
        if texts > self.texts() {
            self.recorded.clear();
            self.cache.grow_texts(texts)?;
        }
        Ok(())
    }

    /// Makes room for `slots` chunks and as many texts; what the present ones hear and have written stays.
    ///
    /// # Errors
    /// When the caches do not fit the device.
    pub fn grow(&mut self, slots: usize) -> Result<()> {
        if slots > self.slots() {
            self.recorded.clear();
            self.cache.grow(slots)?;
            self.heard.resize(slots, None);
            if let Some(small) = &self.states {
                let large = States::new(&self.transcriber, slots)?;
                large.iter().try_for_each(|large| large.take_over(small))?;
                self.states = large;
            }
            self.encoded_at_once = encoded_at_once(&self.transcriber, slots);
        }
        Ok(())
    }

    /// Takes the slot to use for `chunk` out of `free`: one that hears it already, else an unused one, else the one whose
    /// chunk is oldest.
    pub fn choose_slot(&self, free: &mut Vec<usize>, chunk: ChunkKey) -> Option<usize> {
        let hears = |slot: usize| self.heard[slot].is_some_and(|(key, _)| key == chunk);
        let age = |slot: usize| self.heard[slot].map_or(0, |(_, since)| since + 1);
        let place = (0..free.len()).min_by_key(|&place| (!hears(free[place]), age(free[place])))?;
        Some(free.remove(place))
    }

    /// Encodes chunks into their slots, where these do not hear them already.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn listen(&mut self, places: &[(usize, ChunkKey, &Chunk)]) -> Result<()> {
        let hears = |slot: usize, key: ChunkKey| self.heard[slot].is_some_and(|(heard, _)| heard == key);
        let new: Vec<(usize, ChunkKey, &Chunk)> =
            places.iter().copied().filter(|&(slot, key, _)| !hears(slot, key)).collect();
        let transcriber = self.transcriber.clone();
        let compute = transcriber.compute();
        for group in new.chunks(self.encoded_at_once.min(new.len().max(1))) {
            let chunks: Vec<&[f32]> = group.iter().map(|(_, _, chunk)| chunk.audio.samples()).collect();
            let mel = spectrograms(transcriber.mel(), &chunks, &compute.device, DType::F32)?;
            // The heads read the features as they are, the encoder in its own numbers.
            let input = mel.to_dtype(compute.dtype)?;
            let (features, taps) =
                transcriber.whisper().encoder.forward_tapped(&input, ears::taps(transcriber.heads())?)?;
            let slots: Vec<usize> = group.iter().map(|&(slot, ..)| slot).collect();
            slots.iter().for_each(|&slot| self.heard[slot] = None);
            transcriber.whisper().decoder.listen(&features, &slots, &mut self.cache)?;
            for (index, &(slot, key, _)) in group.iter().enumerate() {
                self.heard[slot] = Some((key, self.listened));
                self.listened += 1;
                if let Some(states) = &self.states {
                    states.set(slot, &mel, &taps, index)?;
                }
            }
        }
        Ok(())
    }

    /// The language of what each seat hears.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn languages(&mut self, seats: &[&Seat]) -> Result<Vec<Distribution>> {
        if seats.is_empty() {
            return Ok(Vec::new());
        }
        let texts = seats.iter().map(|seat| self.sit(seat)).collect::<Result<Vec<_>>>()?;
        let start = vec![self.transcriber.tokenizer().start(); texts.len()];
        let range = self.transcriber.tokenizer().language_tokens();
        let logits = self.logits(&start, &texts, 0)?.narrow(1, range.start as usize, range.len())?;
        let logits: Vec<Vec<f32>> = logits.to_dtype(DType::F32)?.to_vec2()?;
        Ok(logits.iter().map(|row| Distribution::from_logits(row)).collect())
    }

    /// Feeds rows their prompts and lets each write its first token, or the first ones of several texts. Rows that are finished
    /// at once come back as true.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn begin(&mut self, rows: &mut [&mut Row]) -> Result<Vec<bool>> {
        let prompts: Vec<(Vec<u32>, usize)> =
            rows.iter().map(|row| row.script.prompt(self.transcriber.tokenizer(), row.language)).collect();
        // One call of the decoder takes prompts of one shape.
        let mut shapes: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for (index, (prompt, start)) in prompts.iter().enumerate() {
            shapes.entry((prompt.len(), *start)).or_default().push(index);
        }
        let no_speech = self.transcriber.tokenizer().no_speech();
        let vocabulary = self.transcriber.config().vocab_size;
        for ((length, start), members) in shapes {
            let texts = members.iter().map(|&index| self.sit(&rows[index].seat)).collect::<Result<Vec<_>>>()?;
            let part = |range: std::ops::Range<usize>| -> Vec<u32> {
                members.iter().flat_map(|&index| prompts[index].0[range.clone()].to_vec()).collect()
            };
            let choices: Vec<Choice> = members.iter().flat_map(|&index| rows[index].choices()).collect();
            let wanted: Vec<usize> = members.iter().map(|&index| rows[index].wanted()).collect();
            let watch = |choice: &Choice| Choice { watched: Some(no_speech), ..*choice };
            let at_start = self.logits(&part(0..start + 1), &texts, start)?;
            let rest = length - start - 1;
            let mut chosen = match rest {
                0 => self.choose(&at_start, &choices.iter().map(watch).collect::<Vec<_>>(), &wanted)?,
                _ => {
                    let free = watch(&Choice::free(vocabulary));
                    self.choose(&at_start, &vec![free; choices.len()], &vec![1; choices.len()])?
                }
            };
            for (&index, chosen) in members.iter().zip(&chosen) {
                rows[index].no_speech_prob = chosen.first().map_or(0.0, |chosen| chosen.watched.exp());
            }
            if rest > 0 {
                let logits = self.logits(&part(start + 1..length), &texts, rest - 1)?;
                chosen = self.choose(&logits, &choices, &wanted)?;
            }
            for (&index, chosen) in members.iter().zip(&chosen) {
                let heirs = rows[index].write(std::slice::from_ref(chosen));
                self.cache.follow(&heirs);
            }
        }
        Ok(rows.iter().map(|row| row.is_finished()).collect())
    }

    /// Makes a seat's first text empty, for a row that begins with it alone.
    fn sit(&mut self, seat: &Seat) -> Result<usize> {
        match seat.texts.first() {
            Some(&text) if text < self.texts() && seat.slot < self.slots() => {
                self.cache.begin(text, seat.slot);
                Ok(text)
            }
            _ => Err(Error::Bug(format!("{seat:?} does not fit the batch"))),
        }
    }

    /// Lets every text of every row go on by one further token; true for the rows that are finished.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn step(&mut self, rows: &mut [&mut Row]) -> Result<Vec<bool>> {
        let (mut tokens, mut texts, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows.iter() {
            for (text, written) in row.live() {
                tokens.extend(written.last());
                texts.push(text);
                wanted.push(row.wanted());
            }
        }
        if tokens.len() != texts.len() {
            return Err(Error::Bug("a row was stepped before it had begun".into()));
        }
        let choices: Vec<Choice> = rows.iter_mut().flat_map(|row| row.choices()).collect();
        let recorded = match wanted.iter().all(|&count| count == 1) {
            true => self.recorded.step(&self.transcriber, &mut self.cache, (&tokens, &texts), &choices)?,
            false => None,
        };
        let chosen = match recorded {
            Some(chosen) => chosen.into_iter().map(|chosen| vec![chosen]).collect(),
            None => {
                let logits = self.logits(&tokens, &texts, 0)?;
                self.choose(&logits, &choices, &wanted)?
            }
        };
        let mut rest = chosen.as_slice();
        for row in rows.iter_mut() {
            let (own, others) = rest.split_at(row.live().count());
            rest = others;
            let heirs = row.write(own);
            self.cache.follow(&heirs);
        }
        Ok(rows.iter().map(|row| row.is_finished()).collect())
    }

    /// As many of the likeliest tokens as are wanted after each text.
    fn choose(&self, logits: &Tensor, choices: &[Choice], wanted: &[usize]) -> Result<Vec<Vec<Chosen>>> {
        let masks = self.transcriber.masks();
        if wanted.iter().all(|&count| count == 1) {
            return Ok(choose_tokens(logits, masks, choices)?.into_iter().map(|chosen| vec![chosen]).collect());
        }
        Ok(candidates(logits, masks, choices, wanted)?)
    }

    /// The words of a finished text, without times.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn words(&self, row: &Row, decoding: &Decoding) -> Result<Vec<Written>> {
        self.split(row, &self.text(decoding))
    }

    /// The tokens of a text, without the times in it.
    fn text(&self, decoding: &Decoding) -> Vec<Token> {
        let end = self.transcriber.tokenizer().end();
        decoding.written().into_iter().filter(|token| token.id < end).collect()
    }

    /// What the aligner head for the row's language hears in its chunk; `None` where there is no such head.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn emissions(&self, row: &Row) -> Result<Option<Emissions>> {
        let head = ears::head(self.transcriber.heads(), row.language);
        let (Some(head), Some(states)) = (head, &self.states) else { return Ok(None) };
        let own = |tensor: &Tensor| tensor.narrow(0, row.seat.slot, 1);
        let taps = states.taps.iter().map(own).collect::<candle_core::Result<Vec<_>>>()?;
        ears::emissions(head, &own(&states.mel)?, &taps, ears::frames(&row.chunk.audio)).map(Some)
    }

    /// Word times of a finished text by cross-attention, by teacher forcing it through the decoder.
    ///
    /// # Errors
    /// When a tensor operation fails.
    pub fn align(&mut self, row: &Row, decoding: &Decoding) -> Result<Vec<Word>> {
        let _stage = profile::stage(profile::Stage::Alignment);
        let tokens = self.text(decoding);
        let text: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let Some(forced) = self.force(row, &text)? else { return Ok(Vec::new()) };
        Ok(dtw::place(&forced.attention, forced.prompt, self.split(row, &tokens)?, &row.chunk))
    }

    /// Word times of a text that was given, not written: `text` as tokens. The scores are what the decoder would have
    /// thought of it.
    ///
    /// # Errors
    /// When a tensor operation fails, or the text is longer than a chunk's can be.
    pub fn place(&mut self, row: &Row, text: &[u32]) -> Result<Vec<Word>> {
        let Some(forced) = self.force(row, text)? else { return Ok(Vec::new()) };
        let logits = self.transcriber.whisper().decoder.logits(&forced.before)?;
        let free = Choice::free(self.transcriber.config().vocab_size);
        let choices: Vec<Choice> = text.iter().map(|&id| Choice { watched: Some(id), ..free }).collect();
        let chosen = choose_tokens(&logits, self.transcriber.masks(), &choices)?;
        let token = |(chosen, &id): (&Chosen, &u32)| Token { id, logprob: chosen.watched };
        let tokens: Vec<Token> = chosen.iter().zip(text).map(token).collect();
        Ok(dtw::place(&forced.attention, forced.prompt, self.split(row, &tokens)?, &row.chunk))
    }

    fn split(&self, row: &Row, tokens: &[Token]) -> Result<Vec<Written>> {
        let text: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let pieces = self.transcriber.tokenizer().split_words(&text, row.language)?;
        let pieces: Vec<Piece> =
            pieces.into_iter().map(|(text, tokens)| Piece { text, tokens: tokens.len() }).collect();
        Ok(written::words(&pieces, tokens, row.language))
    }

    /// Feeds `text` to the decoder. `None` for no text.
    fn force(&mut self, row: &Row, text: &[u32]) -> Result<Option<Forced>> {
        if text.is_empty() {
            return Ok(None);
        }
        let transcriber = self.transcriber.clone();
        let tokenizer = transcriber.tokenizer();
        let prompt = tokenizer.start_sequence(row.language, row.script.options.task, false);
        let tokens: Vec<u32> = prompt.iter().chain(text).copied().chain([tokenizer.end()]).collect();
        let positions = ((row.chunk.audio.duration() * POSITIONS_PER_SECOND) as usize)
            .clamp(1, transcriber.config().max_source_positions);
        let place = self.sit(&row.seat)?;
        let heads = transcriber.alignment_heads();
        let decoder = &transcriber.whisper().decoder;
        let (states, weights) = decoder.watch(&tokens, place, &mut self.cache, positions, heads)?;
        let attention = Attention {
            weights: weights.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?,
            heads: heads.len(),
            tokens: tokens.len(),
            positions,
        };
        // The state at a token predicts the next one.
        let before = states.narrow(1, prompt.len() - 1, text.len())?.squeeze(0)?.contiguous()?;
        Ok(Some(Forced { attention, prompt: prompt.len(), before }))
    }

    /// Feeds `tokens` (the same number for every text) and gives the logits at the `place`-th of them, (B, vocabulary).
    fn logits(&mut self, tokens: &[u32], texts: &[usize], place: usize) -> Result<Tensor> {
        let decoder = &self.transcriber.whisper().decoder;
        let states = decoder.forward(tokens, texts, &mut self.cache)?; // (B, T, d_model)
        let states = states.narrow(1, place, 1)?.squeeze(1)?.contiguous()?; // (B, d_model)
        Ok(decoder.logits(&states)?)
    }
}

/// Chunks that one call of the encoder takes beside `slots` slots: as many as the device has memory for.
fn encoded_at_once(transcriber: &Transcriber, slots: usize) -> usize {
    match transcriber.compute().memory() {
        Some(memory) => transcriber.need().chunks(memory.free, slots),
        None => ENCODED_AT_ONCE_ON_CPU,
    }
}

/// What the decoder makes of a text that is forced on it.
struct Forced {
    /// Where its alignment heads look.
    attention: Attention,
    /// Tokens before the text.
    prompt: usize,
    /// The state before each token of the text: (text, d_model).
    before: Tensor,
}
