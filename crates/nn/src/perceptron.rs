//! The network under sharing: its parameters, the way forward and the way back.

use std::ops::Range;

use shamisen_mpc::protocol::gate::{Gate, rectify};
use shamisen_mpc::protocol::multiply::{RepMatrix, matrix_product};
use shamisen_mpc::protocol::range::RangeChecks;
use shamisen_mpc::protocol::split::open_split_roughly;
use shamisen_mpc::protocol::truncate::truncate;
use shamisen_mpc::{Additive, Rep, Session};
use shamisen_net::Party;
use shamisen_ring::fixed;

use crate::error::Result;
use crate::formats::{
    ACTIVATION_BITS, BIAS_BOUND, DELTA_BOUND, WEIGHT_BOUND, WEIGHT_FRAC, WEIGHT_LIMIT, activation_bound,
    activation_frac, delta_prior, input_limit, largest_weight, output_prior, roughness,
};
use crate::init::initial_parameters;
use crate::plan::Plan;

/// A multi-layer perceptron whose parameters are shared.
///
/// All parameters are one vector, layer by layer: the weights, row-major `inputs x units`, then the biases.
pub struct Perceptron {
    layers: Vec<usize>,
    /// What the inputs of each layer are at most.
    input_limits: Vec<f64>,
    /// What the weights of each layer are at most.
    weight_limits: Vec<f64>,
    activation_frac: u32,
    pub(crate) parameters: Rep,
}

/// What the way forward leaves for the way back.
pub(crate) struct Trace {
    rows: usize,
    /// Input of each layer.
    inputs: Vec<Rep>,
    /// The rectifier after each hidden layer: its derivative, 0 or 1.
    gates: Vec<Gate>,
    /// Output of the last layer, without soft-max.
    pub(crate) outputs: Rep,
}

impl Perceptron {
    /// A network with the initial parameters of the plan, which are public.
    ///
    /// # Panics
    ///
    /// When lengths or widths do not fit, which is a mistake of the caller.
    pub fn initial(plan: &Plan, session: &Session) -> Self {
        let values: Vec<u64> = initial_parameters(plan)
            .into_iter()
            .map(|value| fixed::encode(value, WEIGHT_FRAC).expect("initial parameters lie within 3"))
            .collect();
        Self::from_parameters(plan, Rep::from_public(&values, session.party()))
    }

    /// A network with given parameters.
    ///
    /// # Panics
    ///
    /// When their number is not the plan's.
    pub fn from_parameters(plan: &Plan, parameters: Rep) -> Self {
        assert_eq!(parameters.len(), plan.parameters(), "the plan says how many parameters there are");
        Self {
            layers: plan.layers.clone(),
            input_limits: (1..plan.layers.len()).map(|layer| input_limit(plan, layer - 1)).collect(),
            weight_limits: vec![WEIGHT_LIMIT; plan.layers.len() - 1],
            activation_frac: activation_frac(plan),
            parameters,
        }
    }

    /// The shared parameters.
    pub fn parameters(&self) -> &Rep {
        &self.parameters
    }

    /// Fractional bits of activations and outputs.
    pub(crate) fn activation_frac(&self) -> u32 {
        self.activation_frac
    }

    pub(crate) fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1]
    }

    /// The way forward for `rows` rows of features. Every layer's output is claimed to be in range.
    pub(crate) fn forward(
        &self,
        features: Rep,
        rows: usize,
        checks: &mut RangeChecks,
        session: &mut Session,
    ) -> Result<Trace> {
        let frac = self.activation_frac;
        let depth = self.layers.len() - 1;
        let (mut inputs, mut gates) = (Vec::with_capacity(depth), Vec::with_capacity(depth - 1));
        let mut input = features;
        for layer in 0..depth {
            let (fan_in, units) = (self.layers[layer], self.layers[layer + 1]);
            session.enter("matrix products");
            let mut sums = matrix_product(
                RepMatrix::new(&input, rows, fan_in),
                RepMatrix::of_range(&self.parameters, self.weights(layer), fan_in, units),
                session,
            );
            sums.add_row(&self.parameters.slice(self.biases(layer)), 1 << frac);
            let name = format!("the output of layer {}", layer + 1);
            let (bound, prior) = (
                activation_bound(frac),
                output_prior(frac, fan_in, self.input_limits[layer], self.weight_limits[layer]),
            );
            inputs.push(input);
            if layer + 1 == depth {
                session.enter("truncation");
                let outputs = truncate(sums, WEIGHT_FRAC, session)?;
                checks.claim(name, &outputs, bound, prior, session.party());
                return Ok(Trace { rows, inputs, gates, outputs });
            }
            session.enter("relu");
            let mut sums = open_split_roughly(sums, roughness(WEIGHT_FRAC), session);
            let (activation, gate) = rectify(&mut sums, WEIGHT_FRAC, frac + ACTIVATION_BITS + 1, session)?;
            checks.claim_split(name, &sums, bound + WEIGHT_FRAC, prior + WEIGHT_FRAC, session.party());
            gates.push(gate);
            input = activation;
        }
        unreachable!("a network has at least one layer")
    }

    /// The way back: the gradient of all parameters, summed over the rows, with `frac + DELTA_FRAC` fractional bits,
    /// from the derivative of the loss with respect to the outputs ([`DELTA_FRAC`](crate::formats::DELTA_FRAC) fractional bits).
    pub(crate) fn backward(
        &self,
        mut trace: Trace,
        delta: Rep,
        checks: &mut RangeChecks,
        session: &mut Session,
    ) -> Result<Additive> {
        let rows = trace.rows;
        let mut gradient = Additive::unwritten(self.parameters.len());
        let mut delta = delta;
        for layer in (0..self.layers.len() - 1).rev() {
            let (fan_in, units) = (self.layers[layer], self.layers[layer + 1]);
            session.enter("matrix products");
            gradient.set_matrix_product(
                self.weights(layer).start,
                RepMatrix::new(&trace.inputs[layer], rows, fan_in).transposed(),
                RepMatrix::new(&delta, rows, units),
                session,
            );
            let mut biases = Additive::sum_columns(&delta, units);
            biases.scale(1 << self.activation_frac);
            gradient.set_at(self.biases(layer).start, &biases);
            if layer == 0 {
                break;
            }
            let back = matrix_product(
                RepMatrix::new(&delta, rows, units),
                RepMatrix::of_range(&self.parameters, self.weights(layer), fan_in, units).transposed(),
                session,
            );
            session.enter("relu");
            let mut back = open_split_roughly(back, roughness(WEIGHT_FRAC), session);
            let Some(gate) = trace.gates.get_mut(layer - 1) else {
                unreachable!("one after each hidden layer")
            };
            delta = gate.pass(&mut back, WEIGHT_FRAC, session)?;
            checks.claim(
                format!("the back-propagated error of layer {layer}"),
                &delta,
                DELTA_BOUND,
                delta_prior(units, self.weight_limits[layer]),
                session.party(),
            );
        }
        Ok(gradient)
    }

    /// Claims that the parameters of a layer are in range, given that they were before they moved by at most so much: weights and
    /// biases, as real numbers.
    pub(crate) fn claim_layer(&self, layer: usize, moved: [f64; 2], checks: &mut RangeChecks, party: Party) {
        let parts = [("weight", self.weights(layer), WEIGHT_BOUND), ("bias", self.biases(layer), BIAS_BOUND)];
        for ((name, range, bound), moved) in parts.into_iter().zip(moved) {
            let name = format!("a {name} of layer {}", layer + 1);
            // What was in range is below 1.5 times two to the bound.
            let most = 1.5 * f64::from(bound).exp2() + moved * f64::from(WEIGHT_FRAC).exp2() + 1.0;
            checks.claim_part(name, &self.parameters, range, bound, most.log2().ceil() as u32, party);
        }
    }

    /// Number of layers with weights.
    pub(crate) fn depth(&self) -> usize {
        self.layers.len() - 1
    }

    /// What the inputs of a layer are at most.
    pub(crate) fn input_limit(&self, layer: usize) -> f64 {
        self.input_limits[layer]
    }

    /// How large the weights of a layer may be at most, so that no sum leaves its range.
    pub(crate) fn largest_weight(&self, layer: usize) -> f64 {
        let (fan_in, units) = (self.layers[layer], self.layers[layer + 1]);
        largest_weight(self.activation_frac, fan_in, units, self.input_limits[layer], layer > 0)
    }

    /// From now on, weights of a layer are at most so large.
    pub(crate) fn limit_weights(&mut self, layer: usize, limit: f64) {
        self.weight_limits[layer] = limit;
    }

    /// Places of weights and biases, layer by layer, and what their inputs are at most.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (Range<usize>, f64)> {
        let each = |layer| [(self.weights(layer), self.input_limits[layer]), (self.biases(layer), 1.0)];
        (0..self.layers.len() - 1).flat_map(each)
    }

    /// Places of the weights, for the weight decay.
    pub(crate) fn all_weights(&self) -> impl Iterator<Item = Range<usize>> {
        (0..self.layers.len() - 1).map(|layer| self.weights(layer))
    }

    fn weights(&self, layer: usize) -> Range<usize> {
        let start: usize = self.layers[..=layer].windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum();
        start..start + self.layers[layer] * self.layers[layer + 1]
    }

    fn biases(&self, layer: usize) -> Range<usize> {
        let start = self.weights(layer).end;
        start..start + self.layers[layer + 1]
    }
}
