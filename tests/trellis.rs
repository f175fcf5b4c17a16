//! The search for the best path stays small where a whole trellis would not fit: 200,000 frames by 20,000 characters.

use palabra::ops::ctc::{Chain, Emission, State, best_path};

/// The most memory that this process has held, in bytes.
#[cfg(target_os = "linux")]
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

#[test]
fn an_hour_of_speech_and_all_its_characters() {
    let (frames, tokens, columns) = (200_000, 20_000, 32);
    // Every character is heard in the fifth of its ten frames, the blank in the others.
    let column = |token: usize| 1 + (token * 7919 + token / 31) % (columns - 1);
    let mut values = vec![-9.0f32; frames * columns];
    for frame in 0..frames {
        let heard = if frame % 10 == 5 { column(frame / 10) } else { 0 };
        values[frame * columns + heard] = -0.01;
    }
    let chain = Chain {
        tokens: (0..tokens).map(|token| column(token) as u32).collect(),
        gaps: vec![0; tokens + 1],
        skips: (0..tokens).map(|token| token == 0 || column(token) != column(token - 1)).collect(),
    };
    let path = best_path(&Emission { values, columns }, &chain, None);
    let found =
        path.as_ref().map(|path| (0..tokens).filter(|&token| path[token * 10 + 5] == State::Token(token)).count());
    assert_eq!(found, Some(tokens));
    #[cfg(target_os = "linux")]
    {
        // Emission 26 MB, checkpoints and path some 80 MB; one byte a cell would be 4 GB.
        let peak = peak();
        assert!(peak.is_some_and(|bytes| bytes < 300 << 20), "{peak:?} bytes at most");
    }
}
