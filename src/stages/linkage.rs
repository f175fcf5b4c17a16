//! Average linkage of groups that are already larger than one: what the upper level of two-level clustering needs.
//!
//! The nearest-neighbour chain of Murtagh ("A survey of recent advances in hierarchical clustering algorithms", 1983) with
//! the update of Lance and Williams; a crate's linkage starts from single members, all of weight one.

/// Two clusters that join: below `count` a leaf, `count + i` the result of step i; and their distance.
pub type Step = (usize, usize, f32);

/// The steps in which `sizes.len()` groups join, nearest first.
///
/// `distances` is the upper triangle of their mean distances, row after row; `sizes` says how many members each has.
/// Memory: nothing beside `distances` grows faster than the number of groups.
pub fn average_linkage(mut distances: Vec<f32>, sizes: &[f32]) -> Vec<Step> {
    let count = sizes.len();
    let at = |a: usize, b: usize| {
        let (a, b) = (a.min(b), a.max(b));
        a * (2 * count - a - 1) / 2 + b - a - 1
    };
    let mut sizes = sizes.to_vec();
    let mut alive: Vec<usize> = (0..count).collect();
    let mut chain: Vec<usize> = Vec::new();
    let mut merges: Vec<Step> = Vec::with_capacity(count.saturating_sub(1));
    while alive.len() > 1 {
        let Some(&last) = chain.last() else {
            chain.push(alive[0]);
            continue;
        };
        let before = chain.len().checked_sub(2).map(|index| chain[index]);
        // Among equals the one before in the chain, or the chain would not end.
        let start = before.map(|before| (distances[at(last, before)], before));
        let nearest = alive.iter().filter(|&&other| other != last).fold(start, |best, &other| {
            let distance = distances[at(last, other)];
            if best.is_none_or(|(least, _)| distance < least) { Some((distance, other)) } else { best }
        });
        let Some((distance, other)) = nearest else { break };
        if before != Some(other) {
            chain.push(other);
            continue;
        }
        chain.truncate(chain.len() - 2);
        merges.push((last, other, distance));
        let (kept, gone) = (last.min(other), last.max(other));
        alive.retain(|&index| index != gone);
        let (a, b) = (sizes[kept], sizes[gone]);
        for &third in alive.iter().filter(|&&third| third != kept) {
            distances[at(kept, third)] = (a * distances[at(kept, third)] + b * distances[at(gone, third)]) / (a + b);
        }
        sizes[kept] = a + b;
    }
    in_order(merges, count)
}

/// Merges of leaves, each named by one of its members, as steps in order of distance.
fn in_order(mut merges: Vec<Step>, count: usize) -> Vec<Step> {
    merges.sort_by(|a, b| a.2.total_cmp(&b.2));
    let mut parent: Vec<usize> = (0..count + merges.len()).collect();
    let mut steps = Vec::with_capacity(merges.len());
    for (index, (a, b, distance)) in merges.into_iter().enumerate() {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        (parent[a], parent[b]) = (count + index, count + index);
        steps.push((a.min(b), a.max(b), distance));
    }
    steps
}

fn root(parent: &mut [usize], mut index: usize) -> usize {
    while parent[index] != index {
        parent[index] = parent[parent[index]];
        index = parent[index];
    }
    index
}

#[cfg(test)]
mod tests {
    use kodama::{Method, linkage};
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    #[test]
    fn single_members_join_as_in_kodama() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
        for count in [1, 2, 3, 10, 60] {
            let distances: Vec<f32> = (0..count * (count - 1) / 2).map(|_| random.r#gen()).collect();
            let wanted = linkage(&mut distances.clone(), count, Method::Average);
            let steps = average_linkage(distances, &vec![1.0; count]);
            assert_eq!(steps.len(), count - 1);
            for (step, wanted) in steps.iter().zip(wanted.steps()) {
                assert_eq!((step.0, step.1), (wanted.cluster1, wanted.cluster2));
                assert!((step.2 - wanted.dissimilarity).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn a_group_weighs_as_many_members_as_it_has() {
        // Points on a line: 0 three times, 1 once, 3 once. Joined, the first four lie 3 * 3/4 + 2 * 1/4 from the last.
        let steps = average_linkage(vec![1.0, 3.0, 2.0], &[3.0, 1.0, 1.0]);
        assert_eq!(steps, [(0, 1, 1.0), (2, 3, 2.75)]);
    }

    #[test]
    fn equal_distances_end() {
        assert_eq!(average_linkage(vec![0.5; 45], &[1.0; 10]).len(), 9);
    }
}
