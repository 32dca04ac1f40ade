//! Drawings of two series beside each other on a logarithmic axis, as SVG that is readable on light and dark pages.
//!
//! Nothing is drawn behind the figures, colours follow the reader's choice (`prefers-color-scheme`), and the two series differ
//! in shape as well.

mod axis;
mod svg;

use std::fmt::Write;

use crate::bench::plot::axis::Axis;
use crate::bench::plot::svg::{Element, Svg};

/// Two series of figures, and what is written around them.
pub(crate) struct Plot {
    /// A name that no other drawing on a page has, of letters, digits and dashes.
    pub(crate) id: String,
    pub(crate) title: String,
    /// What the figures are, in a line below the title.
    pub(crate) subtitle: String,
    /// What the horizontal axis shows.
    pub(crate) horizontal: String,
    /// What the vertical axis shows.
    pub(crate) vertical: String,
    /// Names of the series; the first has the larger figures.
    pub(crate) series: [String; 2],
    /// Whether the points of a series have an order, so that a line joins them.
    pub(crate) joined: bool,
    pub(crate) points: Vec<Point>,
}

/// A figure of each series at one place of the horizontal axis.
pub(crate) struct Point {
    /// The place.
    pub(crate) label: String,
    /// The figures, above 0.
    pub(crate) values: [f64; 2],
    /// What is written at them.
    pub(crate) texts: [String; 2],
    /// What is written between them.
    pub(crate) between: String,
}

/// Size of the drawing, and of the field for the figures in it.
const SIZE: (f64, f64) = (760.0, 440.0);
const LEFT: f64 = 80.0;
const RIGHT: f64 = SIZE.0 - 32.0;
const TOP: f64 = 140.0;
const BOTTOM: f64 = SIZE.1 - 72.0;
/// Where titles begin.
const MARGIN: f64 = 32.0;

/// Classes of the series.
const CLASSES: [&str; 2] = ["first", "second"];

/// Colours on a light page and on a dark one; the series' are told apart by colour-blind readers, too.
const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.title{font-size:18px;font-weight:600}\
.value{font-weight:600}\
.quiet{fill:#59636e}\
.grid{stroke:#d1d9e0}\
.axis{stroke:#818b98}\
.stem{stroke:#818b98;stroke-dasharray:1 5;stroke-linecap:round;stroke-width:2}\
.line{fill:none;stroke-width:2;stroke-opacity:.45}\
.first{fill:#a84300}.line.first{fill:none;stroke:#a84300}\
.second{fill:#0a5ca8}.line.second{fill:none;stroke:#0a5ca8}\
@media (prefers-color-scheme:dark){\
text{fill:#e6edf3}\
.quiet{fill:#9198a1}\
.grid{stroke:#30363d}\
.axis{stroke:#656c76}\
.stem{stroke:#656c76}\
.first{fill:#f0a35e}.line.first{fill:none;stroke:#f0a35e}\
.second{fill:#6cb6ff}.line.second{fill:none;stroke:#6cb6ff}\
}";

impl Plot {
    /// The drawing, or nothing if there is a figure that is not above 0, or none at all.
    pub(crate) fn svg(&self) -> Option<String> {
        let values = self.points.iter().flat_map(|point| point.values);
        let axis = Axis::around(values, (TOP, BOTTOM))?;
        let mut svg = Svg::new(&self.id, SIZE, (&self.title, &self.description()), STYLE);
        let labels: Vec<Label> =
            self.points.iter().enumerate().flat_map(|(at, point)| self.labels(at, point, &axis)).collect();
        self.draw_heads(&mut svg);
        self.draw_axes(&axis, &labels, &mut svg);
        if self.joined {
            for (series, class) in CLASSES.into_iter().enumerate() {
                let places = self.points.iter().enumerate();
                let places = places.map(|(at, point)| (self.across(at), axis.place(point.values[series])));
                svg.add(Element::line(places).class(&format!("line {class}")));
            }
        }
        for (at, point) in self.points.iter().enumerate() {
            self.draw_point(at, point, &axis, &mut svg);
        }
        for label in labels {
            svg.add(label.element());
        }
        Some(svg.text())
    }

    /// All that is drawn, in words.
    fn description(&self) -> String {
        let mut text = format!("{} ", self.subtitle);
        for Point { label, texts: [first, second], between, .. } in &self.points {
            let [one, other] = &self.series;
            // Writing to a string does not fail.
            let _ = write!(text, "{} {label}: {one} {first}, {other} {second}, {between}. ", self.horizontal);
        }
        text.trim_end().to_owned()
    }

    fn draw_heads(&self, svg: &mut Svg) {
        svg.add(Element::text(MARGIN, 40.0, &self.title).class("title"));
        svg.add(Element::text(MARGIN, 64.0, &self.subtitle).class("quiet"));
        let mut x = MARGIN + 6.0;
        for (series, name) in self.series.iter().enumerate() {
            svg.add(mark(series, x, 92.0));
            svg.add(Element::text(x + 14.0, 96.5, name));
            x += 14.0 + width(name) + 28.0;
        }
    }

    fn draw_axes(&self, axis: &Axis, labels: &[Label], svg: &mut Svg) {
        for tick in axis.ticks() {
            let y = axis.place(tick.value);
            // The line leaves out what is written there.
            let mut x = LEFT;
            for (from, to) in labels.iter().filter_map(|label| label.across(y)) {
                svg.add(Element::line([(x, y), (from, y)]).class("grid"));
                x = to;
            }
            svg.add(Element::line([(x, y), (RIGHT, y)]).class("grid"));
            svg.add(Element::text(LEFT - 12.0, y + 4.5, &tick.text).class("quiet").end());
        }
        svg.add(Element::line([(LEFT, BOTTOM), (RIGHT, BOTTOM)]).class("axis"));
        svg.add(Element::text(MARGIN, TOP - 14.0, &self.vertical).class("quiet"));
        let middle = f64::midpoint(LEFT, RIGHT);
        svg.add(Element::text(middle, BOTTOM + 50.0, &self.horizontal).class("quiet").middle());
    }

    /// What is written at a point, in order from the left.
    fn labels(&self, at: usize, point: &Point, axis: &Axis) -> Vec<Label> {
        let x = self.across(at);
        let places = point.values.map(|value| axis.place(value));
        let (above, below) = ends(places);
        let mut labels: Vec<Label> = (0..2)
            .map(|series| Label {
                x,
                baseline: if places[series] > above { below + 24.0 } else { above - 14.0 },
                text: point.texts[series].clone(),
                class: format!("value {}", CLASSES[series]),
                centred: true,
            })
            .collect();
        if below - above > LEAST_STEM {
            labels.push(Label {
                x: x + 10.0,
                baseline: f64::midpoint(above, below) + 4.5,
                text: point.between.clone(),
                class: "quiet".to_owned(),
                centred: false,
            });
        }
        labels
    }

    fn draw_point(&self, at: usize, point: &Point, axis: &Axis, svg: &mut Svg) {
        let x = self.across(at);
        let places = point.values.map(|value| axis.place(value));
        let (above, below) = ends(places);
        if below - above > LEAST_STEM {
            svg.add(Element::line([(x, above + 12.0), (x, below - 12.0)]).class("stem"));
        }
        for (series, y) in places.into_iter().enumerate() {
            svg.add(mark(series, x, y));
        }
        svg.add(Element::text(x, BOTTOM + 24.0, &point.label).middle());
    }

    /// Where a point stands on the horizontal axis.
    fn across(&self, at: usize) -> f64 {
        LEFT + (at as f64 + 0.5) * (RIGHT - LEFT) / self.points.len() as f64
    }
}

/// The upper one of two places, and the lower one.
fn ends([one, other]: [f64; 2]) -> (f64, f64) {
    (one.min(other), one.max(other))
}

/// The least distance of two marks between which a stem is drawn, and something written.
const LEAST_STEM: f64 = 40.0;

/// A text in the field.
struct Label {
    x: f64,
    baseline: f64,
    text: String,
    class: String,
    /// Whether `x` is its middle, and not its beginning.
    centred: bool,
}

impl Label {
    fn element(&self) -> Element {
        let element = Element::text(self.x, self.baseline, &self.text).class(&self.class);
        if self.centred { element.middle() } else { element }
    }

    /// From where to where it stands in the way of a horizontal line, if it does.
    fn across(&self, y: f64) -> Option<(f64, f64)> {
        let width = width(&self.text);
        let from = if self.centred { self.x - width / 2.0 } else { self.x };
        let crossed = y > self.baseline - 13.0 && y < self.baseline + 4.0;
        crossed.then_some((from - 4.0, from + width + 4.0))
    }
}

/// About as much room as a text takes: which font there is, is not known here.
fn width(text: &str) -> f64 {
    7.5 * text.chars().count() as f64
}

/// A diamond for the first series, a disc for the second.
fn mark(series: usize, x: f64, y: f64) -> Element {
    let mark = if series == 0 { Element::diamond(x, y, 7.0) } else { Element::disc(x, y, 5.5) };
    mark.class(CLASSES[series])
}

#[cfg(test)]
mod tests;
