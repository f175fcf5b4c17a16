//! Cuts the sample data of the simple containers (WAVE and its kin, AU) into packets.
//!
//! These containers are a header and then samples up to the end, so one reader serves them all once the header is
//! understood. It takes what is really there: a data length that lies is cut to the end of the file.

use symphonia::core::{
    audio::{Channels, Position},
    codecs::{
        CodecParameters,
        audio::{AudioCodecId, AudioCodecParameters},
    },
    errors::{Error, Result, SeekErrorKind},
    formats::{
        FormatId, FormatInfo, FormatOptions, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track,
        probe::{ProbeDataMatchSpec, ProbeFormatData, ProbeableFormat, Score, Scoreable},
    },
    io::{MediaSource as _, MediaSourceStream, ReadBytes as _, ScopedStream, SeekBuffered as _},
    meta::{Metadata, MetadataLog},
    packet::{Packet, PacketBuilder},
    units::{Duration, Timestamp},
};

use super::{au, wave};

/// Frames in a packet, at least one block: a fifth of a second at the usual rates.
const FRAMES_PER_PACKET: u64 = 8192;

/// More channels than any recording has; a header that claims more is damaged.
pub(super) const MOST_CHANNELS: u32 = 64;

/// What a header says about the samples behind it.
pub(super) struct Layout {
    pub codec: AudioCodecId,
    pub sample_rate: u32,
    pub channels: Channels,
    /// Bytes of one block; a block is one frame except in ADPCM.
    pub block_bytes: u64,
    /// Frames in one block.
    pub block_frames: u64,
    /// Bytes of sample data, where the header says so believably.
    pub data_bytes: Option<u64>,
    /// Frames as counted by the header; ADPCM pads its last block.
    pub frames: Option<u64>,
}

/// Reads packets of samples that lie in one piece.
pub(super) struct PcmReader<'s> {
    info: FormatInfo,
    stream: MediaSourceStream<'s>,
    media: MediaInfo,
    metadata: MetadataLog,
    tracks: Vec<Track>,
    block_bytes: u64,
    block_frames: u64,
    blocks_per_packet: u64,
    bytes_left: u64,
    /// Frames already handed out.
    position: u64,
    /// Frames to hand out at most.
    frames: Option<u64>,
}

impl<'s> PcmReader<'s> {
    /// Reads from `stream`, which stands at the first sample.
    pub(super) fn new(stream: MediaSourceStream<'s>, info: FormatInfo, layout: Layout) -> Result<Self> {
        if layout.sample_rate == 0 {
            return Err(Error::DecodeError("the header gives a sample rate of 0"));
        }
        if layout.block_bytes == 0 || layout.block_frames == 0 {
            return Err(Error::DecodeError("the header gives blocks of no samples"));
        }
        let blocks_per_packet = (FRAMES_PER_PACKET / layout.block_frames).max(1);
        let mut parameters = AudioCodecParameters::new();
        parameters
            .for_codec(layout.codec)
            .with_sample_rate(layout.sample_rate)
            .with_channels(layout.channels)
            .with_frames_per_block(layout.block_frames)
            .with_max_frames_per_packet(blocks_per_packet * layout.block_frames);
        let mut track = Track::new(0);
        track.with_codec_params(CodecParameters::Audio(parameters));
        if let Some(bytes) = layout.data_bytes {
            let frames = (bytes / layout.block_bytes).saturating_mul(layout.block_frames);
            track.with_num_frames(layout.frames.map_or(frames, |counted| frames.min(counted)));
        }
        Ok(Self {
            info,
            media: MediaInfo::from_track(&track),
            stream,
            metadata: MetadataLog::default(),
            tracks: vec![track],
            block_bytes: layout.block_bytes,
            block_frames: layout.block_frames,
            blocks_per_packet,
            bytes_left: layout.data_bytes.unwrap_or(u64::MAX),
            position: 0,
            frames: layout.frames,
        })
    }

    /// Reads up to `wanted` bytes; fewer only where the file ends.
    fn read(&mut self, wanted: u64) -> Result<Vec<u8>> {
        let mut data = vec![0; wanted as usize];
        let mut filled = 0;
        while filled < data.len() {
            match self.stream.read_buf(&mut data[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error.into()),
            }
        }
        data.truncate(filled);
        Ok(data)
    }
}

impl Scoreable for PcmReader<'_> {
    fn score(mut source: ScopedStream<&mut MediaSourceStream<'_>>) -> Result<Score> {
        let start = source.pos();
        let known = wave::score(&mut source)? || {
            source.seek_buffered(start);
            au::score(&mut source)?
        };
        Ok(if known { Score::Supported(255) } else { Score::Unsupported })
    }
}

impl ProbeableFormat<'_> for PcmReader<'_> {
    fn try_probe_new(mut stream: MediaSourceStream<'_>, options: FormatOptions) -> Result<Box<dyn FormatReader + '_>> {
        let marker = stream.read_quad_bytes()?;
        stream.seek_buffered_rel(-4);
        if marker == *b".snd" { au::open(stream) } else { wave::open(stream, options) }
    }

    fn probe_data() -> &'static [ProbeFormatData] {
        const { &[wave::PROBE, au::PROBE] }
    }
}

impl FormatReader for PcmReader<'_> {
    fn format_info(&self) -> &FormatInfo {
        &self.info
    }

    fn media_info(&self) -> &MediaInfo {
        &self.media
    }

    fn metadata(&mut self) -> Metadata<'_> {
        self.metadata.metadata()
    }

    fn seek(&mut self, _mode: SeekMode, _to: SeekTo) -> Result<SeekedTo> {
        Err(Error::SeekError(SeekErrorKind::Unseekable))
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let wanted = (self.blocks_per_packet * self.block_bytes).min(self.bytes_left);
        let mut data = self.read(wanted)?;
        self.bytes_left -= data.len() as u64;
        let blocks = data.len() as u64 / self.block_bytes;
        data.truncate((blocks * self.block_bytes) as usize);
        let frames = blocks * self.block_frames;
        let left = self.frames.map_or(frames, |all| all.saturating_sub(self.position).min(frames));
        if left == 0 {
            return Ok(None);
        }
        let packet = PacketBuilder::new()
            .track_id(0)
            .pts(Timestamp::new(self.position as i64))
            .dur(Duration::new(left))
            .trim_end(Duration::new(frames - left))
            .data(data)
            .build();
        self.position += frames;
        Ok(Some(packet))
    }

    fn into_inner<'a>(self: Box<Self>) -> MediaSourceStream<'a>
    where
        Self: 'a,
    {
        self.stream
    }
}

/// Channels from their number and the speaker mask of a WAVE header, which may be missing or wrong.
pub(super) fn channels_of(count: u32, mask: u32) -> Result<Channels> {
    if count == 0 {
        return Err(Error::DecodeError("the header gives 0 channels"));
    }
    if count > MOST_CHANNELS {
        return Err(Error::DecodeError("the header gives more than 64 channels"));
    }
    match Position::from_wave_channel_mask(mask) {
        Some(positions) if positions.bits().count_ones() == count => Ok(Channels::Positioned(positions)),
        _ => Ok(Channels::Discrete(count as u16)),
    }
}

/// Bytes between the reading position and the end of the file, where its length is known.
pub(super) fn bytes_ahead(stream: &MediaSourceStream<'_>) -> Option<u64> {
    Some(stream.byte_len()?.saturating_sub(stream.pos()))
}

/// A container's entry for the probe.
pub(super) const fn probe_entry(info: FormatInfo, markers: &'static [&'static [u8]]) -> ProbeFormatData {
    ProbeFormatData { spec: ProbeDataMatchSpec { extensions: &[], mime_types: &[], markers }, info }
}

/// A description of a container.
pub(super) const fn describe(id: FormatId, short_name: &'static str, long_name: &'static str) -> FormatInfo {
    FormatInfo { format: id, short_name, long_name }
}
