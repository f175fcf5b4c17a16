//! AAC for symphonia, decoded by syom: AAC-LC, HE-AAC v1 and v2, AAC-LD, up to 5.1 channels.

use symphonia::core::{
    audio::{
        AsGenericAudioBufferRef as _, AudioBuffer, AudioMut as _, AudioSpec, Channels, GenericAudioBufferRef, layouts,
    },
    codecs::{
        CodecInfo,
        audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult, well_known::CODEC_ID_AAC},
        registry::{RegisterableAudioDecoder, SupportedAudioCodec},
    },
    errors::{Error, Result},
    packet::PacketRef,
};
use syom::{DecodeOptions, Decoder};

/// The sample rates that a configuration names by their index (ISO/IEC 14496-3, table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Frames of the longest packet: 1024 samples at the core's rate are twice as many after band replication.
const LONGEST_PACKET: usize = 2048;

/// The decoder that symphonia's registry hands out for AAC tracks.
pub(super) struct AacDecoder {
    parameters: AudioCodecParameters,
    configuration: Vec<u8>,
    decoder: Box<Decoder>,
    buffer: AudioBuffer<f32>,
}

impl AacDecoder {
    fn try_new(parameters: &AudioCodecParameters) -> Result<Self> {
        let configuration = match &parameters.extra_data {
            Some(stated) => stated.to_vec(),
            None => configuration_of(parameters)?,
        };
        let decoder = Decoder::from_asc(&configuration, DecodeOptions::unbounded())
            .map_err(|_| Error::Unsupported("this profile of AAC is not known"))?;
        let rate = parameters.sample_rate.unwrap_or(RATES[0]);
        let channels = parameters.channels.clone().unwrap_or(layouts::CHANNEL_LAYOUT_STEREO);
        Ok(Self {
            parameters: parameters.clone(),
            configuration,
            decoder: Box::new(decoder),
            buffer: AudioBuffer::new(AudioSpec::new(rate, channels), 0),
        })
    }
}

/// The configuration of a stream that carries none (ADTS): AAC-LC at the stated rate, which may still announce band
/// replication inside its packets.
fn configuration_of(parameters: &AudioCodecParameters) -> Result<Vec<u8>> {
    let rate = RATES.iter().position(|rate| Some(*rate) == parameters.sample_rate);
    let channels = match parameters.channels.as_ref().map_or(0, Channels::count) {
        count @ 1..=6 => count,
        8 => 7,
        _ => return Err(Error::Unsupported("AAC without a statement about its channels")),
    };
    let rate = rate.ok_or(Error::Unsupported("AAC at an unusual sample rate"))?;
    // Five bits of object type (2: AAC-LC), four of rate, four of channels, three zeros.
    Ok(((2 << 11 | rate << 7 | channels << 3) as u16).to_be_bytes().to_vec())
}

/// Copies the planes of one frame into `buffer`, which is renewed when their number, length or rate has changed.
fn keep(frame: &syom::Frame<'_>, buffer: &mut AudioBuffer<f32>) {
    let channels = match frame.planar.len() {
        1 => layouts::CHANNEL_LAYOUT_MONO,
        2 => layouts::CHANNEL_LAYOUT_STEREO,
        6 => layouts::CHANNEL_LAYOUT_5P1,
        count => Channels::Discrete(count as u16),
    };
    let spec = AudioSpec::new(frame.sample_rate, channels);
    if *symphonia::core::audio::Audio::spec(buffer) != spec || buffer.capacity() < frame.samples {
        *buffer = AudioBuffer::new(spec, frame.samples.max(LONGEST_PACKET));
    }
    buffer.render_uninit(Some(frame.samples));
    buffer.copy_from_slice_planar(frame.planar);
}

impl AudioDecoder for AacDecoder {
    fn reset(&mut self) {
        self.decoder.reset();
        // The same configuration was accepted before.
        let _accepted = self.decoder.set_asc(&self.configuration);
    }

    fn codec_info(&self) -> &CodecInfo {
        &Self::supported_codecs()[0].info
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.parameters
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.buffer.clear();
        let buffer = &mut self.buffer;
        let decoded = self.decoder.decode_au(packet.data, |frame| {
            keep(&frame, buffer);
            Ok(())
        });
        if decoded.is_err() {
            self.buffer.clear();
            self.reset();
            return Err(Error::DecodeError("a damaged AAC packet"));
        }
        Ok(self.buffer.as_generic_audio_buffer_ref())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.buffer.as_generic_audio_buffer_ref()
    }
}

impl RegisterableAudioDecoder for AacDecoder {
    fn try_registry_new(
        parameters: &AudioCodecParameters,
        _options: &AudioDecoderOptions,
    ) -> Result<Box<dyn AudioDecoder>> {
        Ok(Box::new(Self::try_new(parameters)?))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        const INFO: CodecInfo = CodecInfo { short_name: "aac", long_name: "Advanced Audio Coding", profiles: &[] };
        &[SupportedAudioCodec { id: CODEC_ID_AAC, info: INFO }]
    }
}

/// The usual name of what an AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) describes.
pub(super) fn name_of(configuration: &[u8]) -> &'static str {
    let bits = configuration.iter().take(2).fold(0, |bits, byte| bits << 8 | u32::from(*byte));
    let kind = match bits >> 11 {
        31 => 32 + (bits >> 5 & 63),
        kind => kind,
    };
    match kind {
        1 => "AAC Main",
        // Plain AAC-LC may announce band replication for the decoders that know it.
        2 if configuration.windows(3).any(|tail| tail[..2] == [0x56, 0xe5] && tail[2] >> 7 == 1) => "HE-AAC",
        2 => "AAC-LC",
        3 => "AAC SSR",
        4 => "AAC LTP",
        5 => "HE-AAC",
        23 => "AAC-LD",
        29 => "HE-AAC v2",
        39 => "AAC-ELD",
        42 => "xHE-AAC (USAC)",
        _ => "an unusual profile of AAC",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_have_names() {
        assert_eq!(name_of(&[0x12, 0x10]), "AAC-LC");
        assert_eq!(name_of(&[0x14, 0x08, 0x56, 0xe5, 0x00]), "AAC-LC");
        assert_eq!(name_of(&[0x13, 0x08, 0x56, 0xe5, 0x98]), "HE-AAC");
        assert_eq!(name_of(&[0x2b, 0x92, 0x08, 0x00]), "HE-AAC");
        assert_eq!(name_of(&[0xeb, 0x8a, 0x08, 0x00]), "HE-AAC v2");
        assert_eq!(name_of(&[0xf9, 0x46, 0x40]), "xHE-AAC (USAC)");
    }

    #[test]
    fn a_stream_without_configuration_gets_one() {
        let mut parameters = AudioCodecParameters::new();
        parameters.with_sample_rate(44_100).with_channels(layouts::CHANNEL_LAYOUT_STEREO);
        assert_eq!(configuration_of(&parameters).ok(), Some(vec![0x12, 0x10]));
        parameters.with_sample_rate(44_101);
        assert!(configuration_of(&parameters).is_err());
    }

    /// A tone of one second at 48 kHz as ADTS.
    fn encoded(options: &syom::EncodeOptions, channels: usize) -> Vec<u8> {
        let tone: Vec<f32> = (0..48_000).map(|index| 0.3 * (index as f32 * 0.05).sin()).collect();
        syom::encode_with(&vec![&tone[..]; channels], 48_000, options).expect("a file")
    }

    fn power(samples: &[f32]) -> f32 {
        samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
    }

    #[test]
    fn streams_without_configuration_are_read() {
        let he_aac = syom::EncodeOptions::adts().with_bitrate_bps(32_000);
        for (what, file) in [
            ("AAC-LC in mono", encoded(&syom::EncodeOptions::adts(), 1)),
            ("AAC-LC in 5.1", encoded(&syom::EncodeOptions::adts().with_bitrate_bps(256_000), 6)),
            ("HE-AAC", encoded(&he_aac.clone().with_he(true), 1)),
            ("HE-AAC v2", encoded(&he_aac.with_he_v2(true), 2)),
        ] {
            let watch = crate::progress::Watch::silent();
            let recording =
                crate::audio::decode::decode_bytes(file, None, &Default::default(), &watch).expect("a recording");
            assert_eq!((recording.codec.as_str(), recording.source_rate), ("AAC", 48_000), "{what}");
            // ADTS says nothing of the run-in.
            let seconds = recording.audio.duration();
            assert!((1.0..1.2).contains(&seconds), "{what}: {seconds} s");
            let power = power(&recording.audio.samples()[4000..12_000]);
            assert!((power - 0.045).abs() < 0.004, "{what}: power {power}");
            assert_eq!(recording.warnings, Vec::<String>::new(), "{what}");
        }
    }

    #[test]
    fn explicit_he_aac_is_read_from_its_packets() {
        let file = encoded(&syom::EncodeOptions::adts().with_he(true).with_bitrate_bps(32_000), 1);
        // Object type 5, core rate 6 (24 kHz), one channel, full rate 3 (48 kHz), core type 2.
        let mut parameters = AudioCodecParameters::new();
        parameters.for_codec(CODEC_ID_AAC).with_extra_data(vec![0x2b, 0x09, 0x88, 0x00].into());
        let mut decoder = AacDecoder::try_new(&parameters).expect("a decoder");
        // A tag leads the file; the packets begin at their sync word.
        let start = file.windows(2).position(|word| word == [0xff, 0xf1]).expect("a packet");
        let (mut rest, mut frames) = (&file[start..], 0);
        while let [_, _, _, high, middle, low, ..] = rest {
            let length = usize::from(high & 3) << 11 | usize::from(*middle) << 3 | usize::from(low >> 5);
            let packet = PacketRef::new(0, Default::default(), Default::default(), &rest[7..length]);
            let block = decoder.decode_ref(&packet).expect("a good packet");
            assert_eq!((block.spec().rate(), block.frames()), (48_000, 2048));
            frames += block.frames();
            rest = &rest[length..];
        }
        assert!(frames >= 48_000);
        assert!(decoder.decode_ref(&PacketRef::new(0, Default::default(), Default::default(), &[])).is_err());
        assert_eq!(decoder.last_decoded().frames(), 0);
    }
}
