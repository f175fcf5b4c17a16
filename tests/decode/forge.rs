//! Writes small recordings in every container that needs no encoder, and Opus through ropus.

use std::f64::consts::TAU;

/// A sound with energy from 120 Hz to 3.5 kHz that resembles itself at no other time: three sweeps under a slow swell.
pub fn sound(rate: u32, seconds: f64) -> Vec<f64> {
    let count = (f64::from(rate) * seconds).round() as usize;
    let sample = |index: usize| {
        let time = index as f64 / f64::from(rate);
        let sweep = |start: f64, rise: f64| (TAU * (start * time + rise * time * time)).sin();
        (0.6 + 0.4 * (TAU * 0.7 * time).sin())
            * 0.25
            * (sweep(120.0, 60.0) + sweep(900.0, 210.0) + sweep(3000.0, -190.0))
    };
    (0..count).map(sample).collect()
}

/// How samples are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Width {
    Unsigned8,
    Signed8,
    Signed16,
    Signed24,
    Signed32,
    Float32,
    Float64,
    ALaw,
    MuLaw,
}

impl Width {
    pub const WAVE: [Width; 8] = [
        Width::Unsigned8,
        Width::Signed16,
        Width::Signed24,
        Width::Signed32,
        Width::Float32,
        Width::Float64,
        Width::ALaw,
        Width::MuLaw,
    ];

    pub fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 | Self::Signed8 | Self::ALaw | Self::MuLaw => 1,
            Self::Signed16 => 2,
            Self::Signed24 => 3,
            Self::Signed32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    fn tag(self) -> u16 {
        match self {
            Self::Float32 | Self::Float64 => 3,
            Self::ALaw => 6,
            Self::MuLaw => 7,
            _ => 1,
        }
    }

    /// One sample, least significant byte first.
    fn little(self, sample: f64) -> Vec<u8> {
        let scaled = |bits: u32| (sample * f64::from(2_u32.pow(bits - 1))).round() as i64;
        match self {
            Self::Unsigned8 => vec![(scaled(8) + 128) as u8],
            Self::Signed8 => vec![scaled(8) as u8],
            Self::Signed16 => (scaled(16) as i16).to_le_bytes().to_vec(),
            Self::Signed24 => scaled(24).to_le_bytes()[..3].to_vec(),
            Self::Signed32 => (scaled(32) as i32).to_le_bytes().to_vec(),
            Self::Float32 => (sample as f32).to_le_bytes().to_vec(),
            Self::Float64 => sample.to_le_bytes().to_vec(),
            Self::ALaw => vec![a_law(sample)],
            Self::MuLaw => vec![mu_law(sample)],
        }
    }

    pub fn encode(self, samples: &[f64]) -> Vec<u8> {
        samples.iter().flat_map(|&sample| self.little(sample)).collect()
    }

    pub fn encode_big_endian(self, samples: &[f64]) -> Vec<u8> {
        samples.iter().flat_map(|&sample| self.little(sample).into_iter().rev()).collect()
    }
}

/// ITU-T G.711: the segment and four bits of the mantissa, every second bit inverted.
fn a_law(sample: f64) -> u8 {
    let magnitude = ((sample.abs() * 4096.0) as u32).min(4095);
    let segment = magnitude.max(32).ilog2() - 4;
    let code = if magnitude < 32 { magnitude >> 1 } else { segment << 4 | (magnitude >> segment & 15) };
    (code as u8 | if sample >= 0.0 { 0x80 } else { 0 }) ^ 0x55
}

/// ITU-T G.711: biased, the segment and four bits of the mantissa, all bits inverted.
fn mu_law(sample: f64) -> u8 {
    let magnitude = ((sample.abs() * 8159.0) as u32).min(8158) + 33;
    let segment = magnitude.ilog2() - 5;
    let code = segment << 4 | (magnitude >> (segment + 1) & 15);
    !(code as u8 | if sample < 0.0 { 0x80 } else { 0 })
}

/// A format chunk's body.
pub fn format_chunk(width: Width, rate: u32, channels: u16) -> Vec<u8> {
    let frame = width.bytes() as u16 * channels;
    let mut body = width.tag().to_le_bytes().to_vec();
    body.extend(channels.to_le_bytes());
    body.extend(rate.to_le_bytes());
    body.extend((rate * u32::from(frame)).to_le_bytes());
    body.extend(frame.to_le_bytes());
    body.extend((8 * width.bytes() as u16).to_le_bytes());
    body
}

pub fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = name.to_vec();
    chunk.extend((body.len() as u32).to_le_bytes());
    chunk.extend(body);
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

pub fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body: Vec<u8> = b"WAVE".iter().copied().chain(chunks.concat()).collect();
    chunk(b"RIFF", &body)
}

/// A plain WAVE file of interleaved samples.
pub fn wave(width: Width, rate: u32, channels: u16, interleaved: &[f64]) -> Vec<u8> {
    riff(&[chunk(b"fmt ", &format_chunk(width, rate, channels)), chunk(b"data", &width.encode(interleaved))])
}

pub fn rf64(width: Width, rate: u32, samples: &[f64]) -> Vec<u8> {
    let data = width.encode(samples);
    let mut sizes = (data.len() as u64 + 72).to_le_bytes().to_vec();
    sizes.extend((data.len() as u64).to_le_bytes());
    sizes.extend((samples.len() as u64).to_le_bytes());
    sizes.extend([0; 4]);
    let mut file = b"RF64\xff\xff\xff\xffWAVE".to_vec();
    file.extend(chunk(b"ds64", &sizes));
    file.extend(chunk(b"fmt ", &format_chunk(width, rate, 1)));
    file.extend(b"data\xff\xff\xff\xff");
    file.extend(data);
    file
}

pub fn wave64(width: Width, rate: u32, samples: &[f64]) -> Vec<u8> {
    const TAIL: [u8; 12] = [0xf3, 0xac, 0xd3, 0x11, 0x8c, 0xd1, 0x00, 0xc0, 0x4f, 0x8e, 0xdb, 0x8a];
    let chunk = |name: &[u8; 4], body: &[u8]| {
        let mut chunk = [&name[..], &TAIL].concat();
        chunk.extend((body.len() as u64 + 24).to_le_bytes());
        chunk.extend(body);
        chunk.resize(chunk.len().next_multiple_of(8), 0);
        chunk
    };
    let chunks = [chunk(b"fmt ", &format_chunk(width, rate, 1)), chunk(b"data", &width.encode(samples))].concat();
    let mut file = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00".to_vec();
    file.extend((chunks.len() as u64 + 40).to_le_bytes());
    file.extend(b"wave");
    file.extend(TAIL);
    file.extend(chunks);
    file
}

pub fn au(width: Width, rate: u32, samples: &[f64], length: Option<u32>) -> Vec<u8> {
    let encoding: u32 = match width {
        Width::MuLaw => 1,
        Width::Signed8 => 2,
        Width::Signed16 => 3,
        Width::Signed24 => 4,
        Width::Signed32 => 5,
        Width::Float32 => 6,
        Width::Float64 => 7,
        Width::ALaw => 27,
        Width::Unsigned8 => panic!("AU has no unsigned samples"),
    };
    let data = width.encode_big_endian(samples);
    let mut file = b".snd".to_vec();
    for word in [28, length.unwrap_or(data.len() as u32), encoding, rate, 1, 0] {
        file.extend(word.to_be_bytes());
    }
    file.extend(data);
    file
}

pub fn aiff(rate: u32, samples: &[f64]) -> Vec<u8> {
    let chunk = |name: &[u8; 4], body: &[u8]| [&name[..], &(body.len() as u32).to_be_bytes(), body].concat();
    // The rate is an 80-bit extended float: exponent biased by 16383, then the mantissa with its leading one.
    let exponent = rate.ilog2();
    let mut common = [&1_u16.to_be_bytes()[..], &(samples.len() as u32).to_be_bytes(), &16_u16.to_be_bytes()].concat();
    common.extend((16_383 + exponent as u16).to_be_bytes());
    common.extend((u64::from(rate) << (63 - exponent)).to_be_bytes());
    let sound = [vec![0; 8], Width::Signed16.encode_big_endian(samples)].concat();
    chunk(b"FORM", &[b"AIFF".to_vec(), chunk(b"COMM", &common), chunk(b"SSND", &sound)].concat())
}

/// Microsoft's or IMA's ADPCM can only be read here; this is one IMA block of silence-to-steps, for damage tests.
pub fn ima_adpcm(blocks: usize) -> Vec<u8> {
    let mut format = format_chunk(Width::Signed16, 16_000, 1);
    format[..2].copy_from_slice(&0x11_u16.to_le_bytes());
    format[12..14].copy_from_slice(&256_u16.to_le_bytes());
    format[14..16].copy_from_slice(&4_u16.to_le_bytes());
    format.extend([2, 0, 0xf9, 0x01]);
    let block: Vec<u8> = [0, 0, 20, 0].into_iter().chain((0..252_u32).map(|index| (index * 37 % 256) as u8)).collect();
    riff(&[chunk(b"fmt ", &format), chunk(b"data", &block.repeat(blocks))])
}

/// The packets of an Opus stream with its identification header.
pub struct Opus {
    pub head: Vec<u8>,
    pub packets: Vec<Vec<u8>>,
    pub pre_skip: u16,
    /// Samples at 48 kHz that were put in.
    pub length: u64,
}

/// Encodes mono samples at 48 kHz in packets of 20 ms.
pub fn opus(samples: &[f64]) -> Opus {
    const FRAME: usize = 960;
    let builder = ropus::Encoder::builder(48_000, ropus::Channels::Mono, ropus::Application::Audio);
    let mut encoder = builder.build().expect("an encoder for 48 kHz");
    encoder.set_bitrate(ropus::Bitrate::try_bits(64_000).expect("a possible rate")).expect("a possible rate");
    let pre_skip = encoder.lookahead() as u16;
    let mut padded: Vec<f32> = samples.iter().map(|&sample| sample as f32).collect();
    padded.resize((samples.len() + usize::from(pre_skip)).next_multiple_of(FRAME), 0.0);
    let encode = |frame: &[f32]| {
        let mut packet = vec![0; 1500];
        let length = encoder.encode_float(frame, &mut packet).expect("a packet");
        packet.truncate(length);
        packet
    };
    let packets = padded.chunks(FRAME).map(encode).collect();
    let mut head = b"OpusHead\x01\x01".to_vec();
    head.extend(pre_skip.to_le_bytes());
    head.extend(48_000_u32.to_le_bytes());
    head.extend([0, 0, 0]);
    Opus { head, packets, pre_skip, length: samples.len() as u64 }
}

/// RFC 3533 and RFC 7845: one packet a page for the headers, twenty for the rest; the last page's position cuts the padding.
pub fn ogg(stream: &Opus) -> Vec<u8> {
    let tags = b"OpusTags\x04\0\0\0test\0\0\0\0".to_vec();
    let mut file = ogg_page(2, 0, 0, &[&stream.head]);
    file.extend(ogg_page(0, 0, 1, &[&tags]));
    let pages: Vec<_> = stream.packets.chunks(20).collect();
    for (number, packets) in pages.iter().enumerate() {
        let last = number + 1 == pages.len();
        let decoded = (number * 20 + packets.len()) as u64 * 960;
        let position = if last { stream.length + u64::from(stream.pre_skip) } else { decoded };
        let packets: Vec<&Vec<u8>> = packets.iter().collect();
        file.extend(ogg_page(if last { 4 } else { 0 }, position, number as u32 + 2, &packets));
    }
    file
}

fn ogg_page(flags: u8, position: u64, number: u32, packets: &[&Vec<u8>]) -> Vec<u8> {
    let mut page = b"OggS\0".to_vec();
    page.push(flags);
    page.extend(position.to_le_bytes());
    page.extend(7_u32.to_le_bytes());
    page.extend(number.to_le_bytes());
    page.extend([0; 4]);
    let laces: Vec<u8> = packets
        .iter()
        .flat_map(|packet| std::iter::repeat_n(255, packet.len() / 255).chain([(packet.len() % 255) as u8]))
        .collect();
    page.push(laces.len() as u8);
    page.extend(laces);
    packets.iter().for_each(|packet| page.extend(*packet));
    let mut checksum = 0_u32;
    for &byte in &page {
        checksum ^= u32::from(byte) << 24;
        for _ in 0..8 {
            checksum = checksum << 1 ^ if checksum >> 31 == 1 { 0x04c1_1db7 } else { 0 };
        }
    }
    page[22..26].copy_from_slice(&checksum.to_le_bytes());
    page
}

/// Matroska as a browser records it: one cluster, a block a packet, times in milliseconds. `late` packets come `by`
/// milliseconds later than they should, as after a pause.
pub fn webm(stream: &Opus, late: std::ops::Range<usize>, by: i16) -> Vec<u8> {
    let delay = u64::from(stream.pre_skip) * 1_000_000_000 / 48_000;
    let audio = element(&[0xe1], &[element(&[0xb5], &48_000_f64.to_be_bytes()), element(&[0x9f], &[1])].concat());
    let track = [
        element(&[0xd7], &[1]),
        element(&[0x73, 0xc5], &[1]),
        element(&[0x83], &[2]),
        element(&[0x86], b"A_OPUS"),
        element(&[0x56, 0xaa], &delay.to_be_bytes()),
        element(&[0x63, 0xa2], &stream.head),
        audio,
    ];
    let info = [
        element(&[0x2a, 0xd7, 0xb1], &1_000_000_u32.to_be_bytes()),
        element(&[0x4d, 0x80], b"test"),
        element(&[0x57, 0x41], b"test"),
    ];
    let mut cluster = element(&[0xe7], &[0]);
    for (index, packet) in stream.packets.iter().enumerate() {
        let time = index as i16 * 20 + if late.contains(&index) { by } else { 0 };
        let block = [&[0x81][..], &time.to_be_bytes(), &[0x80], packet].concat();
        cluster.extend(element(&[0xa3], &block));
    }
    let segment = [
        element(&[0x15, 0x49, 0xa9, 0x66], &info.concat()),
        element(&[0x16, 0x54, 0xae, 0x6b], &element(&[0xae], &track.concat())),
        element(&[0x1f, 0x43, 0xb6, 0x75], &cluster),
    ];
    let head = [
        element(&[0x42, 0x86], &[1]),
        element(&[0x42, 0xf7], &[1]),
        element(&[0x42, 0xf2], &[4]),
        element(&[0x42, 0xf3], &[8]),
        element(&[0x42, 0x82], b"webm"),
        element(&[0x42, 0x87], &[4]),
        element(&[0x42, 0x85], &[2]),
    ];
    [element(&[0x1a, 0x45, 0xdf, 0xa3], &head.concat()), element(&[0x18, 0x53, 0x80, 0x67], &segment.concat())].concat()
}

/// An EBML element with its length in eight bytes.
fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    [id, &(1 << 56 | body.len() as u64).to_be_bytes(), body].concat()
}
