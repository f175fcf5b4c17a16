//! The program as a user runs it: what it prints, what it writes, what it refuses and with which exit code.

#![allow(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

#[path = "end_to_end/bench.rs"]
mod bench;
#[path = "end_to_end/command.rs"]
mod command;
#[path = "end_to_end/endings.rs"]
mod endings;
#[path = "end_to_end/int8.rs"]
mod int8;
#[path = "end_to_end/options.rs"]
mod options;
#[path = "end_to_end/profile.rs"]
mod profile;
#[path = "end_to_end/refusals.rs"]
mod refusals;
#[path = "end_to_end/sample.rs"]
mod sample;
#[path = "end_to_end/speakers.rs"]
mod speakers;
mod support;

fn main() {
    let mut arguments = libtest_mimic::Arguments::from_args();
    // Each run computes on every core; more than two at a time only get in each other's way.
    arguments.test_threads.get_or_insert(2);
    let needs = command::Needs::look();
    let mut trials = refusals::trials(&needs);
    trials.extend(sample::trials(&needs));
    trials.extend(options::trials(&needs));
    trials.extend(speakers::trials(&needs));
    trials.extend(endings::trials(&needs));
    trials.extend(bench::trials(&needs));
    trials.extend(profile::trials(&needs));
    trials.extend(int8::trials(&needs));
    libtest_mimic::run(&arguments, trials).exit()
}
