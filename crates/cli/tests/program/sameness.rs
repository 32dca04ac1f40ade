//! What servers write, tell and keep does not depend on what the data are: the same session with other values leaves the same traces.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::data_sets::{put, terms};
use crate::support::succeed;
use crate::three::Three;

/// Rows of three features and a class; the numbers and the shares of the classes depend on `other`.
fn table(rows: usize, other: bool) -> String {
    let mut text = String::from("height,width,depth,kind\n");
    for row in 0..rows {
        let at = row as f64;
        let values = if other {
            [1e7 * (at * 0.9).cos(), -3.0, 0.001 * at]
        } else {
            [(at * 1.7).sin(), (at * 0.31).cos(), (at * 0.77).sin() * 40.0]
        };
        let [x, y, z] = [values[0], values[1] + at % 5.0, values[2]];
        let kind = if (x + y > 0.0) ^ (other && row % 7 == 0) { "a" } else { "b" };
        writeln!(text, "{x},{y},{z},{kind}").unwrap();
    }
    text
}

/// A text without what is different each time: ids, hashes and keys, numbers, times.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut word = String::new();
    for letter in text.chars().chain([' ']) {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            word.push(letter);
            continue;
        }
        let is_id = word.len() >= 8 && word.chars().all(|letter| letter.is_ascii_hexdigit());
        let is_number = word.starts_with(|letter: char| letter.is_ascii_digit());
        plain.push_str(if is_id || is_number { "#" } else { &word });
        plain.push(letter);
        word.clear();
    }
    plain
}

/// The different lines of a text, without what is different each time. How often the same thing was asked depends on time.
/// Servers ask each other for these now and then.
fn lines(text: &str) -> BTreeSet<String> {
    let by_clock = |line: &&str| {
        ["route=\"/v1/audit\"", "route=\"/v1/server\""].iter().any(|route| line.contains(route))
    };
    text.lines().filter(|line| !by_clock(line)).map(plain).collect()
}

/// A JSON value without its opened results, which are what the data say, and without what is different each time.
fn told(mut value: Value) -> String {
    fn clear(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for name in ["result", "results", "progress", "accepted", "started", "ended", "digest"] {
                    fields.remove(name);
                }
                fields.values_mut().for_each(clear);
            }
            Value::Array(values) => values.iter_mut().for_each(clear),
            _ => {}
        }
    }
    clear(&mut value);
    value.to_string()
}

/// Every file below a directory, with its length if that is no log or database.
fn files(dir: &Path, found: &mut BTreeSet<String>, root: &Path) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found, root);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let grows = ["log", "jsonl", "redb"].iter().any(|end| name.ends_with(end));
        let length = if grows { 0 } else { entry.metadata().unwrap().len() };
        found.insert(format!("{} {length}", plain(&name)));
    }
}

/// All that three servers leave of a session with a table, each server's apart.
async fn session(other: bool) -> Vec<(String, BTreeSet<String>)> {
    let mut three = Three::started();
    let csv = three.place.write("table.csv", table(300, other));
    let rows = three.place.write("rows.csv", table(20, !other));
    terms(&three, "least_rows = 10\noutputs = [\"metrics\", \"loss\", \"predictions\", \"model\"]\n");
    succeed(&mut put(&three, &csv, "same"));
    let mut submit = three.analyst("submit");
    submit.args(["--data", "same", "--hidden", "8", "--epochs", "3", "--batch-size", "32", "--watch"]);
    succeed(submit.args(["--outputs", "metrics,loss,predictions,model"]));
    let answer = three.place.path("answer.csv");
    let mut predict = three.analyst("predict");
    succeed(predict.args(["--model", "same", "--data"]).arg(rows).arg("--output").arg(answer));
    succeed(three.analyst("export").args(["--model", "same", "--to"]).arg(three.place.path("exported")));
    succeed(&mut three.client_command("terms same", "analyst"));

    let mut seen = Vec::new();
    for party in 0..3 {
        let mut operator = three.client(party, Some("operator")).await;
        for path in ["/v1/datasets", "/v1/jobs", "/v1/models"] {
            let value: Value = operator.get(path).await.unwrap();
            seen.push((format!("{path} of {party}"), [plain(&told(value.clone()))].into()));
            // Sizes and counts are as they are.
            for number in ["rows", "test_rows", "share_bytes", "trainings"] {
                let numbers: Vec<String> =
                    value.as_array().unwrap().iter().map(|item| item[number].to_string()).collect();
                seen.push((format!("{path}: {number} of {party}"), numbers.into_iter().collect()));
            }
        }
        let metrics = operator.get_bytes("/metrics").await.unwrap();
        seen.push((format!("metrics of {party}"), lines(str::from_utf8(&metrics).unwrap())));
    }
    (0..3).for_each(|party| three.stop(party));
    for party in 0..3 {
        let data = three.place.path(&format!("data{party}"));
        let audit = fs::read_to_string(data.join("audit.log")).unwrap();
        for secret in ["height", "depth", "\"a\"", "PRIVATE"] {
            assert!(!audit.contains(secret) && !three.log(party).contains(secret), "{secret}");
        }
        seen.push((format!("audit of {party}"), lines(&audit)));
        seen.push((format!("log of {party}"), lines(&three.log(party))));
        let mut kept = BTreeSet::new();
        files(&data, &mut kept, &data);
        seen.push((format!("files of {party}"), kept));
    }
    seen
}

#[tokio::test]
async fn the_same_session_with_other_values_leaves_the_same_traces() {
    let (one, other) = (session(false).await, session(true).await);
    assert_eq!(one.len(), other.len());
    for ((name, one), (_, other)) in one.iter().zip(&other) {
        let differ: Vec<&String> = one.symmetric_difference(other).collect();
        assert!(!one.is_empty() && differ.is_empty(), "{name}: {differ:#?}");
    }
}
