//! Bits: AND and its trees, from the ring to bits and back, signs.

use shamisen_mpc::Bits;
use shamisen_mpc::protocol::add_bits::to_bits;
use shamisen_mpc::protocol::and::{all, and, and_planes, inner_products};
use shamisen_mpc::protocol::compare::is_negative;
use shamisen_mpc::protocol::convert::to_ring;
use shamisen_testkit::{combine, combine_bits, deal_bits, random_words, rng, run};

use crate::common::{LENGTHS, SEED, assert_cost, bit, bounded, on_bits, on_ring, random_planes};
use crate::cost;

/// Every place of `width` planes of `len` bits.
fn places(width: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..width).flat_map(move |plane| (0..len).map(move |at| (plane, at)))
}

#[test]
fn ands() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        for width in [1, 5] {
            let (x, y) = (random_planes(width, len, &mut rng), random_planes(width, len, &mut rng));
            let (a, b) = (deal_bits(&x, width, len, &mut rng), deal_bits(&y, width, len, &mut rng));
            let out = run(SEED, |session| {
                and(&a[session.party().index()], &b[session.party().index()], session).unwrap()
            });
            assert_cost("and", len, &out, cost::and(width, len));
            let z = combine_bits(&out.results);
            assert!(places(width, len).all(|(plane, at)| {
                bit(&z, len, plane, at) == bit(&x, len, plane, at) & bit(&y, len, plane, at)
            }));
        }
    }
}

#[test]
fn trees_of_ands() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        for (groups, size) in [(1, 1), (1, 2), (3, 1), (2, 3), (3, 4), (2, 9), (1, 16)] {
            let width = groups * size;
            // Mostly ones, or the AND of many would always be 0.
            let pair = [random_planes(width, len, &mut rng), random_planes(width, len, &mut rng)];
            let planes: Vec<u64> = pair[0].iter().zip(&pair[1]).map(|(a, b)| a | b).collect();
            let out = on_bits(&planes, width, len, |x, session| and_planes(x.clone(), groups, session));
            assert_cost("and_planes", len, &out, cost::and_planes(groups, size, len));
            let result = combine_bits(&out.results);
            assert!(places(groups, len).all(|(group, at)| {
                let every = (0..size).all(|member| bit(&planes, len, group * size + member, at) == 1);
                bit(&result, len, group, at) == u64::from(every)
            }));
        }
    }
}

#[test]
fn inner_products_of_bits() {
    let mut rng = rng(SEED);
    let terms = [vec![(0, 0)], vec![], vec![(0, 1), (1, 1), (2, 0)], vec![(2, 2), (2, 2)]];
    for len in LENGTHS {
        let (x, y) = (random_planes(3, len, &mut rng), random_planes(3, len, &mut rng));
        let (a, b) = (deal_bits(&x, 3, len, &mut rng), deal_bits(&y, 3, len, &mut rng));
        let out = run(SEED, |session| {
            inner_products(&a[session.party().index()], &b[session.party().index()], &terms, session).unwrap()
        });
        assert_cost("inner_products", len, &out, cost::and(terms.len(), len));
        let z = combine_bits(&out.results);
        assert!(places(terms.len(), len).all(|(k, at)| {
            let sum = terms[k].iter().fold(0, |sum, &(i, j)| sum ^ bit(&x, len, i, at) & bit(&y, len, j, at));
            bit(&z, len, k, at) == sum
        }));
    }
}

#[test]
fn all_of_a_plane() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        // All ones but for one place, or none; past the end anything.
        let wrong_places = [
            None,
            len.checked_sub(1),
            len.checked_sub(1).map(|_| 0),
            len.checked_sub(1).map(|last| last / 2),
        ];
        for wrong in wrong_places {
            let mut plane = vec![u64::MAX; len.div_ceil(64)];
            if len % 64 != 0 {
                plane[len / 64] = random_words(1, &mut rng)[0] | ((1 << (len % 64)) - 1);
            }
            if let Some(at) = wrong {
                plane[at / 64] ^= 1 << (at % 64);
            }
            let out = on_bits(&plane, 1, len, all);
            // One word is left in the end, so that all three parties are in every round.
            assert_cost("all", len.max(129), &out, cost::all(len));
            assert!(out.results.iter().all(|verdict| (verdict.len(), verdict.width()) == (1, 1)));
            assert_eq!(
                combine_bits(&out.results),
                [u64::from(wrong.is_none())],
                "{len} bits, wrong at {wrong:?}"
            );
        }
    }
}

#[test]
fn bits_of_numbers() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let values = bounded(len, 63, &mut rng);
        for width in [1, 2, 3, 5, 24, 33, 63, 64] {
            let out = on_ring(&values, |share, session| to_bits(share, 0, width, session));
            assert_cost("to_bits", len, &out, cost::to_bits(width, len));
            let planes = combine_bits(&out.results);
            assert!(
                places(width as usize, len)
                    .all(|(plane, at)| bit(&planes, len, plane, at) == values[at] >> plane & 1)
            );
        }
    }
}

#[test]
fn upper_bits_of_numbers() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let mut values = bounded(len, 63, &mut rng);
        // Low bits of all ones and all zeros, where a carry matters most.
        values.iter_mut().skip(7).step_by(3).for_each(|value| *value |= 0xffff_ffff);
        values.iter_mut().skip(8).step_by(3).for_each(|value| *value &= !0xffff_ffff);
        for (low, width) in [(1, 63), (1, 5), (13, 24), (20, 1), (20, 2), (32, 32), (63, 1), (40, 17)] {
            let out = on_ring(&values, |share, session| to_bits(share, low, width, session));
            assert_cost("to_bits", len, &out, cost::to_bits(width, len));
            let planes = combine_bits(&out.results);
            let mask = u64::MAX >> (64 - width);
            for (at, value) in values.iter().enumerate() {
                let got =
                    (0..width as usize).fold(0, |got, plane| got | bit(&planes, len, plane, at) << plane);
                let exact = value >> low;
                assert!(got == exact & mask || got == (exact + 1) & mask, "bits {low}.. of {value}: {got}");
            }
        }
    }
}

#[test]
fn signs() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        for width in [2, 3, 17, 32, 33, 63, 64] {
            let values = bounded(len, width - 1, &mut rng);
            let out = on_ring(&values, |share, session| is_negative(share, width, session));
            assert_cost("is_negative", len, &out, cost::is_negative(width, len));
            let signs = combine_bits(&out.results);
            assert!(values.iter().enumerate().all(|(at, value)| bit(&signs, len, 0, at) == value >> 63));
        }
    }
}

#[test]
fn bits_as_numbers() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        for width in [0, 1, 3] {
            for planes in [random_planes(width, len, &mut rng), vec![0; width * len.div_ceil(64)]] {
                let out = on_bits(&planes, width, len, to_ring);
                assert_cost("to_ring", len, &out, cost::to_ring(width, len));
                let expected: Vec<u64> =
                    places(width, len).map(|(plane, at)| bit(&planes, len, plane, at)).collect();
                assert_eq!(combine(&out.results), expected);
            }
        }
    }
}

/// What a party may print says how much it holds, and nothing of what it holds.
#[test]
fn debug_output_shows_no_share() {
    let values = [0x1234_5678_9abc_def0; 3];
    let shares = shamisen_testkit::deal(&values, &mut rng(SEED));
    let additive = shares[0].to_additive();
    let bits = Bits::from_components(2, 70, vec![0x1234_5678; 4], vec![0x9abc_def0; 4]);
    assert_eq!(format!("{:?} {:#?}", shares[0], shares[0]), "Rep(3 elements) Rep(3 elements)");
    assert_eq!(format!("{additive:?} {additive:#?}"), "Additive(3 elements) Additive(3 elements)");
    assert_eq!(format!("{bits:?} {bits:#?}"), "Bits(70 elements of 2 bits) Bits(70 elements of 2 bits)");
}
