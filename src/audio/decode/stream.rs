//! One track from packets to 16 kHz samples, block by block: decode, place, mix down, resample.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::{
    audio::GenericAudioBufferRef,
    codecs::audio::AudioDecoder,
    errors::Error as MediaError,
    formats::{FormatReader, Track},
    packet::Packet,
};

use super::{
    Limits,
    downmix::{Downmix, Mix},
    movie::{Edit, Movie},
    timeline::{Placement, Timeline},
    track::{self, Choice},
};
use crate::{
    audio::resample::Resampler,
    error::{Error, Result},
    progress::{StageName, Watch},
    span::{SAMPLE_RATE, seconds_of},
};

/// Progress is told whenever this much more audio has been decoded, in seconds.
const STEP: f64 = 10.0;

/// Packets in a row that may yield nothing before the rest of the file is given up.
const MOST_FRUITLESS: usize = 20_000;

/// Why decoding stopped before the container's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// The bytes ran out inside a packet.
    CutShort,
    /// The container or the codec cannot be followed any further.
    Damaged(String),
}

/// What came out of one track.
pub(super) struct Outcome {
    pub samples: Vec<f32>,
    pub downmix: Downmix,
    pub source_rate: u32,
    pub channels: usize,
    pub good_packets: usize,
    pub bad_packets: usize,
    pub first_error: Option<String>,
    pub stop: Option<Stop>,
}

/// Decodes one track.
pub(super) struct TrackStream<'a> {
    reader: Box<dyn FormatReader + 'static>,
    decoder: Box<dyn AudioDecoder>,
    choice: Choice,
    timeline: Timeline,
    resampler: Option<Resampler>,
    limits: &'a Limits,
    outcome: Outcome,
    fruitless: usize,
}

impl<'a> TrackStream<'a> {
    /// Decodes the track `choice` of `reader`, mixed down as `mix` says.
    ///
    /// # Errors
    /// [`Error::Audio`] when there is no decoder.
    pub(super) fn new(
        reader: Box<dyn FormatReader + 'static>,
        choice: &Choice,
        edit: Option<Edit>,
        mix: Mix,
        limits: &'a Limits,
    ) -> Result<Self> {
        let outcome = Outcome {
            samples: Vec::new(),
            downmix: Downmix::new(mix),
            source_rate: 0,
            channels: 0,
            good_packets: 0,
            bad_packets: 0,
            first_error: None,
            stop: None,
        };
        Ok(Self {
            reader,
            decoder: choice.decoder()?,
            choice: choice.clone(),
            timeline: Timeline::new(edit, choice.times),
            resampler: None,
            limits,
            outcome,
            fruitless: 0,
        })
    }

    /// Reserves room for the stated length, as far as `bytes` of file can hold that much.
    pub(super) fn reserve(&mut self, bytes: u64) {
        // No codec understood here speaks with fewer than 500 bytes a second.
        let seconds = self.choice.seconds.unwrap_or(0.0).min(bytes as f64 / 500.0);
        // The resampler overshoots by a block before its end is cut.
        self.outcome.samples.reserve(((seconds + 1.0) * SAMPLE_RATE as f64) as usize);
    }

    /// Decodes to the end, as far as the file allows.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::TooLarge`] when the audio is longer than the limit.
    pub(super) fn run(mut self, watch: &Watch<'_>) -> Result<Outcome> {
        let mut reported = 0.0;
        while self.outcome.stop.is_none() && self.fruitless < MOST_FRUITLESS {
            watch.check()?;
            self.fruitless += 1;
            match contained(|| self.reader.next_packet()) {
                Ok(Some(packet)) if packet.track_id == self.choice.id => self.decode(&packet)?,
                Ok(Some(_)) => self.fruitless -= 1,
                Ok(None) => break,
                Err(MediaError::ResetRequired) => self.follow_reset(),
                Err(error) => self.outcome.stop = Some(stop_of(&error)),
            }
            let done = seconds_of(self.outcome.samples.len());
            if done >= reported + STEP {
                reported = done;
                watch.step(StageName::Decode, done, self.choice.seconds.unwrap_or(0.0).max(done))?;
            }
        }
        if let Some(resampler) = self.resampler.take() {
            resampler.finish(&mut self.outcome.samples)?;
        }
        check_length(self.limits, seconds_of(self.outcome.samples.len()))?;
        self.outcome.samples.shrink_to_fit();
        let done = seconds_of(self.outcome.samples.len());
        watch.step(StageName::Decode, done, done)?;
        Ok(self.outcome)
    }

    fn decode(&mut self, packet: &Packet) -> Result<()> {
        let time = self
            .reader
            .tracks()
            .iter()
            .find(|track| track.id == self.choice.id)
            .and_then(|track| time_of(packet, track));
        let block = match contained(|| self.decoder.decode(packet)) {
            Ok(block) => block,
            Err(MediaError::ResetRequired) => {
                self.renew_decoder();
                return Ok(());
            }
            Err(error) => {
                self.outcome.bad_packets += 1;
                self.outcome.first_error.get_or_insert_with(|| error.to_string());
                return Ok(());
            }
        };
        self.outcome.good_packets += 1;
        if block.frames() == 0 || block.num_planes() == 0 {
            return Ok(());
        }
        self.fruitless = 0;
        let rate = block.spec().rate();
        if self.resampler.as_ref().is_none_or(|resampler| resampler.rate() != rate) {
            let fresh = Resampler::new(rate)?;
            if let Some(old) = self.resampler.replace(fresh) {
                old.finish(&mut self.outcome.samples)?;
            }
        }
        self.outcome.source_rate = self.outcome.source_rate.max(rate);
        self.outcome.channels = self.outcome.channels.max(block.num_planes());
        let placement = self.timeline.place(block.frames() as u64, rate, time);
        // Silence costs the sender nothing: count it before it is laid down.
        let silence = placement.silence as f64 / f64::from(rate);
        check_length(self.limits, seconds_of(self.outcome.samples.len()) + silence)?;
        lay_down(&block, placement, self.resampler.as_mut(), &mut self.outcome)?;
        check_length(self.limits, seconds_of(self.outcome.samples.len()))
    }

    /// The container has begun anew, as Ogg files do that were joined end to end.
    fn follow_reset(&mut self) {
        match track::choices(self.reader.as_ref(), &Movie::default()) {
            Ok(choices) => {
                self.choice = Choice { seconds: self.choice.seconds, ..choices[0].clone() };
                self.renew_decoder();
            }
            Err(error) => self.outcome.stop = Some(Stop::Damaged(error.to_string())),
        }
    }

    fn renew_decoder(&mut self) {
        match self.choice.decoder() {
            Ok(decoder) => self.decoder = decoder,
            Err(error) => self.outcome.stop = Some(Stop::Damaged(error.to_string())),
        }
    }
}

fn check_length(limits: &Limits, seconds: f64) -> Result<()> {
    match limits.max_seconds {
        Some(most) if seconds > most => {
            Err(Error::TooLarge(format!("the audio is longer than the limit of {most} seconds; send it in parts")))
        }
        _ => Ok(()),
    }
}

/// Puts a block at its place: silence before it, its run-in and padding dropped.
fn lay_down(
    block: &GenericAudioBufferRef<'_>,
    placement: Placement,
    resampler: Option<&mut Resampler>,
    outcome: &mut Outcome,
) -> Result<()> {
    const SILENCE: [f32; 4096] = [0.0; 4096];
    let Some(resampler) = resampler else { return Ok(()) };
    let mut silence = placement.silence as usize;
    while silence > 0 {
        let part = silence.min(SILENCE.len());
        resampler.push(&SILENCE[..part], &mut outcome.samples)?;
        silence -= part;
    }
    let mono = outcome.downmix.mono(block);
    let (start, end) = (placement.skip as usize, (placement.skip + placement.keep) as usize);
    resampler.push(mono.get(start..end).unwrap_or_default(), &mut outcome.samples)
}

/// When the container wants this packet heard, in seconds.
fn time_of(packet: &Packet, track: &Track) -> Option<f64> {
    Some(track.time_base?.calc_time(packet.pts)?.as_secs_f64())
}

fn stop_of(error: &MediaError) -> Stop {
    match error {
        MediaError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Stop::CutShort,
        other => Stop::Damaged(other.to_string()),
    }
}

/// Runs a foreign decoder so that a panic inside it becomes an error like any other.
pub(super) fn contained<T>(
    work: impl FnOnce() -> std::result::Result<T, MediaError>,
) -> std::result::Result<T, MediaError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(MediaError::DecodeError("the decoder gave up on it")))
}
