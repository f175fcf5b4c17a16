//! How far a download is: to the caller's watch, and as a bar on standard error when a person is looking.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    error::Result,
    progress::{StageName, Watch},
};

/// Reports bytes of one download.
pub(super) struct Meter<'a> {
    watch: Watch<'a>,
    bar: ProgressBar,
    total: u64,
}

impl<'a> Meter<'a> {
    /// Starts a bar for `title`; a `total` of zero means that it is not known. The bar shows only on a terminal and when
    /// not `quiet`.
    pub(super) fn new(watch: &Watch<'a>, title: &str, total: u64, quiet: bool) -> Self {
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{msg}  {bar:28} {bytes}/{total_bytes}  {binary_bytes_per_sec}  {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("##-"));
        }
        bar.set_message(title.to_owned());
        Self { watch: *watch, bar, total }
    }

    /// Sets the number of bytes that will come, once it is known.
    pub(super) fn expect(&mut self, total: u64) {
        self.total = total;
        self.bar.set_length(total);
    }

    /// Tells that `done` bytes have come.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`] when the caller has cancelled.
    pub(super) fn at(&self, done: u64) -> Result<()> {
        self.bar.set_position(done.min(self.total));
        self.watch.step(StageName::Load, done as f64, self.total as f64)
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
