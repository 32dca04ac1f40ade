//! `train`, over TLS and in memory: the report, the twin, job files.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use crate::support::{Place, classify, names, numbers, output, shamisen, succeed, table, text};

fn report(place: &Place, name: &str, arguments: &[String]) -> Value {
    let path = place.path(name);
    let out = succeed(shamisen().args(arguments).arg("--report").arg(&path));
    assert!(out.contains("semi-honest"), "{out}");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn number(report: &Value, pointer: &str) -> f64 {
    report
        .pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no number at {pointer}: {report}"))
}

#[test]
fn tls_and_memory_train_alike_and_as_the_twin_does() {
    let place = Place::new();
    let data = place.write("table.csv", table(120));
    let mut arguments = classify(&data);
    let flags = "--hidden 8,6 --epochs 3 --batch-size 20 --learning-rate 0.01 --twin";
    arguments.extend(flags.split(' ').map(str::to_owned));
    let tls = report(&place, "tls.json", &arguments);
    arguments.extend(["--transport", "memory"].map(str::to_owned));
    let memory = report(&place, "memory.json", &arguments);

    // The names are stable: other programs read them.
    for pointer in [
        "/security",
        "/task",
        "/model/layers",
        "/model/parameters",
        "/data/rows",
        "/data/features",
        "/data/test_rows",
        "/training/optimizer",
        "/training/refresh",
        "/training/epochs",
        "/training/batch_size",
        "/training/batches",
        "/training/seconds",
        "/training/loss/2",
        "/test/accuracy",
        "/test/cross_entropy",
        "/twin/accuracy",
        "/twin/cross_entropy",
        "/cost/rounds_per_batch",
        "/cost/bytes_sent_per_batch/2",
        "/cost/seconds_by_phase/truncation",
        "/cost/seconds_waiting",
        "/cost/seconds_encrypting",
        "/cost/by_phase/matrix products/multiply_adds",
        "/cost/by_phase/relu/random_words",
        "/cost/peak_rss_bytes/2",
        "/transport",
        "/processes",
        "/threads",
        "/version",
    ] {
        assert!(tls.pointer(pointer).is_some_and(|value| !value.is_null()), "no {pointer} in {tls}");
    }
    assert_eq!((&tls["transport"], &tls["processes"]), (&"tls".into(), &3.into()));
    assert_eq!((&memory["transport"], &memory["processes"]), (&"memory".into(), &1.into()));
    assert_eq!((&tls["sockets"], memory.get("sockets")), (&"unix".into(), None));
    assert_eq!(tls["model"]["layers"], serde_json::json!([4, 8, 6, 2]).clone());
    assert_eq!((&tls["data"]["rows"], &tls["data"]["test_rows"]), (&96.into(), &24.into()));
    assert_eq!(tls["training"]["batches"], 15);

    for pointer in ["/test/cross_entropy", "/training/loss/0", "/training/loss/2"] {
        let difference = number(&tls, pointer) - number(&memory, pointer);
        assert!(difference.abs() < 0.02, "{pointer} differs by {difference}");
    }
    for (own, twin) in [("/test/cross_entropy", "/twin/cross_entropy"), ("/training/loss/2", "/twin/loss/2")]
    {
        let difference = number(&tls, own) - number(&tls, twin);
        assert!(difference.abs() < 0.05, "{own} is {difference} away from the twin");
    }
    assert_eq!(tls["cost"]["rounds_per_batch"], memory["cost"]["rounds_per_batch"]);
    assert_eq!(tls["cost"]["bytes_sent_per_batch"], memory["cost"]["bytes_sent_per_batch"]);
}

#[test]
fn tcp_is_chosen_by_name_or_by_ports() {
    let place = Place::new();
    let data = place.write("table.csv", table(40));
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners.map(|listener| listener.local_addr().unwrap().port().to_string()).join(",");
    for flags in [["--transport", "tcp"], ["--ports", &ports]] {
        let arguments = [classify(&data), ["--hidden", "3"].map(str::to_owned).to_vec()].concat();
        let arguments = [arguments, flags.map(str::to_owned).to_vec()].concat();
        let report = report(&place, "report.json", &arguments);
        assert_eq!(report["transport"], "tls");
        assert_eq!(report["sockets"], "tcp");
        assert_eq!(report["processes"], 3);
    }
}

#[test]
fn a_long_path_to_temporary_files_does_no_harm() {
    let place = Place::new();
    let data = place.write("table.csv", table(40));
    let temporary = place.path(&"t".repeat(150));
    fs::create_dir(&temporary).unwrap();
    let out = succeed(shamisen().args(classify(&data)).args(["--hidden", "3"]).env("TMPDIR", &temporary));
    assert!(out.contains("3 processes, TLS over Unix sockets"), "{out}");
    assert!(names(&temporary).is_empty());
}

#[test]
fn several_threads_train_as_the_twin_does() {
    let place = Place::new();
    let data = place.write("table.csv", table(120));
    let mut arguments = classify(&data);
    let flags = "--hidden 110,110 --epochs 3 --batch-size 20 --learning-rate 0.005 --twin --threads 3";
    arguments.extend(flags.split(' ').map(str::to_owned));
    for transport in ["tls", "tcp", "memory"] {
        let arguments = [&arguments[..], &["--transport".to_owned(), transport.to_owned()]].concat();
        let report = report(&place, "report.json", &arguments);
        assert_eq!(report["threads"], 3);
        for (own, twin) in
            [("/test/cross_entropy", "/twin/cross_entropy"), ("/training/loss/2", "/twin/loss/2")]
        {
            let difference = number(&report, own) - number(&report, twin);
            assert!(difference.abs() < 0.05, "{own} is {difference} away from the twin");
        }
    }
    // The network has too few parameters for more than one lane.
    arguments.extend(["--hidden", "8"].map(str::to_owned));
    let at = arguments.iter().position(|argument| argument == "--hidden").unwrap();
    arguments.drain(at..at + 2);
    assert_eq!(report(&place, "report.json", &arguments)["threads"], 1);
}

#[test]
fn regression_is_scored_in_the_targets_own_units() {
    let place = Place::new();
    let data = place.write("table.csv", numbers(100));
    let flags = "--target price --task regression --hidden  --epochs 30 --batch-size 10 --learning-rate 0.05 \
                 --optimizer sgd --test-fraction 0 --transport memory --twin --target-scaling";
    let mut arguments = vec!["train".to_owned(), "--data".to_owned(), data.to_str().unwrap().to_owned()];
    arguments.extend(flags.split(' ').map(str::to_owned));
    for scaling in ["none", "standard"] {
        arguments.push(scaling.to_owned());
        let report = report(&place, scaling, &arguments);
        arguments.pop();
        assert_eq!(report["data"]["scored_on"], "training rows");
        assert_eq!((&report["data"]["rows"], &report["data"]["test_rows"]), (&100.into(), &100.into()));
        // The price is linear in the features, so that all of its variance of about 6.5 is explained.
        assert!(number(&report, "/test/r2") > 0.9, "{report}");
        let (own, twin) = (number(&report, "/test/mse"), number(&report, "/twin/mse"));
        assert!((own - twin).abs() < 0.1 && own < 0.65, "{scaling}: {own} and {twin}");
    }
}

#[test]
fn a_job_file_has_the_same_fields_and_flags_override_it() {
    let place = Place::new();
    let data = place.write("table.csv", table(40));
    let job = format!(
        "data = [{data:?}]\ntarget = 'kind'\ntask = 'classification'\nhidden = [5]\nepochs = 7\nbatch_size = 8\n\
         optimizer = 'sgd'\nmomentum = 0.9\ntransport = 'memory'\nscaling = 'minmax'\n",
    );
    let job = place.write("job.toml", job);
    let arguments = ["train", "--job", job.to_str().unwrap(), "--epochs", "2"].map(str::to_owned);
    let report = report(&place, "report.json", &arguments);
    assert_eq!(report["training"]["epochs"], 2);
    assert_eq!(report["training"]["batch_size"], 8);
    assert_eq!(report["training"]["optimizer"], "sgd");
    assert_eq!(report["model"]["layers"], serde_json::json!([4, 5, 2]));
    assert_eq!(report["transport"], "memory");
}

#[test]
fn a_slower_network_is_imitated() {
    let place = Place::new();
    let data = place.write("table.csv", numbers(24));
    let data = data.to_str().unwrap();
    let flags =
        "--target price --task regression --hidden  --latency 2 --bandwidth 100 --target-scaling standard";
    for transport in ["memory", "tls"] {
        let arguments =
            ["train", "--data", data, "--transport", transport].into_iter().chain(flags.split(' '));
        let report = report(&place, "report.json", &arguments.map(str::to_owned).collect::<Vec<_>>());
        // Not every round makes every party wait.
        let rounds = number(&report, "/cost/rounds_per_batch") * number(&report, "/training/batches");
        assert!(number(&report, "/training/seconds") >= 0.001 * rounds, "{report}");
    }
}

#[test]
fn logs_hold_no_data_and_no_keys() {
    let place = Place::new();
    // Numbers that occur nowhere else.
    let rows = (0..20).map(|row| format!("{}.271828,{}", 31415 + row * row, row % 2));
    let rows = rows.collect::<Vec<_>>().join("\n");
    let data = place.write("table.csv", format!("feature,label\n{rows}\n"));
    let data = data.to_str().unwrap();
    for transport in ["tls", "memory"] {
        let flags =
            ["--target", "label", "--task", "classification", "--hidden", "3", "--transport", transport];
        let mut command = shamisen();
        command.env("RUST_LOG", "trace").args(["-vvvv", "train", "--data", data]).args(flags);
        let output = output(&mut command);
        let log = text(&output.stderr);
        assert!(output.status.success(), "{log}");
        assert!(!log.contains("271828"), "{log}");
        assert!(!log.contains("PRIVATE") && !log.contains("BEGIN"), "{log}");
    }
}

#[test]
fn an_estimate_tells_the_rounds_and_bytes_of_the_training() {
    let place = Place::new();
    let data = place.write("table.csv", table(120));
    for flags in
        ["--hidden 8,6 --epochs 3 --batch-size 20", "--hidden 8 --epochs 2 --batch-size 7 --optimizer sgd"]
    {
        let mut arguments = classify(&data);
        arguments.extend(flags.split(' ').map(str::to_owned));
        let told = succeed(shamisen().args(&arguments).arg("--estimate"));
        let value = |name: &str| {
            let line =
                told.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{told}"));
            line.trim().to_owned()
        };
        let measured = report(&place, "report.json", &arguments);
        let batches = number(&measured, "/training/batches");
        let rounds = number(&measured, "/cost/rounds_per_batch") * batches;
        let digits: String = value("rounds")
            .split(", ")
            .next()
            .unwrap_or_default()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        assert_eq!(digits, format!("{}", rounds.round()), "{told}");
        let sent: f64 =
            (0..3).map(|party| number(&measured, &format!("/cost/bytes_sent_per_batch/{party}"))).sum();
        let sent = sent * batches;
        let sent = if sent < 1e6 { format!("{:.1} kB", sent / 1e3) } else { format!("{:.2} MB", sent / 1e6) };
        let expected = format!("{sent} by all parties together");
        assert!(value("sent").starts_with(&expected), "{told} against {expected}");
        for name in ["memory", "time here", "time, LAN", "time, WAN"] {
            assert!(!value(name).is_empty());
        }
    }
    assert_eq!(place.names(), ["report.json", "table.csv"]);
}
