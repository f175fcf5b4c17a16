//! WAVE and its larger kin: RIFF, RF64 (EBU Tech 3306) and Sony's Wave64.
//!
//! Written for files as they are met, not as they should be: lengths of 0 or 0xFFFFFFFF from writers that could not seek
//! back, lengths beyond the end of the file, odd chunks without their padding byte, and no data chunk at all.

use symphonia::{
    core::{
        audio::Channels,
        codecs::audio::{AudioCodecId, well_known as codec},
        errors::{Error, Result},
        formats::{FormatInfo, FormatOptions, FormatReader, probe::ProbeFormatData, well_known::FORMAT_ID_WAVE},
        io::{MediaSourceStream, ReadBytes, SeekBuffered as _},
    },
    default::formats::MpaReader,
};

use super::pcm::{Layout, PcmReader, bytes_ahead, channels_of, describe, probe_entry};

const WAVE: FormatInfo = describe(FORMAT_ID_WAVE, "wave", "Waveform Audio File Format");

/// Wave64 names its chunks by GUIDs: the four letters of RIFF, then these twelve bytes (another tail for `riff` itself).
const WAVE64_TAIL: [u8; 12] = [0xf3, 0xac, 0xd3, 0x11, 0x8c, 0xd1, 0x00, 0xc0, 0x4f, 0x8e, 0xdb, 0x8a];
const WAVE64_START: [u8; 16] =
    [0x72, 0x69, 0x66, 0x66, 0x2e, 0x91, 0xcf, 0x11, 0xa5, 0xd6, 0x28, 0xdb, 0x04, 0xc1, 0x00, 0x00];

/// Lengths from here on are placeholders of writers that did not know the length.
const PLACEHOLDER: u64 = 0x7fff_0000;

/// A format chunk is read up to this length; the formats understood here need no more.
const FORMAT_BYTES: u64 = 64;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Riff,
    Rf64,
    Wave64,
}

/// The format chunk.
struct Format {
    tag: u16,
    channels: u32,
    sample_rate: u32,
    block_bytes: u64,
    bits: u16,
    mask: u32,
    /// Frames in an ADPCM block, where the chunk says so.
    block_frames: Option<u64>,
}

/// How the probe knows these files.
pub(super) const PROBE: ProbeFormatData = probe_entry(WAVE, &[b"RIFF", b"RF64", b"BW64", &WAVE64_START]);

/// Whether a WAVE file begins here.
pub(super) fn score<R: ReadBytes>(source: &mut R) -> Result<bool> {
    Ok(kind_of(source)?.is_some())
}

fn kind_of<R: ReadBytes>(source: &mut R) -> Result<Option<Kind>> {
    let marker = source.read_quad_bytes()?;
    let kind = match &marker {
        b"RIFF" => Kind::Riff,
        b"RF64" | b"BW64" => Kind::Rf64,
        b"riff" => Kind::Wave64,
        _ => return Ok(None),
    };
    if kind == Kind::Wave64 {
        source.ignore_bytes(12 + 8)?;
        let mut form = [0; 16];
        source.read_buf_exact(&mut form)?;
        return Ok((form[..4] == *b"wave" && form[4..] == WAVE64_TAIL).then_some(kind));
    }
    source.ignore_bytes(4)?;
    Ok((source.read_quad_bytes()? == *b"WAVE").then_some(kind))
}

/// Walks the chunks up to the samples.
pub(super) fn open<'s>(
    mut stream: MediaSourceStream<'s>,
    options: FormatOptions,
) -> Result<Box<dyn FormatReader + 's>> {
    let kind = kind_of(&mut stream)?.ok_or(Error::Unsupported("not a WAVE file"))?;
    let mut format = None;
    let (mut data_bytes_64, mut counted_frames) = (None, None);
    // A file that ends before its data chunk holds no samples; one that ends before its format chunk is no WAVE file.
    let data_bytes = loop {
        let Ok((name, length)) = chunk_header(&mut stream, kind) else { break Some(0) };
        let start = stream.pos();
        match &name {
            b"data" => break believable(&stream, kind, length, data_bytes_64),
            b"fmt " => format = Some(read_format(&mut stream, length)?),
            b"ds64" if length >= 16 => {
                stream.ignore_bytes(8)?;
                data_bytes_64 = Some(stream.read_u64()?);
            }
            b"fact" if length >= 4 => counted_frames = Some(u64::from(stream.read_u32()?)),
            _ => {}
        }
        if skip_to_next(&mut stream, kind, start, length).is_err() {
            break Some(0);
        }
    };
    let format = format.ok_or(Error::DecodeError("the WAVE header ends before it says what the samples are"))?;
    if format.tag == 0x55 || format.tag == 0x50 {
        return Ok(Box::new(MpaReader::try_new(stream, options)?));
    }
    let layout = layout_of(&format, data_bytes, counted_frames)?;
    Ok(Box::new(PcmReader::new(stream, WAVE, layout)?))
}

/// The next chunk's name and the length of its body.
fn chunk_header(stream: &mut MediaSourceStream<'_>, kind: Kind) -> Result<([u8; 4], u64)> {
    let name = stream.read_quad_bytes()?;
    if kind != Kind::Wave64 {
        return Ok((name, u64::from(stream.read_u32()?)));
    }
    stream.ignore_bytes(12)?;
    // Wave64 counts the 24 bytes of the header itself.
    Ok((name, stream.read_u64()?.saturating_sub(24)))
}

/// Moves behind the chunk that began at `start`; an odd chunk may or may not be followed by its padding byte.
fn skip_to_next(stream: &mut MediaSourceStream<'_>, kind: Kind, start: u64, length: u64) -> Result<()> {
    let end = start.saturating_add(length);
    stream.ignore_bytes(end.saturating_sub(stream.pos()))?;
    if kind == Kind::Wave64 {
        stream.ignore_bytes(end.next_multiple_of(8).saturating_sub(end))?;
    } else if length % 2 == 1 {
        let padding = stream.read_u8()?;
        if padding.is_ascii_alphabetic() {
            stream.seek_buffered_rel(-1);
        }
    }
    Ok(())
}

/// The length of the samples as far as it can be believed; `None` means up to the end of the file.
fn believable(stream: &MediaSourceStream<'_>, kind: Kind, stated: u64, stated_64: Option<u64>) -> Option<u64> {
    let stated = if kind == Kind::Rf64 { stated_64.unwrap_or(stated) } else { stated };
    let ahead = bytes_ahead(stream);
    match ahead {
        Some(ahead) if stated == 0 || (stated > ahead && stated >= PLACEHOLDER) => Some(ahead),
        None if stated == 0 || stated >= PLACEHOLDER => None,
        _ => Some(stated),
    }
}

fn read_format(stream: &mut MediaSourceStream<'_>, length: u64) -> Result<Format> {
    if length < 14 {
        return Err(Error::DecodeError("the WAVE header's format chunk is too short"));
    }
    let mut bytes = vec![0; length.min(FORMAT_BYTES) as usize];
    stream.read_buf_exact(&mut bytes)?;
    let short = |at: usize| bytes.get(at..at + 2).map_or(0, |pair| u16::from_le_bytes([pair[0], pair[1]]));
    let long = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
    let extensible = short(0) == 0xfffe;
    Ok(Format {
        // An extensible header puts the tag at the front of the sub-format's GUID.
        tag: if extensible { short(24) } else { short(0) },
        channels: u32::from(short(2)),
        sample_rate: long(4),
        block_bytes: u64::from(short(12)),
        bits: short(14),
        mask: if extensible { long(20) } else { 0 },
        block_frames: (bytes.len() >= 20).then(|| u64::from(short(18))),
    })
}

fn layout_of(format: &Format, data_bytes: Option<u64>, counted_frames: Option<u64>) -> Result<Layout> {
    let channels = channels_of(format.channels, format.mask)?;
    let (codec, frame_bytes) = match format.tag {
        0x0001 => integer(format)?,
        0x0003 => float(format)?,
        0x0006 => (codec::CODEC_ID_PCM_ALAW, 1),
        0x0007 => (codec::CODEC_ID_PCM_MULAW, 1),
        0x0002 | 0x0011 => return adpcm(format, channels, data_bytes, counted_frames),
        other => return Err(Error::Unsupported(name_of(other))),
    };
    Ok(Layout {
        codec,
        sample_rate: format.sample_rate,
        block_bytes: frame_bytes * u64::from(format.channels),
        block_frames: 1,
        channels,
        data_bytes,
        frames: None,
    })
}

/// Integer samples: the codec and the bytes of one sample. Samples fill whole bytes from the top, whatever their width.
fn integer(format: &Format) -> Result<(AudioCodecId, u64)> {
    let bytes = match format.bits.div_ceil(8) {
        // Some writers leave the width out; the block says it.
        0 => format.block_bytes / u64::from(format.channels),
        bytes => u64::from(bytes),
    };
    match bytes {
        1 => Ok((codec::CODEC_ID_PCM_U8, 1)),
        2 => Ok((codec::CODEC_ID_PCM_S16LE, 2)),
        3 => Ok((codec::CODEC_ID_PCM_S24LE, 3)),
        4 => Ok((codec::CODEC_ID_PCM_S32LE, 4)),
        _ => Err(Error::Unsupported("integer samples of neither 8, 16, 24 nor 32 bits")),
    }
}

fn float(format: &Format) -> Result<(AudioCodecId, u64)> {
    match format.bits {
        32 => Ok((codec::CODEC_ID_PCM_F32LE, 4)),
        64 => Ok((codec::CODEC_ID_PCM_F64LE, 8)),
        _ => Err(Error::Unsupported("floating-point samples of neither 32 nor 64 bits")),
    }
}

fn adpcm(format: &Format, channels: Channels, data_bytes: Option<u64>, frames: Option<u64>) -> Result<Layout> {
    if format.bits != 4 || format.channels > 2 {
        return Err(Error::Unsupported("ADPCM other than 4 bits in one or two channels"));
    }
    let count = u64::from(format.channels);
    // A block is a header with the first sample (IMA) or the first two (Microsoft), then two samples a byte.
    let (codec, header, first) =
        if format.tag == 2 { (codec::CODEC_ID_ADPCM_MS, 7, 2) } else { (codec::CODEC_ID_ADPCM_IMA_WAV, 4, 1) };
    let body = format
        .block_bytes
        .checked_sub(header * count)
        .ok_or(Error::DecodeError("the WAVE header gives ADPCM blocks shorter than their own header"))?;
    let block_frames = body * 2 / count + first;
    if format.block_frames.is_some_and(|stated| stated != 0 && stated != block_frames) {
        return Err(Error::DecodeError("the WAVE header contradicts itself about the length of an ADPCM block"));
    }
    Ok(Layout {
        codec,
        sample_rate: format.sample_rate,
        channels,
        block_bytes: format.block_bytes,
        block_frames,
        data_bytes,
        frames: frames.filter(|&frames| frames > 0),
    })
}

/// What a format tag that is not understood stands for (mmreg.h).
fn name_of(tag: u16) -> &'static str {
    match tag {
        0x0010 => "OKI ADPCM",
        0x0014 | 0x0040 => "G.723 ADPCM",
        0x0022 => "TrueSpeech",
        0x0031 | 0x1500 => "GSM 6.10",
        0x0042 => "G.723.1",
        0x0045 | 0x0064 => "G.726 ADPCM",
        0x0065 | 0x028f => "G.722",
        0x0092 | 0x2000 => "AC-3",
        0x00ff | 0x1600 | 0x1610 | 0xa106 => "AAC inside WAVE",
        0x0160..=0x0163 => "Windows Media Audio",
        0x0270 => "ATRAC3",
        0x2001 => "DTS",
        0x674f..=0x6771 => "Vorbis inside WAVE",
        0xa109 => "Speex",
        _ => "an unknown codec inside WAVE",
    }
}
