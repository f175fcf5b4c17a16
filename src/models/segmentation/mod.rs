//! The segmentation network pyannote segmentation-3.0: which of a window's speakers are active in each 17 ms of it.

pub mod powerset;

/// Samples from one frame to the next: 16.875 ms.
pub const FRAME_SHIFT: usize = 270;
/// Samples that one frame sees: 61.9375 ms.
pub const FRAME_LENGTH: usize = 991;
