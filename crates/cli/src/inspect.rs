//! `inspect`: what is known of a model, of a shared data set, or of a training that keeps checkpoints, without opening a share.

use std::fs;
use std::path::Path;

use shamisen_data::checkpoint;
use shamisen_data::dataset;
use shamisen_data::scaling::{Affine, Scaling};
use shamisen_data::table::TargetKind;
use shamisen_local::dataset::read_shares;
use shamisen_local::predict::SharedModel;
use shamisen_local::resume::{OwnersPart, read_assignment};
use shamisen_local::share::party_dirs;
use shamisen_nn::checkpoint::State;

use crate::args::InspectArguments;
use crate::failure::{Failure, Result};
use crate::summary::{bytes, counted, grouped, layers, line, scores, seconds, task};

/// Carries out `inspect`.
pub(crate) fn run(arguments: &InspectArguments) -> Result<()> {
    match (&arguments.model, &arguments.shares, &arguments.checkpoint) {
        (Some(dir), ..) => model(dir),
        (None, Some(dir), _) => shares(dir),
        (None, None, Some(dir)) => training(dir),
        (None, None, None) => {
            Err(Failure::input("nothing is named: give --model DIR, --shares DIR or --checkpoint DIR"))
        }
    }
}

/// Prints the description of a shared data set whose files are all there and whole.
fn shares(dir: &Path) -> Result<()> {
    let (description, preprocessing) = read_shares(dir)?;
    let dirs = party_dirs(dir);
    dataset::check_shares(&dirs, &description)?;
    let target = &preprocessing.target_name;
    let task = match description.task {
        Some(TargetKind::Classes) => format!("classification of `{target}`"),
        Some(TargetKind::Number) => format!("regression of `{target}`"),
        None => "none: there is no target".to_owned(),
    };
    let names = &preprocessing.feature_names;
    let mut lines = vec![
        ("data set", description.id.clone()),
        ("task", task),
        ("training rows", grouped(description.rows as u64)),
        ("test rows", description.test_rows.map_or("none".to_owned(), |rows| grouped(rows as u64))),
        (
            "features",
            format!("{} ({} scaling): {}", names.len(), scaling(preprocessing.scaling), shortened(names)),
        ),
    ];
    match preprocessing.target {
        None if description.task.is_none() => {}
        None => lines.push(("classes", shortened(&preprocessing.classes))),
        Some(map) => {
            let how = if map == Affine::IDENTITY { "none" } else { "standard" };
            lines.push(("target scaling", format!("{how}; at most 2^{} as scaled", description.target_bits)));
        }
    }
    lines.push((
        "numbers",
        format!("{} fractional bits, targets {}", description.feature_frac, description.target_frac),
    ));
    for (party, dir) in dirs.iter().enumerate() {
        let size = |entry: fs::DirEntry| entry.metadata().map(|metadata| metadata.len());
        let sizes = fs::read_dir(dir).map_err(|error| Failure::file("read", dir, &error))?;
        let sum: u64 = sizes.flatten().filter_map(|entry| size(entry).ok()).sum();
        let name = ["party 0", "party 1", "party 2"][party];
        lines.push((name, format!("{}: present and whole", bytes(sum as f64))));
    }
    lines.push((
        "security",
        "semi-honest: no single party's directory tells anything about the rows".to_owned(),
    ));
    print(&lines)
}

/// Prints the description of a model whose files are all there and whole.
fn model(dir: &Path) -> Result<()> {
    let SharedModel { description, training: summary, preprocessing, .. } = SharedModel::read(dir)?;
    let plan = &summary.plan;
    let mut lines = vec![
        ("model", description.id.clone()),
        ("task", format!("{} of `{}`", task(plan.task), description.target_name)),
        ("network", format!("{}, {} parameters", layers(&plan.layers), grouped(description.parameters))),
        (
            "features",
            format!("{} ({} scaling)", description.feature_names.len(), scaling(preprocessing.scaling)),
        ),
    ];
    if !description.classes.is_empty() {
        lines.push(("classes", shortened(&description.classes)));
    }
    lines.push((
        "training",
        format!(
            "{}, {}, {}",
            counted(summary.rows, "row"),
            counted(plan.epochs, "epoch"),
            seconds(summary.seconds)
        ),
    ));
    for (name, value) in scores(&summary.scores, None) {
        lines.push((name, format!("{value} on {}", summary.scored_on)));
    }
    lines.push(("shares", format!("{}: present and whole", description.share_files.join(", "))));
    lines.push(("security", "semi-honest: no single share file tells anything about the weights".to_owned()));
    print(&lines)
}

/// Prints how far a training is that keeps checkpoints, and which of them are whole.
fn training(dir: &Path) -> Result<()> {
    let (owner, preprocessing) = OwnersPart::read(dir)?;
    let dirs = party_dirs(dir);
    let (assignment, _) = read_assignment(&dirs)?;
    let plan = &assignment.plan;
    let batches = owner.rows.div_ceil(plan.batch_size);
    let mut lines = vec![
        ("task", format!("{} of `{}`", task(plan.task), preprocessing.target_name)),
        ("network", format!("{}, {} parameters", layers(&plan.layers), grouped(plan.parameters() as u64))),
        (
            "training",
            format!(
                "{}, {}, each of {}",
                counted(owner.rows, "row"),
                counted(plan.epochs, "epoch"),
                counted(batches, "mini-batch")
            ),
        ),
    ];
    let mut whole: Vec<Vec<(u64, Option<f64>)>> = Vec::with_capacity(3);
    for (party, dir) in dirs.iter().enumerate() {
        let (mut good, mut texts) = (Vec::new(), Vec::new());
        for number in checkpoint::numbers(dir)? {
            match checkpoint::read::<State>(dir, number, None) {
                Ok(stored) => {
                    texts.push(format!("{number} is whole"));
                    // After the keys come the losses.
                    let losses = stored.vectors.get(1).and_then(|losses| losses.last().copied());
                    good.push((number, losses.map(f64::from_bits)));
                }
                Err(error) => texts.push(format!("{number} is not ({error})")),
            }
        }
        let name = ["party 0", "party 1", "party 2"][party];
        let texts = if texts.is_empty() { "none".to_owned() } else { texts.join(", ") };
        lines.push((name, format!("checkpoints: {texts}")));
        whole.push(good);
    }
    let everywhere = |number: u64| whole.iter().all(|good| good.iter().any(|(found, _)| *found == number));
    let last =
        whole.iter().flatten().filter(|(number, _)| everywhere(*number)).max_by_key(|(number, _)| number);
    lines.push((
        "progress",
        match last {
            Some((number, loss)) => {
                let (epochs, batch) = (*number as usize / batches, *number as usize % batches);
                let loss = loss.map_or(String::new(), |loss| format!(", last loss {loss:.4}"));
                format!("{} and {}{loss}", counted(epochs, "epoch"), counted(batch, "mini-batch"))
            }
            None if whole.iter().flatten().all(|(number, _)| *number == 0) => {
                "nothing is kept yet".to_owned()
            }
            None => "the three have no checkpoint in common".to_owned(),
        },
    ));
    lines.push((
        "security",
        "semi-honest: no single party's directory tells anything about rows or weights".to_owned(),
    ));
    print(&lines)
}

fn print(lines: &[(&str, String)]) -> Result<()> {
    let text: String = lines.iter().map(|(name, value)| line(name, value)).collect();
    crate::print(&text)
}

/// How features are scaled, in a word.
pub(crate) fn scaling(scaling: Scaling) -> &'static str {
    match scaling {
        Scaling::Standard => "standard",
        Scaling::MinMax => "min-max",
        Scaling::None => "none",
    }
}

/// The first names of a long list.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown =
        names.iter().take(SHOWN).map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
