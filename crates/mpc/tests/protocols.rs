//! Every protocol against a plain-text oracle, on random and extreme inputs, with its rounds and bytes.

use shamisen_mpc::protocol::{add_bits, arg_max, compare, convert, exp, log, multiply, range, reciprocal, soft_max, truncate};
use shamisen_testkit::{combine, combine_bits, deal, random_words, rng, run};

const SEED: u64 = 20_260_101;

fn signed(value: u64) -> f64 {
    value as i64 as f64
}

#[test]
fn truncation_errs_by_at_most_one_unit() {
    let mut rng = rng(SEED);
    for bits in [1, 7, 16, 24, 40, 61] {
        let mut values: Vec<u64> = random_words(1000, &mut rng).iter().map(|&x| ((x as i64) >> 1) as u64).collect();
        values.extend([0, 1, u64::MAX, (1 << 62) - 1, (1_u64 << 62).wrapping_neg()]);
        let shares = deal(&values, &mut rng);
        for fused in [true, false] {
            let out = run(SEED, |session| {
                let share = &shares[session.party().index()];
                if fused {
                    truncate::truncate(share.to_additive(), bits, session).unwrap()
                } else {
                    truncate::truncate_shared(share, bits, session).unwrap()
                }
            });
            for (&value, result) in values.iter().zip(combine(&out.results)) {
                let scaled = (i128::from(result as i64) << bits) - i128::from(value as i64);
                assert!(scaled.abs() <= 1 << bits, "{} / 2^{bits} = {}", value as i64, result as i64);
            }
            assert_eq!(out.rounds(), 2);
        }
    }
}

#[test]
fn bits_sign_and_ring() {
    let mut rng = rng(SEED);
    let values = random_words(1000, &mut rng);
    let shares = deal(&values, &mut rng);
    for width in [1_u32, 2, 3, 5, 24, 63, 64] {
        let out = run(SEED, |session| add_bits::to_bits(&shares[session.party().index()], 0, width, session).unwrap());
        let planes = combine_bits(&out.results);
        for plane in 0..width as usize {
            for (at, value) in values.iter().enumerate() {
                assert_eq!(planes[plane * 16 + at / 64] >> (at % 64) & 1, value >> plane & 1);
            }
        }
    }
    let out = run(SEED, |session| {
        let share = &shares[session.party().index()];
        let negative = compare::is_negative(share, 64, session).unwrap();
        convert::to_ring(&negative, session).unwrap()
    });
    let negative: Vec<u64> = values.iter().map(|x| x >> 63).collect();
    assert_eq!(combine(&out.results), negative);
}

#[test]
fn matrix_products() {
    let mut rng = rng(SEED);
    let (rows, inner, cols) = (7, 13, 5);
    let (x, y) = (random_words(rows * inner, &mut rng), random_words(inner * cols, &mut rng));
    let (xs, ys) = (deal(&x, &mut rng), deal(&y, &mut rng));
    let out = run(SEED, |session| {
        let me = session.party().index();
        let sum = multiply::matrix_product(
            multiply::RepMatrix::new(&xs[me], rows, inner),
            multiply::RepMatrix::new(&ys[me], inner, cols),
        );
        multiply::reshare(sum, session).unwrap()
    });
    let mut expected = vec![0_u64; rows * cols];
    for i in 0..rows {
        for j in 0..cols {
            for k in 0..inner {
                expected[i * cols + j] =
                    expected[i * cols + j].wrapping_add(x[i * inner + k].wrapping_mul(y[k * cols + j]));
            }
        }
    }
    assert_eq!(combine(&out.results), expected);
    assert_eq!((out.rounds(), out.bytes()), (1, 24 * 35));
}

#[test]
fn exponential_logarithm_reciprocal() {
    let mut rng = rng(SEED);
    let reals: Vec<f64> = (-2000..2000).map(|i| f64::from(i) * 0.01).collect();
    let fixed = |xs: &[f64], frac: i32| xs.iter().map(|x| (x * 2.0_f64.powi(frac)).round() as i64 as u64).collect::<Vec<_>>();
    let shares = deal(&fixed(&reals, 14), &mut rng);
    let out = run(SEED, |session| exp::exp(&shares[session.party().index()], 14, 11, session).unwrap());
    for (x, y) in reals.iter().zip(combine(&out.results)) {
        let (want, got) = (x.clamp(-16.0, 16.0).exp(), signed(y) / 65536.0);
        assert!((want - got).abs() < want * 0.0012 + 6e-5, "exp({x}) = {want}, got {got}");
    }
    let reals: Vec<f64> = (0..3000).map(|i| 1.0 + 1.3_f64.powf(f64::from(i) * 0.01) * f64::from(i) * 0.1).collect();
    let shares = deal(&fixed(&reals, 16), &mut rng);
    let out = run(SEED, |session| {
        let share = &shares[session.party().index()];
        (
            reciprocal::reciprocal(share, 16, 30, 20, session).unwrap(),
            log::ln(share, 16, 20, session).unwrap(),
        )
    });
    let inverse = combine(&out.results.each_ref().map(|pair| pair.0.clone()));
    let logs = combine(&out.results.each_ref().map(|pair| pair.1.clone()));
    for ((x, y), l) in reals.iter().zip(inverse).zip(logs) {
        let (want, got) = (1.0 / x, signed(y) / f64::from(1 << 20));
        assert!((want - got).abs() < want * 4e-4 + 2e-6, "1 / {x} = {want}, got {got}");
        let (want, got) = (x.ln(), signed(l) / f64::from(1 << 20));
        assert!((want - got).abs() < 2e-5, "ln {x} = {want}, got {got}");
    }
}

#[test]
fn soft_max_and_winner() {
    let mut rng = rng(SEED);
    for classes in [2_usize, 3, 10, 16, 17, 40] {
        let rows = 37;
        let words = random_words(rows * classes, &mut rng);
        let reals: Vec<f64> = words.iter().map(|w| (w >> 11) as f64 / 2.0_f64.powi(53) * 20.0 - 10.0).collect();
        let fixed: Vec<u64> = reals.iter().map(|x| (x * 16384.0).round() as i64 as u64).collect();
        let shares = deal(&fixed, &mut rng);
        let out = run(SEED, |session| {
            let share = &shares[session.party().index()];
            let p = soft_max::soft_max(share, rows, classes, 14, 10, session).unwrap();
            let winner = arg_max::arg_max(share, rows, classes, 26, session).unwrap();
            (p, convert::to_ring(&winner.one_hot, session).unwrap())
        });
        let p = combine(&out.results.each_ref().map(|pair| pair.0.clone()));
        let hot = combine(&out.results.each_ref().map(|pair| pair.1.clone()));
        for row in 0..rows {
            let z = &reals[row * classes..(row + 1) * classes];
            let max = z.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = z.iter().map(|z| (z - max).exp()).sum();
            for class in 0..classes {
                let want = (z[class] - max).exp() / sum;
                let got = signed(p[row * classes + class]) / f64::from(1 << 20);
                assert!((want - got).abs() < want * 2e-3 + 1e-4, "{classes} classes: {want} {got}");
                assert_eq!(hot[class * rows + row], u64::from(z[class] == max));
            }
        }
    }
}

#[test]
fn range_checks_name_the_culprit() {
    let mut rng = rng(SEED);
    let good: Vec<u64> = (-500_i64..500).map(|x| (x << 10) as u64).collect();
    let mut bad = good.clone();
    bad[77] = 1 << 30;
    let (good, bad) = (deal(&good, &mut rng), deal(&bad, &mut rng));
    for spoiled in [false, true] {
        let out = run(SEED, |session| {
            let me = session.party().index();
            let mut checks = range::RangeChecks::default();
            checks.claim("first", good[me].clone(), 21, 40);
            checks.claim("second", if spoiled { bad[me].clone() } else { good[me].clone() }, 21, 40);
            checks.claim("third", good[me].slice(0..70), 22, 50);
            checks.verify(session).unwrap()
        });
        assert!(out.results.iter().all(|name| name.as_deref() == spoiled.then_some("second")));
    }
}
