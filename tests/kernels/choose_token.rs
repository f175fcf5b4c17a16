//! `kernels/choose_token.cu` against its definition.

use candle_core::{DType, Device};
use palabra::ops::{
    choose_token::{Choice, Masks},
    kernels::choose_token::{CHOSEN_NUMBERS, ChooseToken},
};
use rand::{Rng, rngs::StdRng};

use crate::{
    case::Case,
    subject::{Size, Subject, any_float, numbers},
};

/// The kernel.
pub const SUBJECT: Subject = Subject::new("choose_token", case);

/// How near to a border between two tokens a draw may lie, in parts of the sum: nearer, rounding decides.
const BORDER: f64 = 1e-4;

fn case(random: &mut StdRng, size: Size) -> Case {
    let small = size == Size::Small;
    let dtype = any_float(random);
    let rows = random.gen_range(1..=if small { 1 } else { 3 });
    let vocabulary = random.gen_range(20..=if small { 600 } else { 1500 });
    let shape = ChooseToken { rows, vocabulary, dtype };
    let list = |random: &mut StdRng, share: f64| -> Vec<u32> {
        (1..vocabulary as u32).filter(|_| random.gen_bool(share)).collect()
    };
    let lists = [list(random, 0.1), list(random, 0.02), list(random, 0.05)];
    let mut bits = vec![0u8; vocabulary];
    for (place, list) in lists.iter().enumerate() {
        list.iter().for_each(|&token| bits[token as usize] |= 1 << place);
    }
    let masks = Masks::new(lists, vocabulary, &Device::Cpu).unwrap();
    let logits: Vec<f32> = numbers(random, rows * vocabulary, dtype);
    let choices: Vec<Choice> = logits.chunks_exact(vocabulary).map(|logits| choice(random, logits, &masks)).collect();

    let mut case = Case::new(format!("{shape:?}, {choices:?}"));
    let (logits_buffer, masks_buffer) = (case.floats(&logits, dtype), case.buffer(&bits));
    let choices_buffer = case.buffer(&choices.iter().flat_map(|choice| choice.words()).collect::<Vec<u32>>());
    let chosen_buffer = case.empty(rows * CHOSEN_NUMBERS, DType::F32);
    case.launch(shape.launch(logits_buffer, masks_buffer, choices_buffer, chosen_buffer).unwrap());
    let chosen = choices.iter().zip(logits.chunks_exact(vocabulary));
    let chosen: Vec<f32> = chosen.flat_map(|(choice, logits)| choice.choose(&masks, logits).numbers()).collect();
    case.expect(chosen_buffer, DType::F32, &chosen);
    case
}

/// Rules as they come up while a text is written, with something left to choose.
fn choice(random: &mut StdRng, logits: &[f32], masks: &Masks) -> Choice {
    let vocabulary = logits.len() as u32;
    let free = Choice {
        masks: random.gen_range(0..8),
        watched: Some(random.gen_range(0..vocabulary)),
        ..Choice::free(logits.len())
    };
    let first_time = random.gen_range(vocabulary / 2..vocabulary);
    let time_from = random.gen_range(first_time..vocabulary);
    let ruled = match random.gen_range(0..4) {
        0 => free,
        // After a pair of times: text only.
        1 => Choice { first_time, time_from, time_to: first_time, ..free },
        // After an opening time: later times, and text from somewhere on.
        2 => Choice { first_time, time_from, time_to: vocabulary, text_from: random.gen_range(0..first_time), ..free },
        // At the beginning: early times only.
        _ => Choice {
            masks: 0,
            text_from: first_time,
            first_time,
            time_from: first_time,
            time_to: time_from + 1,
            ..free
        },
    };
    // A token that is in no list is always left.
    let ruled = if ruled.text_from > 0 { Choice { masks: 0, ..ruled } } else { ruled };
    if random.gen_bool(0.5) {
        return ruled;
    }
    let drawn = Choice { temperature: random.gen_range(0.2..1.5), uniform: random.gen_range(0.01..0.99), ..ruled };
    let near = [drawn.uniform - BORDER, drawn.uniform + BORDER]
        .map(|uniform| Choice { uniform, ..drawn }.choose(masks, logits).token);
    if near[0] == near[1] { drawn } else { ruled }
}
