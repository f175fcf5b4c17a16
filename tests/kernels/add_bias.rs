//! `kernels/add_bias.cu` against its definition.

use palabra::ops::{
    add_bias::definition,
    kernels::add_bias::{AddBias, TOGETHER},
};
use rand::{Rng, rngs::StdRng};

use crate::{
    case::Case,
    subject::{Size, Subject, any_float, numbers},
};

/// The kernel.
pub const SUBJECT: Subject = Subject::new("add_bias", case);

fn case(random: &mut StdRng, size: Size) -> Case {
    let most = if size == Size::Small { 4 } else { 40 };
    let dtype = any_float(random);
    let gelu = random.r#gen();
    let rows = random.gen_range(1..=most);
    let columns = TOGETHER * random.gen_range(1..=most);
    let shape = AddBias { rows, columns, dtype, gelu };
    let mut case = Case::new(format!("{shape:?}"));
    let mut y = numbers(random, rows * columns, dtype);
    let bias = numbers(random, columns, dtype);
    let residual = (!gelu && random.r#gen()).then(|| numbers(random, rows * columns, dtype));
    let (y_buffer, bias_buffer) = (case.floats(&y, dtype), case.floats(&bias, dtype));
    let residual_buffer = residual.as_ref().map(|residual| case.floats(residual, dtype));
    definition(&mut y, &bias, gelu, residual.as_deref());
    case.launch(shape.launch(y_buffer, bias_buffer, residual_buffer).unwrap());
    case.expect(y_buffer, dtype, &y);
    case
}
