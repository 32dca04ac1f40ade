//! `bench`: that its figures are complete and fit together. How fast anything is depends on the machine.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Place, names, output, shamisen, succeed, text};

/// Runs a benchmark and returns what it printed, and its JSON.
fn bench(place: &Place, arguments: &str) -> (String, Value) {
    let path = place.path("figures.json");
    let out = succeed(shamisen().arg("bench").args(arguments.split(' ')).arg("--json").arg(&path));
    let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for name in ["benchmark", "version", "cpu", "level"] {
        assert!(document[name].as_str().is_some_and(|text| !text.is_empty()), "no {name}: {document}");
    }
    assert!(document["cores"].as_u64().is_some_and(|cores| cores > 0), "{document}");
    assert!(out.contains(document["cpu"].as_str().unwrap()), "{out}");
    (out, document)
}

/// A shell script that can be run, and its path.
fn executable(place: &Place, script: &str) -> String {
    let (text, path) = (place.write("script", format!("#!/bin/sh\n{script}\n")), place.path("python"));
    // Written by another process: a file that any process has open for writing cannot be run.
    let status = Command::new("install").args(["-m", "700"]).args([&text, &path]).status().unwrap();
    assert!(status.success());
    path.to_str().unwrap().to_owned()
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("no number {name} in {value}"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list {name} in {value}"))
}

fn assert_near(what: &str, found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{what} is {found} instead of {expected}");
}

#[test]
fn the_standard_case_adds_up_and_is_alike_over_tls_and_in_memory() {
    let place = Place::new();
    let mut totals = Vec::new();
    for (transport, words, sockets) in [
        ("memory", "3 threads in memory", None),
        ("tls", "3 processes, TLS over Unix sockets", Some("unix")),
        ("tcp", "3 processes, TLS over loopback TCP", Some("tcp")),
    ] {
        let arguments =
            format!("standard --batches 2 --layers 6,5,4,3 --batch-size 8 --transport {transport}");
        let (out, document) = bench(&place, &arguments);
        assert!(out.contains("measured / bound: "), "{out}");
        assert!(out.contains(words), "{out}");
        assert_eq!(document["transport"], if sockets.is_some() { "tls" } else { "memory" });
        assert_eq!(document.get("sockets").and_then(Value::as_str), sockets);
        assert_eq!(document["layers"], serde_json::json!([6, 5, 4, 3]));
        assert_eq!((&document["batches"], &document["warm_up_batches"]), (&2.into(), &16.into()));
        assert!(document.get("budget").is_none(), "this is not the case that has a budget: {document}");

        let (phases, total) = (list(&document, "phases"), &document["total"]);
        for name in
            ["rounds", "bytes_sent", "random_words", "multiply_adds", "seconds", "waiting", "encryption"]
        {
            let sum = phases.iter().map(|phase| number(phase, name)).sum();
            assert_near(name, number(total, name), sum);
        }
        assert!(phases.iter().any(|phase| phase["name"] == "matrix products"), "{document}");
        assert_eq!(number(total, "encryption") > 0.0, sockets.is_some());
        // Of each layer the outputs and the gradient, and the error of all layers but the first; one or two ring
        // products for each.
        let products = f64::from(8 * (2 * (6 * 5 + 5 * 4 + 4 * 3) + 5 * 4 + 4 * 3));
        let ratio = number(total, "multiply_adds") / products;
        assert!((1.0..=2.0).contains(&ratio), "{ratio} times the products in the clear");

        let bounds = list(&document, "bounds");
        assert_eq!(bounds.len(), 4);
        for bound in bounds {
            assert_near(
                "a bound",
                number(bound, "seconds"),
                number(bound, "amount") / number(bound, "per_second"),
            );
        }
        let seconds = || bounds.iter().map(|bound| number(bound, "seconds"));
        assert_near("the sum", number(&document, "sum_of_bounds_seconds"), seconds().sum());
        assert_near("the largest", number(&document, "largest_bound_seconds"), seconds().fold(0.0, f64::max));
        let measured = number(&document, "seconds_per_batch");
        let ratio = measured / number(&document, "sum_of_bounds_seconds");
        assert_near("the ratio", number(&document, "measured_over_sum_of_bounds"), ratio);
        totals
            .push(["rounds", "bytes_sent", "random_words", "multiply_adds"].map(|name| number(total, name)));
    }
    for over_tls in &totals[1..] {
        for (memory, tls) in totals[0].iter().zip(over_tls) {
            assert_near("an amount over TLS", *tls, *memory);
        }
    }
}

#[test]
fn every_kernel_is_measured_at_every_level() {
    let place = Place::new();
    let (_, document) = bench(&place, "kernels --elements 130");
    let (levels, kernels) = (list(&document, "levels"), list(&document, "kernels"));
    assert_eq!(levels[0], "scalar");
    assert!(kernels.len() > 20 * levels.len() && kernels.len().is_multiple_of(levels.len()));
    for of_kernel in kernels.chunks_exact(levels.len()) {
        assert!(of_kernel.iter().map(|figure| &figure["level"]).eq(levels), "{of_kernel:?}");
        assert!(of_kernel.iter().all(|figure| figure["kernel"] == of_kernel[0]["kernel"]), "{of_kernel:?}");
        assert_near("the scalar level", number(&of_kernel[0], "times_scalar"), 1.0);
        assert!(of_kernel.iter().all(|figure| number(figure, "nanoseconds_per_unit") > 0.0), "{of_kernel:?}");
    }
    assert_near("a copy", number(&kernels[0], "of_copy"), 1.0);
}

#[test]
fn every_protocol_is_measured_and_costs_the_same_over_tls() {
    let place = Place::new();
    let (_, document) = bench(&place, "protocols --elements 1000,2000");
    let protocols = list(&document, "protocols");
    let find = |protocols: &[Value], name: &str, elements: usize| {
        let same = |figure: &&Value| figure["protocol"] == name && figure["elements"] == elements;
        protocols.iter().find(same).unwrap_or_else(|| panic!("no {name} of {elements}")).clone()
    };
    for name in ["open", "reshare", "multiply"] {
        for elements in [1000, 2000] {
            let figure = find(protocols, name, elements);
            assert_near(name, number(&figure, "bytes_per_element"), 8.0);
            assert_near(name, number(&figure, "rounds"), 1.0);
        }
    }
    let (out, document) = bench(&place, "protocols --elements 1000 --transport tcp --only reshare");
    assert!(out.contains("3 threads, TLS over loopback TCP") && document["sockets"] == "tcp", "{out}");
    let (out, document) = bench(&place, "protocols --elements 1000 --transport tls --only re");
    assert!(out.contains("3 threads, TLS over Unix sockets") && document["sockets"] == "unix", "{out}");
    for figure in list(&document, "protocols") {
        let name = figure["protocol"].as_str().unwrap();
        assert!(name.contains("re"), "{name}");
        let memory = find(protocols, name, 1000);
        for amount in ["bytes_per_element", "rounds", "random_words_per_element"] {
            assert_near(name, number(figure, amount), number(&memory, amount));
        }
    }
}

#[test]
fn networks_are_measured_by_name() {
    let place = Place::new();
    let arguments = "network --batches 1 --layers 6,5,3 --batch-size 8 --profiles loopback,lan";
    let (out, document) = bench(&place, arguments);
    assert!(out.contains("loopback") && out.contains("lan"), "{out}");
    let networks = list(&document, "networks");
    assert_eq!(networks.len(), 2);
    assert_eq!((&networks[0]["network"], &networks[1]["network"]), (&"loopback".into(), &"lan".into()));
    assert_near("the latency", number(&networks[1], "latency_ms"), 0.1);
    for amount in ["rounds_per_batch", "bytes_sent_per_batch"] {
        assert_near(amount, number(&networks[1], amount), number(&networks[0], amount));
    }
}

#[test]
fn scikit_learn_is_run_in_turn_and_medians_are_compared() {
    let place = Place::new();
    let calls = place.path("calls");
    // It stands for a Python: it answers as the script does, and notes what it was asked.
    let python = executable(
        &place,
        &format!(
            "cat > /dev/null\necho \"$*\" >> {}\ncase $2 in\n\
             --versions) echo '{{\"python\": \"3\", \"numpy\": \"2\", \"scikit_learn\": \"1\"}}' ;;\n\
             *) echo '{{\"seconds\": 0.5, \"iterations\": 1}}' ;;\nesac",
            calls.display()
        ),
    );
    let arguments =
        format!("versus-sklearn --runs 2 --rows 20 --layers 6,5,3 --batch-size 8 --python {python}");
    for (optimizer, solver) in [("adam", "--solver=adam"), ("sgd", "--solver=sgd")] {
        let (out, document) = bench(&place, &format!("{arguments} --optimizer {optimizer}"));
        assert!(out.contains("ratio of the medians"), "{out}");
        let own: Vec<f64> =
            list(&document, "shamisen_seconds").iter().map(|run| run.as_f64().unwrap()).collect();
        assert_eq!(document["sklearn_seconds"], serde_json::json!([0.5, 0.5]));
        let median = f64::midpoint(own[0], own[1]);
        assert_near("the median", number(&document, "shamisen_median_seconds"), median);
        assert_near("the ratio", number(&document, "ratio"), median / 0.5);
        let asked = fs::read_to_string(&calls).unwrap();
        assert_eq!(asked.lines().filter(|line| line.contains(solver)).count(), 2, "{asked}");
        assert!(asked.contains("--columns=6 --hidden=5 --batch-size=8"), "{asked}");
    }
}

/// Rows as those of the Boston housing table, if not as many columns.
fn houses() -> String {
    let rows = (0..64).map(|row| {
        let at = f64::from(row);
        let (rooms, age) = ((at * 1.7).sin(), (at * 0.31).cos());
        format!("{rooms:.4},{age:.4},{:.2}\n", 22.0 + 5.0 * rooms - 3.0 * age)
    });
    format!("RM,AGE,MEDV\n{}", rows.collect::<String>())
}

#[test]
fn the_papers_tables_stand_beside_ours() {
    let place = Place::new();
    let boston = place.write("boston.csv", houses());
    let (tables, plots) = (place.path("tables.md"), place.path("plots"));
    let arguments = format!(
        "paper --quick --batches 1 --table 10 11 12 13 15 --transport memory --boston {} --plots {} --markdown {}",
        boston.display(),
        plots.display(),
        tables.display()
    );
    let (out, document) = bench(&place, &arguments);
    assert!(out.contains("Quick: extrapolated from 1 mini-batch or so of each"), "{out}");
    assert!(out.contains("Table 11 is left out: it compares accuracies, which need MNIST"), "{out}");
    assert_eq!((&document["data"], &document["quick_batches"]), (&"synthetic".into(), &1.into()));
    assert_eq!(document["left_out"][0]["table"], 11);

    let measured = list(&document, "tables");
    let numbers: Vec<u64> = measured.iter().map(|table| table["table"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [10, 12, 13, 15]);
    let rows = |at: usize| list(&measured[at], "rows");
    for (row, seconds) in rows(0).iter().zip([278.0, 312.0, 336.0, 367.0]) {
        assert_near("the paper's time", number(&row["paper"], "seconds"), seconds);
        assert_near("the ratio", number(row, "times_as_fast"), seconds / number(&row["ours"], "seconds"));
        assert!(row["ours"].get("score").is_none(), "synthetic rows have no accuracy: {row}");
        assert_eq!((&row["ours"]["extrapolated"], &row["ours"]["batches"]), (&true.into(), &1.into()));
    }
    assert_eq!(rows(0)[3]["layers"], serde_json::json!([784, 128, 128, 128, 128, 10]));
    for row in rows(1) {
        let (own, twin) = (number(&row["ours"], "score"), number(&row["ours"], "twin_score"));
        assert!((own - twin).abs() < 0.05, "{row}");
    }
    // In the clear and on shares, of the same training as in the first line of table 12.
    let scores: Vec<f64> = rows(2).iter().map(|row| number(&row["ours"], "score")).collect();
    let first = &rows(1)[0]["ours"];
    assert_near("the twin's score", scores[0], number(first, "twin_score"));
    assert_near("the score", scores[1], number(first, "score"));
    for (row, has_accuracy) in rows(3).iter().zip([true, false, true, false]) {
        assert_eq!(row["ours"].get("score").is_some(), has_accuracy, "{row}");
        assert_eq!(row["ours"]["rows"], 17 * 1024);
        assert!(row["ours"]["peak_rss_bytes"][0].as_u64().is_some_and(|bytes| bytes > 1_000_000), "{row}");
    }

    assert_eq!(names(&plots), ["table-10.svg", "table-12.svg", "table-15.svg"]);
    let text = fs::read_to_string(&tables).unwrap();
    for part in [
        "#### Table 12: Boston housing",
        "![Table 12: Boston housing](plots/table-12.svg)",
        "| hidden layers | paper, s | ours, s | faster | paper, R2 |",
        "Table 11 is left out",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    // Another run takes the place of the first one's tables.
    fs::write(&tables, format!("Before.\n{text}After.\n")).unwrap();
    let arguments = arguments.replace("10 11 12 13 15", "13");
    bench(&place, &arguments);
    let text = fs::read_to_string(&tables).unwrap();
    assert!(text.starts_with("Before.\n") && text.ends_with("After.\n"), "{text}");
    assert!(text.contains("#### Table 13") && !text.contains("#### Table 12"), "{text}");
}

#[test]
fn what_is_missing_is_said_in_a_sentence() {
    let place = Place::new();
    // A Python without scikit-learn, as far as the program can tell.
    let python = &executable(&place, "exit 3");
    for (arguments, status, part) in [
        (
            vec!["versus-sklearn", "--python", "/no/python"],
            2,
            "/no/python is not installed: install Python 3",
        ),
        (vec!["versus-sklearn", "--python", python], 2, "has no scikit-learn: install it with"),
        (vec!["versus-sklearn", "--runs", "0"], 2, "give --runs at least 1"),
        (vec!["standard", "--batches", "0"], 2, "give --batches at least 1"),
        (vec!["standard", "--layers", "784"], 2, "at least two layers"),
        (vec!["standard", "--json", "/no/figures.json"], 2, "/no"),
        (vec!["protocols", "--only", "nothing"], 2, "there are open, reshare"),
        (vec!["protocols", "--elements", "0"], 2, "it must be 1 to"),
        (vec!["paper", "--table", "6"], 2, "6 is not in 7..=15"),
        (vec!["paper", "--quick", "--batches", "0"], 2, "give --batches at least 1"),
        (vec!["paper", "--minutes", "0"], 2, "give --minutes above 0"),
        (vec!["paper", "--table", "8", "--mnist", "/no/mnist"], 2, "/no/mnist"),
        (vec!["paper", "--table", "12", "--boston", "/no/boston.csv"], 2, "/no/boston.csv"),
        (vec!["kernels", "--elements", "0"], 2, "it must have 1 to"),
    ] {
        let output = output(shamisen().arg("bench").args(&arguments));
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
        assert!(errors.contains(part), "{arguments:?}: {errors}");
    }
}
