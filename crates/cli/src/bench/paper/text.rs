//! The measured tables as text, for the screen and as Markdown.

use crate::bench::paper::figures::{Measurements, Row};
use crate::bench::paper::large::ROWS;
use crate::bench::paper::tables::{LARGE, Score, Table, Time};
use crate::bench::table::{aligned, markdown};
use crate::summary::{counted, grouped};

/// The sentence that says how tables are to be read.
pub(super) const HOW_TO_READ: &str = "Seconds are wall time of training proper, of the slowest party: without sharing the data, connecting and scoring. \
     % is accuracy on the test rows. Faster: the paper's time divided by ours. Better: our score less the paper's. A time with ~ \
     is extrapolated.";

/// A table for the screen.
pub(super) fn plain(table: &Table, measured: &Measurements) -> String {
    let (heads, rows) = cells(table, measured);
    let rows: Vec<&[String]> = rows.iter().map(Vec::as_slice).collect();
    let notes = notes(table, measured).join(" ");
    format!("Table {}: {}\n\n{}\n{}", table.number, table.title, aligned(&heads, &rows), wrapped(&notes, 110))
}

/// A table in Markdown, with its drawing if there is one at this path.
pub(super) fn in_markdown(table: &Table, measured: &Measurements, drawing: Option<&str>) -> String {
    let (heads, rows) = cells(table, measured);
    let rows: Vec<&[String]> = rows.iter().map(Vec::as_slice).collect();
    let title = format!("Table {}: {}", table.number, table.title);
    let drawing = drawing.map(|path| format!("\n![{title}]({path})\n")).unwrap_or_default();
    let notes = notes(table, measured).join("\n");
    format!("#### {title}\n\n{}\n{notes}\n{drawing}", markdown(&heads, &rows))
}

/// What a column says of a row, if it says something.
type Cell<'a> = &'a dyn Fn(&Row) -> Option<String>;

/// Heads and cells, without the columns that have nothing.
fn cells(table: &Table, measured: &Measurements) -> (Vec<String>, Vec<Vec<String>>) {
    let score = match table.score {
        Score::Accuracy => "%",
        Score::R2 => "R2",
    };
    let time = match table.time {
        Time::Epoch => "s an epoch",
        Time::Training => "s",
    };
    let in_unit = |value: f64| match table.score {
        Score::Accuracy => format!("{:.2}", 100.0 * value),
        Score::R2 => format!("{value:.4}"),
    };
    let difference = |value: f64| match table.score {
        Score::Accuracy => format!("{:+.2}", 100.0 * value),
        Score::R2 => format!("{value:+.4}"),
    };
    let own_time = |row: &Row| {
        let mark = if row.ours.extrapolated { "~" } else { "" };
        row.ours.seconds.map(|seconds| format!("{mark}{}", duration(seconds)))
    };
    let memory = |row: &Row| {
        let most = row.ours.peak_rss_bytes.into_iter().max().filter(|_| table.number == LARGE);
        most.map(|bytes| format!("{:.0}", bytes as f64 / 1e6))
    };
    let columns: [(String, Cell<'_>); 9] = [
        (format!("paper, {time}"), &|row| row.paper.seconds.map(duration)),
        (format!("ours, {time}"), &own_time),
        ("faster".to_owned(), &|row| row.times_as_fast.map(|times| format!("{times:.1} x"))),
        (format!("paper, {score}"), &|row| row.paper.score.map(in_unit)),
        (format!("scikit-learn, {score}"), &|row| row.paper.sklearn_score.map(in_unit)),
        (format!("ours, {score}"), &|row| row.ours.score.map(in_unit)),
        (format!("float twin, {score}"), &|row| row.ours.twin_score.map(in_unit)),
        ("better".to_owned(), &|row| row.score_difference.map(difference)),
        ("MB of a party".to_owned(), &memory),
    ];
    let mut heads = vec![table.first.to_owned()];
    let mut rows: Vec<Vec<String>> = measured.rows.iter().map(|row| vec![row.name.to_owned()]).collect();
    for (head, cell) in columns {
        let cells: Vec<Option<String>> = measured.rows.iter().map(cell).collect();
        // The paper has accuracies beside which ours are missing without MNIST: that is shown.
        let wanted =
            head == format!("ours, {score}") && measured.rows.iter().any(|row| row.paper.score.is_some());
        if wanted || cells.iter().any(Option::is_some) {
            heads.push(head);
            for (row, cell) in rows.iter_mut().zip(cells) {
                row.push(cell.unwrap_or_else(|| "-".to_owned()));
            }
        }
    }
    (heads, rows)
}

/// What one has to know to compare.
fn notes(table: &Table, measured: &Measurements) -> Vec<String> {
    let mut notes = vec![table.note.to_owned()];
    let ours = || measured.rows.iter().map(|row| &row.ours);
    let shortened = || ours().filter(|ours| ours.extrapolated);
    let Some(most) = shortened().map(|ours| ours.batches).max() else { return notes };
    let least = shortened().map(|ours| ours.batches).min().unwrap_or(most);
    let batches = if least == most {
        counted(most, "mini-batch")
    } else {
        format!("{least} to {}", counted(most, "mini-batch"))
    };
    let rows = shortened().map(|ours| ours.rows).max().unwrap_or_default();
    let of_all = if table.number == LARGE {
        format!(" on {} of {} rows", grouped(rows as u64), grouped(ROWS as u64))
    } else {
        String::new()
    };
    notes.push(format!("Extrapolated from {batches}{of_all}."));
    if ours().any(|ours| ours.score.is_some()) {
        notes.push("Scores are of these short trainings.".to_owned());
    }
    notes
}

/// Seconds with three digits or so.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds >= 100.0 => grouped(seconds.round() as u64),
        _ if seconds >= 10.0 => format!("{seconds:.1}"),
        _ => format!("{seconds:.2}"),
    }
}

/// A text in lines of at most so many characters, where words allow it.
pub(super) fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let more = word.chars().count();
        if length > 0 && length + 1 + more > width {
            out.push('\n');
            length = 0;
        }
        if length > 0 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += more;
    }
    out.push('\n');
    out
}
