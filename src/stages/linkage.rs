//! Agglomerative linkage of groups that are already larger than one: what the upper level of two-level clustering needs, and
//! what a crate's linkage, which starts from single members of weight one, does not do.
//!
//! The generic algorithm of Müllner ("Modern hierarchical, agglomerative clustering algorithms", 2011) with the update of
//! Lance and Williams.

/// What the distance of two clusters is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Linkage {
    /// The mean cosine distance of a member of one to a member of the other.
    #[default]
    Average,
    /// The Euclidean distance of their means, unscaled.
    Centroid,
}

/// Two clusters that join: below `count` a leaf, `count + i` the result of step i; and their distance.
pub type Step = (usize, usize, f32);

/// The steps in which `sizes.len()` groups join, in order.
///
/// `distances` is the upper triangle of their distances (for [`Linkage::Centroid`] squared), row after row; `sizes` says how
/// many members each has. With centroids a later step may be of less distance than an earlier one.
/// Memory: nothing beside `distances` grows faster than the number of groups.
pub fn join(mut distances: Vec<f32>, sizes: &[f32], linkage: Linkage) -> Vec<Step> {
    let count = sizes.len();
    let at = |a: usize, b: usize| {
        let (a, b) = (a.min(b), a.max(b));
        a * (2 * count - a - 1) / 2 + b - a - 1
    };
    let nearest_of = |distances: &[f32], alive: &[usize], of: usize| {
        let others = alive.iter().filter(|&&other| other != of).map(|&other| (distances[at(of, other)], other));
        others.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f32::INFINITY, of))
    };
    let mut sizes = sizes.to_vec();
    let mut names: Vec<usize> = (0..count).collect();
    let mut alive: Vec<usize> = (0..count).collect();
    let mut nearest: Vec<(f32, usize)> = alive.iter().map(|&group| nearest_of(&distances, &alive, group)).collect();
    let mut steps = Vec::with_capacity(count.saturating_sub(1));
    while alive.len() > 1 {
        let Some(&one) = alive.iter().min_by(|&&a, &&b| nearest[a].0.total_cmp(&nearest[b].0)) else { break };
        let (distance, other) = nearest[one];
        let (kept, gone) = (one.min(other), one.max(other));
        let height = if linkage == Linkage::Centroid { distance.max(0.0).sqrt() } else { distance };
        steps.push((names[kept].min(names[gone]), names[kept].max(names[gone]), height));
        names[kept] = count + steps.len() - 1;
        alive.retain(|&group| group != gone);
        let (a, b) = (sizes[kept], sizes[gone]);
        sizes[kept] = a + b;
        // The mean of two means lies nearer to a third point than the two do on the average.
        let nearer = if linkage == Linkage::Centroid { a * b * distance / (a + b).powi(2) } else { 0.0 };
        for &third in alive.iter().filter(|&&third| third != kept) {
            let mean = (a * distances[at(kept, third)] + b * distances[at(gone, third)]) / (a + b);
            distances[at(kept, third)] = mean - nearer;
        }
        nearest[kept] = nearest_of(&distances, &alive, kept);
        for &third in alive.iter().filter(|&&third| third != kept) {
            let distance = distances[at(kept, third)];
            if nearest[third].1 == kept || nearest[third].1 == gone {
                nearest[third] = nearest_of(&distances, &alive, third);
            } else if distance < nearest[third].0 {
                nearest[third] = (distance, kept);
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use kodama::{Method, linkage};
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    /// Euclidean distances of random points in three dimensions, as a triangle.
    fn distances(count: usize) -> Vec<f32> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(3);
        let points: Vec<[f32; 3]> = (0..count).map(|_| random.r#gen()).collect();
        let apart = |a: &[f32; 3], b: &[f32; 3]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        (0..count)
            .flat_map(|a| (a + 1..count).map(move |b| (a, b)))
            .map(|(a, b)| apart(&points[a], &points[b]))
            .collect()
    }

    #[test]
    fn single_members_join_as_in_kodama() {
        for count in [1, 2, 3, 10, 60] {
            for (method, own) in [(Method::Average, Linkage::Average), (Method::Centroid, Linkage::Centroid)] {
                let wanted = linkage(&mut distances(count), count, method);
                let square = |distance: f32| if own == Linkage::Centroid { distance * distance } else { distance };
                let steps = join(distances(count).into_iter().map(square).collect(), &vec![1.0; count], own);
                assert_eq!(steps.len(), count - 1);
                for (step, wanted) in steps.iter().zip(wanted.steps()) {
                    assert_eq!((step.0, step.1), (wanted.cluster1, wanted.cluster2), "{method:?}");
                    assert!((step.2 - wanted.dissimilarity).abs() < 1e-4, "{method:?}");
                }
            }
        }
    }

    #[test]
    fn a_group_weighs_as_many_members_as_it_has() {
        // Points on a line: 0 three times, 1 once, 3 once. Joined, the first four lie 3 * 3/4 + 2 * 1/4 from the last.
        let steps = join(vec![1.0, 3.0, 2.0], &[3.0, 1.0, 1.0], Linkage::Average);
        assert_eq!(steps, [(0, 1, 1.0), (2, 3, 2.75)]);
        // Their mean is 0.25.
        let steps = join(vec![1.0, 9.0, 4.0], &[3.0, 1.0, 1.0], Linkage::Centroid);
        assert_eq!(steps, [(0, 1, 1.0), (2, 3, 2.75)]);
    }

    #[test]
    fn equal_distances_end() {
        assert_eq!(join(vec![0.5; 45], &[1.0; 10], Linkage::Average).len(), 9);
        assert_eq!(join(vec![0.0; 45], &[1.0; 10], Linkage::Centroid).len(), 9);
    }
}
