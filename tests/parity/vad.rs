//! Silero VAD against the reference's ONNX model, and against speech that people have marked.
