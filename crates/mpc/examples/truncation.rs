//! Truncates random fixed-point products and measures the error of every one.
//!
//! `cargo run --release --example truncation [products]`, 10^8 products by default for each number of bits to drop. Fails
//! when one result is off by more than one unit of the last place, or the mean error by 0.01 of it.

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Instant;

use shamisen_mpc::protocol::multiply::product;
use shamisen_mpc::protocol::truncate::truncate;
use shamisen_testkit::{combine, deal, factors, rng, run};

const DROPPED: [u32; 5] = [7, 16, 20, 24, 40];
const CHUNK: usize = 1 << 18;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let count: usize = std::env::args().nth(1).map_or(Ok(100_000_000), |count| count.parse())?;
    let mut good = true;
    writeln!(
        stdout(),
        "bits    products  greatest error  mean error  seconds   (errors in units of the last place)"
    )?;
    for bits in DROPPED {
        let start = Instant::now();
        let (greatest, mean) = errors(bits, count);
        let seconds = start.elapsed().as_secs_f64();
        writeln!(stdout(), "{bits:4} {count:11} {greatest:15.9} {mean:11.7} {seconds:8.1}")?;
        good &= greatest <= 1.0 && mean.abs() < 0.01;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The greatest and the mean error of `count` products of which `bits` bits are dropped.
fn errors(bits: u32, count: usize) -> (f64, f64) {
    let mut rng = rng(u64::from(bits));
    let (mut greatest, mut sum) = (0_u128, 0_i128);
    for first in (0..count).step_by(CHUNK) {
        let (x, y) = factors(CHUNK.min(count - first), &mut rng);
        let (a, b) = (deal(&x, &mut rng), deal(&y, &mut rng));
        let out = run(first as u64, |session| {
            let me = session.party().index();
            truncate(product(&a[me], &b[me]), bits, session)
        });
        let results = combine(&out.results.map(|result| result.expect("memory does not fail")));
        for ((x, y), result) in x.iter().zip(&y).zip(results) {
            let exact = i128::from(x.wrapping_mul(*y) as i64);
            let error = (i128::from(result as i64) << bits) - exact;
            greatest = greatest.max(error.unsigned_abs());
            sum += error;
        }
    }
    let unit = 2.0_f64.powi(bits as i32);
    (greatest as f64 / unit, sum as f64 / unit / count as f64)
}
