//! Decodes the next recording while the one before it is transcribed, and the first one while models are loaded.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use palabra::{
    Error, Result,
    audio::decode::{Decoded, Limits},
    progress::{Progress, Watch},
};

/// What decodes a file.
pub type Decode = fn(&Path, &Limits, &Watch<'_>) -> Result<Decoded>;

/// How often progress is shown while nothing else is done.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// The recordings of several files, in order.
pub struct Ahead<'a> {
    /// Each lets one more file be decoded.
    permits: Sender<()>,
    decoded: Receiver<(Result<Decoded>, Duration)>,
    latest: &'a Mutex<Option<Progress>>,
    stopped: &'a AtomicBool,
}

/// Does `work` with the recordings of `files`, which are decoded meanwhile: one more than `work` has asked for, so that two
/// are in memory at most; none ahead where operations have a single thread, which decoding would disturb, nor where one of them
/// is a pipe: whoever reads from that may wait for ever, although nobody wants it any more.
pub fn decoding<T>(files: &[PathBuf], decode: Decode, cancelled: &AtomicBool, work: impl FnOnce(&Ahead<'_>) -> T) -> T {
    let (latest, stopped) = (Mutex::new(None), AtomicBool::new(false));
    thread::scope(|scope| {
        let (permits, permitted) = channel();
        let (send, decoded) = channel();
        scope.spawn(|| {
            let send = send;
            let show = |progress| *latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
            let watch = Watch::new(&show, cancelled).or_when(&stopped);
            for (file, ()) in files.iter().zip(permitted) {
                *latest.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let started = Instant::now();
                let decoded = decode(file, &Limits::default(), &watch);
                if send.send((decoded, started.elapsed())).is_err() {
                    break;
                }
            }
        });
        let ahead = Ahead { permits, decoded, latest: &latest, stopped: &stopped };
        if rayon::current_num_threads() > 1 && files.iter().all(|file| file.is_file()) {
            ahead.permit();
        }
        work(&ahead)
    })
}

impl Ahead<'_> {
    fn permit(&self) {
        // Where all files are decoded, nobody listens any more.
        self.permits.send(()).ok();
    }

    /// The next recording, and how many seconds decoding it took; `watch` hears how far that is.
    ///
    /// # Errors
    /// Those of decoding this file, [`Error::Cancelled`].
    pub fn next(&self, watch: &Watch) -> Result<(Decoded, f64)> {
        self.permit();
        loop {
            match self.decoded.recv_timeout(SHOWN_EVERY) {
                Ok((decoded, took)) => return Ok((decoded?, took.as_secs_f64())),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Bug("more recordings were asked for than there are files".into()));
                }
            }
            watch.check()?;
            let latest = *self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(Progress { stage, done, total }) = latest {
                watch.step(stage, done, total)?;
            }
        }
    }
}

impl Drop for Ahead<'_> {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use palabra::audio::Audio;

    use super::*;

    /// A recording of as many samples as the name of the file says.
    fn numbered(file: &Path, _: &Limits, watch: &Watch) -> Result<Decoded> {
        watch.check()?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let length = name.parse().map_err(|_| Error::Audio(format!("{name} is no number")))?;
        Ok(Decoded {
            audio: Audio::new(vec![0.0; length]),
            others: Vec::new(),
            warnings: Vec::new(),
            codec: "silence".into(),
            source_rate: 16_000,
            channels: 1,
        })
    }

    /// Empty files with these names, and the folder that they go with.
    fn files(names: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
        files.iter().for_each(|file| std::fs::write(file, b"").unwrap());
        (folder, files)
    }

    #[test]
    fn recordings_come_in_order_and_a_bad_one_in_its_place() {
        let (_folder, files) = files(&["3", "x", "5"]);
        decoding(&files, numbered, &AtomicBool::new(false), |ahead| {
            let mut lengths = (0..3).map(|_| {
                ahead
                    .next(&Watch::silent())
                    .map(|(decoded, _)| decoded.audio.samples().len())
                    .map_err(|e| e.to_string())
            });
            assert_eq!(lengths.next(), Some(Ok(3)));
            assert!(lengths.next().is_some_and(|outcome| outcome.is_err_and(|message| message.contains("x is no"))));
            assert_eq!(lengths.next(), Some(Ok(5)));
            assert!(ahead.next(&Watch::silent()).is_err(), "there are no more");
        });
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_given_up() {
        fn endless(_: &Path, _: &Limits, watch: &Watch) -> Result<Decoded> {
            loop {
                watch.check()?;
                thread::sleep(Duration::from_millis(1));
            }
        }
        let (_folder, files) = files(&["a", "b"]);
        decoding(&files, endless, &AtomicBool::new(false), |_| ());
        let cancelled = AtomicBool::new(true);
        let outcome = decoding(&files, endless, &AtomicBool::new(false), |ahead| {
            ahead.next(&Watch::new(&|_| {}, &cancelled)).map(|_| ())
        });
        assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    }

    #[test]
    fn nothing_is_read_from_a_pipe_before_it_is_wanted() {
        fn never(_: &Path, _: &Limits, _: &Watch) -> Result<Decoded> {
            panic!("it was read");
        }
        let (_folder, mut files) = files(&["a"]);
        files.push(PathBuf::from("/dev/null"));
        decoding(&files, never, &AtomicBool::new(false), |_| thread::sleep(Duration::from_millis(20)));
    }
}
