//! Recordings that give each speaker a channel, such as calls: every channel is transcribed for itself, its speech is its
//! speaker's turns, and what was said comes together in order of time.

use std::time::Instant;

use super::pipeline::{Options, Pipeline};
use crate::{
    audio::{Audio, decode::Decoded},
    error::{Error, Result},
    progress::Watch,
    span::Span,
    stages::{
        channels::{copies, leaks, muted},
        language::LanguageChoice,
    },
    transcript::{Segment, Speaker, Timings, Transcript, Turn},
};

/// Who speaks in a recording of several channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channels {
    /// Anybody: the channels are mixed.
    #[default]
    Mix,
    /// One speaker in each.
    Speakers,
}

impl Channels {
    /// What requests call them.
    pub const NAMES: [(&'static str, Self); 2] = [("mix", Self::Mix), ("speakers", Self::Speakers)];
}

/// A speaker's turns are joined over silences up to this, in seconds.
const LONGEST_PAUSE: f64 = 0.5;
/// A channel with less speech than this, in seconds, tells no language; it is read in that of the channel with the most.
const TELLS_LANGUAGE: f64 = 5.0;
/// Less that leaked, in seconds, is not worth a warning.
const NOTABLE_LEAK: f64 = 1.0;

/// A channel with a speaker.
struct Channel {
    number: usize,
    /// Without what leaked from others.
    audio: Audio,
    speech: Vec<Span>,
}

impl Channel {
    fn spoken(&self) -> f64 {
        self.speech.iter().map(Span::duration).sum()
    }
}

impl Pipeline {
    /// As [`Pipeline::transcribe_live`] with a speaker in each channel of what [`decode_file_channels`] gave: the first
    /// channel is `SPEAKER_00`, whoever speaks first. The listener hears everything at the end, since channels are read one
    /// after the other and segments are told in order of time.
    ///
    /// [`decode_file_channels`]: crate::audio::decode::decode_file_channels
    pub(super) fn transcribe_channels(
        &self,
        decoded: Decoded,
        decode_seconds: f64,
        options: &Options,
        watch: &Watch,
        listener: &mut dyn FnMut(Vec<Segment>),
    ) -> Result<Transcript> {
        if options.diarize.is_some() {
            return Err(Error::Request(
                "with a speaker in each channel there is nobody to tell apart by voice; ask for one of the two".into(),
            ));
        }
        let Decoded { audio, others, mut warnings, codec, source_rate, channels } = decoded;
        let alone = |audio| Decoded {
            audio,
            others: Vec::new(),
            warnings: Vec::new(),
            codec: codec.clone(),
            source_rate,
            channels,
        };
        let length = audio.samples().len();
        let started = Instant::now();
        let all = std::iter::once(audio).chain(others).collect();
        let mut channels = self.with_speech(all, options, watch, &mut warnings)?;
        let listened = started.elapsed().as_secs_f64();
        // The channel that says most tells the language of those that say little.
        channels.sort_by(|a, b| b.spoken().total_cmp(&a.spoken()));
        let mut whole: Option<Transcript> = None;
        for channel in channels {
            let part = self.transcribe_channel(&channel, &alone, options, whole.as_ref(), watch)?;
            let told = part.warnings.iter().map(|warning| format!("channel {}: {warning}", channel.number + 1));
            warnings.extend(told.collect::<Vec<_>>());
            match &mut whole {
                None => whole = Some(part),
                Some(whole) => {
                    whole.segments.extend(part.segments);
                    whole.turns.extend(part.turns);
                    whole.timings = added(&whole.timings, &part.timings);
                }
            }
        }
        let mut whole = match whole {
            Some(whole) => whole,
            None => {
                let nobody = Options { channels: Channels::Mix, ..options.clone() };
                let silence = alone(Audio::new(vec![0.0; length]));
                let transcript = self.run(silence, 0.0, &nobody, watch, &mut |_| {})?;
                warnings.extend_from_slice(&transcript.warnings);
                transcript
            }
        };
        let before = [("decode", decode_seconds), ("vad", listened), ("total", decode_seconds + listened)];
        whole.timings = added(&whole.timings, &Timings(before.to_vec()));
        whole.segments.sort_by(|a, b| a.span.start.total_cmp(&b.span.start));
        whole.turns.sort_by(|a, b| a.span.start.total_cmp(&b.span.start));
        whole.warnings = warnings;
        listener(whole.segments.clone());
        Ok(whole)
    }

    /// The channels in which somebody speaks, without copies and leaks.
    fn with_speech(
        &self,
        all: Vec<Audio>,
        options: &Options,
        watch: &Watch,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Channel>> {
        if all.len() == 1 {
            warnings.push(
                "the recording has one channel, so that all of it is one speaker's; tell speakers apart by voice (diarize) instead".into(),
            );
        }
        let copied = copies(&all);
        for (channel, original) in copied.iter().enumerate().filter_map(|(copy, found)| Some((copy, (*found)?))) {
            warnings.push(format!(
                "the channels {} and {} are identical and count as one speaker's; tell speakers apart by voice (diarize) instead",
                original + 1,
                channel + 1
            ));
        }
        let (numbers, distinct): (Vec<usize>, Vec<Audio>) =
            all.into_iter().enumerate().filter(|(channel, _)| copied[*channel].is_none()).unzip();
        let mut channels = Vec::new();
        let leaked = leaks(&distinct);
        for ((number, audio), leaked) in numbers.into_iter().zip(distinct).zip(leaked) {
            let seconds: f64 = leaked.iter().map(Span::duration).sum();
            if seconds >= NOTABLE_LEAK {
                warnings.push(format!(
                    "channel {} picks up other channels as well; {seconds:.1} s of it that are louder there were left out",
                    number + 1
                ));
            }
            // What holds a leak is dropped as soon as its clean copy is there.
            let audio = if leaked.is_empty() { audio } else { muted(&audio, &leaked) };
            let speech = self.hearing.detect(&audio, &options.vad, watch)?.spans;
            if !speech.is_empty() {
                channels.push(Channel { number, audio, speech });
            }
        }
        Ok(channels)
    }

    /// What is said in one channel, by its speaker. `told` is what the channel with the most speech gave.
    fn transcribe_channel(
        &self,
        channel: &Channel,
        alone: &dyn Fn(Audio) -> Decoded,
        options: &Options,
        told: Option<&Transcript>,
        watch: &Watch,
    ) -> Result<Transcript> {
        let mut options = Options { channels: Channels::Mix, ..options.clone() };
        if let Some(told) = told.filter(|_| channel.spoken() < TELLS_LANGUAGE)
            && options.transcribe.language == LanguageChoice::Detect
        {
            options.transcribe.language = LanguageChoice::Fixed(told.language);
        }
        let mut transcript = self.run(alone(channel.audio.clone()), 0.0, &options, watch, &mut |_| {})?;
        let speaker = Speaker(u16::try_from(channel.number).unwrap_or(u16::MAX));
        for segment in &mut transcript.segments {
            segment.speaker = Some(speaker);
            segment.words.iter_mut().for_each(|word| word.speaker = Some(speaker));
        }
        transcript.turns = turns(&channel.speech, speaker);
        Ok(transcript)
    }
}

/// Speech as the turns of `speaker`, joined over short silences.
fn turns(speech: &[Span], speaker: Speaker) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for span in speech {
        match turns.last_mut() {
            Some(last) if span.start - last.span.end <= LONGEST_PAUSE => last.span.end = span.end,
            _ => turns.push(Turn { span: *span, speaker, confidence: 1.0 }),
        }
    }
    turns
}

/// The seconds of both, stage by stage.
fn added(first: &Timings, second: &Timings) -> Timings {
    let mut sum = first.clone();
    for (stage, seconds) in &second.0 {
        match sum.0.iter_mut().find(|(known, _)| known == stage) {
            Some((_, total)) => *total += seconds,
            None => sum.0.push((stage, *seconds)),
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_becomes_turns_over_short_silences() {
        let speech = [Span::new(0.0, 1.0), Span::new(1.4, 2.0), Span::new(3.0, 4.0)];
        let found = turns(&speech, Speaker(1));
        let spans: Vec<Span> = found.iter().map(|turn| turn.span).collect();
        assert_eq!(spans, [Span::new(0.0, 2.0), Span::new(3.0, 4.0)]);
        assert!(found.iter().all(|turn| turn.speaker == Speaker(1) && turn.confidence == 1.0));
        assert_eq!(turns(&[], Speaker(0)), []);
    }

    #[test]
    fn timings_add_up_by_stage() {
        let sum = added(&Timings(vec![("vad", 1.0), ("total", 3.0)]), &Timings(vec![("total", 2.0), ("align", 0.5)]));
        assert_eq!(sum, Timings(vec![("vad", 1.0), ("total", 5.0), ("align", 0.5)]));
    }
}
