//! What flags and job files say of columns that are more than numbers.
//!
//! A flag is `COLUMN` or `COLUMN=...`. A job file has the same text, a list of such, or a table with the columns as names.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use shamisen_data::columns::{ColumnRules, DateFormat, MissingRule};
use shamisen_data::npy::column_name;

use crate::failure::{Failure, Result};

/// A column of categories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CategoricalColumn {
    column: String,
    categories: Option<Vec<String>>,
}

/// A column of dates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DateColumn {
    column: String,
    format: Option<String>,
}

/// What stands in for missing values, in a column or in all that have no other rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MissingChoice {
    column: Option<String>,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
enum Rule {
    Mean,
    Constant(f64),
}

impl FromStr for CategoricalColumn {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (column, listed) = parts(text)?;
        let categories = listed.map(|listed| listed.split(',').map(|name| name.trim().to_owned()).collect());
        Ok(Self { column, categories })
    }
}

impl FromStr for DateColumn {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (column, format) = parts(text)?;
        Ok(Self { column, format: format.map(str::to_owned) })
    }
}

impl FromStr for MissingChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if let Some(rule) = rule(text) {
            return Ok(Self { column: None, rule });
        }
        let of_column = |(at, _)| Some((&text[..at], rule(&text[at + 1..])?));
        match text.match_indices('=').find_map(of_column) {
            Some((column, rule)) if !column.is_empty() => Ok(Self { column: Some(column.to_owned()), rule }),
            _ => Err("give mean, constant=NUMBER, COLUMN=mean or COLUMN=constant=NUMBER".to_owned()),
        }
    }
}

/// A rule as text.
fn rule(text: &str) -> Option<Rule> {
    if text == "mean" {
        return Some(Rule::Mean);
    }
    text.strip_prefix("constant=")?.trim().parse().ok().map(Rule::Constant)
}

/// A column and what is said of it.
fn parts(text: &str) -> std::result::Result<(String, Option<&str>), String> {
    let (column, rest) = text.split_once('=').map_or((text, None), |(column, rest)| (column, Some(rest)));
    if column.is_empty() {
        return Err("name a column".to_owned());
    }
    Ok((column.to_owned(), rest))
}

/// What a job file can say of a column in a table.
pub(crate) trait OfColumn: FromStr<Err = String> {
    /// What is said of the column of this name.
    fn of_column(column: String, said: Said) -> Option<Self>;

    /// What is expected there.
    const EXPECTED: &'static str;
}

/// A value of a table.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Said {
    Names(Vec<String>),
    Text(String),
    Number(f64),
}

impl OfColumn for CategoricalColumn {
    const EXPECTED: &'static str = "a list of categories, or [] for those that are found";

    fn of_column(column: String, said: Said) -> Option<Self> {
        let Said::Names(names) = said else { return None };
        Some(Self { column, categories: (!names.is_empty()).then_some(names) })
    }
}

impl OfColumn for DateColumn {
    const EXPECTED: &'static str = "a format such as \"%d.%m.%Y\", or \"\" for ISO 8601";

    fn of_column(column: String, said: Said) -> Option<Self> {
        let Said::Text(format) = said else { return None };
        Some(Self { column, format: (!format.is_empty()).then_some(format) })
    }
}

impl OfColumn for MissingChoice {
    const EXPECTED: &'static str = "\"mean\", \"constant=NUMBER\" or a number";

    fn of_column(column: String, said: Said) -> Option<Self> {
        let rule = match said {
            Said::Names(_) => return None,
            Said::Text(text) => rule(&text)?,
            Said::Number(number) => Rule::Constant(number),
        };
        Some(Self { column: Some(column), rule })
    }
}

/// Reads what a job file says of columns.
pub(crate) fn of_columns<'de, D: Deserializer<'de>, T: OfColumn>(
    deserializer: D,
) -> std::result::Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Columns {
        One(String),
        Several(Vec<String>),
        Table(BTreeMap<String, Said>),
    }
    let parse =
        |text: String| text.parse().map_err(|problem| D::Error::custom(format!("`{text}`: {problem}")));
    match Columns::deserialize(deserializer)? {
        Columns::One(text) => Ok(vec![parse(text)?]),
        Columns::Several(texts) => texts.into_iter().map(parse).collect(),
        Columns::Table(table) => {
            let of_column = |(column, said): (String, Said)| {
                let wrong = format!("the column `{column}` needs {}", T::EXPECTED);
                T::of_column(column, said).ok_or_else(|| D::Error::custom(wrong))
            };
            table.into_iter().map(of_column).collect()
        }
    }
}

/// All that is said of columns; those of arrays may be given by their numbers.
///
/// # Errors
///
/// If the same is said twice of a column, or a format of dates is none.
pub(crate) fn rules(
    categorical: &[CategoricalColumn],
    dates: &[DateColumn],
    missing: &[MissingChoice],
    are_arrays: bool,
) -> Result<ColumnRules> {
    let name = |column: &String| match column.parse() {
        Ok(position) if are_arrays => column_name(position),
        _ => column.clone(),
    };
    let twice = |flag: &str, column: &str| {
        Failure::input(format!("{flag} names the column `{column}` twice: say it once"))
    };
    let mut rules = ColumnRules::default();
    for CategoricalColumn { column, categories } in categorical {
        if rules.categorical.insert(name(column), categories.clone()).is_some() {
            return Err(twice("--categorical", column));
        }
    }
    for DateColumn { column, format } in dates {
        let format = format.as_deref().map_or_else(|| Ok(DateFormat::default()), DateFormat::new)?;
        if rules.dates.insert(name(column), format).is_some() {
            return Err(twice("--date", column));
        }
    }
    for MissingChoice { column, rule } in missing {
        let rule = match *rule {
            Rule::Mean => MissingRule::Mean,
            Rule::Constant(constant) => MissingRule::Constant(constant),
        };
        match column {
            None if rules.missing.replace(rule).is_some() => {
                return Err(Failure::input(
                    "--missing has two rules for all columns: give one, and others as COLUMN=mean or COLUMN=constant=NUMBER",
                ));
            }
            Some(column) if rules.missing_in.insert(name(column), rule).is_some() => {
                return Err(twice("--missing", column));
            }
            _ => {}
        }
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_columns_and_more() {
        let sex: CategoricalColumn = "sex=f, m".parse().unwrap();
        assert_eq!(
            (sex.column.as_str(), sex.categories.unwrap()),
            ("sex", vec!["f".to_owned(), "m".to_owned()])
        );
        assert_eq!("sex".parse::<CategoricalColumn>().unwrap().categories, None);
        assert_eq!("day=%d=%m".parse::<DateColumn>().unwrap().format.unwrap(), "%d=%m");
        let missing = |text: &str| text.parse::<MissingChoice>().map(|choice| (choice.column, choice.rule));
        assert_eq!(missing("mean"), Ok((None, Rule::Mean)));
        assert_eq!(missing("constant=-1.5"), Ok((None, Rule::Constant(-1.5))));
        assert_eq!(missing("age=mean"), Ok((Some("age".to_owned()), Rule::Mean)));
        assert_eq!(missing("a=b=constant=0"), Ok((Some("a=b".to_owned()), Rule::Constant(0.0))));
        assert_eq!(missing("constant=mean"), Ok((Some("constant".to_owned()), Rule::Mean)));
        for text in ["", "median", "constant=x", "age=", "=mean"] {
            assert!(missing(text).is_err(), "{text}");
        }
        assert!("=a,b".parse::<CategoricalColumn>().is_err());
    }

    #[test]
    fn arrays_have_columns_by_number() {
        let all = rules(&["3".parse().unwrap()], &["7".parse().unwrap()], &["2=mean".parse().unwrap()], true)
            .unwrap();
        assert!(all.categorical.contains_key("column3") && all.dates.contains_key("column7"));
        assert!(all.missing_in.contains_key("column2"));
        let all = rules(&["3".parse().unwrap()], &[], &[], false).unwrap();
        assert!(all.categorical.contains_key("3"));
    }
}
