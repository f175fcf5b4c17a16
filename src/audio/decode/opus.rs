//! Opus for symphonia, decoded by ropus straight to 16 kHz.
//!
//! Opus codes speech at 16 kHz or below, and its decoder can leave out what lies above the wanted rate: nothing is
//! resampled twice and the signal keeps its place in time. Headers are RFC 7845's, which Ogg, Matroska and MP4 share.

use ropus::{Channels as Width, DecodeMode, Decoder, OpusMSDecoder};
use symphonia::core::{
    audio::{AsGenericAudioBufferRef as _, AudioBuffer, AudioMut as _, AudioSpec, Channels, GenericAudioBufferRef},
    codecs::{
        CodecInfo,
        audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult, well_known::CODEC_ID_OPUS},
        registry::{RegisterableAudioDecoder, SupportedAudioCodec},
    },
    errors::{Error, Result},
    packet::PacketRef,
};

use crate::span::SAMPLE_RATE;

/// Opus counts time at this rate, whatever it was fed.
const CLOCK_RATE: u64 = 48_000;

/// Ticks of that clock in one sample of the output.
const TICKS: u64 = CLOCK_RATE / SAMPLE_RATE as u64;

/// The longest packet lasts 120 ms.
const LONGEST_PACKET: usize = SAMPLE_RATE * 120 / 1000;

/// The identification header.
struct Head {
    channels: usize,
    pre_skip: u64,
    /// In 1/256 dB.
    gain: i16,
    /// Streams, coupled streams and the channel mapping, where there are more than two channels.
    mapping: Option<(u8, u8, Vec<u8>)>,
}

enum Inner {
    Plain(Box<Decoder>),
    Multistream(Box<OpusMSDecoder>),
}

/// The decoder that symphonia's registry hands out for Opus tracks.
pub(super) struct OpusDecoder {
    parameters: AudioCodecParameters,
    inner: Inner,
    channels: usize,
    /// Samples (at 16 kHz) still to be dropped from the front.
    skip: usize,
    interleaved: Vec<f32>,
    /// The same for multistream, which ropus gives in 16 bits.
    interleaved_16: Vec<i16>,
    buffer: AudioBuffer<f32>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < 19 || bytes[..8] != *b"OpusHead" {
            return Err(Error::DecodeError("the Opus header is damaged"));
        }
        let (channels, family) = (usize::from(bytes[9]), bytes[18]);
        let mapping = match (family, channels) {
            (0, 1 | 2) => None,
            (1, 1..=8) | (255, 1..=255) => {
                let map = bytes.get(21..21 + channels).ok_or(Error::DecodeError("the Opus header is cut short"))?;
                Some((bytes[19], bytes[20], map.to_vec()))
            }
            _ => return Err(Error::Unsupported("Opus with an unknown channel mapping")),
        };
        let (pre_skip, gain) = ([bytes[10], bytes[11]], [bytes[16], bytes[17]]);
        // MP4 (version 0) writes the same fields as Ogg (version 1), but with the most significant byte first.
        let (pre_skip, gain) = if bytes[8] == 0 {
            (u16::from_be_bytes(pre_skip), i16::from_be_bytes(gain))
        } else {
            (u16::from_le_bytes(pre_skip), i16::from_le_bytes(gain))
        };
        Ok(Self { channels, pre_skip: u64::from(pre_skip), gain, mapping })
    }

    fn decoder(&self) -> Result<Inner> {
        let refused = Error::Unsupported("Opus with an impossible channel mapping");
        let (rate, gain) = (SAMPLE_RATE as u32, i32::from(self.gain));
        Ok(match &self.mapping {
            None => {
                let width = if self.channels == 1 { Width::Mono } else { Width::Stereo };
                let mut decoder = Decoder::new(rate, width).map_err(|_| refused)?;
                decoder.set_gain(gain).map_err(|_| Error::DecodeError("the Opus header gives an impossible gain"))?;
                Inner::Plain(Box::new(decoder))
            }
            Some((streams, coupled, map)) => Inner::Multistream(Box::new(
                OpusMSDecoder::new(rate as i32, self.channels as i32, i32::from(*streams), i32::from(*coupled), map)
                    .map(|mut decoder| {
                        decoder.set_gain(gain);
                        decoder
                    })
                    .map_err(|_| refused)?,
            )),
        })
    }
}

impl OpusDecoder {
    fn try_new(parameters: &AudioCodecParameters) -> Result<Self> {
        let head = Head::parse(parameters.extra_data.as_deref().unwrap_or_default())?;
        let layout = match &parameters.channels {
            Some(layout) if head.mapping.is_none() && layout.count() == head.channels => layout.clone(),
            // Multistream comes in Vorbis's order of speakers, which is not symphonia's.
            _ => Channels::Discrete(head.channels as u16),
        };
        let mut parameters = parameters.clone();
        parameters.with_sample_rate(SAMPLE_RATE as u32).with_channels(layout.clone());
        Ok(Self {
            parameters,
            inner: head.decoder()?,
            channels: head.channels,
            skip: head.pre_skip.div_ceil(TICKS) as usize,
            interleaved: vec![0.0; LONGEST_PACKET * head.channels],
            interleaved_16: vec![0; LONGEST_PACKET * head.channels],
            buffer: AudioBuffer::new(AudioSpec::new(SAMPLE_RATE as u32, layout), LONGEST_PACKET),
        })
    }

    /// Decodes one packet into `interleaved`; returns its frames.
    fn decode_packet(&mut self, data: &[u8]) -> Result<usize> {
        if data.is_empty() {
            return Err(Error::DecodeError("an empty Opus packet"));
        }
        match &mut self.inner {
            Inner::Plain(decoder) => decoder
                .decode_float(data, &mut self.interleaved, DecodeMode::Normal)
                .map_err(|_| Error::DecodeError("a damaged Opus packet")),
            Inner::Multistream(decoder) => {
                let frames = decoder
                    .decode(Some(data), data.len() as i32, &mut self.interleaved_16, LONGEST_PACKET as i32, false)
                    .map_err(|_| Error::DecodeError("a damaged Opus packet"))?;
                for (float, integer) in self.interleaved.iter_mut().zip(&self.interleaved_16) {
                    *float = f32::from(*integer) / 32768.0;
                }
                Ok(frames as usize)
            }
        }
    }
}

impl AudioDecoder for OpusDecoder {
    fn reset(&mut self) {
        if let Ok(fresh) = Self::try_new(&self.parameters) {
            *self = Self { skip: 0, ..fresh };
        }
    }

    fn codec_info(&self) -> &CodecInfo {
        &Self::supported_codecs()[0].info
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.parameters
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.buffer.clear();
        let frames = self.decode_packet(packet.data)?;
        self.buffer.render_uninit(Some(frames));
        self.buffer.copy_from_slice_interleaved(&&self.interleaved[..frames * self.channels]);
        // Ogg marks the padding of the last packet, in ticks of the 48 kHz clock.
        let padding = (packet.trim_end.get() / TICKS).min(frames as u64) as usize;
        let skipped = self.skip.min(frames - padding);
        self.skip -= skipped;
        self.buffer.trim(skipped, padding);
        Ok(self.buffer.as_generic_audio_buffer_ref())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.buffer.as_generic_audio_buffer_ref()
    }
}

impl RegisterableAudioDecoder for OpusDecoder {
    fn try_registry_new(
        parameters: &AudioCodecParameters,
        _options: &AudioDecoderOptions,
    ) -> Result<Box<dyn AudioDecoder>> {
        Ok(Box::new(Self::try_new(parameters)?))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        const INFO: CodecInfo = CodecInfo { short_name: "opus", long_name: "Opus", profiles: &[] };
        &[SupportedAudioCodec { id: CODEC_ID_OPUS, info: INFO }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: u8, pre_skip: [u8; 2], gain: [u8; 2]) -> Vec<u8> {
        let mut bytes = b"OpusHead".to_vec();
        bytes.extend([version, 2, pre_skip[0], pre_skip[1], 0x80, 0xbb, 0, 0, gain[0], gain[1], 0]);
        bytes
    }

    #[test]
    fn both_byte_orders_of_the_header_are_read() {
        for bytes in [head(1, [0x38, 0x01], [0x00, 0xff]), head(0, [0x01, 0x38], [0xff, 0x00])] {
            let head = Head::parse(&bytes).expect("a whole header");
            assert_eq!((head.channels, head.pre_skip, head.gain), (2, 312, -256));
        }
    }

    #[test]
    fn impossible_headers_are_refused() {
        let good = head(1, [0, 0], [0, 0]);
        assert!(Head::parse(&good[..18]).is_err());
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            Head::parse(&bytes).is_err()
        };
        assert!(with(0, b'o') && with(9, 0) && with(9, 3) && with(18, 1) && with(18, 9));
    }
}
