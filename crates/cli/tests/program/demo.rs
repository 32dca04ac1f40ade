//! `demo` runs by itself and is as good as its float twin.

use crate::support::{shamisen, succeed};

#[test]
fn it_prints_accuracy_and_r2_beside_the_twins() {
    let out = succeed(shamisen().arg("demo"));
    let line = |name: &str| {
        let line = out.lines().find(|line| line.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {out}"));
        line.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<f64>>()
    };
    let [accuracy, twin] = line("accuracy")[..] else { panic!("{out}") };
    assert!(accuracy > 93.0 && (accuracy - twin).abs() < 3.0, "{out}");
    let [r2, twin] = line("R2")[..] else { panic!("{out}") };
    assert!(r2 > 0.3 && (r2 - twin).abs() < 0.05, "{out}");
}
