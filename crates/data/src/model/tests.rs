use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::damage::{change_each_byte, change_length};
use crate::scaling::Scaling;

const ID: &str = "00112233445566778899aabbccddeeff";

fn description() -> ModelDescription {
    ModelDescription {
        id: ID.to_owned(),
        version: VERSION,
        task: TargetKind::Classes,
        layers: json!([{ "dense": { "inputs": 2, "outputs": 2 } }, "relu"]),
        frac: 20,
        parameters: 5,
        feature_names: vec!["a".to_owned(), "b".to_owned()],
        target_name: "y".to_owned(),
        classes: vec!["no".to_owned(), "yes".to_owned()],
        training: json!({ "epochs": 3, "loss": 0.1 }),
        share_files: SHARE_FILES.map(str::to_owned),
    }
}

fn preprocessing() -> Preprocessing {
    Preprocessing {
        feature_names: vec!["a".to_owned(), "b".to_owned()],
        columns: vec![],
        images: None,
        target_name: "y".to_owned(),
        scaling: Scaling::Standard,
        offset: vec![0.1, 2.0],
        factor: vec![1.0, 0.0],
        target: None,
        classes: vec!["no".to_owned(), "yes".to_owned()],
    }
}

fn component(i: usize) -> Vec<u64> {
    (0..5).map(|word| u64::MAX / 7 * (i as u64 + 1) + word).collect()
}

fn share_path(dir: &TempDir, party: usize) -> PathBuf {
    dir.path().join(SHARE_FILES[party])
}

fn model_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_description(dir.path(), &description()).unwrap();
    preprocessing().write(&dir.path().join(PREPROCESSING_FILE)).unwrap();
    for party in 0..3 {
        let (mine, next) = (component(party), component((party + 1) % 3));
        write_party_share(&share_path(&dir, party), ID, party, [&mine, &next], None).unwrap();
    }
    dir
}

fn check(dir: &TempDir) -> String {
    check_model_dir(dir.path()).unwrap_err().to_string()
}

#[test]
fn a_model_comes_back_as_it_was() {
    let dir = model_dir();
    assert_eq!(check_model_dir(dir.path()).unwrap(), description());
    for party in 0..3 {
        let path = share_path(&dir, party);
        let (mine, next) = read_party_share(&path, &description(), party, None).unwrap();
        assert_eq!((mine, next), (component(party), component((party + 1) % 3)));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5);
}

#[test]
fn a_missing_file_is_named() {
    for (name, expected) in [
        ("model.json", "model.json does not exist"),
        ("preprocessing.json", "preprocessing.json does not exist"),
        ("party1.share", "party1.share is missing: the model needs the share of party 1"),
    ] {
        let dir = model_dir();
        fs::remove_file(dir.path().join(name)).unwrap();
        assert!(check(&dir).contains(expected), "{}", check(&dir));
    }
}

#[test]
fn files_of_another_model_or_party_are_refused() {
    let dir = model_dir();
    fs::copy(share_path(&dir, 1), share_path(&dir, 0)).unwrap();
    assert!(
        check(&dir).contains("party0.share is the share of party 1, but party 0 needs its own"),
        "{}",
        check(&dir)
    );

    let dir = model_dir();
    let other = "ffffffffffffffffffffffffffffffff";
    write_party_share(&share_path(&dir, 2), other, 2, [&component(2), &component(0)], None).unwrap();
    let expected =
        format!("party2.share belongs to the model {other}, but the description is of the model {ID}");
    assert!(check(&dir).contains(&expected), "{}", check(&dir));

    let dir = model_dir();
    write_party_share(&share_path(&dir, 2), ID, 2, [&[1, 2], &[3, 4]], None).unwrap();
    assert!(
        check(&dir).contains("party2.share holds 2 parameters, but the description says 5"),
        "{}",
        check(&dir)
    );

    let dir = model_dir();
    write_party_share(&share_path(&dir, 2), ID, 2, [&component(2), &component(1)], None).unwrap();
    assert!(check(&dir).contains("the shares of parties 2 and 0 in"), "{}", check(&dir));

    let dir = model_dir();
    let other = Preprocessing { classes: vec!["no".to_owned(), "maybe".to_owned()], ..preprocessing() };
    other.write(&dir.path().join(PREPROCESSING_FILE)).unwrap();
    assert!(check(&dir).contains("preprocessing.json does not make sense"), "{}", check(&dir));
}

#[test]
fn every_change_of_a_share_and_every_other_length_is_an_error() {
    let dir = model_dir();
    for (party, name) in SHARE_FILES.into_iter().enumerate() {
        let path = share_path(&dir, party);
        let message = || read_party_share(&path, &description(), party, None).unwrap_err().to_string();
        change_each_byte(&path, &[0x01, 0x80, 0x20, 0xff], || assert!(message().contains(name)));
        change_length(&path, || assert!(message().contains(name)));
        let good = fs::read(&path).unwrap();
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert!(message().contains("the file is truncated or damaged"), "{}", message());
        let mut bad = good.clone();
        bad[good.len() - 40] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert!(
            message().contains("is damaged (its checksum does not match): copy it again"),
            "{}",
            message()
        );
        fs::write(&path, &good).unwrap();
    }
    check_model_dir(dir.path()).unwrap();
}

#[test]
fn a_change_of_the_json_files_never_passes_as_other_contents() {
    let dir = model_dir();
    for name in [DESCRIPTION_FILE, PREPROCESSING_FILE] {
        let path = dir.path().join(name);
        change_each_byte(&path, &[0x01, 0x20, 0x0d, 0x80], || {
            // Another kind of white space, for instance, changes nothing.
            if let Ok(read) = check_model_dir(dir.path()) {
                assert_eq!(read, description());
                assert_eq!(
                    Preprocessing::read(&dir.path().join(PREPROCESSING_FILE)).unwrap(),
                    preprocessing()
                );
            }
        });
        let length = fs::metadata(&path).unwrap().len();
        change_length(&path, || {
            // The last byte is a line feed.
            assert!(fs::metadata(&path).unwrap().len() == length - 1 || check(&dir).contains("is damaged"));
        });
    }
    fs::write(dir.path().join(DESCRIPTION_FILE), "[".repeat(100_000)).unwrap();
    check(&dir);
}

#[test]
fn a_description_that_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = description();
    let names = |names: [&str; 3]| names.map(str::to_owned);
    let bad = [
        ModelDescription { id: "xyz".to_owned(), ..good.clone() },
        ModelDescription { version: 2, ..good.clone() },
        ModelDescription { frac: 99, ..good.clone() },
        ModelDescription { feature_names: vec![], ..good.clone() },
        ModelDescription { classes: vec![], ..good.clone() },
        ModelDescription { task: TargetKind::Number, ..good.clone() },
        ModelDescription { share_files: names(["a", "b", "../c"]), ..good.clone() },
        ModelDescription { share_files: names(["a", "b", "a"]), ..good.clone() },
    ];
    for bad in bad {
        let message = write_description(dir.path(), &bad).unwrap_err().to_string();
        assert!(message.contains("model.json"), "{message}");
        sealed::write(&dir.path().join(DESCRIPTION_FILE), FORMAT, &bad).unwrap();
        read_description(dir.path()).unwrap_err();
    }
}

#[test]
fn only_a_share_of_a_party_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let message = write_party_share(&path, ID, 3, [&[], &[]], None).unwrap_err().to_string();
    assert_eq!(message, "there is no party 3: the parties are 0, 1 and 2");
    let message = write_party_share(&path, ID, 0, [&[1], &[]], None).unwrap_err().to_string();
    assert_eq!(message, "writing a model share: 1 values are expected, but 0 were given");
    let message = write_party_share(&path, "7", 0, [&[], &[]], None).unwrap_err().to_string();
    assert!(message.contains("the id is not 32 hexadecimal digits"), "{message}");
    read_party_share(&path, &description(), 4, None).unwrap_err();
}
