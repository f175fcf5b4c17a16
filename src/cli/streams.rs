//! Standard output for results and nothing else, standard error for everything else.

use std::io::{self, ErrorKind, Write};

use palabra::{Error, Result};

/// Whether anybody still reads standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Everything was taken.
    There,
    /// Standard output is closed, as `head` does once it has enough. That is no error.
    Gone,
}

/// Writes `text` and leaves nothing in a buffer.
///
/// # Errors
/// [`Error::Machine`] when standard output cannot be written.
pub fn write(text: &str) -> Result<Reader> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(reason) if reason.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(reason) if reason.kind() == ErrorKind::StorageFull => Err(Error::Machine(
            "standard output cannot be written: the disk is full; free some space or send it elsewhere".into(),
        )),
        Err(reason) => Err(Error::Machine(format!("standard output cannot be written ({reason}); send it elsewhere"))),
    }
}

/// Ends the program at once with an exit code. A driver whose device has failed is not asked to clean up: that may never
/// end, and whoever starts the program anew waits for it.
pub fn leave(code: u8) -> ! {
    // Nothing is left to do where they cannot be written.
    let _flushed = (io::stdout().flush(), io::stderr().flush());
    // SAFETY: ends the process without running anything of it.
    #[cfg(unix)]
    unsafe {
        libc::_exit(code.into())
    }
    #[cfg(not(unix))]
    std::process::exit(code.into())
}

/// Writes a line to standard error. Where nobody reads it any more the work goes on all the same.
pub fn tell(line: &str) {
    if let Err(reason) = writeln!(io::stderr().lock(), "{line}") {
        tracing::debug!(%reason, "standard error cannot be written");
    }
}
