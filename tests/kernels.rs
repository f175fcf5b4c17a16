//! The CUDA kernels without a GPU: compiled by a C++ compiler for this machine (`kernels/host`), they carry out the launches
//! that the library describes, and must give what the definitions on the CPU give, at a thousand random shapes each; in any
//! order of threads, without a step outside of a buffer, without a race.
//!
//! A kernel is added by a file beside the others, which makes random cases, and a line in `SUBJECTS`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernels/add_bias.rs"]
mod add_bias;
#[path = "kernels/append.rs"]
mod append;
#[path = "kernels/broken.rs"]
mod broken;
#[path = "kernels/cached_attention.rs"]
mod cached_attention;
#[path = "kernels/case.rs"]
mod case;
#[path = "kernels/choose_token.rs"]
mod choose_token;
#[path = "kernels/ctc_viterbi.rs"]
mod ctc_viterbi;
#[path = "kernels/device.rs"]
mod device;
#[path = "kernels/fbank.rs"]
mod fbank;
#[path = "kernels/log_mel.rs"]
mod log_mel;
#[path = "kernels/program.rs"]
mod program;
#[path = "kernels/resources.rs"]
mod resources;
#[path = "kernels/scaled_softmax.rs"]
mod scaled_softmax;
#[path = "kernels/sound.rs"]
mod sound;
#[path = "kernels/subject.rs"]
mod subject;
#[path = "support/mod.rs"]
mod support;
#[path = "kernels/weighted_statistics.rs"]
mod weighted_statistics;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use program::Flavour;
use subject::Subject;

const SUBJECTS: [Subject; 9] = [
    add_bias::SUBJECT,
    append::SUBJECT,
    cached_attention::SUBJECT,
    choose_token::SUBJECT,
    ctc_viterbi::SUBJECT,
    fbank::SUBJECT,
    log_mel::SUBJECT,
    scaled_softmax::SUBJECT,
    weighted_statistics::SUBJECT,
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let tools = [Flavour::Plain, Flavour::Bounds, Flavour::Races].map(Flavour::tools);
    let mut trials = broken::trials(&tools);
    trials.extend(SUBJECTS.iter().flat_map(|subject| subject.trials(&tools)));
    trials.extend(fbank::trials());
    trials.extend(device::trials());
    trials.extend(resources::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}
