//! The public plan of a training run: everything the three parties must agree on before they touch a share.

use serde::{Deserialize, Serialize};

use crate::formats::FEATURE_BITS;

/// What the network is trained to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "the two tasks the network's last layer knows")]
pub enum Task {
    /// Soft-max on the last layer with cross-entropy loss; targets are one-hot rows.
    Classification,
    /// Identity on the last layer with half the squared error as loss; targets are real columns.
    Regression,
}

/// How the weights follow the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Optimizer {
    /// Adam (Kingma and Ba, 2015, algorithm 1), bias correction included.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// The second moment `v` takes in a gradient, with `beta2^refresh`, and the preconditioner `1 / sqrt(v)` is computed
        /// anew in every `refresh`-th step, and in each of the first 10; 1 is Adam as published.
        refresh: u32,
    },
    /// Stochastic gradient descent with momentum: `u = momentum u + g`, `w = w - learning_rate u`.
    Sgd {
        /// Decay of the velocity, 0 for plain gradient descent.
        momentum: f64,
    },
}

impl Optimizer {
    /// Adam with the published defaults, `beta1 = 0.9` and `beta2 = 0.999`.
    pub const fn adam(refresh: u32) -> Self {
        Self::Adam { beta1: 0.9, beta2: 0.999, refresh }
    }
}

/// The public description of a training run; the float twin and the three parties follow the same plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Classification or regression.
    pub task: Task,
    /// Widths of all layers, the input's first and the output's last: `[784, 128, 128, 10]`.
    pub layers: Vec<usize>,
    /// The optimiser with its parameters.
    pub optimizer: Optimizer,
    /// Step size.
    pub learning_rate: f64,
    /// L2 penalty: `weight_decay * w` is added to the gradient of every weight (not of the biases).
    pub weight_decay: f64,
    /// Rows of a mini-batch; the last one of an epoch may be shorter.
    pub batch_size: usize,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Public seed of the initial weights and of the order of the mini-batches.
    pub seed: u64,
    /// No feature, of whatever rows, is above `2^k` in magnitude; follows from how features are scaled, not from the data.
    #[serde(default = "any_feature")]
    pub feature_bits: u32,
    /// Regression only: the least `k >= 0` with `|target| <= 2^k` over all rows. The servers learn this number.
    pub target_bits: u32,
}

/// What all features must be below.
fn any_feature() -> u32 {
    FEATURE_BITS
}

impl Plan {
    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        self.layers.windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum()
    }

    /// Number of features of an example.
    pub fn features(&self) -> usize {
        self.layers[0]
    }

    /// Number of outputs: classes, or target columns.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1]
    }
}
