//! Products of numbers and matrices.

use shamisen_mpc::protocol::multiply::{RepMatrix, matrix_product, multiply, product, reshare};
use shamisen_mpc::protocol::square_root::square;
use shamisen_net::Network;
use shamisen_testkit::{combine, combine_additive, deal, random_words, rng, run};

use crate::common::{LENGTHS, SEED, assert_cost, on_ring};
use crate::cost::{self, Cost};

#[test]
fn element_by_element() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let (mut x, mut y) = (random_words(len, &mut rng), random_words(len, &mut rng));
        x.iter_mut().zip([0, 1, u64::MAX, 1 << 63, u64::MAX]).for_each(|(x, extreme)| *x = extreme);
        y.iter_mut()
            .zip([u64::MAX, u64::MAX, u64::MAX, 1 << 63, 1 << 63])
            .for_each(|(y, extreme)| *y = extreme);
        let expected: Vec<u64> = x.iter().zip(&y).map(|(x, y)| x.wrapping_mul(*y)).collect();
        let (x, y) = (deal(&x, &mut rng), deal(&y, &mut rng));

        let out = run(SEED, |session| product(&x[session.party().index()], &y[session.party().index()]));
        assert_cost("product", len, &out, Cost::NONE);
        assert_eq!(combine_additive(out.results), expected);

        let out = run(SEED, |session| {
            multiply(&x[session.party().index()], &y[session.party().index()], session).unwrap()
        });
        assert_cost("multiply", len, &out, cost::reshare(len));
        assert_eq!(combine(&out.results), expected);
    }
}

#[test]
fn squares() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let x = random_words(len, &mut rng);
        let out = on_ring(&x, square);
        assert_cost("square", len, &out, cost::reshare(len));
        assert_eq!(combine(&out.results), x.iter().map(|x| x.wrapping_mul(*x)).collect::<Vec<_>>());
    }
}

#[test]
fn resharing_keeps_the_sum() {
    let mut rng = rng(SEED);
    for len in LENGTHS {
        let values = random_words(len, &mut rng);
        let out = on_ring(&values, |share, session| reshare(share.to_additive(), session));
        assert_cost("reshare", len, &out, cost::reshare(len));
        assert_eq!(combine(&out.results), values);
    }
}

/// Row-major `x y` of shapes `rows x inner` and `inner x cols`.
fn plain_product(x: &[u64], y: &[u64], rows: usize, inner: usize, cols: usize) -> Vec<u64> {
    let mut out = vec![0_u64; rows * cols];
    for i in 0..rows {
        for j in 0..cols {
            for k in 0..inner {
                out[i * cols + j] =
                    out[i * cols + j].wrapping_add(x[i * inner + k].wrapping_mul(y[k * cols + j]));
            }
        }
    }
    out
}

fn transposed(x: &[u64], rows: usize, cols: usize) -> Vec<u64> {
    (0..rows * cols).map(|at| x[at % rows * cols + at / rows]).collect()
}

#[test]
fn matrices() {
    let mut rng = rng(SEED);
    let shapes = [
        (1, 1, 1),
        (2, 1, 2),
        (2, 2, 2),
        (2, 3, 2),
        (7, 13, 5),
        (64, 64, 64),
        (1, 100, 1),
        (1, 9, 8),
        (8, 9, 1),
        (3, 1, 40),
        (100, 37, 80),
        (33, 300, 10),
        (0, 3, 2),
        (2, 0, 3),
    ];
    for (rows, inner, cols) in shapes {
        let (mut x, mut y) = (random_words(rows * inner, &mut rng), random_words(inner * cols, &mut rng));
        x.iter_mut()
            .step_by(3)
            .zip([0, 1, u64::MAX, 1 << 63, u64::MAX])
            .for_each(|(x, extreme)| *x = extreme);
        y.iter_mut()
            .step_by(2)
            .zip([u64::MAX, u64::MAX, u64::MAX, 1 << 63, 1 << 63])
            .for_each(|(y, extreme)| *y = extreme);
        let expected = plain_product(&x, &y, rows, inner, cols);
        let (turned_x, turned_y) = (transposed(&x, rows, inner), transposed(&y, inner, cols));
        for (turn_x, turn_y) in [(false, false), (true, false), (false, true), (true, true)] {
            let x = deal(if turn_x { &turned_x } else { &x }, &mut rng);
            let y = deal(if turn_y { &turned_y } else { &y }, &mut rng);
            let out = run(SEED, |session| {
                let (x, y) = (&x[session.party().index()], &y[session.party().index()]);
                let x = if turn_x {
                    RepMatrix::new(x, inner, rows).transposed()
                } else {
                    RepMatrix::new(x, rows, inner)
                };
                let y = if turn_y {
                    RepMatrix::new(y, cols, inner).transposed()
                } else {
                    RepMatrix::new(y, inner, cols)
                };
                reshare(matrix_product(x, y, session), session).unwrap()
            });
            assert_cost("matrix_product and reshare", rows * cols, &out, cost::reshare(rows * cols));
            for counters in &out.counters {
                let work = counters.by_phase[Network::FIRST_PHASE].work;
                assert_eq!(work.multiply_adds, (rows * inner * cols) as u64);
                assert_eq!(work.random_words, 2 * (rows * cols) as u64);
            }
            assert_eq!(combine(&out.results), expected, "{rows} x {inner} x {cols}, {turn_x} {turn_y}");
        }
    }
}

#[test]
fn matrices_inside_a_longer_vector() {
    let mut rng = rng(SEED);
    let (rows, inner, cols) = (5, 6, 7);
    let words = random_words(10 + rows * inner + 3 + inner * cols, &mut rng);
    let (x, y) = (10..10 + rows * inner, 13 + rows * inner..words.len());
    let expected = plain_product(&words[x.clone()], &words[y.clone()], rows, inner, cols);
    let out = on_ring(&words, |share, session| {
        let x = RepMatrix::of_range(share, x.clone(), rows, inner);
        let y = RepMatrix::of_range(share, y.clone(), inner, cols);
        reshare(matrix_product(x, y, session), session)
    });
    assert_eq!(combine(&out.results), expected);
}

#[test]
fn matrices_written_to_a_part_of_a_sum() {
    let mut rng = rng(SEED);
    let (rows, inner, cols) = (9, 7, 11);
    let (x, y) = (random_words(rows * inner, &mut rng), random_words(inner * cols, &mut rng));
    let (sum, first) = (random_words(rows * cols + 20, &mut rng), 13);
    let mut expected = sum.clone();
    expected[first..first + rows * cols].copy_from_slice(&plain_product(&x, &y, rows, inner, cols));
    let (x, y, sum) = (deal(&x, &mut rng), deal(&y, &mut rng), deal(&sum, &mut rng));
    let out = run(SEED, |session| {
        let (x, y) = (&x[session.party().index()], &y[session.party().index()]);
        let mut sum = sum[session.party().index()].to_additive();
        sum.set_matrix_product(
            first,
            RepMatrix::new(x, rows, inner),
            RepMatrix::new(y, inner, cols),
            session,
        );
        sum
    });
    assert_cost("set_matrix_product", rows * cols, &out, Cost::NONE);
    assert_eq!(combine_additive(out.results), expected);
}
