//! The table that a training is on: the columns of a data set that the job names, or data sets of several owners put together.

use std::collections::BTreeSet;

use shamisen_data::dataset::DatasetDescription;
use shamisen_data::scaling::{Scaling, TargetScaling};
use shamisen_data::table::TargetKind;
use shamisen_party::tables::{Join, LEAST_SHARE, Pooled, Table, Tables};

use crate::job::JobDocument;
use crate::manifest::{Manifest, Schema};

/// What is public about the table of a training.
pub(crate) struct JobTable {
    /// What its target holds.
    pub(crate) task: TargetKind,
    /// As of one data set, whose id is the job's.
    pub(crate) description: DatasetDescription,
    /// Names of columns and classes.
    pub(crate) schema: Schema,
    /// What the parties put together.
    pub(crate) tables: Tables,
    pub(crate) scaling: Scaling,
}

impl JobTable {
    /// The table of a job on these data sets, in the order of the document.
    ///
    /// Says why, if they are no table.
    pub(crate) fn new(document: &JobDocument, data: &[Manifest]) -> Result<Self, String> {
        let Some((task, first)) = data.iter().find_map(|data| Some((data.description.task?, data))) else {
            let names: Vec<&str> = data.iter().map(|manifest| manifest.name.as_str()).collect();
            return Err(format!(
                "none of the data sets ({}) has a target: join their columns with those of one that has, by --join columns",
                names.join(", ")
            ));
        };
        for other in data {
            check_alike(first, other)?;
        }
        match document.join {
            Join::Rows => rows(document, data, first, task),
            Join::Columns => columns(document, data, first, task),
        }
    }

    /// Features that are used of a data set, by its number.
    pub(crate) fn scaling_rows(&self, number: usize) -> Vec<u32> {
        let table = &self.tables.tables[number];
        let mut rows: Vec<u32> = match &table.columns {
            Some(columns) => columns.iter().map(|column| *column as u32).collect(),
            None => (0..table.features as u32).collect(),
        };
        if table.target && self.task == TargetKind::Number {
            rows.push(table.features as u32);
        }
        rows
    }
}

/// What data sets must have in common, however they are put together.
fn check_alike(first: &Manifest, other: &Manifest) -> Result<(), String> {
    let names = format!("the data sets {} and {}", first.name, other.name);
    if first.description.feature_frac != other.description.feature_frac {
        return Err(format!(
            "{names} are shared for networks of different widths: their owners have to give `put` the same --widest-layer"
        ));
    }
    if first.preparation.scaling != other.preparation.scaling {
        return Err(format!(
            "{names} are scaled differently: their owners have to give `put` the same --scaling"
        ));
    }
    if first.description.test_rows.is_some() != other.description.test_rows.is_some() {
        return Err(format!(
            "of {names}, one has rows to test on and the other has none: score on both or on neither"
        ));
    }
    Ok(())
}

/// Rows of all data sets, one below the other; all are like the `first` one with a target.
fn rows(
    document: &JobDocument,
    data: &[Manifest],
    first: &Manifest,
    task: TargetKind,
) -> Result<JobTable, String> {
    let features =
        if document.columns.is_empty() { first.schema.features.clone() } else { document.columns.clone() };
    let is_number = task == TargetKind::Number;
    for other in data {
        let names = format!("the data sets {} and {}", first.name, other.name);
        if document.columns.is_empty() && other.schema.features != first.schema.features {
            return Err(format!(
                "{names} have different columns, or in another order: name those that all of them have with --columns"
            ));
        }
        if (other.description.task, &other.schema.target) != (first.description.task, &first.schema.target) {
            return Err(format!("{names} have different targets: rows of one table have the same one"));
        }
        if other.schema.classes != first.schema.classes {
            return Err(format!(
                "{names} have different classes ({} and {}): rows of one table have the same ones",
                first.schema.classes.join(", "),
                other.schema.classes.join(", ")
            ));
        }
        if is_number && other.preparation.target_scaling != first.preparation.target_scaling {
            return Err(format!(
                "the targets of {names} are scaled differently: their owners have to give `put` the same --target-scaling"
            ));
        }
    }
    let several = data.len() > 1;
    if several && first.preparation.scaling == Scaling::MinMax {
        return Err("rows of several owners are scaled together by means and deviations, and these data sets by their least and greatest values: their owners have to give `put` --scaling standard or none".into());
    }
    let pooled = Pooled {
        features: several && first.preparation.scaling == Scaling::Standard,
        target: several && is_number && first.preparation.target_scaling == TargetScaling::Standard,
    };
    let all: usize = data.iter().map(|manifest| manifest.description.rows).fold(0, usize::saturating_add);
    if pooled.any()
        && let Some(small) = data
            .iter()
            .find(|manifest| (manifest.description.rows as u64) < (all as u64).div_ceil(LEAST_SHARE))
    {
        return Err(format!(
            "the data set {} has {} of {all} rows: each needs one in {LEAST_SHARE} at least to be scaled with the others",
            small.name, small.description.rows
        ));
    }
    let test_rows = first.description.test_rows.is_some().then(|| {
        data.iter().filter_map(|manifest| manifest.description.test_rows).fold(0, usize::saturating_add)
    });
    for count in [Some(all), test_rows].into_iter().flatten() {
        if u32::try_from(count).is_err() {
            return Err(format!(
                "the data sets have {count} rows together, and a table has at most {}",
                u32::MAX
            ));
        }
    }
    let table = |manifest: &Manifest| {
        let columns = if document.columns.is_empty() { None } else { Some(places(manifest, &features)?) };
        Ok(table(manifest, columns, true))
    };
    let tables = data.iter().map(table).collect::<Result<_, String>>()?;
    let target_bits = data.iter().map(|manifest| {
        let bits = manifest.description.target_bits;
        if pooled.target { rescaled_bits(bits, manifest.description.rows, all) } else { bits }
    });
    let description = DatasetDescription {
        id: document.id.clone(),
        rows: all,
        test_rows,
        features: features.len(),
        target_bits: target_bits.max().unwrap_or(0),
        ..first.description.clone()
    };
    let schema = Schema { features, ..first.schema.clone() };
    let tables = Tables { join: Join::Rows, pooled, tables };
    Ok(JobTable { task, description, schema, tables, scaling: first.preparation.scaling })
}

/// How large a target of `rows` rows of `all` can be when it is rescaled, as a power of two, if it is at most `2^bits` as its owner
/// has scaled it.
///
/// By `a t + b`, with `a^2 + b^2` at most the inverse of the owner's part of the rows.
fn rescaled_bits(bits: u32, rows: usize, all: usize) -> u32 {
    let most = (all as f64 / rows as f64 * (f64::from(2 * bits).exp2() + 1.0)).sqrt();
    most.log2().ceil() as u32
}

/// Columns of all data sets, side by side; the target is that of the `first` one that has one.
fn columns(
    document: &JobDocument,
    data: &[Manifest],
    first: &Manifest,
    task: TargetKind,
) -> Result<JobTable, String> {
    for other in data {
        let names = format!("the data sets {} and {}", first.name, other.name);
        let rows = |manifest: &Manifest| (manifest.description.rows, manifest.description.test_rows);
        if rows(first) != rows(other) {
            return Err(format!(
                "{names} have different numbers of rows: columns are joined of the same rows in the same order"
            ));
        }
        if first.preparation.seed != other.preparation.seed {
            return Err(format!(
                "of {names}, other rows are held out for the test: their owners have to give `put` the same --seed and --test-fraction"
            ));
        }
    }
    let mut seen = BTreeSet::from([first.schema.target.clone()]);
    let mut features = Vec::new();
    let mut tables = Vec::new();
    for manifest in data {
        let own = &manifest.schema.features;
        let used: Vec<String> = if document.columns.is_empty() {
            own.clone()
        } else {
            document.columns.iter().filter(|column| own.contains(column)).cloned().collect()
        };
        if let Some(twice) = used.iter().find(|column| !seen.insert((*column).clone())) {
            return Err(format!(
                "the column {twice:?} of the data set {} is in another one as well, or is the target: name the columns that are wanted with --columns, or let its owner rename it",
                manifest.name
            ));
        }
        let gives_target = core::ptr::eq(manifest, first);
        if used.is_empty() && !gives_target {
            return Err(format!("no column of the data set {} is used: leave it out", manifest.name));
        }
        tables.push(table(manifest, Some(places(manifest, &used)?), gives_target));
        features.extend(used);
    }
    if let Some(missing) = document.columns.iter().find(|column| !features.contains(column)) {
        return Err(format!("none of the data sets has the column {missing:?}"));
    }
    let description =
        DatasetDescription { id: document.id.clone(), features: features.len(), ..first.description.clone() };
    let schema = Schema { features, ..first.schema.clone() };
    let tables = Tables { join: Join::Columns, pooled: Pooled::default(), tables };
    Ok(JobTable { task, description, schema, tables, scaling: first.preparation.scaling })
}

fn table(manifest: &Manifest, columns: Option<Vec<usize>>, target: bool) -> Table {
    let description = &manifest.description;
    Table {
        dataset: manifest.id.clone(),
        features: description.features,
        columns,
        rows: description.rows,
        target,
    }
}

/// The places of columns in a data set.
fn places(manifest: &Manifest, columns: &[String]) -> Result<Vec<usize>, String> {
    let place = |column: &String| {
        let place = manifest.schema.features.iter().position(|feature| feature == column);
        place.ok_or_else(|| format!("the data set {} has no column {column:?}", manifest.name))
    };
    columns.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::document::tests::{document, key, setting};
    use crate::manifest::tests::example;

    fn job(join: Join, columns: &[&str]) -> JobDocument {
        let mut document = document(key(5), vec![setting()]);
        document.join = join;
        document.columns = columns.iter().map(|&column| column.to_owned()).collect();
        document
    }

    fn named(name: &str) -> Manifest {
        Manifest { name: name.into(), ..example(3, 5) }
    }

    #[test]
    fn rows_of_two_owners_are_one_table() {
        let mut second = named("b");
        second.description.rows = 60;
        let table = JobTable::new(&job(Join::Rows, &[]), &[named("a"), second]).unwrap();
        let description = table.description;
        assert_eq!((description.rows, description.test_rows, description.features), (100, Some(20), 2));
        assert_eq!(table.tables.pooled, Pooled { features: true, target: false });
        assert!(table.tables.tables.iter().all(|table| table.columns.is_none() && table.target));
        // One data set is as its owner has scaled it.
        let table = JobTable::new(&job(Join::Rows, &["weight"]), &[named("a")]).unwrap();
        assert_eq!((table.schema.features, table.tables.pooled), (vec!["weight".into()], Pooled::default()));
        assert_eq!(table.tables.tables[0].columns, Some(vec![1]));
    }

    #[test]
    fn named_columns_may_stand_in_any_order() {
        let mut second = named("b");
        second.schema.features = vec!["weight".into(), "age".into()];
        let table = JobTable::new(&job(Join::Rows, &["age", "weight"]), &[named("a"), second]).unwrap();
        let places: Vec<_> = table.tables.tables.into_iter().map(|table| table.columns.unwrap()).collect();
        assert_eq!(places, [vec![0, 1], vec![1, 0]]);
    }

    #[test]
    fn columns_of_two_owners_are_one_table() {
        let mut second = named("b");
        second.schema.features = vec!["income".into(), "debt".into()];
        let data = [named("a"), second];
        let table = JobTable::new(&job(Join::Columns, &[]), &data).unwrap();
        assert_eq!(table.schema.features, ["age", "weight", "income", "debt"]);
        assert_eq!((table.description.rows, table.description.features), (40, 4));
        let targets: Vec<_> = table.tables.tables.iter().map(|table| table.target).collect();
        assert_eq!((targets, table.tables.pooled), (vec![true, false], Pooled::default()));
        let table = JobTable::new(&job(Join::Columns, &["debt", "age"]), &data).unwrap();
        assert_eq!(table.schema.features, ["age", "debt"]);

        // The target is of the first one that has one.
        let mut features = named("features");
        (features.description.task, features.description.outputs) = (None, 0);
        features.id = "f".repeat(32);
        (features.schema.target, features.schema.classes) = (String::new(), Vec::new());
        let [first, second] = data;
        let data = [features, second];
        let table = JobTable::new(&job(Join::Columns, &[]), &data).unwrap();
        assert_eq!((table.schema.target.as_str(), table.task), ("readmitted", TargetKind::Classes));
        let targets: Vec<_> = table.tables.tables.iter().map(|table| table.target).collect();
        assert_eq!((targets, table.description.outputs), (vec![false, true], 2));
        let problem = JobTable::new(&job(Join::Rows, &[]), &[first, data[0].clone()]).err().unwrap();
        assert!(problem.contains("different targets"), "{problem}");
        let problem = JobTable::new(&job(Join::Rows, &[]), &data[..1]).err().unwrap();
        assert!(problem.contains("none of the data sets (features) has a target"), "{problem}");
    }

    #[test]
    fn what_is_no_table_is_said() {
        type Change = fn(&mut Manifest);
        let refused = |join, columns: &[&str], change: Change, part: &str| {
            let mut second = named("b");
            if join == Join::Columns {
                second.schema.features = vec!["income".into(), "debt".into()];
            }
            change(&mut second);
            let problem = JobTable::new(&job(join, columns), &[named("a"), second]).err().unwrap_or_default();
            assert!(problem.contains(part), "{problem:?} has no {part:?}");
        };
        let rows: [(Change, &str); 10] = [
            (|m| m.schema.features.reverse(), "different columns"),
            (|m| m.schema.target = "other".into(), "different targets"),
            (|m| m.schema.classes[1] = "maybe".into(), "different classes (no, yes and no, maybe)"),
            (|m| m.description.feature_frac = 13, "--widest-layer"),
            (|m| m.preparation.scaling = Scaling::None, "--scaling"),
            (|m| m.description.test_rows = None, "score on both or on neither"),
            (|m| m.description.rows = 1 << 17, "the data set a has 40 of 131112 rows"),
            (|m| m.description.rows = 1 << 33, "the data set a has 40"),
            (|m| m.description.task = Some(TargetKind::Number), "different targets"),
            (|m| m.description.task = None, "different targets"),
        ];
        for (change, part) in rows {
            refused(Join::Rows, &[], change, part);
        }
        refused(Join::Rows, &["age", "height"], |_| (), "the data set a has no column \"height\"");
        let columns: [(Change, &str); 4] = [
            (|m| m.description.rows = 41, "different numbers of rows"),
            (|m| m.preparation.seed = Some(2), "the same --seed"),
            (|m| m.schema.features[0] = "age".into(), "the column \"age\" of the data set b"),
            (|m| m.schema.features[0] = "readmitted".into(), "or is the target"),
        ];
        for (change, part) in columns {
            refused(Join::Columns, &[], change, part);
        }
        refused(Join::Columns, &["age", "height"], |_| (), "no column of the data set b is used");
        refused(
            Join::Columns,
            &["debt", "height"],
            |_| (),
            "none of the data sets has the column \"height\"",
        );
        let scaled = |name: &str| {
            let mut manifest = named(name);
            manifest.preparation.scaling = Scaling::MinMax;
            manifest
        };
        let problem = JobTable::new(&job(Join::Rows, &[]), &[scaled("a"), scaled("b")]).err().unwrap();
        assert!(problem.contains("--scaling standard or none"), "{problem}");
    }

    #[test]
    fn a_rescaled_target_is_within_its_bound() {
        // Two halves: at most the root of 2 times that of 4^2 + 1.
        assert_eq!(rescaled_bits(2, 50, 100), 3);
        assert_eq!(rescaled_bits(2, 100, 100), 3);
        assert_eq!(rescaled_bits(3, 1, 1024), 9);
    }
}
