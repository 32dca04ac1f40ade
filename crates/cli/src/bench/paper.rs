//! `bench paper`: the experiments of the paper whose protocols this program set out from, its figures beside ours.

mod drawing;
mod figures;
mod large;
mod markdown;
mod measured;
mod rows;
mod tables;
mod text;
mod trainer;

use std::fs;
use std::path::PathBuf;

use shamisen_local::store::{check_writable, write_atomically};
use shamisen_local::transport::Joined;
use shamisen_nn::formats::CHECK_EVERY;

use crate::bench::args::PaperArguments;
use crate::bench::document::{Machine, write_json};
use crate::bench::paper::figures::{Figures, LeftOut, Measurements, Row};
use crate::bench::paper::large::Large;
use crate::bench::paper::markdown::Section;
use crate::bench::paper::measured::Measured;
use crate::bench::paper::tables::{Data, LARGE, Shape, TABLES, Table};
use crate::bench::paper::text::{HOW_TO_READ, in_markdown, plain, wrapped};
use crate::bench::paper::trainer::{Setting, Trainer};
use crate::failure::{Failure, Result};
use crate::summary::counted;

/// Characters of a line of text.
const WIDTH: usize = 110;

/// What is said where the rows are not MNIST's.
const SYNTHETIC: &str = "The rows are synthetic and of MNIST's shape: times are as with MNIST, and accuracies would say nothing. \
                         For these give --mnist DIR.";

/// Carries out `bench paper`.
pub(crate) fn run(arguments: &PaperArguments, verbose: u8) -> Result<()> {
    arguments.json.as_deref().map_or(Ok(()), check_writable)?;
    if !(arguments.minutes > 0.0 && arguments.minutes <= 1e6) {
        return Err(Failure::input(format!(
            "the training of a row may take {} minutes: give --minutes above 0",
            arguments.minutes
        )));
    }
    let section = arguments.markdown.as_deref().map(Section::find).transpose()?;
    if let Some(dir) = &arguments.plots {
        fs::create_dir_all(dir).map_err(|error| Failure::file("create", dir, &error))?;
    }
    let setting = Setting::new(arguments, verbose)?;
    let machine = Machine::new(Some(arguments.transport));
    let intro = intro(arguments, &machine);
    crate::print(&format!("{intro}\n"))?;

    let mut trainer = Trainer::new(arguments, &setting);
    let mut figures = Figures {
        data: if arguments.mnist.is_some() { "MNIST" } else { "synthetic" },
        quick_batches: setting.quick,
        tables: Vec::new(),
        left_out: Vec::new(),
    };
    let mut pieces = vec![intro];
    for table in wanted(&arguments.table) {
        match measure(table, arguments, &setting, &mut trainer)? {
            Outcome::Measured(measured) => {
                crate::print(&format!("{}\n", plain(table, &measured)))?;
                let drawn = draw(table, &measured, arguments)?;
                let path = section.as_ref().zip(drawn).map(|(section, path)| section.link(&path));
                pieces.push(in_markdown(table, &measured, path.as_deref()));
                figures.tables.push(measured);
            }
            Outcome::LeftOut(why) => {
                let sentence = format!("Table {} is left out: {why}.", table.number);
                crate::print(&format!("{}\n", wrapped(&sentence, WIDTH)))?;
                pieces.push(format!("{sentence}\n"));
                figures.left_out.push(LeftOut { table: table.number, why });
            }
        }
        // After each table, so that a failure in a later one loses nothing.
        if let Some(section) = &section {
            section.write(&pieces.join("\n"))?;
        }
        write_json("paper", machine.clone(), &figures, arguments.json.as_deref())?;
    }
    Ok(())
}

/// Where and how it is measured.
fn intro(arguments: &PaperArguments, machine: &Machine) -> String {
    let mut intro = machine.line(&Joined::from(arguments.transport).of_training()) + "\n";
    let mut sentences = vec![HOW_TO_READ.to_owned()];
    let on_mnist = |table: &Table| table.lines.iter().any(|line| line.shape.data == Data::Mnist);
    if arguments.mnist.is_none() && wanted(&arguments.table).any(on_mnist) {
        sentences.push(SYNTHETIC.to_owned());
    }
    if arguments.quick {
        sentences.push(format!(
            "Quick: extrapolated from {} or so of each training, after {CHECK_EVERY} to warm up.",
            counted(arguments.batches, "mini-batch")
        ));
    }
    for sentence in sentences {
        intro.push_str(&wrapped(&sentence, WIDTH));
    }
    intro
}

/// The tables with these numbers, or all if there are none.
fn wanted(numbers: &[u8]) -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(move |table| numbers.is_empty() || numbers.contains(&table.number))
}

/// What came of a table.
enum Outcome {
    Measured(Measurements),
    /// Nothing, for this reason.
    LeftOut(String),
}

/// Measures a table, if there is what it needs.
fn measure(
    table: &Table,
    arguments: &PaperArguments,
    setting: &Setting,
    trainer: &mut Trainer<'_>,
) -> Result<Outcome> {
    let shapes: Vec<Shape> = table.lines.iter().map(|line| line.shape).collect();
    if shapes.iter().any(|shape| shape.data == Data::Boston) && arguments.boston.is_none() {
        let why = "it needs the Boston housing table: give --boston FILE.csv, whose target is MEDV";
        return Ok(Outcome::LeftOut(why.to_owned()));
    }
    let timed = table.lines.iter().any(|line| line.paper.seconds.is_some());
    if !timed && shapes.iter().any(|shape| shape.data == Data::Mnist) && arguments.mnist.is_none() {
        let why = "it compares accuracies, which need MNIST: give --mnist DIR";
        return Ok(Outcome::LeftOut(why.to_owned()));
    }
    let measured: Vec<Measured> = if table.number == LARGE {
        trainer.forget();
        match large::measure(&shapes, arguments.minutes, setting)? {
            Large::Measured(measured) => measured,
            Large::LeftOut(why) => return Ok(Outcome::LeftOut(why)),
        }
    } else {
        shapes.into_iter().map(|shape| trainer.measure(shape, table.twin)).collect::<Result<_>>()?
    };
    let rows = table.lines.iter().zip(&measured).map(|(line, measured)| Row::new(table, line, measured));
    Ok(Outcome::Measured(Measurements {
        table: table.number,
        title: table.title,
        time: table.time,
        score: table.score,
        rows: rows.collect(),
    }))
}

/// Draws a table that is to be drawn, and returns where.
fn draw(table: &Table, measured: &Measurements, arguments: &PaperArguments) -> Result<Option<PathBuf>> {
    let Some(dir) = &arguments.plots else { return Ok(None) };
    let Some(svg) = drawing::svg(table, measured) else { return Ok(None) };
    let path = dir.join(format!("table-{}.svg", table.number));
    write_atomically(&path, svg.as_bytes())?;
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_picked_by_their_numbers() {
        assert!(wanted(&[]).map(|table| table.number).eq(7..=15));
        assert!(wanted(&[9, 8]).map(|table| table.number).eq(8..=9));
    }
}
