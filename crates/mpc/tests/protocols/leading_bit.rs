//! The place of the leading bit and the mantissa behind it.

use shamisen_mpc::protocol::leading_bit::{Window, leading_index};
use shamisen_testkit::{Rng, combine_bits, rng};

use crate::common::{LENGTHS, SEED, assert_cost, bit, on_ring};
use crate::cost;

const WINDOWS: [Window; 8] = [
    // All bits are seen: the index is exact.
    Window { low: 0, width: 20, mantissa: 3, guard: 0 },
    Window { low: 5, width: 16, mantissa: 4, guard: 1 },
    Window { low: 8, width: 2, mantissa: 5, guard: 3 },
    // Low bits are dropped.
    Window { low: 16, width: 30, mantissa: 5, guard: 3 },
    Window { low: 20, width: 24, mantissa: 1, guard: 0 },
    Window { low: 30, width: 32, mantissa: 2, guard: 2 },
    Window { low: 16, width: 17, mantissa: 0, guard: 1 },
    Window { low: 10, width: 3, mantissa: 0, guard: 0 },
];

/// Bits that no adder sees.
fn dropped(window: Window) -> u32 {
    window.low - (window.mantissa + window.guard).min(window.low)
}

/// The index of `value`, from its definition.
fn index(value: u64, window: Window) -> u64 {
    let place_bits = window.index_bits() - window.mantissa;
    if value >> window.low == 0 {
        return 0;
    }
    let leading = value.ilog2();
    let behind = if leading >= window.mantissa {
        value >> (leading - window.mantissa)
    } else {
        value << (window.mantissa - leading)
    };
    u64::from(leading - window.low) | (behind & ((1 << window.mantissa) - 1)) << place_bits
}

#[test]
fn leading_bit_and_mantissa() {
    let mut rng = rng(SEED);
    for window in WINDOWS {
        let cut = dropped(window);
        let bound = (1_u64 << (window.low + window.width)) - if cut > 0 { 1 << cut } else { 0 };
        for len in LENGTHS {
            let extremes =
                [0, 1, bound - 1, 1 << window.low, (1 << window.low) - 1, (1 << window.low) | 1, bound / 2];
            let values: Vec<u64> = extremes
                .into_iter()
                .chain((0..).map(|_| {
                    (rng.next_u64() % bound) >> (rng.next_u64() % u64::from(window.low + window.width))
                }))
                .take(len)
                .collect();
            let out = on_ring(&values, |share, session| leading_index(share, window, session));
            assert_cost("leading_index", len, &out, cost::leading_index(window, len));
            let planes = combine_bits(&out.results);
            for (at, &value) in values.iter().enumerate() {
                let width = window.index_bits() as usize;
                let got = (0..width).fold(0, |got, plane| got | bit(&planes, len, plane, at) << plane);
                let seen = value >> cut << cut;
                let counted_up = if cut > 0 { seen + (1 << cut) } else { seen };
                assert!(
                    got == index(seen, window) || got == index(counted_up, window),
                    "{value} in {window:?}: {got}, not {}",
                    index(value, window)
                );
            }
        }
    }
}

#[test]
fn tables_stand_for_their_intervals() {
    for window in WINDOWS {
        let table = window.table(f64::to_bits);
        assert_eq!(table.len(), 1 << window.index_bits());
        let end = 1_u64 << (window.low + window.width);
        let mut value = 1_u64 << window.low;
        while value < end {
            let middle = f64::from_bits(table[index(value, window) as usize]);
            let interval = 2.0_f64.powi(value.ilog2() as i32 - window.mantissa as i32);
            let off = (middle - value as f64).abs() / interval;
            assert!(off <= 1.0, "{value} in {window:?} is represented by {middle}");
            value += (value >> 7).max(1);
        }
    }
}
