//! What `train` prints at the end.

use std::fmt::Write;

use shamisen_local::estimate::{Estimate, LAN, Network, WAN};
use shamisen_local::report::{Report, Scores};
use shamisen_local::transport::Joined;
use shamisen_nn::plan::{Plan, Task};

/// A small table of a report.
pub fn text(report: &Report) -> String {
    let mut lines = vec![
        ("task", format!("{}, {}", task(report.task), rows(report))),
        (
            "network",
            format!(
                "{}, {} parameters",
                layers(&report.model.layers),
                grouped(report.model.parameters as u64)
            ),
        ),
        ("training", training(report)),
    ];
    let twin = report.twin.as_ref().map(|twin| twin.scores);
    lines.extend(scores(&report.test, twin.as_ref()));
    lines.push(("mini-batch", per_batch(report)));
    lines.push(("parties", parties(report)));
    lines.into_iter().map(|(name, value)| line(name, &value)).collect()
}

/// What a training will cost.
pub(crate) fn estimate(plan: &Plan, rows: usize, joined: Joined, estimate: &Estimate) -> String {
    let per_batch = |total: u64| total as f64 / estimate.batches as f64;
    let most = estimate.bytes_sent.iter().copied().max().unwrap_or_default();
    let network = |name: &str, network: Network, total: f64| {
        let Network { latency_ms, bandwidth_mbit, .. } = network;
        (name.to_owned(), format!("{} ({latency_ms} ms one way, {bandwidth_mbit} Mbit/s)", seconds(total)))
    };
    let lines = [
        ("task".to_owned(), format!("{}, {} rows", task(plan.task), grouped(rows as u64))),
        (
            "network".to_owned(),
            format!("{}, {} parameters", layers(&plan.layers), grouped(plan.parameters() as u64)),
        ),
        ("mini-batches".to_owned(), grouped(estimate.batches as u64)),
        (
            "rounds".to_owned(),
            format!("{}, {:.1} a mini-batch", grouped(estimate.rounds), per_batch(estimate.rounds)),
        ),
        (
            "sent".to_owned(),
            format!(
                "{} by all parties together; by each at most {} a mini-batch",
                bytes(estimate.bytes_sent.iter().sum::<u64>() as f64),
                bytes(per_batch(most))
            ),
        ),
        (
            "memory".to_owned(),
            format!(
                "about {} for each party, beyond the program itself",
                bytes(estimate.memory_bytes as f64)
            ),
        ),
        ("time here".to_owned(), format!("{}, {}", seconds(estimate.seconds), joined.of_training())),
        network("time, LAN", LAN, estimate.seconds_lan),
        network("time, WAN", WAN, estimate.seconds_wan),
    ];
    lines.iter().map(|(name, value)| line(name, value)).collect()
}

/// A line of the table.
pub(crate) fn line(name: &str, value: &str) -> String {
    format!("{name:<14} {value}\n")
}

/// The widths of layers, such as `784-128-10`.
pub(crate) fn layers(widths: &[usize]) -> String {
    widths.iter().map(ToString::to_string).collect::<Vec<_>>().join("-")
}

/// The task in words.
pub(crate) fn task(task: Task) -> &'static str {
    match task {
        Task::Classification => "classification",
        Task::Regression => "regression",
    }
}

/// Scores by name, each with the twin's.
pub(crate) fn scores(own: &Scores, twin: Option<&Scores>) -> Vec<(&'static str, String)> {
    let twin = twin.map(formatted);
    let beside = |at: usize, own: String| match &twin {
        Some(twin) => format!("{own}   (float twin {})", twin[at].1.as_deref().unwrap_or(UNDEFINED)),
        None => own,
    };
    formatted(own)
        .into_iter()
        .enumerate()
        .filter_map(|(at, (name, own))| Some((name, beside(at, own?))))
        .collect()
}

const UNDEFINED: &str = "undefined";

/// All scores by name; those of the other task are missing.
fn formatted(scores: &Scores) -> [(&'static str, Option<String>); 4] {
    let r2 = || scores.r2.map_or_else(|| UNDEFINED.to_owned(), |value| format!("{value:.4}"));
    [
        ("accuracy", scores.accuracy.map(|value| format!("{:.2} %", 100.0 * value))),
        ("cross-entropy", scores.cross_entropy.map(|value| format!("{value:.4}"))),
        ("R2", scores.mse.map(|_| r2())),
        ("squared error", scores.mse.map(|value| format!("{value:.4}"))),
    ]
}

/// A number of bytes in a readable unit.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes {
        _ if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        _ if bytes >= 1e6 => format!("{:.2} MB", bytes / 1e6),
        _ if bytes >= 1e3 => format!("{:.1} kB", bytes / 1e3),
        _ => format!("{bytes:.0} bytes"),
    }
}

/// Seconds with as many digits as say something.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.2} s") } else { format!("{seconds:.1} s") }
}

/// A count with its noun.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    let plural = match (count, noun.strip_suffix('h')) {
        (1, _) => "",
        (_, Some(_)) if !noun.ends_with("epoch") => "es",
        _ => "s",
    };
    format!("{} {noun}{plural}", grouped(count as u64))
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn rows(report: &Report) -> String {
    let data = &report.data;
    let scored = if data.scored_on == "test rows" {
        counted(data.test_rows, "test row")
    } else {
        "scored on the training rows".to_owned()
    };
    format!("{}, {}, {scored}", counted(data.rows, "row"), counted(data.features, "feature"))
}

fn training(report: &Report) -> String {
    let training = &report.training;
    let mut text = training.optimizer.clone();
    if let Some(refresh) = training.refresh.filter(|refresh| *refresh > 1) {
        let _ = write!(text, " (preconditioner every {refresh} steps)");
    }
    if let Some(done) = training.resumed_from {
        let _ = write!(text, ", resumed after {}", counted(done as usize, "mini-batch"));
    }
    let _ = write!(
        text,
        ", {}, {} of {}, {}",
        counted(training.epochs, "epoch"),
        counted(training.batches, "mini-batch"),
        counted(training.batch_size, "row"),
        seconds(training.seconds),
    );
    if let Some(loss) = training.loss.last() {
        let _ = write!(text, ", last loss {loss:.4}");
    }
    text
}

fn per_batch(report: &Report) -> String {
    let most = report.cost.bytes_sent_per_batch.iter().copied().fold(0.0, f64::max);
    format!("{:.1} rounds, {} sent per party", report.cost.rounds_per_batch, bytes(most))
}

fn parties(report: &Report) -> String {
    let joined = report.joined.of_training();
    let threads = match report.threads {
        1 => String::new(),
        threads => format!(", {threads} lanes each"),
    };
    format!("{joined}{threads}, security: {}", report.security)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!(counted(1, "epoch"), "1 epoch");
        assert_eq!(counted(2, "epoch"), "2 epochs");
        assert_eq!(counted(1000, "mini-batch"), "1,000 mini-batches");
        assert_eq!(bytes(1_500_000.0), "1.50 MB");
        assert_eq!(bytes(12.0), "12 bytes");
    }

    #[test]
    fn scores_stand_beside_the_twins() {
        let own = Scores { accuracy: Some(0.95), cross_entropy: Some(0.1), ..Scores::default() };
        let twin = Scores { accuracy: Some(0.96), cross_entropy: Some(0.2), ..Scores::default() };
        let lines = scores(&own, Some(&twin));
        assert_eq!(lines[0], ("accuracy", "95.00 %   (float twin 96.00 %)".to_owned()));
        assert_eq!(scores(&own, None)[1], ("cross-entropy", "0.1000".to_owned()));
        let undefined = Scores { mse: Some(2.0), ..Scores::default() };
        assert_eq!(scores(&undefined, None)[0], ("R2", "undefined".to_owned()));
    }
}
