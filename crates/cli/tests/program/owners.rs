//! Trainings on data sets of several owners, and on some of the columns, against the same training of one table in the clear.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use shamisen_service::job::{JobState, JobStatus};
use shamisen_service::keys;

use crate::data_sets::started;
use crate::jobs::{id_of, is_beyond, status, wait_until};
use crate::support::{output, shamisen, succeed, text};
use crate::three::Three;

/// A table of the repository: its columns and its rows as they stand.
fn table(name: &str) -> (String, Vec<String>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets").join(name);
    let content = fs::read_to_string(path).unwrap();
    let mut lines = content.lines().map(str::to_owned);
    (lines.next().unwrap(), lines.collect())
}

fn write(three: &Three, name: &str, header: &str, rows: &[String]) -> PathBuf {
    three.place.write(name, format!("{header}\n{}\n", rows.join("\n")))
}

/// Two unequal parts of a table, of which one has the smaller values of the first column: each owner's own statistics are far from
/// those of the table. Each part is a file to train on and a file to test on.
fn parts(three: &Three, name: &str) -> [[PathBuf; 2]; 2] {
    let (header, mut rows) = table(name);
    let first = |row: &String| row.split(',').next().unwrap().parse::<f64>().unwrap();
    rows.sort_by(|one, other| first(one).total_cmp(&first(other)));
    let (low, high) = rows.split_at(rows.len() * 7 / 10);
    let part = |owner: &str, rows: &[String]| {
        let is_test = |at: &usize| at.is_multiple_of(5);
        let pick = |test: bool| -> Vec<String> {
            (0..rows.len()).filter(|at| is_test(at) == test).map(|at| rows[at].clone()).collect()
        };
        [("train", false), ("test", true)]
            .map(|(kind, test)| write(three, &format!("{owner}-{kind}-{name}"), &header, &pick(test)))
    };
    [part("a", low), part("b", high)]
}

/// Has an owner put a table, on which the analyst may train.
fn put(
    three: &Three,
    owner: &str,
    name: &str,
    data: &Path,
    flags: &[&str],
    least_rows: u32,
    more_terms: &str,
) {
    let analyst = keys::read(&three.place.path("analyst")).unwrap().fingerprint();
    let terms = format!(
        "trainers = [\"{analyst}\"]\nmax_epochs = 60\nmax_jobs = 5\nexpires = 2100-01-01\nleast_rows = {least_rows}\n\
         outputs = [\"metrics\", \"loss\", \"predictions\", \"model\"]\n{more_terms}"
    );
    let terms = three.place.write("terms.toml", terms);
    let mut put = three.client_command("put", owner);
    put.arg(data).args(["--name", name, "--terms"]).arg(terms).args(flags);
    succeed(&mut put);
}

const SETTING: [&str; 8] = ["--hidden", "8", "--batch-size", "32", "--learning-rate", "0.01", "--seed", "3"];

/// A job, which is not handed in yet.
fn submit(three: &Three, data: &[&str], more: &[&str]) -> Command {
    let mut submit = three.analyst("submit");
    for data in data {
        submit.args(["--data", data]);
    }
    submit.args(SETTING).args(more);
    submit
}

/// The report of the same training of one table on this machine.
fn train(three: &Three, data: &[&Path], test: &[&Path], more: &[&str]) -> (Value, PathBuf) {
    let (report, model) = (three.place.path("report.json"), three.place.path("local-model"));
    drop(fs::remove_dir_all(&model));
    let mut train = shamisen();
    train.args(["train", "--transport", "memory"]).args(SETTING).args(more);
    train.arg("--data").args(data).arg("--test").args(test);
    train.arg("--model").arg(&model).arg("--report").arg(&report);
    succeed(&mut train);
    (serde_json::from_slice(&fs::read(report).unwrap()).unwrap(), model)
}

fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap()
}

/// Whether losses are those of a report, to a hundredth of the first one: both round at random.
fn assert_same_losses(status: &JobStatus, report: &Value) {
    let expected: Vec<f64> =
        report["training"]["loss"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect();
    let found = &status.results[0].loss;
    assert_eq!(found.len(), expected.len());
    for (loss, expected_loss) in found.iter().zip(&expected) {
        assert!((loss - expected_loss).abs() < 0.01 * expected[0], "{found:?} {expected:?}");
    }
}

/// Whether the statistics of an exported model are those of a local one.
fn assert_same_statistics(exported: &Path, local: &Path) {
    let read = |dir: &Path| -> Value {
        let file = fs::read(dir.join("preprocessing.json")).unwrap();
        serde_json::from_slice::<Value>(&file).unwrap()["content"].take()
    };
    let (found, expected) = (read(exported), read(local));
    for name in ["feature_names", "target_name", "classes", "scaling"] {
        assert_eq!(found[name], expected[name]);
    }
    let factors = |value: &Value| -> Vec<f64> {
        let list = value["factor"].as_array().unwrap().iter().chain([&value["target"]["factor"]]);
        list.filter_map(Value::as_f64).collect()
    };
    for (found, expected) in factors(&found).iter().zip(factors(&expected)) {
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
    }
    let offsets = |value: &Value| -> Vec<f64> {
        value["offset"].as_array().unwrap().iter().filter_map(Value::as_f64).collect()
    };
    for ((found, offset), factor) in offsets(&found).iter().zip(offsets(&expected)).zip(factors(&expected)) {
        assert!(((found - offset) * factor).abs() < 1e-4, "{found} {offset}");
    }
}

fn classes(path: &Path) -> Vec<String> {
    let content = fs::read_to_string(path).unwrap();
    content.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect()
}

/// Asserts that a command ends with status 2 and a message that has all these parts.
fn refused(command: &mut Command, parts: &[&str]) {
    let output = output(command);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
}

#[tokio::test]
async fn rows_of_two_owners_train_as_one_table() {
    let mut three = started();
    let [[a, a_test], [b, b_test]] = parts(&three, "breast_cancer.csv");
    for (owner, name, data, test) in [("owner", "a", &a, &a_test), ("neighbour", "b", &b, &b_test)] {
        let flags = ["--target", "diagnosis", "--task", "classification", "--test", test.to_str().unwrap()];
        put(&three, owner, name, data, &flags, if name == "b" { 300 } else { 10 }, "");
    }
    let id = id_of(&succeed(&mut submit(
        &three,
        &["a", "b"],
        &["--epochs", "30", "--name", "both", "--outputs", "metrics,loss,predictions,model"],
    )));
    // The rescaled rows are those of the checkpoints, also after a fault.
    wait_until(&three, 0, &id, |status| is_beyond(status, 2)).await;
    three.kill(1);
    wait_until(&three, 0, &id, |status| status.state == JobState::Interrupted || status.state.is_over())
        .await;
    three.start(1);
    let end = wait_until(&three, 0, &id, |status| status.state.is_over()).await;
    assert_eq!(end.state, JobState::Done, "{end:?}");
    let flags = ["--target", "diagnosis", "--task", "classification", "--epochs", "30"];
    let (report, local) = train(&three, &[&a, &b], &[&a_test, &b_test], &flags);
    assert_same_losses(&end, &report);
    // One row of the test part may go either way.
    let accuracy = end.results[0].accuracy.unwrap();
    assert!((accuracy - number(&report, "/test/accuracy")).abs() < 1.5 / 115.0, "{accuracy} {report}");
    assert!(accuracy > 0.93, "{accuracy}");

    let exported = three.place.path("exported");
    succeed(three.analyst("export").args(["--model", "both", "--to"]).arg(&exported));
    assert_same_statistics(&exported, &local);
    let (here, there) = (three.place.path("here.csv"), three.place.path("there.csv"));
    succeed(
        three.analyst("predict").args(["--model", "both", "--data"]).arg(&b_test).arg("--output").arg(&here),
    );
    let mut predict = shamisen();
    predict.args(["predict", "--transport", "memory", "--model"]).arg(&local).arg("--data").arg(&b_test);
    succeed(predict.arg("--output").arg(&there));
    let (here, there) = (classes(&here), classes(&there));
    assert!(here.len() > 30 && here.iter().zip(&there).filter(|(one, other)| one != other).count() <= 1);

    // What one of the two forbids is forbidden, and counted at both is what was done.
    let terms = |name: &str| succeed(three.client_command("terms", "analyst").arg(name));
    for name in ["a", "b"] {
        let terms = terms(name);
        assert!(terms.contains("5, of which 1 were admitted") && terms.contains("standard"), "{terms}");
    }
    refused(&mut submit(&three, &["a", "b"], &["--epochs", "61"]), &["`max_epochs`", "data set a"]);
    // Together they have the rows that the owner of the smaller one asks for.
    refused(&mut submit(&three, &["b"], &[]), &["`least_rows`", "data set b"]);
    succeed(three.client_command("revoke", "neighbour").arg("b"));
    refused(
        three.analyst("export").args(["--model", "both", "--to"]).arg(three.place.path("x")),
        &["there is no model"],
    );
}

#[tokio::test]
async fn a_target_is_rescaled_and_columns_are_chosen() {
    let three = started();
    let [[a, a_test], [b, b_test]] = parts(&three, "diabetes.csv");
    for (owner, name, data, test, terms) in [
        ("owner", "a", &a, &a_test, ""),
        (
            "neighbour",
            "b",
            &b,
            &b_test,
            "columns = [\"age\", \"sex\", \"body_mass_index\", \"blood_pressure\", \"log_triglycerides\"]\n",
        ),
    ] {
        let flags = [
            "--target",
            "progression",
            "--task",
            "regression",
            "--test",
            test.to_str().unwrap(),
            "--target-scaling",
            "standard",
        ];
        put(&three, owner, name, data, &flags, 10, terms);
    }
    refused(&mut submit(&three, &["a", "b"], &[]), &["`columns`", "data set b", "\"total_cholesterol\""]);
    refused(&mut submit(&three, &["a"], &["--columns", "age,height"]), &["no column \"height\""]);
    refused(&mut submit(&three, &["a", "b"], &["--join", "columns"]), &["different numbers of rows"]);

    let columns = "body_mass_index,log_triglycerides,age";
    let more = ["--columns", columns, "--epochs", "10", "--outputs", "metrics,loss,predictions,model"];
    succeed(submit(&three, &["a", "b"], &more).args(["--name", "some", "--watch"]));
    let jobs: Vec<JobStatus> = three.client(0, Some("analyst")).await.get("/v1/jobs").await.unwrap();
    let end = status(&three, 0, &jobs[0].id).await;

    // The same columns of both files, for a training here.
    let chosen = |path: &Path| -> PathBuf {
        let content = fs::read_to_string(path).unwrap();
        let rows = content.lines().map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            [cells[2], cells[8], cells[0], cells[10]].join(",")
        });
        let rows = rows.collect::<Vec<_>>().join("\n");
        three.place.write(&format!("chosen-{}", path.file_name().unwrap().to_str().unwrap()), rows)
    };
    let files = [&a, &b, &a_test, &b_test].map(|path| chosen(path));
    let flags =
        ["--target", "progression", "--task", "regression", "--epochs", "10", "--target-scaling", "standard"];
    let (report, local) = train(&three, &[&files[0], &files[1]], &[&files[2], &files[3]], &flags);
    assert_same_losses(&end, &report);
    let (found, expected) = (end.results[0].r2.unwrap(), number(&report, "/test/r2"));
    assert!((found - expected).abs() < 0.02 && found > 0.2, "{found} {expected}");

    let exported = three.place.path("exported");
    succeed(three.analyst("export").args(["--model", "some", "--to"]).arg(&exported));
    assert_same_statistics(&exported, &local);
    let out = three.place.path("out.csv");
    succeed(
        three.analyst("predict").args(["--model", "some", "--data"]).arg(&files[2]).arg("--output").arg(&out),
    );
    let mean = classes(&out).iter().map(|value| value.parse::<f64>().unwrap()).sum::<f64>();
    assert!((100.0..200.0).contains(&(mean / classes(&out).len() as f64)), "{mean}");

    // One data set, and columns of it: as its owner has scaled it.
    let more = ["--columns", "log_triglycerides,age", "--name", "one", "--outputs", "model", "--watch"];
    succeed(&mut submit(&three, &["b"], &more));
    let exported = three.place.path("one");
    succeed(three.analyst("export").args(["--model", "one", "--to"]).arg(&exported));
    let statistics = fs::read_to_string(exported.join("preprocessing.json")).unwrap();
    assert!(statistics.contains("log_triglycerides") && !statistics.contains("body_mass_index"));
}

#[tokio::test]
async fn columns_of_two_owners_train_as_one_table() {
    let three = started();
    let (header, rows) = table("breast_cancer.csv");
    let side = |name: &str, cells: &dyn Fn(usize) -> bool| {
        let some = |line: &String| {
            let all: Vec<&str> = line.split(',').collect();
            (0..all.len()).filter(|at| cells(*at)).map(|at| all[at]).collect::<Vec<_>>().join(",")
        };
        write(&three, name, &some(&header), &rows.iter().map(some).collect::<Vec<_>>())
    };
    let (left, right, all) =
        (side("left.csv", &|at| at < 12), side("right.csv", &|at| at >= 12), side("all.csv", &|_| true));
    // One of the owners has no target, and the others' may be forbidden to be learnt with its columns.
    let flags = ["--target", "diagnosis", "--task", "classification"];
    for (owner, name, data, target, seed) in [
        ("owner", "left", &left, &["--no-target"][..], "3"),
        ("neighbour", "right", &right, &flags, "3"),
        ("neighbour", "other", &right, &flags, "2"),
    ] {
        put(&three, owner, name, data, &[target, &["--seed", seed]].concat(), 10, "");
    }
    put(&three, "owner", "wary", &left, &["--no-target", "--seed", "3"], 10, "tasks = [\"regression\"]\n");
    refused(&mut submit(&three, &["left", "other"], &["--join", "columns"]), &["the same --seed"]);
    refused(&mut submit(&three, &["left"], &["--join", "columns"]), &["names one"]);
    refused(&mut submit(&three, &["left"], &[]), &["none of the data sets (left) has a target"]);
    refused(&mut submit(&three, &["left", "right"], &[]), &["different columns"]);
    refused(&mut submit(&three, &["wary", "right"], &["--join", "columns"]), &["`tasks`", "data set wary"]);
    let mut odd = three.client_command("put", "owner");
    odd.arg(&left).args(["--name", "odd", "--no-target", "--task", "regression", "--terms"]);
    refused(odd.arg(three.place.path("terms.toml")), &["--task is of a target"]);
    let listed = succeed(&mut three.client_command("list", "analyst"));
    assert!(listed.lines().any(|line| line.starts_with("left ") && line.contains("no target")), "{listed}");
    assert!(succeed(three.client_command("terms", "analyst").arg("left")).contains("none: for trainings"));

    let more = [
        "--join",
        "columns",
        "--epochs",
        "5",
        "--name",
        "joined",
        "--outputs",
        "metrics,loss,model",
        "--watch",
    ];
    succeed(&mut submit(&three, &["left", "right"], &more));
    let jobs: Vec<JobStatus> = three.client(0, Some("analyst")).await.get("/v1/jobs").await.unwrap();
    let end = status(&three, 0, &jobs[0].id).await;
    let (report, model) = (three.place.path("report.json"), three.place.path("local-model"));
    let mut train = shamisen();
    train.args(["train", "--transport", "memory", "--epochs", "5"]).args(SETTING).args(flags);
    train.arg("--data").arg(&all).arg("--model").arg(&model).arg("--report").arg(&report);
    succeed(&mut train);
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_same_losses(&end, &report);
    let (found, expected) = (end.results[0].accuracy.unwrap(), number(&report, "/test/accuracy"));
    assert!((found - expected).abs() < 1.5 / 114.0 && found > 0.93, "{found} {expected}");
    let exported = three.place.path("exported");
    succeed(three.analyst("export").args(["--model", "joined", "--to"]).arg(&exported));
    let inspected = succeed(shamisen().args(["inspect", "--model"]).arg(&exported));
    assert!(inspected.contains("30-8-2"), "{inspected}");
}
