use shamisen_data::prepare::{PrepareOptions, Source, TestSource};
use shamisen_data::scaling::Scaling;
use shamisen_local::Failure::Input;

use super::*;

fn fields(text: &str) -> JobFields {
    toml::from_str(text).unwrap()
}

fn table(rows: Rows) -> PrepareOptions {
    match rows {
        Rows::Table(table) => *table,
        Rows::Shares(dir) => panic!("{}", dir.display()),
    }
}

#[test]
fn the_target_of_arrays_is_a_number_or_the_last_column() {
    let target = |text: &str| match table(fields(text).resolve().unwrap().rows).source {
        Source::Files { target, .. } => target,
        other => panic!("{other:?}"),
    };
    assert_eq!(target("task = 'regression'\ndata = ['a.npy']"), None);
    assert_eq!(target("task = 'regression'\ndata = ['a.npy']\ntarget = '7'").unwrap(), "column7");
    assert_eq!(target("task = 'regression'\ndata = ['a.npy']\ntarget = 'column7'").unwrap(), "column7");
    assert_eq!(target("task = 'regression'\ndata = ['a.csv']\ntarget = '7'").unwrap(), "7");
}

#[test]
fn shares_in_the_flags_replace_the_table_of_the_file() {
    let flags = JobFields { shares: Some("dir".into()), ..JobFields::default() };
    let file = "data = ['a.csv']\ntarget = 'y'\ntask = 'regression'\ntest_fraction = 0.5\nepochs = 3";
    let job = flags.or(fields(file)).resolve().unwrap();
    assert!(matches!(job.rows, Rows::Shares(_)) && job.epochs == 3);
}

#[test]
fn flags_override_the_file_and_defaults_fill_the_rest() {
    let file = fields(
        "data = ['a.csv']\ntarget = 'y'\ntask = 'regression'\nhidden = [20, 20]\nepochs = 50\nseed = 3",
    );
    let flags = JobFields { epochs: Some(2), test_fraction: Some(0.0), ..JobFields::default() };
    let job = flags.or(file).resolve().unwrap();
    assert_eq!((job.epochs, job.hidden, job.seed, job.learning_rate), (2, vec![20, 20], 3, 0.001));
    let table = table(job.rows);
    assert!(matches!(table.test, TestSource::None));
    assert_eq!((table.scaling, table.seed), (Scaling::Standard, 3));
}

#[test]
fn a_source_in_the_flags_replaces_that_of_the_file() {
    let flags = JobFields { mnist: Some("dir".into()), ..JobFields::default() };
    let job = flags.or(fields("data = ['a.csv']")).resolve().unwrap();
    let table = table(job.rows);
    assert!(matches!(table.source, Source::Mnist { .. }));
    assert!(matches!(table.test, TestSource::Included));
    assert_eq!(table.scaling, Scaling::Standard);
}

#[test]
fn contradictions_are_named() {
    for (text, part) in [
        ("", "no task"),
        ("task = 'regression'", "no data"),
        ("task = 'regression'\ndata = ['a']", "no target"),
        ("task = 'regression'\ndata = ['a']\nmnist = 'b'", "exclude"),
        ("mnist = 'b'\nmomentum = 0.9", "--momentum"),
        ("mnist = 'b'\noptimizer = 'sgd'\nrefresh = 2", "--refresh"),
        ("mnist = 'b'\ntest = ['a']\ntest_fraction = 0.5", "exclude"),
        ("images = 'a'\ndata = ['b']", "--images excludes"),
        ("images = 'a'\ntask = 'regression'", "names of their directories"),
        ("sql = 'SELECT 1'\ntask = 'regression'", "--sql needs a database"),
        ("sql = 'SELECT 1'\ndatabase = 'a.db'\ntask = 'regression'", "no target"),
        ("sql = 'SELECT 1'\ndata = ['b']\ntask = 'regression'", "--sql excludes"),
        ("mnist = 'b'\nimage_size = '3x3'", "--image-size is for --images"),
        ("shares = 'a'\ntask = 'regression'", "--task"),
        ("shares = 'a'\ntest_fraction = 0.5", "--test-fraction"),
        ("shares = 'a'\ntwin = true", "--twin"),
        ("mnist = 'b'\nlatency = -1.0", "latency"),
        ("mnist = 'b'\ndeadline = nan", "deadline"),
    ] {
        match fields(text).resolve() {
            Err(Failure::Told(Input(message))) => {
                assert!(message.text.contains(part), "{text}: {}", message.text);
            }
            other => panic!("{text}: {other:?}"),
        }
    }
}
