//! The few elements of SVG that drawings need, escaped as XML wants it.

use std::fmt::Write;

/// A drawing that is being written.
pub(super) struct Svg {
    text: String,
}

/// An element.
pub(super) struct Element {
    name: &'static str,
    attributes: String,
    content: Option<String>,
}

impl Svg {
    /// A drawing of a size, with a title and a description for those who do not see it, and a style sheet.
    pub(super) fn new(
        id: &str,
        (width, height): (f64, f64),
        (title, description): (&str, &str),
        style: &str,
    ) -> Self {
        let (id, title, description, style) =
            (escaped(id), escaped(title), escaped(description), escaped(style));
        Self {
            text: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
                 height=\"{height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
                 <title id=\"{id}-title\">{title}</title>\n\
                 <desc id=\"{id}-desc\">{description}</desc>\n\
                 <style>{style}</style>\n"
            ),
        }
    }

    /// Adds an element above those that are there.
    pub(super) fn add(&mut self, element: Element) {
        let Element { name, attributes, content } = element;
        // Writing to a string does not fail.
        let _ = match content {
            Some(content) => writeln!(self.text, "<{name}{attributes}>{content}</{name}>"),
            None => writeln!(self.text, "<{name}{attributes}/>"),
        };
    }

    /// The whole drawing.
    pub(super) fn text(self) -> String {
        self.text + "</svg>\n"
    }
}

impl Element {
    fn new(name: &'static str) -> Self {
        Self { name, attributes: String::new(), content: None }
    }

    /// A text whose baseline begins at a place.
    pub(super) fn text(x: f64, y: f64, text: &str) -> Self {
        let element = Self::new("text").with("x", &number(x)).with("y", &number(y));
        Self { content: Some(escaped(text)), ..element }
    }

    /// A line through some places.
    pub(super) fn line(places: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let places: Vec<String> =
            places.into_iter().map(|(x, y)| format!("{},{}", number(x), number(y))).collect();
        Self::new("polyline").with("points", &places.join(" "))
    }

    /// A disc around a place.
    pub(super) fn disc(x: f64, y: f64, radius: f64) -> Self {
        Self::new("circle").with("cx", &number(x)).with("cy", &number(y)).with("r", &number(radius))
    }

    /// A diamond around a place.
    pub(super) fn diamond(x: f64, y: f64, radius: f64) -> Self {
        let corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)];
        Self { name: "polygon", ..Self::line(corners) }
    }

    /// With classes of the style sheet.
    pub(super) fn class(self, class: &str) -> Self {
        self.with("class", class)
    }

    /// A text that ends at its place.
    pub(super) fn end(self) -> Self {
        self.with("text-anchor", "end")
    }

    /// A text whose middle is at its place.
    pub(super) fn middle(self) -> Self {
        self.with("text-anchor", "middle")
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        // Writing to a string does not fail.
        let _ = write!(self.attributes, " {name}=\"{}\"", escaped(value));
        self
    }
}

/// A coordinate with as many digits as a screen shows.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A text as XML wants it; characters that XML does not have become spaces.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_from_a_parser_as_they_were() {
        let wild = "a < b & \"c\" > 'd' ]]> é × — \u{1f600}";
        let mut svg = Svg::new("x", (10.0, 20.0), (wild, wild), "text{fill:#000}");
        svg.add(Element::text(1.0, 2.25, wild).class(wild).end());
        svg.add(Element::text(1.0, 2.0, "a\u{0}b\u{ffff}c"));
        let text = svg.text();
        let document = roxmltree::Document::parse(&text).unwrap();
        let all = |name: &'static str| {
            document.descendants().filter(move |node| node.has_tag_name(("http://www.w3.org/2000/svg", name)))
        };
        for name in ["title", "desc"] {
            assert_eq!(all(name).next().unwrap().text(), Some(wild));
        }
        let first = all("text").next().unwrap();
        assert_eq!((first.text(), first.attribute("class")), (Some(wild), Some(wild)));
        assert_eq!(first.attribute("y"), Some("2.2"));
        assert_eq!(all("text").next_back().unwrap().text(), Some("a b c"));
    }
}
