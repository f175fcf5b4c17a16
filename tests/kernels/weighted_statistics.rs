//! `kernels/weighted_statistics.cu` against the definition.

use palabra::ops::{
    kernels::weighted_statistics::WeightedStatistics,
    weighted_statistics::{LEAST_FREEDOM, definition},
};
use rand::{Rng, rngs::StdRng};

use crate::{
    case::Case,
    subject::{Size, Subject, any_float, numbers, rounded},
};

/// The kernel.
pub const SUBJECT: Subject = Subject::new("weighted_statistics", case);

fn case(random: &mut StdRng, size: Size) -> Case {
    let (most, longest) = if size == Size::Small { (2, 20) } else { (4, 80) };
    let kernel = WeightedStatistics {
        batch: random.gen_range(1..=most),
        time: random.gen_range(1..=longest),
        channels: random.gen_range(1..=70),
        speakers: random.gen_range(1..=most),
        least_freedom: LEAST_FREEDOM,
        lone_deviation: random.gen_range(0.0..0.1),
        dtype: any_float(random),
    };
    let WeightedStatistics { batch, time, channels, speakers, dtype, .. } = kernel;
    let offset = random.gen_range(-3.0..3.0);
    let x: Vec<f32> =
        numbers(random, batch * time * channels, dtype).iter().map(|x| rounded(x + offset, dtype)).collect();
    let weights: Vec<f32> = (0..batch * speakers)
        .flat_map(|_| {
            // Masks, soft masks, one moment, and nobody.
            let kind = random.gen_range(0..5);
            let alone = random.gen_range(0..time);
            (0..time)
                .map(|moment| match kind {
                    0 => 0.0,
                    1 => f32::from(u8::from(moment == alone)) * 0.3,
                    2 => f32::from(random.gen_range(0..2u8)),
                    _ => random.gen_range(0.05..1.0),
                })
                .map(|weight| rounded(weight, dtype))
                .collect::<Vec<_>>()
        })
        .collect();
    let expected = definition((&x, &weights), (batch, time, channels, speakers), kernel.lone_deviation);

    let mut case = Case::new(format!("{kernel:?}"));
    let (x, weights) = (case.floats(&x, dtype), case.floats(&weights, dtype));
    let statistics = case.empty(expected.len(), dtype);
    case.launch(kernel.launch(x, weights, statistics).unwrap());
    case.expect(statistics, dtype, &expected);
    case
}
