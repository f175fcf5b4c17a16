//! A case: buffers, the launches that work on them, and what the buffers hold afterwards.

use std::fmt;

use candle_core::DType;
use half::{bf16, f16};
use palabra::ops::kernels::{Argument, Launch};

/// Bits of an address that count bytes inside a buffer; those above count buffers, from 1.
const OFFSET_BITS: u32 = 40;

/// A number as it lies in a buffer.
pub trait Number: Copy {
    /// Its bytes, behind those that are there.
    fn write(self, bytes: &mut Vec<u8>);
}

macro_rules! number {
    ($type:ty) => {
        impl Number for $type {
            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
        }
    };
}
number!(u8);
number!(u32);
number!(i32);
number!(i64);
number!(f32);
number!(f64);
number!(f16);
number!(bf16);

/// What a buffer should hold in the end.
struct Expected {
    buffer: usize,
    dtype: DType,
    values: Vec<f64>,
    tolerance: f64,
}

/// Buffers and launches. Buffers are made first, in the order of their use; an argument names one.
#[derive(Default)]
pub struct Case {
    buffers: Vec<Vec<u8>>,
    launches: Vec<Launch>,
    expected: Vec<Expected>,
    /// What it is, for the reader of a failure.
    pub name: String,
}

/// The largest difference of a case from what was expected.
#[derive(Debug, Clone, Default)]
pub struct Difference {
    /// The type of the numbers; `None` where all are exact.
    pub dtype: Option<DType>,
    /// Absolute.
    pub error: f64,
    /// In tolerances: above 1 it is too large.
    pub ratio: f64,
    /// Where and what.
    pub place: String,
}

impl Case {
    /// A case with this name.
    pub fn new(name: impl fmt::Display) -> Self {
        Self { name: name.to_string(), ..Self::default() }
    }

    fn add(&mut self, bytes: Vec<u8>) -> Argument {
        self.buffers.push(bytes);
        Argument::Buffer((self.buffers.len() as u64) << OFFSET_BITS)
    }

    /// A buffer with these numbers.
    pub fn buffer<T: Number>(&mut self, values: &[T]) -> Argument {
        let mut bytes = Vec::with_capacity(size_of_val(values));
        values.iter().for_each(|value| value.write(&mut bytes));
        self.add(bytes)
    }

    /// A buffer with these numbers, rounded to a floating point type.
    pub fn floats(&mut self, values: &[f32], dtype: DType) -> Argument {
        match dtype {
            DType::F16 => self.buffer(&values.iter().map(|&value| f16::from_f32(value)).collect::<Vec<_>>()),
            DType::BF16 => self.buffer(&values.iter().map(|&value| bf16::from_f32(value)).collect::<Vec<_>>()),
            _ => self.buffer(values),
        }
    }

    /// A buffer that holds nothing yet: NaN, or the largest numbers.
    pub fn empty(&mut self, count: usize, dtype: DType) -> Argument {
        self.add(vec![0xff; count * dtype.size_in_bytes()])
    }

    /// Launches are carried out in the order in which they are added.
    pub fn launch(&mut self, launch: Launch) {
        launch.check().unwrap();
        self.launches.push(launch);
    }

    /// The buffer must hold these numbers, within 1e-4 and what its type rounds.
    pub fn expect<T: Into<f64> + Copy>(&mut self, buffer: Argument, dtype: DType, values: &[T]) {
        self.expect_within(buffer, dtype, values, if dtype.is_float() { 1e-4 } else { 0.0 });
    }

    /// The buffer must hold these numbers, within `tolerance` and what its type rounds.
    pub fn expect_within<T: Into<f64> + Copy>(&mut self, buffer: Argument, dtype: DType, values: &[T], tolerance: f64) {
        let (buffer, _) = place(buffer);
        let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        assert_eq!(self.buffers[buffer].len(), values.len() * dtype.size_in_bytes(), "{}: the length", self.name);
        self.expected.push(Expected { buffer, dtype, values, tolerance });
    }

    /// The case as the program reads it.
    pub fn encode(&self, order: u32, to: &mut Vec<u8>) {
        let count = |to: &mut Vec<u8>, count: usize| to.extend((count as u32).to_le_bytes());
        to.extend(order.to_le_bytes());
        count(to, self.buffers.len());
        for (index, buffer) in self.buffers.iter().enumerate() {
            to.push(u8::from(self.expected.iter().any(|expected| expected.buffer == index)));
            to.extend((buffer.len() as u64).to_le_bytes());
            to.extend(buffer);
        }
        count(to, self.launches.len());
        for launch in &self.launches {
            count(to, launch.kernel.len());
            to.extend(launch.kernel.as_bytes());
            launch.grid.iter().for_each(|&blocks| count(to, blocks));
            count(to, launch.block);
            count(to, launch.shared);
            count(to, launch.arguments.len());
            launch.arguments.iter().for_each(|argument| encode(*argument, to));
        }
    }

    /// Takes the case's answer from the front of `answer`, and compares.
    pub fn compare(&self, answer: &mut &[u8]) -> Result<Difference, String> {
        let mut worst = Difference::default();
        for (index, buffer) in self.buffers.iter().enumerate() {
            let mut wanted = self.expected.iter().filter(|expected| expected.buffer == index).peekable();
            if wanted.peek().is_none() {
                continue;
            }
            let (bytes, rest) = answer.split_at_checked(buffer.len()).ok_or("the answer ends in the middle")?;
            *answer = rest;
            for expected in wanted {
                let difference = expected.compare(bytes);
                if difference.ratio > worst.ratio || !difference.ratio.is_finite() {
                    worst = difference;
                }
            }
        }
        if worst.ratio <= 1.0 { Ok(worst) } else { Err(format!("{}: {}", self.name, worst.place)) }
    }
}

impl Expected {
    fn compare(&self, bytes: &[u8]) -> Difference {
        let mut worst = Difference::default();
        let values = bytes.chunks_exact(self.dtype.size_in_bytes()).map(|bytes| decode(self.dtype, bytes));
        for (index, (got, &wanted)) in values.zip(&self.values).enumerate() {
            let same = got == wanted || got.is_nan() && wanted.is_nan();
            let error = if same { 0.0 } else { (got - wanted).abs() };
            let allowed = self.tolerance + epsilon(self.dtype) * wanted.abs();
            let ratio = if same { 0.0 } else { error / allowed };
            if ratio > worst.ratio || ratio.is_nan() {
                let buffer = self.buffer;
                let place = format!("buffer {buffer}, element {index}: {got} instead of {wanted}");
                let ratio = if ratio.is_nan() { f64::INFINITY } else { ratio };
                worst = Difference { dtype: Some(self.dtype), error, ratio, place };
            }
        }
        worst
    }
}

fn place(argument: Argument) -> (usize, u64) {
    let Argument::Buffer(address) = argument else { panic!("{argument:?} is no buffer") };
    ((address >> OFFSET_BITS) as usize - 1, address & ((1 << OFFSET_BITS) - 1))
}

fn encode(argument: Argument, to: &mut Vec<u8>) {
    match argument {
        Argument::Buffer(_) => {
            let (buffer, byte) = place(argument);
            to.push(0);
            to.extend((buffer as u32).to_le_bytes());
            to.extend(byte.to_le_bytes());
        }
        Argument::I32(value) => value_of_four_bytes(value.to_le_bytes(), to),
        Argument::U32(value) => value_of_four_bytes(value.to_le_bytes(), to),
        Argument::F32(value) => value_of_four_bytes(value.to_le_bytes(), to),
    }
}

fn value_of_four_bytes(bytes: [u8; 4], to: &mut Vec<u8>) {
    to.push(1);
    to.extend(bytes);
}

/// Two steps of a type's rounding, relative to the number.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => f16::EPSILON.to_f64(),
        DType::BF16 => bf16::EPSILON.to_f64(),
        DType::F32 => f64::from(f32::EPSILON),
        DType::F64 => f64::EPSILON,
        _ => 0.0,
    }
}

fn decode(dtype: DType, bytes: &[u8]) -> f64 {
    match dtype {
        DType::U8 => f64::from(bytes[0]),
        DType::U32 => f64::from(u32::from_le_bytes(bytes.try_into().unwrap())),
        DType::I32 => f64::from(i32::from_le_bytes(bytes.try_into().unwrap())),
        DType::I64 => i64::from_le_bytes(bytes.try_into().unwrap()) as f64,
        DType::F16 => f16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
        DType::BF16 => bf16::from_le_bytes(bytes.try_into().unwrap()).to_f64(),
        DType::F32 => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
        DType::F64 => f64::from_le_bytes(bytes.try_into().unwrap()),
        other => panic!("no kernel writes {other:?}"),
    }
}
