//! Names content that is not decoded, by its first bytes, so that the error says what was sent.

/// What a file holds instead of audio that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// No audio at all.
    NotAudio(&'static str),
    /// Audio, or a container of it, that is not supported.
    Unsupported(&'static str),
}

use Foreign::{NotAudio, Unsupported};

/// The bytes from the start of the file that [`foreign`] wants to see.
pub(super) const HEAD_BYTES: usize = 4096;

/// First bytes that settle what a file is.
const MARKERS: &[(&[u8], Foreign)] = &[
    (b"\xff\xd8\xff", NotAudio("a JPEG picture")),
    (b"\x89PNG", NotAudio("a PNG picture")),
    (b"GIF8", NotAudio("a GIF picture")),
    (b"II*\0", NotAudio("a TIFF picture")),
    (b"MM\0*", NotAudio("a TIFF picture")),
    (b"%PDF", NotAudio("a PDF document")),
    (b"PK\x03\x04", NotAudio("a ZIP archive or office document")),
    (b"\x1f\x8b", NotAudio("a gzip archive")),
    (b"7z\xbc\xaf", NotAudio("a 7-Zip archive")),
    (b"Rar!", NotAudio("a RAR archive")),
    (b"\xfd7zXZ", NotAudio("an xz archive")),
    (b"\x28\xb5\x2f\xfd", NotAudio("a zstd archive")),
    (b"\x7fELF", NotAudio("a program")),
    (b"MThd", NotAudio("MIDI notes, not recorded sound")),
    (b"SQLite format 3", NotAudio("a database")),
    (b"#!AMR-WB", Unsupported("AMR-WB")),
    (b"#!AMR", Unsupported("AMR-NB")),
    (b"#!SILK", Unsupported("SILK (a voice message of a messenger)")),
    (b"\x02#!SILK", Unsupported("SILK (a voice message of a messenger)")),
    (b"wvpk", Unsupported("WavPack")),
    (b"MAC ", Unsupported("Monkey's Audio")),
    (b"MPCK", Unsupported("Musepack")),
    (b"MP+", Unsupported("Musepack")),
    (b"TTA1", Unsupported("True Audio")),
    (b"DSD ", Unsupported("DSD")),
    (b"FRM8", Unsupported("DSD")),
    (b".RMF", Unsupported("RealMedia")),
    (b"FLV\x01", Unsupported("Flash Video")),
    (b"\x0b\x77", Unsupported("AC-3")),
    (b"\x7f\xfe\x80\x01", Unsupported("DTS")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Unsupported("Windows Media (WMA or WMV)")),
    (b"\0\0\x01\xba", Unsupported("an MPEG program stream")),
];

/// What the file is when its first bytes (`head`, up to [`HEAD_BYTES`]) show that it cannot be decoded.
pub(super) fn foreign(head: &[u8]) -> Option<Foreign> {
    if let Some((_, found)) = MARKERS.iter().find(|(marker, _)| head.starts_with(marker)) {
        return Some(*found);
    }
    match (head.get(..4), head.get(8..12)) {
        (Some(b"RIFF"), Some(b"AVI ")) => return Some(Unsupported("AVI video")),
        (Some(b"RIFF"), Some(b"WEBP")) => return Some(NotAudio("a WebP picture")),
        (_, Some(b"heic" | b"heix" | b"mif1" | b"avif")) if head[4..8] == *b"ftyp" => {
            return Some(NotAudio("a HEIF or AVIF picture"));
        }
        _ => {}
    }
    if is_transport_stream(head) {
        return Some(Unsupported("an MPEG transport stream"));
    }
    is_text(head).then_some(NotAudio("text"))
}

/// What a headerless format's extension claims; such files have no bytes to be known by.
pub(super) fn headerless(extension: &str) -> Option<&'static str> {
    match extension.to_ascii_lowercase().as_str() {
        "g722" => Some("G.722"),
        "gsm" => Some("GSM 6.10"),
        "g726" => Some("G.726"),
        "g729" => Some("G.729"),
        "raw" | "pcm" | "sln" => Some("raw PCM"),
        "ul" | "ulaw" | "al" | "alaw" => Some("G.711"),
        _ => None,
    }
}

/// Packets of 188 bytes (192 with a time stamp in front, as cameras write them), each with a sync byte.
fn is_transport_stream(head: &[u8]) -> bool {
    let synced = |start: usize, step: usize| {
        let mut at = head.iter().skip(start).step_by(step);
        head.len() > start + 2 * step && at.all(|&byte| byte == 0x47)
    };
    synced(0, 188) || synced(4, 192)
}

/// UTF-8 without control characters; the last character may be cut.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or(""),
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|letter| !letter.is_control() || "\t\r\n\u{c}".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_not_audio() {
        assert_eq!(foreign(b"\xff\xd8\xff\xe0\0\x10JFIF"), Some(NotAudio("a JPEG picture")));
        assert_eq!(foreign("Good morning, ünïcode\n".as_bytes()), Some(NotAudio("text")));
        assert_eq!(foreign(b"RIFF\0\0\0\0AVI LIST"), Some(Unsupported("AVI video")));
        assert_eq!(foreign(b"#!AMR\n\x3c"), Some(Unsupported("AMR-NB")));
        let mut stream = vec![0; 188 * 4];
        stream.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
        assert_eq!(foreign(&stream), Some(Unsupported("an MPEG transport stream")));
    }

    #[test]
    fn leaves_audio_alone() {
        for head in
            [&b"RIFF\x24\0\0\0WAVEfmt "[..], b"OggS\0\x02", b"fLaC\0\0\0\x22", b"ID3\x04\0\0", b"\xff\xfb\x90\0"]
        {
            assert_eq!(foreign(head), None);
        }
    }

    #[test]
    fn text_may_be_cut_inside_a_letter() {
        let text = "日本語".repeat(20);
        assert!(is_text(&text.as_bytes()[..text.len() - 1]));
        assert!(!is_text(b"a\0b"));
    }
}
