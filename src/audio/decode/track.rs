//! Which track is decoded, by what, and what the codecs are called.

use symphonia::core::{
    audio::Channels,
    codecs::{
        CodecParameters,
        audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known as codec},
        registry::CodecRegistry,
    },
    common::Tier,
    errors::Error as MediaError,
    formats::{FormatReader, Track, TrackType, well_known::FORMAT_ID_MKV},
};

use super::{
    aac::{self, AacDecoder},
    movie::Movie,
    opus::OpusDecoder,
    pcm::MOST_CHANNELS,
    timeline::Times,
};
use crate::error::{Error, Result};

/// More frames in a packet than any codec has; a header that claims more is damaged.
const MOST_FRAMES_PER_PACKET: u64 = 1 << 17;

/// An audio track that can be decoded.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    /// The container's number of the track.
    pub id: u32,
    /// Its place among the container's tracks.
    pub index: usize,
    /// Its place among the audio tracks, from 1, as people count.
    pub ordinal: usize,
    /// The codec's name.
    pub codec: &'static str,
    pub parameters: AudioCodecParameters,
    /// What the times of its packets are good for.
    pub times: Times,
    /// The whole length that the container states, in seconds.
    pub seconds: Option<f64>,
}

impl Choice {
    /// A decoder for this track.
    pub(super) fn decoder(&self) -> Result<Box<dyn AudioDecoder>> {
        let options = AudioDecoderOptions::default();
        registry().make_audio_decoder(&self.parameters, &options).map_err(|error| {
            Error::Audio(match error {
                MediaError::Unsupported(_) => {
                    format!("the file holds {}, which is not supported; {REMEDY}", self.codec)
                }
                error => format!("the file's header is damaged: its {} cannot be decoded ({error})", self.codec),
            })
        })
    }
}

/// What to do about a codec that is not understood.
pub(super) const REMEDY: &str = "convert it to WAV, FLAC, MP3, AAC or Opus first";

fn registry() -> CodecRegistry {
    let mut registry = CodecRegistry::new();
    symphonia::default::register_enabled_codecs(&mut registry);
    registry.register_audio_decoder::<OpusDecoder>();
    registry.register_audio_decoder_at_tier::<AacDecoder>(Tier::Preferred);
    registry
}

/// The tracks that can be decoded, in the container's order.
///
/// # Errors
/// [`Error::Audio`] when there is none, saying why.
pub(super) fn choices(reader: &dyn FormatReader, movie: &Movie) -> Result<Vec<Choice>> {
    let mut choices = Vec::new();
    let mut refusal = None;
    let tracks = reader.tracks();
    let audio = tracks.iter().enumerate().filter_map(|(index, track)| match &track.codec_params {
        Some(CodecParameters::Audio(parameters)) => Some((index, track, parameters)),
        _ => None,
    });
    for (ordinal, (index, track, parameters)) in audio.enumerate() {
        let mut parameters = parameters.clone();
        if movie.tracks.get(index).is_some_and(|track| track.big_endian) {
            parameters.codec = big_endian(parameters.codec);
        }
        match choice(reader, track, parameters, index, ordinal + 1) {
            Ok(choice) => choices.push(choice),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    if !choices.is_empty() {
        return Ok(choices);
    }
    Err(refusal.unwrap_or_else(|| {
        let video = tracks.iter().any(|track| track.track_type() == Some(TrackType::Video));
        Error::Audio(if video {
            "the file holds video but no sound; send one with an audio track".into()
        } else if tracks.iter().any(|track| track.codec_params.is_none()) {
            format!("the file holds no track of a known codec; {REMEDY}")
        } else {
            "the file holds no audio track".into()
        })
    }))
}

fn choice(
    reader: &dyn FormatReader,
    track: &Track,
    parameters: AudioCodecParameters,
    index: usize,
    ordinal: usize,
) -> Result<Choice> {
    let name = match (parameters.codec, &parameters.extra_data) {
        (codec::CODEC_ID_AAC, Some(configuration)) => aac::name_of(configuration),
        (codec, _) => name_of(codec),
    };
    check(&parameters, name)?;
    let choice = Choice {
        id: track.id,
        index,
        ordinal,
        codec: name,
        times: match (reader.format_info().format, parameters.codec) {
            // These drop their run-in themselves; the times of their first packets tell of it again.
            (FORMAT_ID_MKV, codec::CODEC_ID_OPUS | codec::CODEC_ID_VORBIS) => Times::Holes,
            (FORMAT_ID_MKV, _) => Times::HolesAndRunIn,
            _ => Times::Counted,
        },
        seconds: seconds_of(reader, track, &parameters),
        parameters,
    };
    choice.decoder()?;
    Ok(choice)
}

/// Refuses parameters that no real file has before a decoder allocates by them.
fn check(parameters: &AudioCodecParameters, name: &str) -> Result<()> {
    let channels = parameters.channels.as_ref().map_or(0, Channels::count);
    if parameters.sample_rate == Some(0) {
        return Err(Error::Audio("the file's header gives a sample rate of 0; it is damaged".into()));
    }
    if channels > MOST_CHANNELS as usize {
        return Err(Error::Audio(format!("the file's header gives {channels} channels of {name}; it is damaged")));
    }
    if parameters.max_frames_per_packet.is_some_and(|frames| frames > MOST_FRAMES_PER_PACKET) {
        return Err(Error::Audio(format!(
            "the file's header gives packets of {name} that are too long; it is damaged"
        )));
    }
    if parameters.codec == codec::CODEC_ID_ALAC {
        // The frame length leads Apple's cookie; the decoder allocates by it.
        let cookie = parameters.extra_data.as_deref().unwrap_or_default();
        let frames = cookie.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        if u64::from(frames) > MOST_FRAMES_PER_PACKET {
            return Err(Error::Audio(
                "the file's header gives packets of ALAC that are too long; it is damaged".into(),
            ));
        }
    }
    Ok(())
}

/// The same PCM with the most significant byte first.
fn big_endian(id: AudioCodecId) -> AudioCodecId {
    match id {
        codec::CODEC_ID_PCM_S24LE => codec::CODEC_ID_PCM_S24BE,
        codec::CODEC_ID_PCM_S32LE => codec::CODEC_ID_PCM_S32BE,
        codec::CODEC_ID_PCM_F32LE => codec::CODEC_ID_PCM_F32BE,
        codec::CODEC_ID_PCM_F64LE => codec::CODEC_ID_PCM_F64BE,
        other => other,
    }
}

/// The length that the container states for the track, or for everything in it.
fn seconds_of(reader: &dyn FormatReader, track: &Track, parameters: &AudioCodecParameters) -> Option<f64> {
    let media = reader.media_info();
    let stated = |base: Option<symphonia::core::units::TimeBase>, length: Option<symphonia::core::units::Duration>| {
        Some(base?.calc_duration(length?)?.as_secs_f64())
    };
    let counted = || Some(track.num_frames? as f64 / f64::from(parameters.sample_rate?));
    stated(track.time_base, track.duration)
        .or_else(counted)
        .or_else(|| stated(media.time_base, media.duration))
        .filter(|seconds| *seconds > 0.0)
}

/// The usual name of a codec.
fn name_of(id: AudioCodecId) -> &'static str {
    const NAMES: &[(AudioCodecId, &str)] = &[
        (codec::CODEC_ID_PCM_ALAW, "A-law"),
        (codec::CODEC_ID_PCM_MULAW, "mu-law"),
        (codec::CODEC_ID_ADPCM_G722, "G.722"),
        (codec::CODEC_ID_ADPCM_G726, "G.726"),
        (codec::CODEC_ID_ADPCM_G726LE, "G.726"),
        (codec::CODEC_ID_ADPCM_MS, "Microsoft ADPCM"),
        (codec::CODEC_ID_ADPCM_IMA_WAV, "IMA ADPCM"),
        (codec::CODEC_ID_ADPCM_IMA_QT, "IMA ADPCM"),
        (codec::CODEC_ID_VORBIS, "Vorbis"),
        (codec::CODEC_ID_OPUS, "Opus"),
        (codec::CODEC_ID_SPEEX, "Speex"),
        (codec::CODEC_ID_MUSEPACK, "Musepack"),
        (codec::CODEC_ID_MP1, "MP1"),
        (codec::CODEC_ID_MP2, "MP2"),
        (codec::CODEC_ID_MP3, "MP3"),
        (codec::CODEC_ID_AAC, "AAC"),
        (codec::CODEC_ID_AC3, "AC-3"),
        (codec::CODEC_ID_EAC3, "E-AC-3"),
        (codec::CODEC_ID_AC4, "AC-4"),
        (codec::CODEC_ID_DCA, "DTS"),
        (codec::CODEC_ID_ATRAC1, "ATRAC"),
        (codec::CODEC_ID_ATRAC3, "ATRAC3"),
        (codec::CODEC_ID_WMA, "Windows Media Audio"),
        (codec::CODEC_ID_FLAC, "FLAC"),
        (codec::CODEC_ID_WAVPACK, "WavPack"),
        (codec::CODEC_ID_MONKEYS_AUDIO, "Monkey's Audio"),
        (codec::CODEC_ID_ALAC, "ALAC"),
        (codec::CODEC_ID_TTA, "True Audio"),
        (codec::CODEC_ID_TRUEHD, "Dolby TrueHD"),
    ];
    let pcm = codec::CODEC_ID_PCM_S32LE..=codec::CODEC_ID_PCM_F64BE_PLANAR;
    match NAMES.iter().find(|(known, _)| *known == id) {
        Some((_, name)) => name,
        None if pcm.contains(&id) => "PCM",
        None => "an unknown codec",
    }
}
/// What to tell where an earlier track was passed over.
pub(super) fn later_was_used(choice: &Choice) -> String {
    format!("audio track {} was used: those before it are silent or cannot be decoded", choice.ordinal)
}
