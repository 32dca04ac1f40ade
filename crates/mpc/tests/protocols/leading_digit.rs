//! The leading digit and its class.

use shamisen_mpc::protocol::leading_digit::{DigitWindow, leading_digit, look_up_leading_digit};
use shamisen_mpc::protocol::split::{Split, open_split};
use shamisen_testkit::{Rng, combine, combine_bits, rng, run};

use crate::common::{LENGTHS, SEED, assert_cost, bit, on_ring};
use crate::cost;

const WINDOWS: [DigitWindow; 6] = [
    DigitWindow { low: 0, digits: 7 },
    DigitWindow { low: 18, digits: 7 },
    DigitWindow { low: 32, digits: 8 },
    DigitWindow { low: 5, digits: 2 },
    DigitWindow { low: 1, digits: 3 },
    DigitWindow { low: 36, digits: 6 },
];

/// The ends of the interval that an index stands for.
fn interval(index: u64, window: DigitWindow) -> (f64, f64) {
    const FIRST: [f64; 9] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0];
    let place_bits = window.index_bits() - 3;
    let place = window.low + 4 * (index & ((1 << place_bits) - 1)) as u32;
    let class = (index >> place_bits) as usize;
    // Below the lowest digit there is none that would tell 1.5 from 1.
    let next = if (place, class) == (window.low, 0) { 2.0 } else { FIRST[class + 1] };
    (FIRST[class] * 2.0_f64.powi(place as i32), next * 2.0_f64.powi(place as i32))
}

/// Whether an index may stand for a number.
fn fits(value: u64, index: u64, window: DigitWindow) -> bool {
    let (first, next) = interval(index, window);
    let class = index >> (window.index_bits() - 3);
    let value = value as f64;
    match class {
        // A carry into the digit below is not seen.
        0 => value >= first && value < next * (1.0 + 1.0 / 16.0),
        1 => {
            value >= first && value < next || value >= first / 1.5 && value < first / 1.5 * (1.0 + 1.0 / 16.0)
        }
        _ => value >= first && value < next,
    }
}

#[test]
fn every_number_falls_into_its_interval() {
    let mut rng = rng(SEED);
    for window in WINDOWS {
        let unit = 1_u64 << window.low;
        let end = (u64::MAX >> (64 - window.bits())) - if window.low > 0 { unit } else { 0 };
        for len in LENGTHS {
            let extremes = [0, 1, end, unit, unit - 1, 16 * unit - 1, 16 * unit, 17 * unit - 1, end / 2];
            let values: Vec<u64> = extremes
                .into_iter()
                .chain((0..).map(|_| (rng.next_u64() % end) >> (rng.next_u64() % u64::from(window.bits()))))
                .take(len)
                .collect();
            let out = on_ring(&values, |share, session| {
                leading_digit(&mut Split::of(share, session.party()), window, session)
            });
            assert_cost("leading_digit", len, &out, cost::leading_digit(window, len));
            let planes = combine_bits(&out.results);
            let width = window.index_bits() as usize;
            let index_of =
                |at: usize| (0..width).fold(0, |got, plane| got | bit(&planes, len, plane, at) << plane);
            // The entries themselves, of a number to which something was added that is still open.
            let numbers: Vec<u64> = (0..1 << width).collect();
            let out = on_ring(&values, |share, session| {
                let party = session.party();
                let mut value = Split::of(&share.clone().negated(), party);
                let mut twice = share.to_additive();
                twice.scale(2);
                value.add_open(&open_split(twice, 0, 64, session), party);
                let entries = look_up_leading_digit(&mut value, window, &[&numbers], session);
                entries.map(|mut entries| (entries.swap_remove(0), value))
            });
            let cost = cost::look_up_leading_digit(window, len) + cost::closing_split(len, 64);
            assert_cost("look_up_leading_digit", len, &out, cost);
            let entries = combine(&out.results.each_ref().map(|(entries, _)| entries.clone()));
            let back = run(SEED, |session| {
                out.results[session.party().index()].1.clone().replicated(session).unwrap()
            });
            assert_eq!(combine(&back.results), values);
            let indices = (0..len).map(index_of).zip(entries).flat_map(|(index, entry)| [index, entry]);
            for (at, index) in indices.enumerate() {
                let value = values[at / 2];
                let more = if window.low > 0 { unit } else { 0 };
                let right = value < unit && index == 0
                    || fits(value, index, window)
                    || fits(value + more, index, window);
                assert!(right, "{value} in {window:?}: {:?}", interval(index, window));
            }
        }
    }
}

#[test]
fn tables_stand_for_their_intervals() {
    for window in WINDOWS {
        let table = window.table(f64::to_bits);
        assert_eq!(table.len(), 1 << window.index_bits());
        for (index, entry) in table.into_iter().enumerate() {
            let place = index & ((1 << (window.index_bits() - 3)) - 1);
            if place < window.digits as usize {
                let (first, next) = interval(index as u64, window);
                let middle = f64::from_bits(entry);
                assert!(middle > first && middle < next, "{first}..{next} is represented by {middle}");
            }
        }
    }
}
