//! That drawings are well-formed, complete and readable.

use super::*;

fn plot(joined: bool) -> Plot {
    let point = |label: &str, values: [f64; 2]| Point {
        label: label.to_owned(),
        values,
        texts: values.map(|value| value.to_string()),
        between: format!("{}\u{d7}", values[0] / values[1]),
    };
    Plot {
        id: "table-8".to_owned(),
        title: "Rows & columns".to_owned(),
        subtitle: "Seconds.".to_owned(),
        horizontal: "rows".to_owned(),
        vertical: "seconds".to_owned(),
        series: ["theirs <2020>".to_owned(), "ours".to_owned()],
        joined,
        points: vec![point("64", [583.0, 18.5]), point("128", [312.0, 11.25])],
    }
}

#[test]
fn a_drawing_is_well_formed_and_says_all_figures() {
    for joined in [false, true] {
        let text = plot(joined).svg().unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let root = document.root_element();
        assert_eq!(root.attribute("role"), Some("img"));
        for id in root.attribute("aria-labelledby").unwrap().split(' ') {
            assert!(document.descendants().any(|node| node.attribute("id") == Some(id)), "{id}");
        }
        let texts: Vec<&str> = root
            .children()
            .filter(|node| node.tag_name().name() == "text")
            .filter_map(|node| node.text())
            .collect();
        let all = [
            "583",
            "18.5",
            "312",
            "11.25",
            "64",
            "128",
            "rows",
            "seconds",
            "Rows & columns",
            "theirs <2020>",
        ];
        for part in all {
            assert!(texts.contains(&part), "no {part} in {texts:?}");
        }
        let description = root.children().find(|node| node.tag_name().name() == "desc");
        let description = description.and_then(|node| node.text()).unwrap();
        assert!(description.contains("rows 64: theirs <2020> 583, ours 18.5"), "{description}");
        assert_eq!(text.matches("class=\"line ").count(), if joined { 2 } else { 0 });
    }
}

#[test]
fn everything_is_inside() {
    let text = plot(true).svg().unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    for node in document.descendants().filter(|node| node.tag_name().name() == "text") {
        let place = |name| node.attribute(name).and_then(|place| place.parse::<f64>().ok()).unwrap();
        let half = 3.5 * node.text().unwrap_or_default().chars().count() as f64;
        let (before, after) = match node.attribute("text-anchor") {
            Some("end") => (2.0 * half, 0.0),
            Some(_) => (half, half),
            None => (0.0, 2.0 * half),
        };
        let (x, y) = (place("x"), place("y"));
        assert!(x - before > 0.0 && x + after < SIZE.0, "{:?} at {x}", node.text());
        assert!(y > 13.0 && y < SIZE.1 - 5.0, "{:?} at {y}", node.text());
    }
}

#[test]
fn lines_leave_out_what_is_written_on_them() {
    let mut left_out = 0;
    for first in (50..1500).step_by(7) {
        let mut plot = plot(false);
        plot.points[0].values = [f64::from(first), 18.5];
        let text = plot.svg().unwrap();
        let document = roxmltree::Document::parse(&text).unwrap();
        let of_class = |class: &'static str| {
            document
                .descendants()
                .filter(move |node| node.attribute("class").is_some_and(|all| all.starts_with(class)))
        };
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<f64>().ok()).unwrap();
        for line in of_class("grid") {
            let places: Vec<f64> = line
                .attribute("points")
                .unwrap()
                .split([' ', ','])
                .map(|place| number(Some(place)))
                .collect();
            let (from, to, y) = (places[0], places[2], places[1]);
            assert!(from < to, "{places:?}");
            left_out += usize::from(from > LEFT);
            for label in of_class("value") {
                let (x, baseline) = (number(label.attribute("x")), number(label.attribute("y")));
                let crossed = y > baseline - 11.0 && y < baseline + 2.0;
                assert!(!crossed || x + 10.0 < from || x - 10.0 > to, "{:?} at {places:?}", label.text());
            }
        }
    }
    assert!(left_out > 0);
    let label =
        Label { x: 100.0, baseline: 50.0, text: "1234".to_owned(), class: String::new(), centred: true };
    assert_eq!(label.across(45.0), Some((81.0, 119.0)));
    assert_eq!(label.across(60.0), None);
}

#[test]
fn what_cannot_be_drawn_is_not() {
    assert!(Plot { points: vec![], ..plot(true) }.svg().is_none());
    let mut zero = plot(true);
    zero.points[0].values[1] = 0.0;
    assert!(zero.svg().is_none());
}

/// Relative luminance as WCAG 2 defines it.
fn luminance(colour: &str) -> f64 {
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
}

#[test]
fn texts_stand_out_from_light_and_dark_pages() {
    let (light, dark) = STYLE.split_once("@media").unwrap();
    for (rules, page) in [(light, "#ffffff"), (dark, "#0d1117"), (dark, "#22272e")] {
        let fills: Vec<&str> = rules.match_indices("fill:#").map(|(at, _)| &rules[at + 5..at + 12]).collect();
        assert_eq!(fills.len(), 4, "texts, quiet ones, and two series");
        for colour in fills {
            let (one, other) = (luminance(colour), luminance(page));
            let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
            assert!(contrast >= 4.5, "{colour} on {page}: {contrast:.2}");
        }
    }
}
