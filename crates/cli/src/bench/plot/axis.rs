//! A logarithmic axis: its ends, its ticks, and where a value is on it.

/// Most ticks at 1, 2 and 5 times a power of ten; of more, the lower end and the powers of ten are shown.
const MOST_TICKS: usize = 7;

/// Room for what is written at the smallest and the largest value, as factors.
const ROOM: (f64, f64) = (2.0, 1.7);

/// A vertical logarithmic axis.
#[derive(Debug)]
pub(super) struct Axis {
    /// Exponents of ten at its ends.
    low: f64,
    high: f64,
    /// The upper end's place and the lower one's.
    span: (f64, f64),
    ticks: Vec<Tick>,
}

/// A value that is marked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) text: String,
}

impl Axis {
    /// The axis for some values, with some room around them; none if one of them is not above 0, or there are none.
    pub(super) fn around(values: impl Iterator<Item = f64>, span: (f64, f64)) -> Option<Self> {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values {
            if !(value > 0.0 && value.is_finite()) {
                return None;
            }
            (least, most) = (least.min(value), most.max(value));
        }
        if most <= 0.0 {
            return None;
        }
        let first = step_at_most(least / ROOM.0);
        let last = step_at_least(most * ROOM.1);
        let steps = || first..=last;
        let fine = steps().count() <= MOST_TICKS;
        let ticks =
            steps().filter(|step| fine || *step == first || step.rem_euclid(3) == 0).map(tick).collect();
        Some(Self { low: step_value(first).log10(), high: step_value(last).log10(), span, ticks })
    }

    /// Where a value is.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (top, bottom) = self.span;
        bottom - (value.log10() - self.low) / (self.high - self.low) * (bottom - top)
    }

    /// The values that are marked, the smallest first.
    pub(super) fn ticks(&self) -> &[Tick] {
        &self.ticks
    }
}

/// Step `3 k`, `3 k + 1`, `3 k + 2` are 1, 2 and 5 times ten to the power of `k`.
fn step_value(step: i32) -> f64 {
    [1.0, 2.0, 5.0][step.rem_euclid(3) as usize] * 10.0_f64.powi(step.div_euclid(3))
}

/// The largest step that is at most `value`.
fn step_at_most(value: f64) -> i32 {
    let start = 3 * (value.log10().floor() as i32 - 1);
    // A value that is a step counts as one, whatever the rounding of its logarithm.
    (start..start + 9).take_while(|step| step_value(*step) <= value * (1.0 + 1e-9)).last().unwrap_or(start)
}

/// The smallest step that is at least `value`.
fn step_at_least(value: f64) -> i32 {
    let below = step_at_most(value);
    if step_value(below) * (1.0 + 1e-9) >= value { below } else { below + 1 }
}

fn tick(step: i32) -> Tick {
    let value = step_value(step);
    let decimals = (-step.div_euclid(3)).max(0) as usize;
    let text = if value >= 1.0 {
        crate::summary::grouped(value.round() as u64)
    } else {
        format!("{value:.decimals$}")
    };
    Tick { value, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[f64]) -> Vec<String> {
        let axis = Axis::around(values.iter().copied(), (0.0, 100.0)).unwrap();
        axis.ticks().iter().map(|tick| tick.text.clone()).collect()
    }

    #[test]
    fn few_steps_are_all_marked_and_of_many_the_end_and_the_powers_of_ten() {
        assert_eq!(texts(&[400.0, 11_666.0]), ["200", "500", "1,000", "2,000", "5,000", "10,000", "20,000"]);
        assert_eq!(texts(&[5.0, 583.0]), ["2", "10", "100", "1,000"]);
        assert_eq!(texts(&[0.04, 0.1]), ["0.02", "0.05", "0.1", "0.2"]);
        assert_eq!(texts(&[0.004, 40.0]), ["0.002", "0.01", "0.1", "1", "10", "100"]);
    }

    #[test]
    fn equal_ratios_are_equally_far() {
        let axis = Axis::around([1.0, 90.0].into_iter(), (20.0, 220.0)).unwrap();
        let places = [1.0, 10.0, 100.0].map(|value| axis.place(value));
        assert!((places[0] - 2.0 * places[1] + places[2]).abs() < 1e-9);
        assert!(places[0] > places[1] && places[0] < 220.0 && places[2] > 20.0, "{places:?}");
    }

    #[test]
    fn ends_are_steps_with_room_around_the_values() {
        for value in [0.003, 0.07, 1.0, 2.0, 4.9, 5.0, 17.0, 99.0, 12_345.0] {
            let axis = Axis::around([value].into_iter(), (0.0, 1.0)).unwrap();
            assert!(axis.low <= (value / ROOM.0).log10() + 1e-6, "{value}: {axis:?}");
            assert!(axis.high >= (value * ROOM.1).log10() - 1e-6, "{value}: {axis:?}");
            assert!(axis.high - axis.low < 1.6, "{value}: {axis:?}");
        }
    }

    #[test]
    fn what_has_no_logarithm_has_no_axis() {
        for values in [&[][..], &[0.0], &[1.0, -1.0], &[f64::NAN], &[f64::INFINITY]] {
            assert!(Axis::around(values.iter().copied(), (0.0, 1.0)).is_none(), "{values:?}");
        }
    }
}
