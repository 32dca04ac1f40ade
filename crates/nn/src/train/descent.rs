//! Gradient descent without momentum: how far its parameters may move.

use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_net::Party;

use crate::formats::{BIAS_LIMIT, CHECK_EVERY, CHECKED_BIAS_LIMIT, DELTA_LIMIT, WEIGHT_LIMIT};
use crate::perceptron::Perceptron;
use crate::plan::Plan;
use crate::train::pass::loss_bits;

/// When gradient descent without momentum, whose steps are as large as gradients are, claims that the parameters are in range.
pub(super) struct Descent {
    layers: Vec<Moving>,
}

/// How a layer's parameters move.
struct Moving {
    /// How far weights and biases move in a step, at most.
    step: [f64; 2],
    /// Steps until the next claim: so many that neither weights nor biases get too large before.
    period: usize,
    /// Steps since the last one.
    steps: usize,
}

impl Descent {
    /// Sets the network's limits for the weights.
    pub(super) fn new(plan: &Plan, network: &mut Perceptron) -> Self {
        // The step size is rounded by less than a factor of 2; the halvings of the loss are undone.
        let rate = 2.0 * plan.learning_rate * f64::from(loss_bits(plan)).exp2();
        let layers = (0..network.depth()).map(|layer| {
            let largest = network.largest_weight(layer);
            let decay = plan.learning_rate * plan.weight_decay * largest.max(WEIGHT_LIMIT);
            let step = [network.input_limit(layer), 1.0].map(|input| rate * input * DELTA_LIMIT + decay);
            let room = ((largest - WEIGHT_LIMIT) / step[0]).min((BIAS_LIMIT - CHECKED_BIAS_LIMIT) / step[1]);
            let period = room.clamp(1.0, CHECK_EVERY as f64) as usize;
            if period > 1 {
                network.limit_weights(layer, WEIGHT_LIMIT + period as f64 * step[0]);
            }
            Moving { step, period, steps: 0 }
        });
        Self { layers: layers.collect() }
    }

    /// Whether nothing has moved since the last claim.
    pub(super) fn is_settled(&self) -> bool {
        self.layers.iter().all(|layer| layer.steps == 0)
    }

    /// The layers whose time has come after a step, or all that have moved; and the steps since their last claim.
    pub(super) fn due(&mut self, all: bool) -> Vec<(usize, usize)> {
        let mut due = Vec::new();
        for (layer, moving) in self.layers.iter_mut().enumerate() {
            moving.steps += usize::from(!all);
            if moving.steps > 0 && (all || moving.steps == moving.period) {
                due.push((layer, std::mem::take(&mut moving.steps)));
            }
        }
        due
    }

    /// Claims it of these layers.
    pub(super) fn claim(
        &self,
        due: &[(usize, usize)],
        network: &Perceptron,
        checks: &mut RangeChecks,
        party: Party,
    ) {
        for &(layer, steps) in due {
            let moved = self.layers[layer].step.map(|step| steps as f64 * step);
            network.claim_layer(layer, moved, checks, party);
        }
    }
}
