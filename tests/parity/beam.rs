//! Beam search with Whisper base on real speech: texts that share their beginnings are followed as if each had been written
//! alone, whatever goes on beside them.

use std::{path::PathBuf, sync::Arc};

use libtest_mimic::Trial;
use palabra::{
    audio::{
        Audio, Chunk,
        decode::{Limits, decode_file},
    },
    device::Compute,
    engine,
    language::Language,
    models::whisper::KvCache,
    ops::{Choice, candidates},
    progress::Watch,
    span::Span,
    stages::{
        batch::{Batch, ChunkKey},
        beam::{Beam, Ends, Search},
        row::{Decoding, Row, Seat},
        script::Script,
        spectrogram::spectrograms,
        transcribe::{TranscribeOptions, Transcriber},
    },
};

use crate::support;

#[derive(Clone)]
struct Need {
    transcriber: Arc<Transcriber>,
    sample: PathBuf,
}

pub fn trials() -> Vec<Trial> {
    let need = support::weights("base").and_then(|folder| {
        let sample = support::weights("sample")?.join("sample.wav");
        let transcriber = engine::transcriber(&folder, &Compute::cpu()).map_err(|error| error.to_string())?;
        Ok(Need { transcriber: Arc::new(transcriber), sample })
    });
    vec![
        support::trial("whisper_beams_equal_texts_written_alone", &need, |need| written_alone(&need)),
        support::trial("whisper_beams_in_a_batch_equal_single_ones", &need, |need| batch_equals_single(&need)),
        support::trial("whisper_wider_beams_find_likelier_texts", &need, |need| likelier(&need)),
    ]
}

impl Need {
    fn chunk(&self, start: f64, end: f64) -> Chunk {
        let audio = decode_file(&self.sample, &Limits::default(), &Watch::silent()).unwrap().audio;
        let audio: Audio = audio.slice(Span::new(start, end));
        Chunk { speech: vec![], audio, offset: start }
    }

    fn script(&self, beam: Beam, timestamps: bool) -> Arc<Script> {
        let options = TranscribeOptions { beam, timestamps, ..TranscribeOptions::default() };
        Script::new(&self.transcriber, &options).unwrap()
    }

    /// What comes of rows that share a batch: each chunk with its script, and the slots of its texts.
    fn decode(&self, rows: &[(Chunk, Arc<Script>, Vec<usize>)]) -> Vec<Decoding> {
        let mut batch = Batch::new(self.transcriber.clone(), rows.len()).unwrap();
        let places: Vec<_> =
            rows.iter().enumerate().map(|(slot, (chunk, ..))| (slot, ChunkKey::new(0, slot), chunk)).collect();
        batch.listen(&places).unwrap();
        batch.grow_texts(rows.iter().flat_map(|(.., texts)| texts).max().unwrap() + 1).unwrap();
        let row = |(slot, (chunk, script, texts)): (usize, &(Chunk, Arc<Script>, Vec<usize>))| {
            Row::new(chunk.clone(), script.clone(), slot, Seat { slot, texts: texts.clone() }, Language::ENGLISH)
        };
        let mut rows: Vec<Row> = rows.iter().enumerate().map(row).collect();
        let mut open: Vec<&mut Row> = rows.iter_mut().collect();
        let mut finished = batch.begin(&mut open).unwrap();
        while !open.is_empty() {
            let mut flags = finished.iter();
            open.retain(|_| !flags.next().unwrap());
            if !open.is_empty() {
                finished = batch.step(&mut open).unwrap();
            }
        }
        rows.iter().map(|row| row.decoding(self.transcriber.tokenizer()).unwrap()).collect()
    }

    /// The same search for a single chunk, where every text is fed from its start at each step and nothing is shared.
    fn search(&self, chunk: &Chunk, script: &Script, timestamps: bool) -> Vec<u32> {
        let transcriber = &self.transcriber;
        let (compute, tokenizer) = (transcriber.compute(), transcriber.tokenizer());
        let mel = spectrograms(transcriber.mel(), &[chunk.audio.samples()], &compute.device, compute.dtype).unwrap();
        let features = transcriber.whisper().encode(&mel).unwrap();
        let decoder = &transcriber.whisper().decoder;
        let mut cache =
            KvCache::new(transcriber.config(), 1, compute.dtype, &compute.device, compute.precision).unwrap();
        decoder.listen(&features, &[0], &mut cache).unwrap();
        let prompt = tokenizer.start_sequence(Language::ENGLISH, script.options.task, timestamps);
        let ends = Ends { token: tokenizer.end(), limit: 224, cycle: |_| None };
        let mut search = Search::new(script.options.beam, ends);
        while !search.is_over() {
            let wanted = search.wanted();
            let own = |text: &palabra::stages::beam::Text| {
                let tokens = [prompt.as_slice(), &text.tokens].concat();
                cache.rewind(0);
                let states = decoder.forward(&tokens, &[0], &mut cache).unwrap();
                let last = states.narrow(1, tokens.len() - 1, 1).unwrap().squeeze(1).unwrap().contiguous().unwrap();
                let choices: [Choice; 1] = [script.choice(&text.tokens, 0)];
                let logits = decoder.logits(&last).unwrap();
                candidates(&logits, transcriber.masks(), &choices, &[wanted]).unwrap().remove(0)
            };
            let found: Vec<_> = search.live().iter().map(own).collect();
            search.advance(&found);
        }
        search.best().tokens
    }
}

fn beam(size: usize) -> Beam {
    Beam { size, ..Beam::default() }
}

fn written_alone(need: &Need) {
    for (start, end, beam, timestamps) in [
        (6.0, 12.0, beam(5), false),
        (14.0, 22.0, Beam { patience: 2.0, length_penalty: Some(0.6), ..beam(3) }, true),
        (0.0, 9.0, beam(2), false),
    ] {
        let (chunk, script) = (need.chunk(start, end), need.script(beam, timestamps));
        let expected = need.search(&chunk, &script, timestamps);
        let texts = (0..beam.size).map(|text| (7 * text + 3) % 19).collect();
        let ours = need.decode(&[(chunk, script, texts)]).remove(0);
        println!("{start}-{end} s, {beam:?}: {}", ours.text);
        assert_eq!(ours.tokens, expected);
        assert!(ours.tokens.len() > 5 && ours.cycle.is_none());
    }
}

fn batch_equals_single(need: &Need) {
    let rows = [
        (need.chunk(0.0, 30.0), need.script(beam(5), false), vec![4, 0, 9, 2, 11]),
        (need.chunk(6.0, 12.0), need.script(beam(1), false), vec![1]),
        (need.chunk(12.0, 13.5), need.script(Beam { patience: 1.5, ..beam(4) }, false), vec![3, 5, 6, 7]),
        (need.chunk(14.0, 29.0), need.script(Beam { length_penalty: Some(1.0), ..beam(3) }, true), vec![8, 20, 10]),
        (need.chunk(20.0, 25.0), need.script(beam(9), false), (30..39).collect()),
        (need.chunk(6.0, 14.0), need.script(beam(1), true), vec![12]),
    ];
    let together = need.decode(&rows);
    for (index, (row, batched)) in rows.iter().zip(&together).enumerate() {
        let alone = need.decode(std::slice::from_ref(row)).remove(0);
        println!("{index}: {:?} avg {} / {}", batched.text, batched.avg_logprob, alone.avg_logprob);
        assert_eq!(batched.tokens, alone.tokens, "row {index}");
        assert!((batched.avg_logprob - alone.avg_logprob).abs() < 1e-4);
        assert!((batched.no_speech_prob - alone.no_speech_prob).abs() < 1e-4);
        assert!(!batched.text.is_empty(), "row {index}");
    }
    // A search that stands in other slots is the same search.
    let (chunk, script, _) = &rows[0];
    let moved = need.decode(&[(chunk.clone(), script.clone(), vec![0, 1, 2, 3, 4])]).remove(0);
    assert_eq!(moved.tokens, together[0].tokens);
}

/// Not a law, but so on this recording: the mean log-probability does not fall.
fn likelier(need: &Need) {
    for (start, end) in [(0.0, 30.0), (6.0, 14.0), (14.0, 29.0)] {
        let chunk = need.chunk(start, end);
        let decoded = [1, 2, 5]
            .map(|size| need.decode(&[(chunk.clone(), need.script(beam(size), false), (0..size).collect())]).remove(0));
        let means: Vec<f32> = decoded.iter().map(|one| one.sum_logprob() / one.tokens.len().max(1) as f32).collect();
        println!("{start}-{end} s: {means:?}");
        assert!(means.windows(2).all(|pair| pair[1] >= pair[0] - 1e-4), "{means:?}");
    }
}
