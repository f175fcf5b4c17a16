//! Sun's AU files: a header of six 32-bit big-endian words, then the samples.

use symphonia::core::{
    codecs::audio::well_known as codec,
    errors::{Error, Result},
    formats::{FormatId, FormatInfo, FormatReader, probe::ProbeFormatData},
    io::{MediaSourceStream, ReadBytes},
};

use super::pcm::{Layout, PcmReader, bytes_ahead, channels_of, describe, probe_entry};

const AU: FormatInfo = describe(FormatId::new(symphonia::core::common::FourCc::new(*b".snd")), "au", "Sun AU");

/// Bytes of the six words.
const HEADER_BYTES: u32 = 24;

/// How the probe knows these files.
pub(super) const PROBE: ProbeFormatData = probe_entry(AU, &[b".snd"]);

/// Whether an AU file begins here.
pub(super) fn score<R: ReadBytes>(source: &mut R) -> Result<bool> {
    Ok(source.read_quad_bytes()? == *b".snd" && source.read_be_u32()? >= HEADER_BYTES)
}

/// Reads the header up to the samples.
pub(super) fn open<'s>(mut stream: MediaSourceStream<'s>) -> Result<Box<dyn FormatReader + 's>> {
    stream.ignore_bytes(4)?;
    let offset = stream.read_be_u32()?;
    let stated = stream.read_be_u32()?;
    let encoding = stream.read_be_u32()?;
    let sample_rate = stream.read_be_u32()?;
    let count = stream.read_be_u32()?;
    stream.ignore_bytes(u64::from(offset.saturating_sub(HEADER_BYTES)))?;
    let (codec, sample_bytes) = match encoding {
        1 => (codec::CODEC_ID_PCM_MULAW, 1),
        2 => (codec::CODEC_ID_PCM_S8, 1),
        3 => (codec::CODEC_ID_PCM_S16BE, 2),
        4 => (codec::CODEC_ID_PCM_S24BE, 3),
        5 => (codec::CODEC_ID_PCM_S32BE, 4),
        6 => (codec::CODEC_ID_PCM_F32BE, 4),
        7 => (codec::CODEC_ID_PCM_F64BE, 8),
        27 => (codec::CODEC_ID_PCM_ALAW, 1),
        23..=26 => return Err(Error::Unsupported("G.72x ADPCM")),
        _ => return Err(Error::Unsupported("an unknown codec inside AU")),
    };
    // All ones mean that the writer did not know the length.
    let data_bytes = if stated == u32::MAX { bytes_ahead(&stream) } else { Some(u64::from(stated)) };
    let layout = Layout {
        codec,
        sample_rate,
        channels: channels_of(count, 0)?,
        block_bytes: sample_bytes * u64::from(count),
        block_frames: 1,
        data_bytes,
        frames: None,
    };
    Ok(Box::new(PcmReader::new(stream, AU, layout)?))
}
