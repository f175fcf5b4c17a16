//! Who speaks when. The segmentation network says where somebody speaks, where two do, and where local speakers begin and
//! end; embeddings of short windows in that speech are clustered into speakers; then every frame is attributed to them
//! ([`attribute`](super::attribute)) and frames become turns ([`reconstruct`](super::reconstruct)).
//!
//! Windows of 1.5 s rather than pyannote's one embedding for each local speaker of 10 s: they cost half as much (each
//! second of speech is heard twice, not ten times), and they correct the segmentation where it takes two voices for one.

use candle_core::Device;
use ndarray::Array2;

use super::{
    attribute::{Windows, attribute},
    cluster::{ClusterOptions, Clustering, cluster, normalise_rows},
    embed::{self, FeatureExtractor, Window, embed},
    reconstruct::{Tracks, carve, reconstruct},
    segment::Segmentation,
    windows::{HOP, place_windows, speech_frames, stretches},
};
use crate::{
    audio::Audio,
    error::{Error, Result},
    models::speaker::{Architecture, SpeakerEmbedder},
    ops::profile,
    progress::{StageName, Watch},
    span::{Span, samples_of},
    transcript::{Speaker, Turn},
};

/// Speech begins where the segmentation is surer than this.
const ONSET: f32 = 0.45;
/// Where more speakers are wanted than speech is found for, it is looked for again from these onsets.
const LOWER_ONSETS: [f32; 4] = [0.35, 0.25, 0.15, 0.08];
/// Two speak where the segmentation is surer of it than this.
const OVERLAP: f32 = 0.6;
/// Moments at which the segmentation is surer than this that two speak do not count in an embedding.
const SURE_OVERLAP: f32 = 0.8;
/// All of a window counts when less than this part of it would be left.
const LEAST_ALONE: f32 = 0.5;
/// Recordings with fewer frames than this hold no voice to tell apart.
const FEWEST_FRAMES: usize = 10;

/// Who speaks when, and how each of them sounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diarization {
    /// In order of time; those of two speakers overlap where both speak at once.
    pub turns: Vec<Turn>,
    /// The same with one speaker at a time, for words: in order of time, none overlaps another.
    pub exclusive: Vec<Turn>,
    /// The mean embedding of each speaker, by number, of length one.
    pub voices: Vec<Vec<f32>>,
    /// What the caller asked for and could not be had.
    pub warnings: Vec<String>,
}

/// How many speakers there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiarizeOptions {
    /// Exactly so many.
    pub num_speakers: Option<usize>,
    /// At least so many.
    pub min_speakers: Option<usize>,
    /// At most so many.
    pub max_speakers: Option<usize>,
}

impl DiarizeOptions {
    /// The least and the most speakers.
    ///
    /// # Errors
    /// [`Error::Request`] for zero speakers, for a minimum above the maximum, or a number outside of both.
    pub fn bounds(&self) -> Result<(usize, usize)> {
        let named = [
            ("number", self.num_speakers),
            ("smallest number", self.min_speakers),
            ("largest number", self.max_speakers),
        ];
        if let Some((name, _)) = named.iter().find(|(_, count)| *count == Some(0)) {
            return Err(Error::Request(format!("the {name} of speakers must be at least 1, not 0")));
        }
        let (min, max) = (self.min_speakers.unwrap_or(1), self.max_speakers.unwrap_or(usize::from(u16::MAX)));
        if min > max {
            return Err(Error::Request(format!(
                "the smallest number of speakers ({min}) is above the largest ({max}); swap or drop one of them"
            )));
        }
        match self.num_speakers {
            None => Ok((min, max)),
            Some(exact) if (min..=max).contains(&exact) => Ok((exact, exact)),
            Some(exact) => Err(Error::Request(format!(
                "the number of speakers ({exact}) does not lie between the smallest ({min}) and the largest ({max}); give one or the other"
            ))),
        }
    }
}

/// The windows of a recording that want an embedding, and what becomes of these.
#[derive(Debug, Clone)]
pub struct Plan {
    segmentation: Segmentation,
    /// How likely anybody speaks, by frame of the recording; `None` outside of speech.
    speech: Vec<Option<f32>>,
    /// How likely two speak, by frame of the recording.
    overlap: Vec<f32>,
    windows: Vec<Span>,
    /// Frames of every window; too few to tell voices apart in a very short recording.
    frames: usize,
    duration: f64,
    clusters: ClusterOptions,
}

impl Plan {
    /// Places windows over the speech in `audio`, for an embedder and what makes its features.
    ///
    /// # Errors
    /// [`Error::Request`] for numbers of speakers that cannot be.
    pub fn new(
        audio: &Audio,
        segmentation: Segmentation,
        options: &DiarizeOptions,
        embedder: (Architecture, &FeatureExtractor),
    ) -> Result<Self> {
        let (architecture, extractor) = embedder;
        let (min_clusters, max_clusters) = options.bounds()?;
        let clusters = ClusterOptions { min_clusters, max_clusters, ..ClusterOptions::of(architecture) };
        let duration = audio.duration();
        let likely = segmentation.over_windows(&segmentation.speech);
        let overlap = segmentation.over_windows(&segmentation.overlap);
        let look = |onset: f32| {
            let speech = speech_frames(&likely, onset);
            let windows = place_windows(&stretches(&segmentation, &speech, duration), duration);
            (speech, windows)
        };
        let mut found = look(ONSET);
        for onset in LOWER_ONSETS {
            if min_clusters == 1 || found.1.len() >= min_clusters {
                break;
            }
            found = look(onset);
        }
        let (speech, windows) = found;
        let frames = windows.first().map_or(0, |window| extractor.frames(samples_of(window.duration())));
        Ok(Self { segmentation, speech, overlap, windows, frames, duration, clusters })
    }

    /// The same with other thresholds, as a search for the best ones tries them.
    pub fn clustered_by(self, clusters: ClusterOptions) -> Self {
        Self { clusters, ..self }
    }

    /// How many embeddings are wanted.
    pub fn windows(&self) -> usize {
        if self.frames < FEWEST_FRAMES { 0 } else { self.windows.len() }
    }

    /// Where a window begins, in seconds.
    pub fn start(&self, window: usize) -> f64 {
        self.windows[window].start
    }

    /// Seconds of speech.
    pub fn speech_seconds(&self) -> f64 {
        let frames = self.speech.iter().flatten().count();
        frames as f64 * self.segmentation.frame_span(0).duration()
    }

    /// A window with its features. Moments at which two speak do not count, unless there is little else.
    ///
    /// # Errors
    /// When the features cannot be computed.
    pub fn features(&self, window: usize, audio: &Audio, extractor: &FeatureExtractor) -> Result<Window> {
        // Rounding must not give one window a frame less than the others.
        let length = extractor.samples(self.frames);
        let start = samples_of(self.windows[window].start).min(audio.samples().len() - length);
        extractor.window(&audio.samples()[start..start + length], vec![self.mask(&self.windows[window])])
    }

    /// Which moments of a window count.
    fn mask(&self, window: &Span) -> Vec<f32> {
        let Some(frame) = (!self.overlap.is_empty()).then(|| self.segmentation.frame_span(0)) else { return vec![1.0] };
        let moments = (window.duration() / frame.duration()).max(1.0) as usize;
        let first = ((window.start - frame.start) / frame.duration()).max(0.0) as usize;
        let last = self.overlap.len() - 1;
        let alone = |moment: usize| self.overlap[(first + moment).min(last)] <= SURE_OVERLAP;
        let mask: Vec<f32> = (0..moments).map(|moment| f32::from(u8::from(alone(moment)))).collect();
        if mask.iter().sum::<f32>() < LEAST_ALONE * moments as f32 { vec![1.0; moments] } else { mask }
    }

    /// Who speaks when, given an embedding of each window, `None` where there is none. Speakers are numbered by first
    /// appearance. Exactly the wanted number of speakers is found where the speech has as many windows.
    ///
    /// # Errors
    /// When the embeddings are not as many, or not equally long.
    pub fn conclude(&self, embeddings: Vec<Option<Vec<f32>>>) -> Result<Diarization> {
        let _stage = profile::stage(profile::Stage::Clustering);
        let mut warnings = Vec::new();
        let (spans, rows) = self.sound(embeddings, &mut warnings)?;
        let mut clustering = cluster(rows.view(), &self.clusters);
        if spans.is_empty() && self.speech.iter().any(Option::is_some) {
            // Somebody speaks, and how he sounds is not known: all of it is one speaker's.
            clustering = Clustering { labels: Vec::new(), means: Array2::zeros((1, rows.ncols())) };
        }
        let likeness = rows.dot(&clustering.means.t());
        let windows = Windows { spans: &spans, likeness: &likeness };
        let frames = attribute(&self.segmentation, &windows, &self.speech, &self.overlap, OVERLAP);
        let mut tracks = reconstruct(&frames, |frame| self.segmentation.frame_span(frame), self.duration);
        if self.clusters.min_clusters > 1 {
            give_each_a_turn(&mut tracks, &windows, &clustering);
        }
        let found = Diarization { warnings, ..number_by_appearance(tracks, &clustering) };
        Ok(self.told_what_is_missing(found))
    }

    /// The windows whose embeddings can be used, and these as rows of length one.
    fn sound(&self, embeddings: Vec<Option<Vec<f32>>>, warnings: &mut Vec<String>) -> Result<(Vec<Span>, Array2<f32>)> {
        if embeddings.len() != self.windows() {
            return Err(Error::Bug(format!("{} embeddings came for {} windows", embeddings.len(), self.windows())));
        }
        let (mut spans, mut values, mut broken) = (Vec::new(), Vec::new(), 0);
        let mut size = None;
        for (span, embedding) in self.windows.iter().zip(embeddings) {
            let Some(embedding) = embedding else { continue };
            let length = embedding.iter().map(|value| value * value).sum::<f32>();
            if !(length.is_finite() && length > 0.0) {
                broken += 1;
                continue;
            }
            if *size.get_or_insert(embedding.len()) != embedding.len() {
                return Err(Error::Bug("embeddings of one recording are of different length".into()));
            }
            spans.push(*span);
            values.extend(embedding);
        }
        if broken > 0 {
            warnings.push(format!(
                "the speaker embedder gave no usable numbers for {broken} of {} stretches; their speakers follow from what lies around them",
                self.windows()
            ));
        }
        let mut rows = Array2::from_shape_vec((spans.len(), size.unwrap_or(1)), values)
            .map_err(|reason| Error::Bug(reason.to_string()))?;
        normalise_rows(&mut rows);
        Ok((spans, rows))
    }

    fn told_what_is_missing(&self, mut found: Diarization) -> Diarization {
        let count = found.voices.len();
        if count > 0 && count < self.clusters.min_clusters {
            found.warnings.push(format!(
                "{} speakers were asked for, but there is only enough speech to tell {count} apart",
                self.clusters.min_clusters
            ));
        }
        found
    }
}

/// Who speaks when in `audio`, given its segmentation, with an embedder of one's own: [`Plan`] with nothing beside it.
///
/// # Errors
/// [`Error::Request`] for numbers of speakers that cannot be, [`Error::Cancelled`], or a tensor operation that failed.
pub fn diarize(
    embedder: &SpeakerEmbedder,
    device: &Device,
    audio: &Audio,
    segmentation: Segmentation,
    options: &DiarizeOptions,
    watch: &Watch,
) -> Result<Diarization> {
    let extractor = FeatureExtractor::new(embedder.features(), device);
    let plan = Plan::new(audio, segmentation, options, (embedder.architecture(), &extractor))?;
    plan.conclude(embed_all(&plan, embedder, device, audio, watch)?)
}

/// The embeddings that `plan` wants, with an embedder of one's own.
///
/// # Errors
/// [`Error::Cancelled`], or a tensor operation that failed.
pub fn embed_all(
    plan: &Plan,
    embedder: &SpeakerEmbedder,
    device: &Device,
    audio: &Audio,
    watch: &Watch,
) -> Result<Vec<Option<Vec<f32>>>> {
    let extractor = FeatureExtractor::new(embedder.features(), device);
    let mut embeddings = Vec::with_capacity(plan.windows());
    let at_once = embed::batch(device);
    for first in (0..plan.windows()).step_by(at_once) {
        watch.step(StageName::Diarize, plan.start(first), audio.duration())?;
        let group = first..plan.windows().min(first + at_once);
        let windows = group.map(|window| plan.features(window, audio, &extractor)).collect::<Result<Vec<_>>>()?;
        let made = embed(embedder, device, &windows.iter().collect::<Vec<_>>())?;
        embeddings.extend(made.into_iter().map(|speakers| speakers.into_iter().flatten().next()));
    }
    watch.step(StageName::Diarize, audio.duration(), audio.duration())?;
    Ok(embeddings)
}

/// A cluster that is heard nowhere gets the middle of the window that is most like it: a caller who asks for a number of
/// speakers is given that number.
fn give_each_a_turn(tracks: &mut Tracks, windows: &Windows, clustering: &Clustering) {
    for number in 0..clustering.means.nrows() {
        let speaker = Speaker(u16::try_from(number).unwrap_or(u16::MAX));
        if tracks.exclusive.iter().any(|turn| turn.speaker == speaker) {
            continue;
        }
        let likeness = |index: &usize| windows.likeness[(*index, number)];
        let members = (0..windows.spans.len()).filter(|&index| clustering.labels[index] == number);
        let Some(best) = members.max_by(|a, b| likeness(a).total_cmp(&likeness(b))) else { continue };
        let window = windows.spans[best];
        let middle = Span::new(window.midpoint() - HOP / 2.0, window.midpoint() + HOP / 2.0).clamp(&window);
        let turn = Turn { span: middle, speaker, confidence: likeness(&best).clamp(0.0, 1.0) };
        carve(&mut tracks.exclusive, turn);
        if !tracks.turns.iter().any(|turn| turn.speaker == speaker) {
            carve(&mut tracks.turns, turn);
        }
    }
}

fn number_by_appearance(mut tracks: Tracks, clustering: &Clustering) -> Diarization {
    let mut seen: Vec<Speaker> = Vec::new();
    for turn in tracks.turns.iter_mut().chain(&mut tracks.exclusive) {
        let number = seen.iter().position(|speaker| *speaker == turn.speaker).unwrap_or_else(|| {
            seen.push(turn.speaker);
            seen.len() - 1
        });
        turn.speaker = Speaker(u16::try_from(number).unwrap_or(u16::MAX));
    }
    let voice = |speaker: &Speaker| clustering.means.row(usize::from(speaker.0)).to_vec();
    let voices = seen.iter().map(voice).collect();
    Diarization { turns: tracks.turns, exclusive: tracks.exclusive, voices, warnings: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::speaker::Features;

    fn options(num: Option<usize>, min: Option<usize>, max: Option<usize>) -> DiarizeOptions {
        DiarizeOptions { num_speakers: num, min_speakers: min, max_speakers: max }
    }

    #[test]
    fn numbers_of_speakers_that_cannot_be_are_refused() {
        assert!(matches!(options(None, Some(3), Some(2)).bounds(), Err(Error::Request(_))));
        assert!(matches!(options(Some(0), None, None).bounds(), Err(Error::Request(_))));
        assert!(matches!(options(None, None, Some(0)).bounds(), Err(Error::Request(_))));
        assert!(matches!(options(Some(5), None, Some(4)).bounds(), Err(Error::Request(_))));
        assert_eq!(options(Some(3), Some(2), Some(4)).bounds().unwrap(), (3, 3));
        assert_eq!(options(None, Some(2), None).bounds().unwrap(), (2, 65_535));
    }

    /// Ten seconds: local speaker 0 in the first half, 1 in the second, nobody at either end.
    fn plan(options: &DiarizeOptions, spoken: bool) -> Plan {
        let bits = |frame: usize| if !spoken || !(30..560).contains(&frame) { 0 } else { 1 << (frame / 295) as u8 };
        let activities: Vec<u8> = (0..589).map(bits).collect();
        let presence = activities.iter().map(|bits| [0, 1, 2].map(|speaker| f32::from(bits >> speaker & 1))).collect();
        let speech = activities.iter().map(|bits| f32::from(u8::from(*bits != 0))).collect();
        let segmentation = Segmentation {
            samples: 160_000,
            step: 16_000,
            frames: 589,
            activities,
            speech,
            presence,
            overlap: vec![0.0; 589],
        };
        let audio = Audio::new(vec![0.0; 160_000]);
        let extractor = FeatureExtractor::new(Features::KaldiPovey { bins: 80 }, &Device::Cpu);
        Plan::new(&audio, segmentation, options, (Architecture::CamPlusPlus, &extractor)).unwrap()
    }

    /// What two voices sound like, the second from 5 s on.
    fn embeddings(plan: &Plan) -> Vec<Option<Vec<f32>>> {
        let second = |window: usize| ((plan.windows[window].end - 5.0) / 1.5).clamp(0.0, 1.0) as f32;
        (0..plan.windows()).map(|window| Some(vec![1.0 - second(window), second(window), 0.1])).collect()
    }

    fn speakers(turns: &[Turn]) -> Vec<u16> {
        turns.iter().map(|turn| turn.speaker.0).collect()
    }

    #[test]
    fn two_voices_are_two_speakers_and_the_network_draws_the_border() {
        let plan = plan(&DiarizeOptions::default(), true);
        let found = plan.conclude(embeddings(&plan)).unwrap();
        assert_eq!((speakers(&found.turns), speakers(&found.exclusive)), (vec![0, 1], vec![0, 1]));
        assert!((found.exclusive[0].span.end - 5.0).abs() < 0.03, "{:?}", found.exclusive);
        assert!((found.exclusive[0].span.start - 0.43).abs() < 0.03, "{:?}", found.exclusive);
        assert_eq!((found.voices.len(), found.warnings.len()), (2, 0));
    }

    #[test]
    fn broken_embeddings_are_told_and_leave_nobody_without_a_label() {
        let plan = plan(&DiarizeOptions::default(), true);
        let mut broken = embeddings(&plan);
        broken[1] = Some(vec![f32::NAN, 0.0, 0.0]);
        broken[3] = Some(vec![0.0; 3]);
        broken[4] = None;
        let found = plan.conclude(broken).unwrap();
        assert_eq!(speakers(&found.exclusive), [0, 1]);
        assert!(found.warnings[0].contains(&format!("2 of {}", plan.windows())), "{:?}", found.warnings);
        assert!(found.voices.iter().flatten().all(|value| value.is_finite()));
        for hopeless in [None, Some(vec![f32::INFINITY; 3])] {
            let found = plan.conclude(vec![hopeless; plan.windows()]).unwrap();
            assert_eq!((speakers(&found.turns), found.voices.len()), (vec![0], 1));
            assert!(found.turns.iter().all(|turn| turn.confidence.is_finite()));
        }
        assert!(matches!(plan.conclude(Vec::new()), Err(Error::Bug(_))));
    }

    #[test]
    fn as_many_speakers_as_are_wanted_and_a_warning_where_there_is_too_little_speech() {
        for wanted in [1, 2, 3, 5] {
            let plan = plan(&options(Some(wanted), None, None), true);
            let found = plan.conclude(embeddings(&plan)).unwrap();
            assert_eq!((found.voices.len(), found.warnings.len()), (wanted, 0));
            assert!((0..wanted).all(|number| speakers(&found.exclusive).contains(&(number as u16))));
        }
        let plan = plan(&options(None, Some(40), None), true);
        let found = plan.conclude(embeddings(&plan)).unwrap();
        assert_eq!(found.voices.len(), plan.windows());
        assert!(found.warnings[0].starts_with("40 speakers were asked for"), "{:?}", found.warnings);
    }

    #[test]
    fn silence_has_no_speakers() {
        let plan = plan(&options(None, Some(2), None), false);
        assert_eq!((plan.windows(), plan.speech_seconds()), (0, 0.0));
        assert_eq!(plan.conclude(Vec::new()).unwrap(), Diarization::default());
    }
}
