//! In which numbers the CPU makes its large products.

/// How the products of linear layers, convolutions and attention are made on the CPU, where tensors are f32 all the same. A GPU
/// computes in the type of its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// In f32.
    #[default]
    Float32,
    /// Factors are rounded to bfloat16, for a processor that has a unit for it; sums are f32.
    BFloat16,
    /// Weights and activations are rounded to int8, with a scale for each output and each row; where a product does not suit
    /// int8 (attention, the first convolution), as in bfloat16 if the processor has a unit for it, else in f32.
    Int8,
}
