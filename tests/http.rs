//! The service as its callers meet it: the real app, or the real program, on a free port of the loopback.

#![allow(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

#[path = "http/access.rs"]
mod access;
#[path = "http/analysis.rs"]
mod analysis;
#[path = "http/asr.rs"]
mod asr;
#[path = "http/client.rs"]
mod client;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/openai.rs"]
mod openai;
#[path = "http/openai_client.rs"]
mod openai_client;
#[path = "http/operations.rs"]
mod operations;
#[path = "http/program.rs"]
mod program;
#[path = "http/remote.rs"]
mod remote;
#[path = "http/service.rs"]
mod service;
#[path = "http/speakers.rs"]
mod speakers;
mod support;
#[path = "http/transcribe.rs"]
mod transcribe;

fn main() {
    let mut arguments = libtest_mimic::Arguments::from_args();
    // Many of them compute on every core; more than four at a time only get in each other's way.
    arguments.test_threads.get_or_insert(4);
    let needs = service::Needs::look();
    let mut trials = access::trials();
    trials.extend(operations::trials(&needs));
    trials.extend(limits::trials(&needs));
    trials.extend(transcribe::trials(&needs));
    trials.extend(speakers::trials(&needs));
    trials.extend(openai::trials(&needs));
    trials.extend(openai_client::trials(&needs));
    trials.extend(asr::trials(&needs));
    trials.extend(analysis::trials(&needs));
    trials.extend(remote::trials());
    trials.extend(program::trials(&needs));
    libtest_mimic::run(&arguments, trials).exit()
}
