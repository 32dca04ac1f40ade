//! Columns that are more than numbers: categories, dates and missing values; and arrays by their names.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::bad_input::refused;
use crate::support::{Place, names, shamisen, succeed};

/// Patients whose ward and date of birth decide whether they come back; some ages are missing.
fn patients(rows: usize) -> String {
    let mut text = String::from("ward,born,age,back\n");
    for row in 0..rows {
        let ward = ["A", "B", "C"][row * 7 % 3];
        let year = 1950 + row * 37 % 50;
        let age = if row % 5 == 2 { "NA".to_owned() } else { (20 + row * 13 % 60).to_string() };
        let back = if ward == "A" || year > 1980 { "yes" } else { "no" };
        writeln!(text, "{ward},{year}-{:02}-01,{age},{back}", row % 12 + 1).unwrap();
    }
    text
}

const RULES: &str = "--categorical ward=A,B,C --date born --missing mean";

fn report(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn categories_dates_and_missing_values_are_learnt_from_and_predicted_with() {
    let place = Place::new();
    let data = place.write("patients.csv", patients(300));
    let (model, out) = (place.path("model"), place.path("report.json"));
    let mut train = shamisen();
    train.args(["train", "--target", "back", "--task", "classification", "--data"]).arg(&data);
    train
        .args(RULES.split(' '))
        .args("--hidden 16 --epochs 40 --batch-size 30 --learning-rate 0.02".split(' '));
    train.args(["--transport", "memory", "--model"]).arg(&model).arg("--report").arg(&out);
    succeed(&mut train);
    let report = report(&out);
    assert_eq!(report["data"]["features"], 5);
    assert!(report["test"]["accuracy"].as_f64().unwrap() > 0.9, "{report}");

    let predictions = |name: &str| {
        let mut predict = shamisen();
        predict.args(["predict", "--transport", "memory", "--model"]).arg(&model).arg("--data");
        succeed(predict.arg(place.path(name)))
    };
    let found = predictions("patients.csv");
    let truth = patients(300);
    let right = found
        .lines()
        .zip(truth.lines())
        .skip(1)
        .filter(|(line, row)| line.split(',').next() == row.rsplit(',').next());
    assert!(right.count() > 270, "{found}");
    // A patient of no known ward.
    place.write("new.csv", "age,born,ward\n,1999-01-01,\n");
    assert_eq!(predictions("new.csv").lines().count(), 2);

    let (model, new) = (model.to_str().unwrap(), place.path("new.csv"));
    let predict = ["predict", "--model", model, "--data", new.to_str().unwrap(), "--transport", "memory"];
    for (row, parts) in [
        ("3,1999-01-01,D", ["new.csv, row 3, column `ward`: `D` is none of the categories", "`A`, `B`, `C`"]),
        (
            "3,31.01.1999,A",
            ["new.csv, row 3, column `born`: `31.01.1999` is no date", "hint: --date COLUMN=%d.%m.%Y"],
        ),
        ("many,1999-01-01,A", ["new.csv, row 3, column `age`: `many` is not a number", "correct"]),
    ] {
        place.write("new.csv", format!("age,born,ward\n1,1999-01-01,A\n{row}\n"));
        let parts = if row.starts_with("many") { &parts[..1] } else { &parts[..] };
        refused(&place, &predict, parts);
    }
}

#[test]
fn job_files_have_rules_by_column_and_shares_keep_them() {
    let place = Place::new();
    let data = place.write("patients.csv", patients(60));
    let job = format!(
        "data = ['{}']\ntarget = 'back'\ntask = 'classification'\ntransport = 'memory'\n\
         categorical = {{ ward = ['A', 'B', 'C'] }}\ndate = ['born=%Y-%m-%d']\nmissing = {{ age = 0 }}\n",
        data.display()
    );
    let job = place.write("job.toml", job);
    let out = place.path("report.json");
    succeed(shamisen().args(["train", "--job"]).arg(job).arg("--report").arg(&out));
    assert_eq!(report(&out)["data"]["features"], 5);

    let shares = place.path("shares");
    let mut share = shamisen();
    share.args(["share", "--target", "back", "--task", "classification", "--data"]).arg(&data);
    succeed(
        share
            .args("--categorical ward --date born --missing age=constant=0 --output".split(' '))
            .arg(&shares),
    );
    let shown = succeed(shamisen().args(["inspect", "--shares"]).arg(&shares));
    assert!(shown.contains("ward=A, ward=B, ward=C, born, age"), "{shown}");
    // The servers learn nothing of the categories.
    for file in names(&shares.join("party1")) {
        let bytes = fs::read(shares.join("party1").join(&file)).unwrap();
        assert!(!bytes.windows(4).any(|bytes| bytes == b"ward"), "{file}");
    }
}

#[test]
fn rules_that_cannot_be() {
    let place = Place::new();
    let data = place.write("patients.csv", patients(30));
    let train = |flags: &'static str| {
        let mut all = vec!["train", "--target", "back", "--task", "classification", "--data"];
        all.push(data.to_str().unwrap());
        all.extend(flags.split(' '));
        all
    };
    for (flags, parts) in [
        ("--categorical ward --date born", &["patients.csv, row 4, column `age`: `NA` is not a number"][..]),
        ("--categorical ward=A,B --date born --missing mean", &["row 4, column `ward`: `C` is none"]),
        ("--categorical war --date born", &["has no column `war` (did you mean `ward`?)"]),
        ("--categorical ward --categorical ward", &["--categorical names the column `ward` twice"]),
        ("--categorical ward --date ward", &["`ward` cannot have these categories", "dates as well"]),
        ("--categorical back", &["column `back`: the column is the target"]),
        ("--date born=%H", &["`%H` is no format of dates"]),
        ("--missing mean --missing constant=0", &["--missing has two rules for all columns"]),
        (
            "--missing median",
            &["--missing", "give mean, constant=NUMBER, COLUMN=mean or COLUMN=constant=NUMBER"],
        ),
        ("--missing mean", &["row 2, column `ward`: `A` is not a number", "hint: --categorical COLUMN"]),
    ] {
        if flags.contains("median") {
            let output = crate::support::output(shamisen().args(train(flags)));
            let message = crate::support::text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{message}");
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
            continue;
        }
        refused(&place, &train(flags), parts);
    }
    let job = place.write("job.toml", "epochs = 1\nmissing = { age = 'median' }\n");
    let part = "job.toml, line 2: the column `age` needs \"mean\", \"constant=NUMBER\" or a number";
    refused(&place, &["train", "--job", job.to_str().unwrap()], &[part]);
    let hole = place.write("hole.csv", "x,back\n1,yes\n,no\n");
    let flags = ["--data", hole.to_str().unwrap(), "--target", "back", "--task", "classification"];
    refused(
        &place,
        &[&["train"], &flags[..]].concat(),
        &[
            "hole.csv, row 3, column `x`: the cell is empty: fill in the value",
            "hint: among features, --missing mean",
        ],
    );
}

/// Arrays `x` of 40 x 2 floats and `y` of 40 labels, whether the sum of the floats is above 0; by `numpy.savez_compressed`.
const NUMPY: &[u8] = include_bytes!("arrays.npz");

#[test]
fn an_archive_of_numpy_is_trained_on_and_predicted() {
    let place = Place::new();
    let data = place.write("arrays.npz", NUMPY);
    let out = place.path("report.json");
    let model = place.path("model");
    let mut train = shamisen();
    train.args([
        "train",
        "--task",
        "classification",
        "--test-fraction",
        "0",
        "--transport",
        "memory",
        "--data",
    ]);
    train
        .arg(&data)
        .args("--hidden 8 --epochs 40 --batch-size 10 --learning-rate 0.05 --model".split(' '))
        .arg(&model);
    succeed(train.arg("--report").arg(&out));
    assert_eq!(report(&out)["data"]["features"], 2);
    assert!(report(&out)["test"]["accuracy"].as_f64().unwrap() > 0.9, "{}", report(&out));
    let named = format!("{}:x", data.display());
    let mut predict = shamisen();
    predict.args(["predict", "--transport", "memory", "--data", &named, "--model"]).arg(&model);
    assert_eq!(succeed(&mut predict).lines().count(), 41);
    let wrong = format!("{}:x,z", data.display());
    let flags = ["train", "--task", "classification", "--data", &wrong];
    refused(
        &place,
        &flags,
        &["arrays.npz", "it has no array `z`, but `x`, `y`", "arrays.npz:FEATURES,LABELS"],
    );
}

/// Images of 8 x 8 pixels, 16 of which are black: on the left or on the right.
#[cfg(feature = "images")]
const IMAGES: [(&str, [&[u8]; 3]); 2] = [
    (
        "left",
        [
            include_bytes!("images/left0.png"),
            include_bytes!("images/left1.png"),
            include_bytes!("images/left2.png"),
        ],
    ),
    (
        "right",
        [
            include_bytes!("images/right0.png"),
            include_bytes!("images/right1.png"),
            include_bytes!("images/right2.png"),
        ],
    ),
];

#[cfg(feature = "images")]
#[test]
fn directories_of_images_are_trained_on_and_predicted() {
    let place = Place::new();
    for (class, images) in IMAGES {
        fs::create_dir_all(place.path("images").join(class)).unwrap();
        for number in 0..20 {
            place.write(&format!("images/{class}/{number:02}.png"), images[number % 3]);
        }
    }
    let (images, model, out) = (place.path("images"), place.path("model"), place.path("report.json"));
    let mut train = shamisen();
    train.args(["train", "--transport", "memory", "--image-size", "4x4", "--images"]).arg(&images);
    train.args("--hidden 8 --epochs 20 --batch-size 8 --learning-rate 0.02 --model".split(' ')).arg(&model);
    succeed(train.arg("--report").arg(&out));
    assert_eq!(report(&out)["data"]["features"], 16);
    assert!(report(&out)["test"]["accuracy"].as_f64().unwrap() > 0.9, "{}", report(&out));
    let mut predict = shamisen();
    predict
        .args(["predict", "--transport", "memory", "--model"])
        .arg(&model)
        .arg("--data")
        .arg(images.join("right"));
    let found = succeed(&mut predict);
    assert!(found.lines().filter(|line| line.starts_with("right,")).count() > 17, "{found}");

    place.write("images/left/20.png", "no image");
    let wrong = ["train", "--images", images.to_str().unwrap()];
    refused(&place, &wrong, &["left/20.png is no image that can be used", "copy it again, or remove it"]);
}

#[cfg(not(feature = "images"))]
#[test]
fn a_build_without_images_says_what_to_do() {
    let place = Place::new();
    let dir = place.path("images");
    fs::create_dir(&dir).unwrap();
    let flags = ["train", "--images", dir.to_str().unwrap()];
    refused(&place, &flags, &["images cannot be read as images", "--features images", "NPY or NPZ"]);
}

#[cfg(feature = "sql")]
#[test]
fn rows_of_a_query_are_trained_on() {
    use std::process::Command;
    let place = Place::new();
    let database = place.path("hospital.db");
    let sql = place.write("make.csv", patients(200));
    let made = Command::new("python3")
        .args(["-c", "import csv, sqlite3, sys\nrows = list(csv.reader(open(sys.argv[2])))\ndb = sqlite3.connect(sys.argv[1])\n\
            db.execute('CREATE TABLE patients (ward TEXT, born TEXT, age INTEGER, back TEXT)')\n\
            db.executemany('INSERT INTO patients VALUES (?, ?, ?, ?)', [[c if c != 'NA' else None for c in r] for r in rows[1:]])\n\
            db.commit()"])
        .arg(&database)
        .arg(sql)
        .status();
    assert!(made.unwrap().success());
    let query = |query: &'static str| {
        let mut arguments = vec!["train", "--sql", query, "--database", database.to_str().unwrap()];
        arguments.extend("--target back --task classification --transport memory".split(' '));
        arguments.extend(RULES.split(' '));
        arguments
    };
    let out = place.path("report.json");
    let mut train = shamisen();
    train
        .args(query("SELECT * FROM patients"))
        .args("--hidden 16 --epochs 40 --batch-size 30 --learning-rate 0.02".split(' '));
    succeed(train.arg("--report").arg(&out));
    assert_eq!((&report(&out)["data"]["features"], &report(&out)["data"]["rows"]), (&5.into(), &160.into()));
    assert!(report(&out)["test"]["accuracy"].as_f64().unwrap() > 0.85, "{}", report(&out));
    refused(
        &place,
        &query("SELECT * FROM doctors"),
        &["hospital.db refuses the query: no such table: doctors"],
    );
    refused(
        &place,
        &query("SELECT ward, 'long ago' AS born, age, back FROM patients"),
        &["the query on ", "hospital.db, row 1, column `born`: `long ago` is no date"],
    );
}

#[cfg(not(feature = "sql"))]
#[test]
fn a_build_without_sql_says_what_to_do_and_tells_no_password() {
    let place = Place::new();
    let flags =
        ["train", "--sql", "SELECT 1", "--database", "postgres://ann:secret@localhost/x", "--target", "y"];
    let output = crate::support::output(shamisen().args(flags).args(["--task", "regression"]));
    let message = crate::support::text(&output.stderr);
    assert!(message.contains("postgres://localhost/x") && message.contains("--features sql"), "{message}");
    assert!(output.status.code() == Some(2) && !message.contains("secret"), "{message}");
    assert!(place.names().is_empty());
}
