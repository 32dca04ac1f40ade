//! The public initial weights.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::plan::Plan;

/// Separates this stream from every other one that the same public seed feeds.
const DOMAIN: &[u8; 16] = b"initial weights ";

/// Initial weights are multiples of `2^-INITIAL_BITS`, so that fixed point and floating point start alike.
pub const INITIAL_BITS: u32 = 20;

/// The initial parameters of a network, from the public seed of the plan.
///
/// Layer by layer: the weights, row-major with shape `layers[l] x layers[l + 1]`, then the `layers[l + 1]`
/// biases. Weights are uniform within `sqrt(6 / (layers[l] + layers[l + 1]))` on either side of 0 (Glorot and
/// Bengio, 2010, equation 16), rounded to multiples of `2^-20`; biases are 0.
pub fn initial_parameters(plan: &Plan) -> Vec<f64> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&plan.seed.to_le_bytes());
    key[16..].copy_from_slice(DOMAIN);
    let mut stream = ChaCha20Rng::from_seed(key);

    let scale = f64::from(1_u32 << INITIAL_BITS);
    let mut parameters = Vec::with_capacity(plan.parameters());
    for pair in plan.layers.windows(2) {
        let (fan_in, fan_out) = (pair[0], pair[1]);
        let bound = (6.0 / (fan_in + fan_out) as f64).sqrt();
        parameters.extend((0..fan_in * fan_out).map(|_| {
            let unit = (stream.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
            ((2.0 * unit - 1.0) * bound * scale).round() / scale
        }));
        parameters.extend(std::iter::repeat_n(0.0, fan_out));
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Optimizer, Task};

    fn plan(layers: &[usize], seed: u64) -> Plan {
        Plan {
            task: Task::Classification,
            layers: layers.to_vec(),
            optimizer: Optimizer::adam(1),
            learning_rate: 0.001,
            weight_decay: 0.0,
            batch_size: 16,
            epochs: 1,
            seed,
            feature_bits: 9,
            target_bits: 0,
        }
    }

    #[test]
    fn weights_fill_their_range_and_biases_are_zero() {
        let plan = plan(&[50, 30, 20], 3);
        let parameters = initial_parameters(&plan);
        assert_eq!(parameters.len(), plan.parameters());
        let (first, second) = parameters.split_at(51 * 30);
        for (layer, fan_in, fan_out) in [(first, 50, 30), (second, 30, 20)] {
            let (weights, biases) = layer.split_at(fan_in * fan_out);
            let bound = (6.0 / (fan_in + fan_out) as f64).sqrt();
            let largest = weights.iter().fold(0.0_f64, |max, w| max.max(w.abs()));
            assert!(largest <= bound + 1e-6 && largest > 0.98 * bound, "{largest} of {bound}");
            let mean = weights.iter().sum::<f64>() / weights.len() as f64;
            let square = weights.iter().map(|w| w * w).sum::<f64>() / weights.len() as f64;
            assert!(mean.abs() < 0.1 * bound, "mean {mean}");
            assert!((square * 3.0 / bound.powi(2) - 1.0).abs() < 0.2, "variance {square}");
            assert!(biases.iter().all(|&bias| bias == 0.0));
        }
    }

    #[test]
    fn weights_are_exact_in_fixed_point() {
        for weight in initial_parameters(&plan(&[7, 5, 3], 1)) {
            let scaled = weight * f64::from(1 << 20);
            assert!((scaled - scaled.round()).abs() == 0.0, "{weight}");
        }
    }

    #[test]
    fn the_seed_decides() {
        let layers = [7, 5, 3];
        assert_eq!(initial_parameters(&plan(&layers, 1)), initial_parameters(&plan(&layers, 1)));
        assert_ne!(initial_parameters(&plan(&layers, 1)), initial_parameters(&plan(&layers, 2)));
    }
}
