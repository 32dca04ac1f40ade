//! Dates as numbers: days since 1970-01-01, with a fraction for the time of day.

use jiff::Timestamp;
use jiff::civil::{DateTime, date};
use jiff::fmt::strtime;
use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};

const SECONDS_OF_A_DAY: f64 = 86_400.0;

/// How dates are written in a column.
///
/// The default is ISO 8601: `2026-03-01`, or with a time `2026-03-01T12:30:00` (a space in place of the `T` is understood), or with an
/// offset from UTC as well (`Z`, `+01:00`). What has an offset is turned into UTC; what has none is taken as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DateFormat(Option<String>);

impl DateFormat {
    /// Dates in a format of `strftime`, such as `%d.%m.%Y`.
    ///
    /// # Errors
    ///
    /// If the format has a directive that is unknown, or does not say which day it is.
    pub fn new(format: &str) -> Result<Self> {
        let wrong =
            |problem: &str| DataError::DateFormat { format: format.to_owned(), problem: problem.to_owned() };
        let example = date(2001, 2, 3).at(4, 5, 6, 0);
        let zoned = example.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| wrong(&error.to_string()))?;
        let text = strtime::format(format, &zoned).map_err(|error| wrong(&error.to_string()))?;
        match parse(format, &text) {
            Some(moment) if moment.date() == example.date() => Ok(Self(Some(format.to_owned()))),
            _ => Err(wrong("it does not say which day it is")),
        }
    }

    /// The format, if it is not ISO 8601.
    pub fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Days since 1970-01-01, or `None` if the text is no date of this format.
    pub(crate) fn days(&self, text: &str) -> Option<f64> {
        let moment = match &self.0 {
            Some(format) => parse(format, text)?,
            None => match text.parse::<Timestamp>() {
                Ok(moment) => in_utc(moment),
                Err(_) => text.parse::<DateTime>().ok()?,
            },
        };
        Some(days(moment))
    }
}

/// Days since 1970-01-01.
fn days(moment: DateTime) -> f64 {
    moment.duration_since(date(1970, 1, 1).at(0, 0, 0, 0)).as_secs_f64() / SECONDS_OF_A_DAY
}

fn in_utc(moment: Timestamp) -> DateTime {
    jiff::tz::Offset::UTC.to_datetime(moment)
}

/// A moment in a format of `strftime`.
fn parse(format: &str, text: &str) -> Option<DateTime> {
    let parts = strtime::parse(format, text).ok()?;
    if parts.offset().is_some() {
        return parts.to_timestamp().ok().map(in_utc);
    }
    parts.to_datetime().ok()
}

/// Days since 1970-01-01 of a moment that a file has as so many units since then, of which a day has `units_of_a_day`.
#[cfg(feature = "_columnar")]
pub(crate) fn days_of_units(units: i64, units_of_a_day: i64) -> f64 {
    // Whole days and the rest apart, so that no digit of nanoseconds is lost before it must.
    let (days, rest) = (units.div_euclid(units_of_a_day), units.rem_euclid(units_of_a_day));
    days as f64 + rest as f64 / units_of_a_day as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_since_1970() {
        let iso = DateFormat::default();
        for (text, days) in [
            ("1970-01-01", 0.0),
            ("1969-12-31", -1.0),
            ("2000-03-01", 11_017.0),
            ("2024-02-29", 19_782.0),
            ("1970-01-02T12:00:00", 1.5),
            ("1970-01-02 06:00", 1.25),
            ("1970-01-02T00:00:00Z", 1.0),
            ("1970-01-02T01:00:00+01:00", 1.0),
            ("1970-01-01T23:00:00-01:00", 1.0),
        ] {
            assert_eq!(iso.days(text), Some(days), "{text}");
        }
        for text in ["", "yesterday", "2023-02-29", "2024-13-01", "01.02.2024", "12:00"] {
            assert_eq!(iso.days(text), None, "{text}");
        }
    }

    /// The days of the civil calendar by the Julian day number (Fliegel and Van Flandern, 1968).
    fn julian(year: i64, month: i64, day: i64) -> f64 {
        let a = (month - 14) / 12;
        let number = (1461 * (year + 4800 + a)) / 4 + (367 * (month - 2 - 12 * a)) / 12
            - (3 * ((year + 4900 + a) / 100)) / 4
            + day
            - 32_075;
        (number - 2_440_588) as f64
    }

    #[test]
    fn any_format_gives_the_same_days() {
        let german = DateFormat::new("%d.%m.%Y").unwrap();
        let american = DateFormat::new("%m/%d/%y %H:%M").unwrap();
        for (year, month, day) in [(1970, 1, 1), (1999, 12, 31), (2000, 2, 29), (2026, 3, 1), (2068, 7, 4)] {
            let days = julian(year, month, day);
            assert_eq!(german.days(&format!("{day:02}.{month:02}.{year}")), Some(days));
            let text = format!("{month:02}/{day:02}/{:02} 18:00", year % 100);
            assert_eq!(american.days(&text), Some(days + 0.75), "{text}");
            assert_eq!(DateFormat::default().days(&format!("{year}-{month:02}-{day:02}")), Some(days));
        }
        assert_eq!(german.days("2026-03-01"), None);
    }

    #[test]
    fn formats_that_say_no_day_are_refused() {
        for format in ["%H:%M", "%Y", "%Q%Q", "", "day"] {
            let message = DateFormat::new(format).unwrap_err().to_string();
            assert!(message.contains("is no format of dates"), "{message}");
        }
    }

    #[test]
    #[cfg(feature = "_columnar")]
    fn units_of_files_are_days() {
        let days = [(-1, 1), (129_600_000, 86_400_000), (-43_200_000_000_000, 86_400_000_000_000)];
        let days = days.map(|(units, of_a_day)| Some(days_of_units(units, of_a_day)));
        assert_eq!(days, [-1.0, 1.5, -0.5].map(Some));
    }
}
