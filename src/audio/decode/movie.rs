//! What symphonia leaves out of MP4 and QuickTime headers: edit lists, and the byte order of PCM.
//!
//! An AAC encoder puts a frame or two of run-in before the first sound, and the edit list is where a file says how much to
//! drop (ISO/IEC 14496-12, 8.6.6). Symphonia reads the list but does not act on it. Lists that rearrange a track are rare
//! and only their first piece is honoured: a pause before the start, then the place where the media begins.
//!
//! QuickTime's PCM of 24 bits and more is big-endian unless an `enda` box says otherwise; symphonia takes all of it for
//! little-endian.

use super::source::Source;
use crate::error::Result;

/// Boxes are looked for no deeper and in no more steps than any real file needs.
const MOST_BOXES: usize = 4096;

/// More of a movie header than this is not read for the sake of its edit lists.
const MOST_BYTES: u64 = 64 << 20;

/// What to do with a track's samples before anything else, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Edit {
    /// Silence before the first sample.
    pub pause: f64,
    /// Media to drop from the front.
    pub skip: f64,
    /// The length of the presentation without the pause; `None` means to the end.
    pub length: Option<f64>,
}

/// What is to be known about one track.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Track {
    pub edit: Option<Edit>,
    /// Whether it holds PCM whose most significant byte comes first although symphonia believes the contrary.
    pub big_endian: bool,
}

/// What a walk over the boxes at the top of a file has found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Movie {
    /// Whether the file begins like an MP4 file.
    pub is_mp4: bool,
    /// Whether it has its index, without which nothing can be found in it.
    pub has_index: bool,
    /// Its tracks in the file's order.
    pub tracks: Vec<Track>,
}

/// Looks through the boxes of `source`; a file of another kind gives an empty [`Movie`].
pub(super) fn read(source: &Source) -> Result<Movie> {
    let (mut movie, mut at, length) = (Movie::default(), 0, source.length()?);
    for _ in 0..MOST_BOXES {
        let Some((name, header, size)) = box_header(&source.read_at(at, 16)?, length - at) else { break };
        movie.is_mp4 |= at == 0 && matches!(&name, b"ftyp" | b"moov" | b"wide" | b"skip" | b"free" | b"mdat");
        if !movie.is_mp4 {
            break;
        }
        if &name == b"moov" {
            movie.has_index = true;
            if size <= MOST_BYTES {
                movie.tracks = tracks_of(&source.read_at(at + header, (size - header) as usize)?);
            }
        }
        movie.has_index |= &name == b"moof";
        at += size;
        if at >= length {
            break;
        }
    }
    Ok(movie)
}

/// Name, bytes of the header, bytes in all; `ahead` bytes are left in the file.
fn box_header(bytes: &[u8], ahead: u64) -> Option<([u8; 4], u64, u64)> {
    let name = bytes.get(4..8)?.try_into().ok()?;
    let (header, size) = match u64::from(word(bytes, 0)?) {
        0 => (8, ahead),
        1 => (16, u64::from(word(bytes, 8)?) << 32 | u64::from(word(bytes, 12)?)),
        size => (8, size),
    };
    (size >= header).then_some((name, header, size.min(ahead)))
}

/// The bodies of the boxes called `name` directly inside `body`.
fn children<'a>(body: &'a [u8], name: &'a [u8; 4]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (found, header, size) = box_header(rest, rest.len() as u64)?;
        let (whole, behind) = rest.split_at(size as usize);
        rest = behind;
        Some((found, whole.get(header as usize..).unwrap_or_default()))
    })
    .take(MOST_BOXES)
    .filter(move |(found, _)| found == name)
    .map(|(_, body)| body)
}

fn tracks_of(movie: &[u8]) -> Vec<Track> {
    let Some(ticks) = children(movie, b"mvhd").next().and_then(time_scale) else { return Vec::new() };
    let track = |body| Track { edit: edit_of(body, ticks), big_endian: is_big_endian(body).unwrap_or(false) };
    children(movie, b"trak").map(track).collect()
}

/// Whether the track's first sample entry is one of QuickTime's PCM formats without a statement to be little-endian.
fn is_big_endian(track: &[u8]) -> Option<bool> {
    let media = children(track, b"mdia").next()?;
    let table = children(children(media, b"minf").next()?, b"stbl").next()?;
    let entry = children(table, b"stsd").next()?.get(8..)?;
    let wide = matches!(entry.get(4..8)?, b"in24" | b"in32" | b"fl32" | b"fl64");
    let little = entry.windows(6).any(|bytes| bytes[..4] == *b"enda" && bytes[5] == 1);
    Some(wide && !little)
}

fn edit_of(track: &[u8], movie_ticks: f64) -> Option<Edit> {
    let media_ticks = time_scale(children(children(track, b"mdia").next()?, b"mdhd").next()?)?;
    let list = children(children(track, b"edts").next()?, b"elst").next()?;
    let (wide, count) = (list.first()? == &1, word(list, 4)?);
    let mut edit = Edit { pause: 0.0, skip: 0.0, length: None };
    let entries = list.get(8..)?.chunks_exact(if wide { 20 } else { 12 });
    for (index, entry) in entries.take(count as usize).enumerate() {
        let (duration, start) = if wide {
            (long(entry, 0)?, long(entry, 8)? as i64)
        } else {
            (u64::from(word(entry, 0)?), i64::from(word(entry, 4)? as i32))
        };
        let seconds = duration as f64 / movie_ticks;
        if start < 0 {
            edit.pause += seconds;
            continue;
        }
        edit.skip = start as f64 / media_ticks;
        // The last piece gives the length; with more to come, or no length stated (fragments), play to the end.
        edit.length = (index + 1 == count as usize && seconds > 0.0).then_some(seconds);
        break;
    }
    Some(edit)
}

/// Ticks per second from a movie or media header.
fn time_scale(header: &[u8]) -> Option<f64> {
    let ticks = word(header, if header.first()? == &1 { 20 } else { 12 })?;
    (ticks > 0).then_some(f64::from(ticks))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], name, body].concat()
    }

    /// A header of version 0 whose time scale is `ticks`.
    fn header(name: &[u8; 4], ticks: u32) -> Vec<u8> {
        boxed(name, &[&[0; 12][..], &ticks.to_be_bytes(), &[0; 8]].concat())
    }

    /// A movie of 1000 ticks with one track of 44100 ticks and these edits of duration and start.
    fn movie(edits: &[(u32, i32)]) -> Vec<u8> {
        let mut list = [&[0; 4][..], &(edits.len() as u32).to_be_bytes()].concat();
        for (duration, start) in edits {
            list.extend([&duration.to_be_bytes()[..], &start.to_be_bytes(), &[0, 1, 0, 0]].concat());
        }
        let track = [boxed(b"edts", &boxed(b"elst", &list)), boxed(b"mdia", &header(b"mdhd", 44_100))].concat();
        let body = [header(b"mvhd", 1000), boxed(b"trak", &track), boxed(b"trak", &[])].concat();
        [boxed(b"ftyp", b"M4A \0\0\0\0"), boxed(b"moov", &body)].concat()
    }

    fn read_bytes(bytes: Vec<u8>) -> Movie {
        read(&Source::memory(bytes, &Default::default()).expect("no limit")).expect("memory can be read")
    }

    #[test]
    fn one_piece_gives_run_in_and_length() {
        let found = read_bytes(movie(&[(11_000, 1024)]));
        assert!(found.is_mp4 && found.has_index);
        let edit = Edit { pause: 0.0, skip: 1024.0 / 44_100.0, length: Some(11.0) };
        assert_eq!(found.tracks, [Track { edit: Some(edit), big_endian: false }, Track::default()]);
    }

    #[test]
    fn an_empty_piece_is_a_pause() {
        let found = read_bytes(movie(&[(500, -1), (11_000, 2112)]));
        assert_eq!(found.tracks[0].edit, Some(Edit { pause: 0.5, skip: 2112.0 / 44_100.0, length: Some(11.0) }));
    }

    #[test]
    fn pieces_that_follow_are_played_through() {
        let found = read_bytes(movie(&[(1000, 0), (2000, 88_200)]));
        assert_eq!(found.tracks[0].edit, Some(Edit { pause: 0.0, skip: 0.0, length: None }));
        assert_eq!(read_bytes(movie(&[(0, 1024)])).tracks[0].edit.and_then(|edit| edit.length), None);
    }

    #[test]
    fn pcm_of_quicktime_is_big_endian_unless_it_says_otherwise() {
        let track = |name: &[u8; 4], extension: &[u8]| {
            let entry = boxed(name, &[&[0; 28][..], extension].concat());
            let table = boxed(b"stbl", &boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat()));
            is_big_endian(&boxed(b"mdia", &boxed(b"minf", &table)))
        };
        let wave = boxed(b"wave", &boxed(b"enda", &[0, 1]));
        assert_eq!(track(b"in24", &[]), Some(true));
        assert_eq!(track(b"fl32", &boxed(b"wave", &boxed(b"enda", &[0, 0]))), Some(true));
        assert_eq!(track(b"in24", &wave), Some(false));
        assert_eq!(track(b"mp4a", &[]), Some(false));
    }

    #[test]
    fn an_unfinished_recording_has_no_index() {
        let found = read_bytes([boxed(b"ftyp", b"M4A \0\0\0\0"), boxed(b"mdat", &[1; 100])].concat());
        assert_eq!(found, Movie { is_mp4: true, has_index: false, tracks: Vec::new() });
        assert_eq!(read_bytes(b"RIFF\0\0\0\0WAVE".to_vec()), Movie::default());
    }

    #[test]
    fn damage_is_survived() {
        let whole = movie(&[(11_000, 1024)]);
        for end in 0..whole.len() {
            read_bytes(whole[..end].to_vec());
        }
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            read_bytes(damaged);
        }
    }
}
