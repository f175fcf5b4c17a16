//! One progress bar per stage on standard error, with the real-time factor.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use palabra::progress::{Progress, StageName};

/// The bars of one recording; invisible where standard error is no terminal.
pub struct Bars {
    all: MultiProgress,
    stages: Mutex<BTreeMap<StageName, (ProgressBar, Instant)>>,
    title: Mutex<Option<ProgressBar>>,
}

impl Bars {
    /// Bars that show when `wanted` and standard error is a terminal.
    pub fn new(wanted: bool) -> Self {
        let visible = wanted && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr_with_hz(8) } else { ProgressDrawTarget::hidden() };
        Self { all: MultiProgress::with_draw_target(target), stages: Mutex::default(), title: Mutex::default() }
    }

    /// Says above the bars what they are about.
    pub fn name(&self, text: String) {
        let line = self.all.insert(0, ProgressBar::new(0));
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            line.set_style(style);
        }
        line.set_message(text);
        if let Ok(mut title) = self.title.lock() {
            *title = Some(line);
        }
    }

    /// Shows where a stage is.
    pub fn show(&self, progress: Progress) {
        let Ok(mut stages) = self.stages.lock() else { return };
        let (bar, started) =
            stages.entry(progress.stage).or_insert_with(|| (self.all.add(stage_bar(progress.stage)), Instant::now()));
        bar.set_length((progress.total * 1000.0) as u64);
        bar.set_position((progress.done * 1000.0) as u64);
        let seconds = started.elapsed().as_secs_f64();
        let speed = progress.done / seconds.max(1e-3);
        bar.set_message(match progress.stage {
            StageName::Load => format!("{seconds:.1} s"),
            _ if progress.done > 0.0 => {
                format!(
                    "{:.0} of {:.0} s of audio, {speed:.0}x real time",
                    progress.done,
                    progress.total.max(progress.done)
                )
            }
            _ => String::new(),
        });
        if progress.total > 0.0 && progress.done >= progress.total {
            bar.finish();
        }
    }

    /// Takes the bars off the screen.
    pub fn clear(&self) {
        if let Ok(mut stages) = self.stages.lock() {
            stages.values().for_each(|(bar, _)| bar.finish_and_clear());
            stages.clear();
        }
        if let Ok(mut title) = self.title.lock() {
            title.take().iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}

fn stage_bar(stage: StageName) -> ProgressBar {
    let bar = ProgressBar::new(0).with_prefix(stage.as_str());
    if let Ok(style) = ProgressStyle::with_template("{prefix:>10} {bar:30} {percent:>3}% {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
