//! Beam search over made-up candidates, against the reference's loop.

use super::*;

const END: u32 = 0;

fn ends(limit: usize) -> Ends {
    Ends { token: END, limit, cycle: |_| None }
}

fn beam(size: usize) -> Beam {
    Beam { size, ..Beam::default() }
}

fn chosen(token: u32, probability: f32) -> Chosen {
    Chosen { token, logprob: probability.ln(), watched: 0.0 }
}

/// Candidates of one text: tokens and their probabilities.
fn of(probabilities: &[(u32, f32)]) -> Vec<Chosen> {
    probabilities.iter().map(|&(token, probability)| chosen(token, probability)).collect()
}

fn tokens(search: &Search) -> Vec<Vec<u32>> {
    search.live().iter().map(|text| text.tokens.clone()).collect()
}

#[test]
fn the_likeliest_texts_go_on_from_their_parents() {
    let mut search = Search::new(beam(2), ends(9));
    assert_eq!((search.wanted(), search.advance(&[of(&[(1, 0.6), (2, 0.3), (3, 0.1)])])), (3, vec![0, 0]));
    assert_eq!(tokens(&search), [[1], [2]]);
    // 0.6 * 0.4 < 0.3 * 0.9: the second text overtakes, and has both children.
    let parents = search.advance(&[of(&[(4, 0.4), (5, 0.3), (6, 0.2)]), of(&[(7, 0.9), (8, 0.09), (9, 0.01)])]);
    assert_eq!((parents, tokens(&search)), (vec![1, 0], vec![vec![2, 7], vec![1, 4]]));
    let parents = search.advance(&[of(&[(1, 0.5), (2, 0.5)]), of(&[(3, 0.1)])]);
    assert_eq!((parents, tokens(&search)), (vec![0, 0], vec![vec![2, 7, 1], vec![2, 7, 2]]));
    assert!(!search.is_over());
}

#[test]
fn equals_stand_in_the_order_of_their_texts_and_tokens() {
    let mut search = Search::new(beam(3), ends(9));
    search.advance(&[of(&[(4, 0.25), (5, 0.25), (6, 0.25), (7, 0.25)])]);
    assert_eq!(tokens(&search), [[4], [5], [6]]);
    let same = of(&[(1, 0.5), (2, 0.5)]);
    assert_eq!(search.advance(&[same.clone(), same.clone(), same]), [0, 0, 1]);
    assert_eq!(tokens(&search), [[4, 1], [4, 2], [5, 1]]);
}

#[test]
fn patience_says_how_many_texts_must_end() {
    for (size, patience, enough) in [(2, 1.0, 2), (2, 2.0, 4), (4, 0.5, 2), (3, 0.1, 1), (1, 5.0, 1)] {
        let mut search = Search::new(Beam { patience, ..beam(size) }, ends(100));
        let mut steps = 0;
        while !search.is_over() {
            // Each step ends one text, the likeliest one.
            let candidates: Vec<Vec<Chosen>> = (0..search.live().len())
                .map(|text| {
                    let end = (END, if text == 0 { 0.9 } else { 1e-9 });
                    if size == 1 { of(&[end]) } else { of(&[end, (1, 0.05), (2, 0.02), (3, 0.02), (4, 0.01)]) }
                })
                .collect();
            search.advance(&candidates);
            steps += 1;
            assert!(steps < 50);
        }
        assert_eq!((steps, search.ended.len()), (enough, enough), "size {size}, patience {patience}");
    }
}

#[test]
fn an_end_counts_where_it_stands_among_those_that_go_on() {
    let mut search = Search::new(beam(2), ends(9));
    search.advance(&[of(&[(1, 0.5), (2, 0.4), (END, 0.1)])]);
    assert!(search.ended.is_empty(), "two texts are likelier");
    search.advance(&[of(&[(3, 0.5), (END, 0.4), (4, 0.1)]), of(&[(5, 0.9), (6, 0.1)])]);
    assert_eq!(tokens(&search), [[2, 5], [1, 3]]);
    assert!(search.ended.is_empty(), "0.5 * 0.4 is the third");
    search.advance(&[of(&[(END, 0.8), (7, 0.2)]), of(&[(END, 0.9), (8, 0.1)])]);
    assert_eq!(search.ended.iter().map(|text| text.tokens.clone()).collect::<Vec<_>>(), [[2, 5], [1, 3]]);
    assert!(search.is_over());
    assert_eq!(search.best().tokens, [2, 5]);
}

#[test]
fn the_length_penalty_decides_between_short_and_long() {
    let short = Text { tokens: vec![1], sum: -1.0, ..Text::default() };
    let long = Text { tokens: vec![1, 2, 3, 4, 5, 6], sum: -3.0, ..Text::default() };
    let best = |length_penalty| {
        let mut search = Search::new(Beam { length_penalty, ..beam(2) }, ends(9));
        search.ended = vec![short.clone(), long.clone()];
        search.best().tokens.len()
    };
    assert_eq!(best(None), 6, "-1 / 1 against -3 / 6");
    assert_eq!(best(Some(0.0)), 1, "-1 against -3");
    // ((5 + 6) / 6)^1 = 1.83: -1 against -1.64.
    assert_eq!(best(Some(1.0)), 1);
    let mean = Beam { length_penalty: Some(1.0), ..beam(2) };
    assert!((mean.score(-3.0, 6) + 3.0 * 6.0 / 11.0).abs() < 1e-6);
}

#[test]
fn at_the_limit_texts_that_go_on_compete() {
    let mut search = Search::new(beam(2), ends(2));
    search.advance(&[of(&[(1, 0.5), (2, 0.5)])]);
    search.advance(&[of(&[(3, 0.9), (END, 0.1)]), of(&[(4, 0.9), (END, 0.1)])]);
    assert!(search.is_over());
    let best = search.best();
    assert_eq!((best.tokens.as_slice(), best.end_logprob), ([1, 3].as_slice(), 0.0));
}

#[test]
fn a_loop_ends_a_text_and_is_kept_only_where_all_loop() {
    let sevens = |tokens: &[u32]| tokens.ends_with(&[7, 7]).then_some(1);
    let mut search = Search::new(beam(2), Ends { token: END, limit: 50, cycle: sevens });
    search.advance(&[of(&[(7, 0.9), (1, 0.1)])]);
    for _ in 1..8 {
        let parents = search.advance(&[of(&[(7, 0.99)]), of(&[(1, 0.9)])]);
        assert!(!search.is_over());
        assert!(parents.len() <= 2);
    }
    assert_eq!(tokens(&search), [vec![1; 8]], "the other one has looped");
    assert_eq!((search.best().cycle, search.best().tokens.len()), (Some(1), 8));
    assert_eq!(search.advance(&[of(&[(END, 0.01), (2, 0.005), (3, 0.001)])]), [0, 0]);
    assert!(search.is_over());
    assert_eq!((search.best().cycle, search.best().tokens), (None, vec![1; 8]), "less likely, but no loop");
}

#[test]
fn a_search_of_one_is_greedy() {
    let mut search = Search::new(beam(1), ends(3));
    assert_eq!((search.wanted(), search.advance(&[of(&[(5, 0.5)])])), (1, vec![0]));
    search.advance(&[of(&[(6, 0.5)])]);
    assert_eq!(search.advance(&[of(&[(END, 0.25)])]), [0]);
    let best = search.best();
    assert!(search.is_over());
    assert_eq!((best.tokens.as_slice(), best.end_logprob), ([5, 6].as_slice(), 0.25f32.ln()));
    // A batch may go on with it: nothing of it changes.
    search.advance(&[of(&[(END, 0.5)])]);
    assert_eq!((search.best(), search.live().len()), (best, 1));
}

#[test]
fn a_search_without_candidates_ends_with_what_it_has() {
    let mut search = Search::new(beam(3), ends(9));
    search.advance(&[of(&[(5, 0.5), (6, 0.5)])]);
    assert_eq!(search.advance(&[vec![], vec![]]), [0, 1]);
    assert!(search.is_over());
    assert_eq!(search.best().tokens, [5]);
}

/// Log-probabilities after `prefix` that look random but are always the same: `END` and three tokens.
fn toy(prefix: &[u32], seed: u64) -> Vec<Chosen> {
    let mut state =
        prefix.iter().fold(seed, |state, &token| (state ^ u64::from(token + 1)).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut weights: Vec<(u32, f32)> = (0..4)
        .map(|token| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (token, ((state >> 40) as f32 / (1u64 << 24) as f32) + 0.01)
        })
        .collect();
    let total: f32 = weights.iter().map(|(_, weight)| weight).sum();
    weights.iter_mut().for_each(|(_, weight)| *weight /= total);
    weights.sort_by(|a, b| b.1.total_cmp(&a.1));
    of(&weights)
}

fn searched(beam: Beam, limit: usize, seed: u64) -> Search {
    let mut search = Search::new(beam, ends(limit));
    while !search.is_over() {
        let own = |text: &Text| toy(&text.tokens, seed).into_iter().take(search.wanted()).collect();
        let candidates: Vec<Vec<Chosen>> = search.live().iter().map(own).collect();
        search.advance(&candidates);
    }
    search
}

/// The reference's loop, over whole sequences in maps: what has ended, with its summed log-probability.
fn reference(beam: Beam, limit: usize, seed: u64) -> Vec<(Vec<u32>, f32)> {
    let mut live = vec![(Vec::new(), 0.0f32)];
    let mut ended: Vec<(Vec<u32>, f32)> = Vec::new();
    let enough = (beam.size as f32 * beam.patience).round() as usize;
    for _ in 0..limit {
        let mut all: Vec<(Vec<u32>, f32)> = Vec::new();
        for (tokens, sum) in &live {
            for chosen in toy(tokens, seed).into_iter().take(beam.size + 1) {
                all.push(([tokens.as_slice(), &[chosen.token]].concat(), sum + chosen.logprob));
            }
        }
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        live.clear();
        for (tokens, sum) in all {
            if tokens.last() == Some(&END) {
                if ended.len() < enough {
                    ended.push((tokens[..tokens.len() - 1].to_vec(), sum));
                }
            } else {
                live.push((tokens, sum));
                if live.len() == beam.size {
                    break;
                }
            }
        }
        if ended.len() >= enough {
            return ended;
        }
    }
    let room = beam.size.saturating_sub(ended.len());
    ended.extend(live.into_iter().take(room));
    ended
}

#[test]
fn follows_the_reference() {
    for seed in 0..300 {
        for size in [2, 3, 5] {
            for patience in [1.0, 2.0] {
                for length_penalty in [None, Some(0.6)] {
                    let beam = Beam { size, patience, length_penalty };
                    let limit = 2 + (seed % 9) as usize;
                    let ours = searched(beam, limit, seed).best();
                    let all = reference(beam, limit, seed);
                    let score = |(tokens, sum): &(Vec<u32>, f32)| beam.score(*sum, tokens.len());
                    let best = all.iter().map(score).fold(f32::NEG_INFINITY, f32::max);
                    let expected = all.iter().find(|text| score(text) == best).unwrap();
                    assert_eq!(ours.tokens, expected.0, "{beam:?}, seed {seed}");
                    assert!((ours.sum + ours.end_logprob - expected.1).abs() < 1e-5);
                }
            }
        }
    }
}

/// Every text that ends within `limit` tokens, with its summed log-probability.
fn all_texts(prefix: &[u32], sum: f32, limit: usize, seed: u64) -> Vec<(Vec<u32>, f32)> {
    let next = toy(prefix, seed);
    let mut texts = Vec::new();
    for chosen in next {
        if chosen.token == END {
            texts.push((prefix.to_vec(), sum + chosen.logprob));
        } else if prefix.len() + 1 < limit {
            texts.extend(all_texts(&[prefix, &[chosen.token]].concat(), sum + chosen.logprob, limit, seed));
        }
    }
    texts
}

#[test]
fn a_search_that_is_wide_enough_finds_the_best_text_of_all() {
    for seed in 0..100 {
        // 27 texts of three tokens: all are followed, and all ends are kept.
        let beam = Beam { size: 30, patience: 10.0, length_penalty: Some(0.0) };
        let search = searched(beam, 3, seed);
        let mut all = all_texts(&[], 0.0, 3, seed);
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        let best_ended = search.ended.iter().map(|text| text.sum + text.end_logprob).fold(f32::NEG_INFINITY, f32::max);
        assert_eq!(search.ended.len(), all.len(), "seed {seed}");
        assert!((best_ended - all[0].1).abs() < 1e-5, "seed {seed}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let refused = |beam: Beam| beam.validate().err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(refused(Beam::default()), "");
    assert_eq!(refused(Beam { size: 16, patience: 0.5, length_penalty: Some(1.0) }), "");
    for size in [0, 17] {
        assert!(refused(beam(size)).contains("--beam-size must lie between 1 and 16"));
    }
    for patience in [0.0, -1.0, 11.0, f32::NAN, f32::INFINITY] {
        assert!(refused(Beam { patience, ..beam(5) }).contains("--patience"));
    }
    for exponent in [-0.1, 1.1, f32::NAN] {
        assert!(refused(Beam { length_penalty: Some(exponent), ..beam(5) }).contains("--length-penalty"));
    }
    let unused = refused(Beam { length_penalty: Some(0.5), ..beam(1) });
    assert!(unused.contains("--length-penalty") && unused.contains("--beam-size above 1"), "{unused}");
    assert!(refused(Beam { patience: 2.0, ..beam(1) }).contains("--patience is about beam search"));
}
