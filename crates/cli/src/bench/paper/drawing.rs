//! Drawings of the measured tables.

use crate::bench::paper::figures::Measurements;
use crate::bench::paper::tables::{Table, Time};
use crate::bench::paper::text::duration;
use crate::bench::plot::{Plot, Point};

/// The table as SVG, if it is to be drawn.
pub(super) fn svg(table: &Table, measured: &Measurements) -> Option<String> {
    let drawing = table.plot?;
    let points = measured.rows.iter().filter_map(|row| {
        let (paper, ours) = row.paper.seconds.zip(row.ours.seconds)?;
        Some(Point {
            label: row.name.to_owned(),
            values: [paper, ours],
            texts: [paper, ours].map(duration),
            between: format!("{:.0}\u{d7}", paper / ours),
        })
    });
    let time = match table.time {
        Time::Epoch => "Seconds an epoch",
        Time::Training => "Seconds of the whole training",
    };
    let extrapolated = measured.rows.iter().any(|row| row.ours.extrapolated);
    let how = if extrapolated { ", ours extrapolated from a part" } else { "" };
    let plot = Plot {
        id: format!("table-{}", table.number),
        title: format!("Table {}: {}", table.number, table.title),
        subtitle: format!("{time}{how}. The axis is logarithmic; lower is faster."),
        horizontal: drawing.axis.to_owned(),
        vertical: "seconds".to_owned(),
        series: ["the paper (2020)".to_owned(), "Shamisen".to_owned()],
        joined: drawing.joined,
        points: points.collect(),
    };
    plot.svg()
}
