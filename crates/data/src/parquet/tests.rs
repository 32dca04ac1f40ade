use std::fs;

use super::*;

#[test]
fn files_are_known_by_name_and_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let written = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        is_parquet(&path)
    };
    assert!(written("a.parquet", b"a,b\n1,2\n") && written("a.PARQUET", b""));
    assert!(written("a.csv", b"PAR1\x15\x04") && written("a", b"PAR1\x15"));
    assert!(!written("a.csv", b"PAR1,PAR2\n1,2\n") && !written("a.csv", b"PAR1\n1\n2\n"));
    assert!(!written("a.csv", b"PAR1") && !written("a.csv", b"") && !is_parquet(&dir.path().join("missing")));
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_the_feature_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let message = |path: &Path| crate::source::open(path).map(|_| ()).unwrap_err().to_string();
    assert!(message(&path).contains("a.parquet does not exist"));
    fs::write(&path, b"PAR1\x15\x04").unwrap();
    let message = message(&path);
    assert!(
        message.contains("a.parquet cannot be read") && message.contains("--features parquet"),
        "{message}"
    );
    assert!(message.contains("CSV or NPY"), "{message}");
}

#[cfg(feature = "parquet")]
mod with_feature;
