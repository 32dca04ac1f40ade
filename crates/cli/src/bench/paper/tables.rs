//! The paper's tables: what was trained, and the figures it gives.
//!
//! All figures are those of "Realization of Practical Secure Deep Learning" (NTT, Computer Security Symposium 2020), also
//! those of other systems, which it quotes.

use serde::Serialize;

/// One of the paper's tables.
pub(super) struct Table {
    /// Its number in the paper.
    pub(super) number: u8,
    pub(super) title: &'static str,
    /// What the first column names.
    pub(super) first: &'static str,
    /// What the times are of.
    pub(super) time: Time,
    /// How good a network is.
    pub(super) score: Score,
    /// Whether the float twin is trained as well.
    pub(super) twin: bool,
    /// Whether it is drawn, and how.
    pub(super) plot: Option<Drawing>,
    /// What one has to know to compare, a sentence or more.
    pub(super) note: &'static str,
    pub(super) lines: &'static [Line],
}

/// What a time is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Time {
    /// A pass over the rows.
    #[serde(rename = "an epoch")]
    Epoch,
    /// All epochs together.
    #[serde(rename = "a training")]
    Training,
}

/// How good a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Score {
    /// Share of the rows whose class was predicted.
    Accuracy,
    /// Coefficient of determination.
    R2,
}

/// How a table is drawn.
#[derive(Clone, Copy)]
pub(super) struct Drawing {
    /// What the horizontal axis shows.
    pub(super) axis: &'static str,
    /// Whether its values have an order, so that a line joins the points.
    pub(super) joined: bool,
}

/// A line of a table.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// What is trained to compare.
    pub(super) shape: Shape,
    /// What of it.
    pub(super) part: Part,
    pub(super) paper: Published,
}

/// What of a training stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The training on shares.
    Shares,
    /// The float twin's.
    Plain,
}

/// What the paper says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Published {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<f64>,
    /// The score of scikit-learn in the clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sklearn_score: Option<f64>,
}

/// What is trained on which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) data: Data,
    pub(super) output: Output,
    pub(super) batch_size: usize,
    /// Units of each hidden layer.
    pub(super) units: usize,
    /// Hidden layers.
    pub(super) hidden: usize,
}

/// The rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// 60,000 rows of 784 features and 10 classes.
    Mnist,
    /// 506 rows of 13 features and a number.
    Boston,
    /// 10 million rows of 100 features.
    Large,
}

/// What the last layer does, and with it the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Output {
    /// Soft-max and cross-entropy.
    #[serde(rename = "soft-max")]
    SoftMax,
    /// Nothing, and half the squared error.
    #[serde(rename = "identity")]
    Identity,
}

impl Data {
    /// Passes over the rows.
    pub(super) fn epochs(self) -> usize {
        match self {
            Self::Mnist | Self::Large => 1,
            Self::Boston => 40,
        }
    }
}

/// The paper's standard case but for the mini-batch and the hidden layers.
const fn mnist(batch_size: usize, units: usize, hidden: usize) -> Shape {
    Shape { data: Data::Mnist, output: Output::SoftMax, batch_size, units, hidden }
}

const fn boston(hidden: usize) -> Shape {
    Shape { data: Data::Boston, output: Output::Identity, batch_size: 16, units: 20, hidden }
}

const fn large(output: Output, batch_size: usize) -> Shape {
    Shape { data: Data::Large, output, batch_size, units: 128, hidden: 2 }
}

const STANDARD: Shape = mnist(128, 128, 2);

/// A line with a time.
const fn timed(name: &'static str, shape: Shape, seconds: f64) -> Line {
    let paper = Published { seconds: Some(seconds), score: None, sklearn_score: None };
    Line { name, shape, part: Part::Shares, paper }
}

/// A line with a score alone.
const fn scored(name: &'static str, shape: Shape, part: Part, score: f64) -> Line {
    Line { name, shape, part, paper: Published { seconds: None, score: Some(score), sklearn_score: None } }
}

/// A line with both.
const fn both(name: &'static str, shape: Shape, seconds: f64, score: f64) -> Line {
    let paper = Published { seconds: Some(seconds), score: Some(score), sklearn_score: None };
    Line { name, shape, part: Part::Shares, paper }
}

/// A line with both, and the score of scikit-learn.
const fn beside_sklearn(name: &'static str, shape: Shape, seconds: f64, score: f64, sklearn: f64) -> Line {
    let paper = Published { seconds: Some(seconds), score: Some(score), sklearn_score: Some(sklearn) };
    Line { name, shape, part: Part::Shares, paper }
}

/// The table whose rows do not fit into memory.
pub(super) const LARGE: u8 = 15;

/// All tables that have figures of trainings, in order.
pub(super) const TABLES: [Table; 9] = [
    Table {
        number: 7,
        title: "MNIST beside other systems",
        first: "system",
        time: Time::Training,
        score: Score::Accuracy,
        twin: true,
        plot: None,
        note: "Figures of other systems are as the paper quotes them. Ours in each line is one epoch of 784-128-128-10, mini-batches \
               of 128, exact Adam; SecureML, SecureNN and ABY3 trained for 15 epochs.",
        lines: &[
            both("SecureML, 15 epochs", STANDARD, 25_283.0, 0.934),
            both("SecureNN, 15 epochs", STANDARD, 3_708.0, 0.934),
            both("ABY3, 15 epochs", STANDARD, 2_700.0, 0.94),
            both("MHI19, 1 epoch", STANDARD, 412.0, 0.942),
            both("the paper, 1 epoch", STANDARD, 312.0, 0.9564),
            both("scikit-learn in the clear, 1 epoch", STANDARD, 17.7, 0.9554),
        ],
    },
    Table {
        number: 8,
        title: "Size of the mini-batch",
        first: "rows of a mini-batch",
        time: Time::Epoch,
        score: Score::Accuracy,
        twin: false,
        plot: Some(Drawing { axis: "rows of a mini-batch", joined: true }),
        note: "784-128-128-10 on 60,000 rows, exact Adam, soft-max.",
        lines: &[
            timed("64", mnist(64, 128, 2), 583.0),
            timed("128", STANDARD, 312.0),
            timed("256", mnist(256, 128, 2), 164.0),
            timed("512", mnist(512, 128, 2), 92.0),
        ],
    },
    Table {
        number: 9,
        title: "Neurons of each hidden layer",
        first: "neurons of a layer",
        time: Time::Epoch,
        score: Score::Accuracy,
        twin: false,
        plot: Some(Drawing { axis: "neurons of each of two hidden layers", joined: true }),
        note: "Two hidden layers on 60,000 rows, mini-batches of 128, exact Adam, soft-max.",
        lines: &[
            timed("32", mnist(128, 32, 2), 242.0),
            timed("64", mnist(128, 64, 2), 261.0),
            timed("128", STANDARD, 312.0),
            timed("256", mnist(128, 256, 2), 449.0),
        ],
    },
    Table {
        number: 10,
        title: "Hidden layers",
        first: "hidden layers",
        time: Time::Epoch,
        score: Score::Accuracy,
        twin: false,
        plot: Some(Drawing { axis: "hidden layers of 128 neurons", joined: true }),
        note: "128 neurons in each on 60,000 rows, mini-batches of 128, exact Adam, soft-max.",
        lines: &[
            timed("1", mnist(128, 128, 1), 278.0),
            timed("2", STANDARD, 312.0),
            timed("3", mnist(128, 128, 3), 336.0),
            timed("4", mnist(128, 128, 4), 367.0),
        ],
    },
    Table {
        number: 11,
        title: "Accuracy in the clear and on shares",
        first: "training",
        time: Time::Epoch,
        score: Score::Accuracy,
        twin: true,
        plot: None,
        note: "MNIST, two hidden layers of 20, mini-batches of 16, one epoch. In the clear ours is the float twin.",
        lines: &[
            scored("in the clear", mnist(16, 20, 2), Part::Plain, 0.9465),
            scored("on shares", mnist(16, 20, 2), Part::Shares, 0.9444),
        ],
    },
    Table {
        number: 12,
        title: "Boston housing",
        first: "hidden layers",
        time: Time::Training,
        score: Score::R2,
        twin: true,
        plot: Some(Drawing { axis: "hidden layers of 20 neurons", joined: true }),
        note: "506 rows, mini-batches of 16, 20 neurons in each layer, scored on the rows themselves. The paper does not give the \
               number of epochs; ours are 40, with features and target standardised. scikit-learn in the clear is the paper's.",
        lines: &[
            beside_sklearn("2", boston(2), 494.0, 0.8033, 0.8076),
            beside_sklearn("3", boston(3), 566.0, 0.8593, 0.8614),
            beside_sklearn("4", boston(4), 640.0, 0.9028, 0.8839),
        ],
    },
    Table {
        number: 13,
        title: "Fixed point on Boston housing",
        first: "training",
        time: Time::Training,
        score: Score::R2,
        twin: true,
        plot: None,
        note: "Two hidden layers of 20, as in table 12. In the clear ours is the float twin.",
        lines: &[
            scored("in the clear", boston(2), Part::Plain, 0.7972),
            scored("on shares", boston(2), Part::Shares, 0.8016),
        ],
    },
    Table {
        number: 14,
        title: "Output function",
        first: "output",
        time: Time::Epoch,
        score: Score::Accuracy,
        twin: false,
        plot: None,
        note: "784-128-128-10 on 60,000 rows, mini-batches of 128, exact Adam. Identity: a regression on the same ten columns of 0 and \
               1 with half the squared error, which has no accuracy.",
        lines: &[
            timed("soft-max", STANDARD, 312.0),
            timed("identity", Shape { output: Output::Identity, ..STANDARD }, 212.0),
        ],
    },
    Table {
        number: LARGE,
        title: "10 million rows of 100 columns",
        first: "output, rows of a mini-batch",
        time: Time::Epoch,
        score: Score::Accuracy,
        twin: false,
        plot: Some(Drawing { axis: "output function, rows of a mini-batch", joined: false }),
        note: "The rows are those of `shamisen generate --columns 100 --classes 10`, scored on further ones. The paper does not \
               give the network; ours is 100-128-128-10, the dearest that fits it, exact Adam. Identity: a regression on the \
               same ten columns of 0 and 1.",
        lines: &[
            timed("soft-max, 512", large(Output::SoftMax, 512), 11_666.0),
            timed("identity, 512", large(Output::Identity, 512), 8_391.0),
            timed("soft-max, 1024", large(Output::SoftMax, 1024), 7_135.0),
            timed("identity, 1024", large(Output::Identity, 1024), 5_783.0),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_complete_and_in_order() {
        assert!(TABLES.iter().map(|table| table.number).eq(7..=15));
        for table in &TABLES {
            assert!(!table.lines.is_empty() && table.note.ends_with('.'), "{}", table.number);
            for line in table.lines {
                let Published { seconds, score, .. } = line.paper;
                assert!(seconds.or(score).is_some_and(|figure| figure > 0.0), "{}", line.name);
                assert!(score.is_none_or(|score| score < 1.0), "{}: a score is a fraction", line.name);
                assert!(line.part == Part::Shares || table.twin, "{}: the twin's score is shown", line.name);
                assert!(table.plot.is_none() || seconds.is_some(), "{}: a time is drawn", line.name);
            }
        }
    }

    #[test]
    fn the_same_training_has_the_same_time_in_all_tables() {
        let lines = || TABLES.iter().filter(|table| table.number > 7).flat_map(|table| table.lines);
        for (one, other) in lines().flat_map(|one| lines().map(move |other| (one, other))) {
            let times = one.paper.seconds.zip(other.paper.seconds);
            if let Some((first, second)) = times.filter(|_| one.shape == other.shape) {
                assert_eq!(first.to_bits(), second.to_bits(), "{} and {}", one.name, other.name);
            }
        }
    }
}
