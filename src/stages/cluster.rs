//! Who is alike: agglomerative clustering of speaker embeddings.
//!
//! Average linkage on cosine distance, cut at a threshold; clusters too small to be a speaker give their members to the
//! nearest large one; what is then still alike by its means is one speaker. A wanted count is met by cutting the same tree
//! where that many clusters stand that are still unlike each other, and k-means moves the members that this cut has left
//! on the wrong side.
//!
//! Memory: a tree of n leaves needs n (n - 1) / 2 distances. Up to [`TREE_LIMIT`] embeddings are leaves themselves (72 MB).
//! More are clustered on two levels: every block of [`BLOCK`] consecutive embeddings is brought down to groups of
//! members that are very much alike, no more than [`TREE_LIMIT`] in all blocks together, and the tree is built from the
//! groups, each weighing as many embeddings as it has. Everything else is linear in the number of embeddings.

use kodama::Method;
use linfa::{
    DatasetBase,
    traits::{Fit, Predict},
};
use linfa_clustering::{KMeans, KMeansInit};
use ndarray::{Array2, ArrayView1, ArrayView2, s};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::linkage::{Linkage, Step, join};
use crate::models::speaker::Architecture;

/// Leaves of a tree at most.
pub const TREE_LIMIT: usize = 6000;
/// Embeddings of a block of the lower level.
pub const BLOCK: usize = 4000;
/// Groups that a block is brought down to at least.
const GROUPS_LEFT: usize = 64;
/// Most rounds of k-means.
const ROUNDS: u64 = 50;

/// How embeddings become clusters.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterOptions {
    /// What the distance of two clusters is. On the development recordings no threshold of centroids comes near to average
    /// linkage (`examples/speaker_thresholds.rs`).
    pub linkage: Linkage,
    /// Distance above which two clusters are different speakers.
    pub threshold: f32,
    /// Cosine distance of two large clusters' means below which they are one speaker after all.
    pub merge: f32,
    /// Fewer members are no speaker of their own; in short recordings a thirteenth of all embeddings is enough.
    pub min_size: usize,
    /// At least so many clusters, where there are as many embeddings.
    pub min_clusters: usize,
    /// At most so many clusters.
    pub max_clusters: usize,
}

impl ClusterOptions {
    /// What distances mean for an embedder, on windows of 1.5 s, one every 0.5 s.
    ///
    /// CAM++ is measured on the development recordings (`palabra bench diarization`). The two others are not: their
    /// thresholds lie in the middle between what their publishers say of one voice (a cosine of 0.5 to 0.6) and of two
    /// (0 to 0.1).
    pub fn of(architecture: Architecture) -> Self {
        let (threshold, merge) = match architecture {
            Architecture::CamPlusPlus => (0.64, 0.35),
            Architecture::ResNet34 | Architecture::EcapaTdnn => (0.7, 0.45),
        };
        Self { linkage: Linkage::Average, threshold, merge, min_size: 7, min_clusters: 1, max_clusters: usize::MAX }
    }
}

impl Default for ClusterOptions {
    /// For CAM++.
    fn default() -> Self {
        Self::of(Architecture::CamPlusPlus)
    }
}

/// Embeddings in groups.
#[derive(Debug, Clone, PartialEq)]
pub struct Clustering {
    /// For each embedding the row of its cluster in `means`.
    pub labels: Vec<usize>,
    /// The mean of each cluster's normalised members, of length one: (clusters, dimensions).
    pub means: Array2<f32>,
}

/// Scales every row to length one; a row of zeros stays.
pub fn normalise_rows(rows: &mut Array2<f32>) {
    for mut row in rows.rows_mut() {
        let length = row.dot(&row).sqrt();
        if length > 0.0 {
            row /= length;
        }
    }
}

/// Groups `embeddings` (n, dimensions), rows of length one, finite.
pub fn cluster(embeddings: ArrayView2<f32>, options: &ClusterOptions) -> Clustering {
    let count = embeddings.nrows();
    if count == 0 {
        return Clustering { labels: Vec::new(), means: Array2::zeros((0, embeddings.ncols())) };
    }
    let tree = if count <= TREE_LIMIT {
        Tree::of_each(embeddings, options.linkage)
    } else {
        Tree::of_groups(embeddings, options)
    };
    let min_size = options.min_size.min(count.div_ceil(13));
    let cut = tree.cut(tree.merges_below(options.threshold));
    let free = merge_alike(settle(embeddings, &cut, min_size), options.merge, embeddings);
    let found = free.means.nrows();
    let wanted = found.clamp(options.min_clusters, options.max_clusters.max(options.min_clusters)).clamp(1, count);
    if wanted == found { free } else { settle_count(embeddings, &tree, min_size, wanted, options) }
}

/// A cut with exactly `wanted` clusters that are large; with smaller ones where the large ones would be parts of one voice.
/// (A speaker who says three words of a meeting is a small cluster, not half of the one who says the rest.)
fn settle_count(
    embeddings: ArrayView2<f32>,
    tree: &Tree,
    min_size: usize,
    wanted: usize,
    options: &ClusterOptions,
) -> Clustering {
    let cuts: Vec<(usize, usize)> =
        (1..=min_size.max(2)).rev().filter_map(|size| Some((size, tree.merges_leaving(wanted, size)?))).collect();
    let unlike = |cut: &&(usize, usize)| tree.height(cut.1) >= options.threshold;
    let highest = || cuts.iter().max_by(|a, b| tree.height(a.1).total_cmp(&tree.height(b.1)));
    let cut = match cuts.iter().find(unlike).or_else(highest) {
        Some(&(size, merges)) => settle(embeddings, &tree.cut(merges), size),
        // Fewer groups than clusters are wanted: as many as there are embeddings, or the first of them.
        None => settle(embeddings, &(0..embeddings.nrows()).map(|row| row.min(wanted - 1)).collect::<Vec<_>>(), 1),
    };
    moved_by_k_means(embeddings, &cut).unwrap_or(cut)
}

/// The clustering that k-means comes to from the means of `cut`; `None` where a cluster would be left empty.
fn moved_by_k_means(embeddings: ArrayView2<f32>, cut: &Clustering) -> Option<Clustering> {
    let count = cut.means.nrows();
    let records = DatasetBase::from(embeddings);
    let random = Xoshiro256PlusPlus::seed_from_u64(0);
    let means = KMeans::params_with_rng(count, random)
        .init_method(KMeansInit::Precomputed(cut.means.clone()))
        .n_runs(1)
        .max_n_iterations(ROUNDS)
        .fit(&records)
        .ok()?;
    let labels: Vec<usize> = means.predict(&records).to_vec();
    let all = (0..count).all(|label| labels.contains(&label));
    all.then(|| Clustering { means: refreshed(embeddings, &labels, count), labels })
}

/// The steps in which embeddings, or groups of them, join, nearest first.
struct Tree {
    /// The leaf of each embedding.
    leaves: Vec<usize>,
    /// Embeddings in each leaf.
    sizes: Vec<usize>,
    steps: Vec<Step>,
}

impl Tree {
    /// Every embedding is a leaf.
    fn of_each(embeddings: ArrayView2<f32>, linkage: Linkage) -> Self {
        let count = embeddings.nrows();
        let mut distances = cosine_distances(embeddings);
        let method = match linkage {
            Linkage::Average => Method::Average,
            Linkage::Centroid => {
                // Between ends of vectors of length one.
                distances.iter_mut().for_each(|distance| *distance = (2.0 * *distance).sqrt());
                Method::Centroid
            }
        };
        let dendrogram = kodama::linkage(&mut distances, count, method);
        let steps = dendrogram.steps().iter().map(|step| (step.cluster1, step.cluster2, step.dissimilarity)).collect();
        Self { leaves: (0..count).collect(), sizes: vec![1; count], steps }
    }

    /// Every leaf is a group of embeddings of one block that are much more alike than the threshold.
    fn of_groups(embeddings: ArrayView2<f32>, options: &ClusterOptions) -> Self {
        let count = embeddings.nrows();
        let blocks = count.div_ceil(BLOCK);
        let mut leaves = Vec::with_capacity(count);
        let mut groups = 0;
        for start in (0..count).step_by(BLOCK) {
            let block = embeddings.slice(s![start..count.min(start + BLOCK), ..]);
            let tree = Self::of_each(block, options.linkage);
            let rows = block.nrows();
            // Some groups must be left to cut between, whoever asks for many clusters.
            let (least, most) = (rows.saturating_sub((TREE_LIMIT / blocks).max(1)), rows.saturating_sub(GROUPS_LEFT));
            let labels = tree.cut(tree.merges_below(options.threshold / 2.0).min(most).max(least));
            leaves.extend(labels.iter().map(|label| groups + label));
            groups = leaves.iter().max().map_or(0, |last| last + 1);
        }
        let mut sizes = vec![0usize; groups];
        let mut means = Array2::zeros((groups, embeddings.ncols()));
        for (&leaf, row) in leaves.iter().zip(embeddings.rows()) {
            sizes[leaf] += 1;
            let mut mean = means.row_mut(leaf);
            mean += &row;
        }
        let weights: Vec<f32> = sizes.iter().map(|&size| size as f32).collect();
        for (mut mean, weight) in means.rows_mut().into_iter().zip(&weights) {
            mean /= *weight;
        }
        // The mean of all distances between the members of two groups is the distance of their means, unscaled.
        let mut distances = cosine_distances(means.view());
        if options.linkage == Linkage::Centroid {
            let lengths: Vec<f32> = means.rows().into_iter().map(|mean| mean.dot(&mean)).collect();
            let pairs = (0..groups).flat_map(|a| (a + 1..groups).map(move |b| (a, b)));
            let squared = |(a, b): (usize, usize), distance: f32| lengths[a] + lengths[b] - 2.0 * (1.0 - distance);
            distances.iter_mut().zip(pairs).for_each(|(distance, pair)| *distance = squared(pair, *distance));
        }
        let steps = join(distances, &weights, options.linkage);
        Self { leaves, sizes, steps }
    }

    fn merges_below(&self, threshold: f32) -> usize {
        self.steps.iter().take_while(|step| step.2 <= threshold).count()
    }

    /// How far apart the nearest two clusters are after the first `merges` steps.
    fn height(&self, merges: usize) -> f32 {
        self.steps.get(merges).map_or(f32::INFINITY, |step| step.2)
    }

    /// The most steps after which `wanted` clusters have `min_size` members or more.
    fn merges_leaving(&self, wanted: usize, min_size: usize) -> Option<usize> {
        let mut sizes = self.sizes.clone();
        let mut large = sizes.iter().filter(|&&size| size >= min_size).count();
        let mut found = (large == wanted).then_some(0);
        for (index, &(a, b, _)) in self.steps.iter().enumerate() {
            let size = sizes[a] + sizes[b];
            large += usize::from(size >= min_size);
            large -= usize::from(sizes[a] >= min_size) + usize::from(sizes[b] >= min_size);
            sizes.push(size);
            if large == wanted {
                found = Some(index + 1);
            }
        }
        found
    }

    /// A label for each embedding after the first `merges` steps: 0, 1, ... in order of first appearance.
    fn cut(&self, merges: usize) -> Vec<usize> {
        let count = self.sizes.len();
        let mut root: Vec<usize> = (0..count + merges).collect();
        for (index, &(a, b, _)) in self.steps[..merges].iter().enumerate().rev() {
            root[a] = root[count + index];
            root[b] = root[count + index];
        }
        let mut label_of = vec![None; count + merges];
        let mut labels = 0;
        let mut label = |root: usize| {
            *label_of[root].get_or_insert_with(|| {
                labels += 1;
                labels - 1
            })
        };
        self.leaves.iter().map(|&leaf| label(root[leaf])).collect()
    }
}

/// The upper triangle of `1 - cosine`, row after row.
fn cosine_distances(embeddings: ArrayView2<f32>) -> Vec<f32> {
    const ROWS: usize = 256;
    let count = embeddings.nrows();
    let mut distances = Vec::with_capacity(count * count.saturating_sub(1) / 2);
    for start in (0..count).step_by(ROWS) {
        let end = (start + ROWS).min(count);
        let similarity = embeddings.slice(s![start..end, ..]).dot(&embeddings.slice(s![start.., ..]).t());
        for (offset, row) in similarity.rows().into_iter().enumerate() {
            distances.extend(row.iter().skip(offset + 1).map(|similarity| (1.0 - similarity).max(0.0)));
        }
    }
    distances
}

/// Keeps the clusters of `min_size` members and gives the rest to the nearest of them. Where no cluster is that large, the
/// largest ones stay; where nothing is like anything else, all is one.
fn settle(embeddings: ArrayView2<f32>, labels: &[usize], min_size: usize) -> Clustering {
    let count = labels.iter().max().map_or(0, |last| last + 1);
    let mut sizes = vec![0; count];
    labels.iter().for_each(|&label| sizes[label] += 1);
    let least = min_size.min(sizes.iter().copied().max().unwrap_or(0));
    let all_apart = least == 1 && min_size > 1;
    let mut kept = 0;
    let keep = |size: &usize| {
        let keeps = *size >= least && !(all_apart && kept == 1);
        kept += usize::from(keeps);
        keeps.then(|| kept - 1)
    };
    let renamed: Vec<Option<usize>> = sizes.iter().map(keep).collect();
    let large: Vec<Option<usize>> = labels.iter().map(|&label| renamed[label]).collect();
    let means = means(embeddings, &large, kept);
    let labels: Vec<usize> =
        large.iter().zip(embeddings.rows()).map(|(label, row)| label.unwrap_or_else(|| nearest(row, &means))).collect();
    Clustering { means: refreshed(embeddings, &labels, kept), labels }
}

/// Joins the two nearest means while they are nearer than `distance`.
fn merge_alike(mut clustering: Clustering, distance: f32, embeddings: ArrayView2<f32>) -> Clustering {
    loop {
        let count = clustering.means.nrows();
        let similarity = clustering.means.dot(&clustering.means.t());
        let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        let Some((a, b)) = pairs.max_by(|&x, &y| similarity[x].total_cmp(&similarity[y])) else { return clustering };
        if 1.0 - similarity[(a, b)] > distance {
            return clustering;
        }
        for label in &mut clustering.labels {
            *label = if *label == b { a } else { *label - usize::from(*label > b) };
        }
        clustering.means = refreshed(embeddings, &clustering.labels, count - 1);
    }
}

fn refreshed(embeddings: ArrayView2<f32>, labels: &[usize], count: usize) -> Array2<f32> {
    means(embeddings, &labels.iter().copied().map(Some).collect::<Vec<_>>(), count)
}

/// The mean of each label's members, scaled to length one.
fn means(embeddings: ArrayView2<f32>, labels: &[Option<usize>], count: usize) -> Array2<f32> {
    let mut means = Array2::zeros((count, embeddings.ncols()));
    for (label, row) in labels.iter().zip(embeddings.rows()) {
        if let Some(label) = label {
            let mut mean = means.row_mut(*label);
            mean += &row;
        }
    }
    normalise_rows(&mut means);
    means
}

/// The row of `means` that `embedding` is most like.
fn nearest(embedding: ArrayView1<f32>, means: &Array2<f32>) -> usize {
    let similarity = means.dot(&embedding);
    (0..similarity.len()).max_by(|&a, &b| similarity[a].total_cmp(&similarity[b]).then(b.cmp(&a))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    /// `sizes[i]` embeddings of speaker i, in turn: far apart by speaker, with noise inside.
    fn speakers(sizes: &[usize], noise: f32) -> (Array2<f32>, Vec<usize>) {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut left = sizes.to_vec();
        let mut truth = Vec::new();
        while left.iter().any(|&count| count > 0) {
            truth.extend((0..sizes.len()).filter(|&index| left[index] > 0));
            left.iter_mut().for_each(|count| *count = count.saturating_sub(1));
        }
        let mut rows = Array2::zeros((truth.len(), 64));
        for (mut row, speaker) in rows.rows_mut().into_iter().zip(&truth) {
            row.mapv_inplace(|_: f32| noise * (random.r#gen::<f32>() - 0.5));
            row[*speaker] += 1.0;
        }
        normalise_rows(&mut rows);
        (rows, truth)
    }

    fn same_grouping(labels: &[usize], truth: &[usize]) -> bool {
        let pairs = |values: &[usize]| -> Vec<bool> {
            (0..values.len()).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| values[a] == values[b]).collect()
        };
        pairs(labels) == pairs(truth)
    }

    #[test]
    fn finds_each_speaker() {
        for sizes in [vec![30], vec![20, 20], vec![40, 9, 12, 25], vec![12; 20]] {
            let (rows, truth) = speakers(&sizes, 0.25);
            let clustering = cluster(rows.view(), &ClusterOptions::default());
            assert_eq!(clustering.means.nrows(), sizes.len(), "{sizes:?}");
            assert!(same_grouping(&clustering.labels, &truth), "{sizes:?}");
        }
    }

    #[test]
    fn centroids_find_them_too_and_on_two_levels() {
        let options = ClusterOptions { linkage: Linkage::Centroid, threshold: 0.7, ..ClusterOptions::default() };
        for sizes in [vec![30], vec![40, 9, 12, 25], vec![200; 3]] {
            let (rows, truth) = speakers(&sizes, 0.2);
            let clustering = cluster(rows.view(), &options);
            assert_eq!(clustering.means.nrows(), sizes.len());
            // Labels follow the order of appearance, as the truth does.
            assert_eq!(clustering.labels, truth);
            let tree = Tree::of_groups(rows.view(), &options);
            assert!(tree.sizes.len() <= truth.len());
            assert_eq!(tree.cut(tree.merges_below(options.threshold)), truth);
        }
    }

    #[test]
    fn nothing_and_one_embedding() {
        let none = cluster(Array2::zeros((0, 8)).view(), &ClusterOptions::default());
        assert!(none.labels.is_empty());
        let (one, _) = speakers(&[1], 0.1);
        assert_eq!(cluster(one.view(), &ClusterOptions::default()).labels, [0]);
        let many = ClusterOptions { min_clusters: 5, max_clusters: 5, ..ClusterOptions::default() };
        assert_eq!(cluster(one.view(), &many).labels, [0], "one embedding cannot be five speakers");
    }

    #[test]
    fn strays_join_the_nearest_large_cluster() {
        let (mut rows, mut truth) = speakers(&[30, 30], 0.2);
        rows.row_mut(10).fill(0.0);
        rows[(10, 0)] = 0.3;
        rows[(10, 50)] = 1.0;
        truth[10] = 0;
        normalise_rows(&mut rows);
        let clustering = cluster(rows.view(), &ClusterOptions::default());
        assert_eq!(clustering.means.nrows(), 2);
        assert!(same_grouping(&clustering.labels, &truth));
    }

    #[test]
    fn counts_are_honoured_exactly() {
        let (rows, _) = speakers(&[20, 20, 20, 20], 0.3);
        for wanted in [1, 2, 3, 4, 5, 7, 20, 80] {
            let exact = ClusterOptions { min_clusters: wanted, max_clusters: wanted, ..ClusterOptions::default() };
            let clustering = cluster(rows.view(), &exact);
            assert_eq!(clustering.means.nrows(), wanted);
            let mut used = clustering.labels.clone();
            used.sort_unstable();
            used.dedup();
            assert_eq!(used.len(), wanted);
        }
        let at_most = ClusterOptions { max_clusters: 3, ..ClusterOptions::default() };
        assert_eq!(cluster(rows.view(), &at_most).means.nrows(), 3);
        let at_least = ClusterOptions { min_clusters: 6, ..ClusterOptions::default() };
        assert_eq!(cluster(rows.view(), &at_least).means.nrows(), 6);
        let loose = ClusterOptions { min_clusters: 2, max_clusters: 9, ..ClusterOptions::default() };
        assert_eq!(cluster(rows.view(), &loose).means.nrows(), 4);
    }

    #[test]
    fn what_is_like_nothing_else_is_no_crowd() {
        let rows = Array2::eye(50);
        assert_eq!(cluster(rows.view(), &ClusterOptions::default()).means.nrows(), 1);
    }

    #[test]
    fn equal_embeddings_can_still_be_counted_apart() {
        let rows = Array2::from_shape_fn((12, 4), |(_, column)| if column == 0 { 1.0 } else { 0.0 });
        assert_eq!(cluster(rows.view(), &ClusterOptions::default()).means.nrows(), 1);
        let three = ClusterOptions { min_clusters: 3, max_clusters: 3, ..ClusterOptions::default() };
        assert_eq!(cluster(rows.view(), &three).means.nrows(), 3);
    }

    #[test]
    fn a_small_speaker_is_counted_before_a_large_one_is_halved() {
        let (mut rows, truth) = speakers(&[60, 30, 2], 0.3);
        // The first voice sounds in two ways.
        let first = truth.iter().enumerate().filter(|(_, speaker)| **speaker == 0).map(|(index, _)| index);
        first.step_by(2).for_each(|index| rows[(index, 40)] += 0.6);
        normalise_rows(&mut rows);
        let three = ClusterOptions { min_clusters: 3, max_clusters: 3, ..ClusterOptions::default() };
        assert!(same_grouping(&cluster(rows.view(), &three).labels, &truth));
    }

    #[test]
    fn more_embeddings_than_the_tree_takes() {
        // Three who speak all the time, and one who does so for a moment near the end.
        let sizes = [TREE_LIMIT / 2, TREE_LIMIT / 2, TREE_LIMIT / 2];
        let (mut rows, mut truth) = speakers(&sizes, 0.2);
        for index in rows.nrows() - 30..rows.nrows() - 18 {
            rows.row_mut(index).fill(0.0);
            rows[(index, 50)] = 1.0;
            rows[(index, 51 + index % 4)] = 0.3;
            truth[index] = 3;
        }
        normalise_rows(&mut rows);
        let clustering = cluster(rows.view(), &ClusterOptions::default());
        assert_eq!(clustering.means.nrows(), 4);
        let first = |speaker: usize| clustering.labels[truth.iter().position(|&label| label == speaker).unwrap()];
        let map: Vec<usize> = (0..4).map(first).collect();
        assert!(clustering.labels.iter().zip(&truth).all(|(label, speaker)| *label == map[*speaker]));
        for wanted in [2, 6, 200] {
            let exact = ClusterOptions { min_clusters: wanted, max_clusters: wanted, ..ClusterOptions::default() };
            assert_eq!(cluster(rows.view(), &exact).means.nrows(), wanted);
        }
    }
}
