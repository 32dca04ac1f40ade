//! What a training of the paper's tables gave, and how long its epochs take.

use shamisen_local::report::Scores;
use shamisen_nn::formats::CHECK_EVERY;
use shamisen_nn::metrics::Metrics;
use shamisen_nn::plan::Plan;
use shamisen_party::event::Outcome;

use crate::bench::standard::steady;
use crate::failure::Result;

/// How long a training takes, how good the network is, and what was measured to know it.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Widths of all layers.
    pub(super) layers: Vec<usize>,
    /// Wall time of all epochs, of the slowest party.
    pub(super) seconds: f64,
    /// Whether fewer mini-batches were trained than these epochs have.
    pub(super) extrapolated: bool,
    /// Rows that were trained on, and mini-batches whose time counts.
    pub(super) rows: usize,
    pub(super) batches: usize,
    pub(super) score: Option<f64>,
    pub(super) twin_score: Option<f64>,
    pub(super) peak_rss_bytes: [u64; 3],
}

impl Measured {
    /// What a training by `plan` on so many rows gave, if a whole one has so many mini-batches; without the scores.
    ///
    /// Fails if a shorter one was too short for its first mini-batches to be left out.
    pub(super) fn new(plan: &Plan, rows: usize, whole: usize, outcomes: &[Outcome; 3]) -> Result<Self> {
        let trained = plan.epochs * rows.div_ceil(plan.batch_size);
        let slowest = |seconds: [f64; 3]| seconds.into_iter().fold(0.0, f64::max);
        let (batches, seconds) = if trained < whole && trained <= 2 * LONG {
            let steady = steady(outcomes)?;
            let batches = steady[0].batches;
            (batches, slowest(steady.map(|steady| steady.seconds)) * whole as f64 / batches as f64)
        } else {
            let seconds = slowest(outcomes.each_ref().map(|outcome| outcome.seconds));
            (trained, seconds * whole as f64 / trained as f64)
        };
        Ok(Self {
            layers: plan.layers.clone(),
            seconds,
            extrapolated: trained < whole,
            rows,
            batches,
            score: None,
            twin_score: None,
            peak_rss_bytes: outcomes.each_ref().map(|outcome| outcome.cost.peak_rss_bytes),
        })
    }
}

/// Mini-batches after which it makes no difference that the first ones are checked more often.
const LONG: usize = 64 * CHECK_EVERY;

/// The one number by which the paper compares networks.
pub(super) fn score(metrics: Metrics) -> Option<f64> {
    let Scores { accuracy, r2, .. } = metrics.into();
    accuracy.or(r2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shamisen_party::event::Steady;

    fn plan(epochs: usize) -> Plan {
        serde_json::from_value(serde_json::json!({
            "task": "classification", "layers": [2, 2], "optimizer": {"name": "sgd", "momentum": 0.0},
            "learning_rate": 0.1, "weight_decay": 0.0, "batch_size": 10, "epochs": epochs, "seed": 1, "target_bits": 0
        }))
        .unwrap()
    }

    fn outcomes(seconds: f64, steady: Option<(usize, f64)>) -> [Outcome; 3] {
        let steady = steady.map(|(batches, seconds)| Steady { batches, seconds, ..Steady::default() });
        let outcome = |seconds| Outcome { seconds, steady: steady.clone(), ..Outcome::default() };
        [outcome(seconds), outcome(seconds / 2.0), outcome(seconds)]
    }

    #[test]
    fn a_whole_training_is_taken_as_it_is() {
        let measured = Measured::new(&plan(2), 95, 20, &outcomes(3.0, Some((4, 1.0)))).unwrap();
        assert!((measured.seconds - 3.0).abs() < 1e-12 && !measured.extrapolated);
        assert_eq!((measured.rows, measured.batches), (95, 20));
    }

    #[test]
    fn a_short_one_is_extrapolated_without_its_first_mini_batches() {
        let measured = Measured::new(&plan(1), 200, 100, &outcomes(30.0, Some((4, 1.0)))).unwrap();
        assert!((measured.seconds - 25.0).abs() < 1e-12 && measured.extrapolated);
        assert_eq!(measured.batches, 4);
        assert!(Measured::new(&plan(1), 200, 100, &outcomes(30.0, None)).is_err());
    }

    #[test]
    fn a_long_one_is_extrapolated_with_them() {
        let measured = Measured::new(&plan(1), 40_000, 8000, &outcomes(30.0, Some((3984, 1.0)))).unwrap();
        assert!((measured.seconds - 60.0).abs() < 1e-12 && measured.extrapolated);
        assert_eq!(measured.batches, 4000);
    }
}
