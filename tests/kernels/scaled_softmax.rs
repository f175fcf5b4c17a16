//! `kernels/scaled_softmax.cu` against its definition.

use palabra::ops::{attention::ScaledSoftmax, kernels::scaled_softmax as kernel};
use rand::{Rng, rngs::StdRng};

use crate::{
    case::Case,
    subject::{Size, Subject, any_float, numbers},
};

/// The kernel.
pub const SUBJECT: Subject = Subject::new("scaled_softmax", case);

fn case(random: &mut StdRng, size: Size) -> Case {
    let dtype = any_float(random);
    let rows = random.gen_range(1..=2);
    let length = match size {
        Size::Small => random.gen_range(1..=150),
        // Some rows are longer than what threads keep in registers.
        _ if random.gen_bool(0.05) => random.gen_range(2000..=2300),
        _ => random.gen_range(1..=400),
    };
    let scale = random.gen_range(0.05..4.0);
    let shape = kernel::ScaledSoftmax { rows, length, scale, dtype };
    let mut case = Case::new(format!("{shape:?}"));
    let mut scores = numbers(random, rows * length, dtype);
    let buffer = case.floats(&scores, dtype);
    ScaledSoftmax { scale }.definition(&mut scores, length);
    case.launch(shape.launch(buffer).unwrap());
    case.expect(buffer, dtype, &scores);
    case
}
