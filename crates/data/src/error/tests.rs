use super::*;

#[test]
fn numbers_are_short() {
    for (value, text) in [
        (0.0, "0"),
        (1.0, "1"),
        (-12.5, "-12.5"),
        (256.0, "256"),
        (123_456.789, "123457"),
        (1e300, "1.000e300"),
        (2.5e-7, "2.500e-7"),
        (1.0 / 3.0, "0.33333"),
    ] {
        assert_eq!(number(value), text);
    }
}

#[test]
fn text_from_files_is_cut_and_escaped() {
    assert_eq!(quoted("a\nb\u{1b}"), "`a\\nb\\u{1b}`");
    let long = quoted(&"x".repeat(1000));
    assert!(long.chars().count() < 70 && long.ends_with("…`"), "{long}");
    assert_eq!(listed(&["a".into(), "b".into()]), "`a`, `b`");
    assert!(listed(&vec!["a".to_owned(); 25]).ends_with("`a` and 5 more"));
}

#[test]
fn a_full_disk_is_one_sentence() {
    let source = io::Error::from(io::ErrorKind::StorageFull);
    let message = DataError::io("write", Path::new("shares"), source).to_string();
    assert!(message.starts_with("there is no room left for shares: free some on its disk"), "{message}");
}
