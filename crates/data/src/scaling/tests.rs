use proptest::prelude::*;

use super::*;

struct Table {
    features: Matrix,
    target: Vec<f64>,
}

fn table(cols: usize, values: Vec<f64>, target: Vec<f64>) -> Table {
    Table { features: Matrix::new(values.len() / cols, cols, values).unwrap(), target }
}

fn numbers(values: &[f64]) -> Vec<f64> {
    values.to_vec()
}

fn fit(table: &Table, scaling: Scaling, target_scaling: TargetScaling) -> Result<Preprocessing> {
    let cols = table.features.cols();
    let fitted = Fitted {
        path: Path::new("the data"),
        columns: (0..cols).map(|col| Column::number(&format!("f{col}"))).collect(),
        target_name: "y",
        features: &Statistics::of(table.features.values(), cols),
        categories_vary: false,
        target: FittedTarget::Numbers(&Statistics::of(&table.target, 1)),
    };
    Preprocessing::fit(fitted, scaling, target_scaling)
}

#[test]
fn standard_scaling_is_that_of_scikit_learn() {
    // StandardScaler().fit_transform([[0, 0, 5], [0, 2, 5], [1, 4, 5], [1, 10, 5]])
    let values = vec![0., 0., 5., 0., 2., 5., 1., 4., 5., 1., 10., 5.];
    let table = table(3, values, numbers(&[1., 2., 3., 4.]));
    let preprocessing = fit(&table, Scaling::Standard, TargetScaling::Standard).unwrap();
    assert_eq!(preprocessing.offset, [0.5, 4.0, 5.0]);
    assert_eq!(preprocessing.factor[2..], [0.0]);
    let mut features = table.features;
    preprocessing.apply(&mut features, 10.0).unwrap();
    let expected = [-1., -1.069_044_97, 0., -1., -0.534_522_48, 0., 1., 0., 0., 1., 1.603_567_45, 0.];
    for (value, expected) in features.values().iter().zip(expected) {
        assert!((value - expected).abs() < 1e-7, "{value} {expected}");
    }
    let target = preprocessing.target.unwrap();
    assert!((target.apply(1.0) + 1.341_640_786).abs() < 1e-8);
    assert!((target.invert(target.apply(3.25)) - 3.25).abs() < 1e-12);
}

#[test]
fn min_max_scaling_goes_from_0_to_1() {
    let table = table(2, vec![-2., 7., 0., 7., 6., 7.], numbers(&[1., 2., 3.]));
    let preprocessing = fit(&table, Scaling::MinMax, TargetScaling::None).unwrap();
    let mut features = table.features;
    preprocessing.apply(&mut features, 1.0).unwrap();
    assert_eq!(features.values(), [0., 0., 0.25, 0., 1., 0.]);
    assert_eq!(preprocessing.target, Some(Affine::IDENTITY));
}

#[test]
fn no_scaling_changes_nothing_even_where_constant() {
    let table = table(2, vec![1., 3., 2., 3.], numbers(&[1., 2.]));
    let preprocessing = fit(&table, Scaling::None, TargetScaling::Standard).unwrap();
    let mut features = table.features;
    preprocessing.apply(&mut features, 3.0).unwrap();
    assert_eq!(features.values(), [1., 3., 2., 3.]);
    let message = preprocessing.apply(&mut features, 2.0).unwrap_err().to_string();
    assert_eq!(
        message,
        "row 1, column `f1`: the value 3 is beyond ±2: choose standard or min-max scaling, or correct the value"
    );
}

#[test]
fn an_outlier_after_scaling_is_clipped_or_named() {
    let table = table(1, vec![1., 1.001, 1., 1.001], numbers(&[1., 2., 3., 4.]));
    let standard = fit(&table, Scaling::Standard, TargetScaling::None).unwrap();
    let mut test = Matrix::new(2, 1, vec![1.0, 2.0]).unwrap();
    standard.apply(&mut test, 256.0).unwrap();
    assert_eq!(test.values()[1..], [OUTLIER_LIMIT]);
    let mut test = Matrix::new(2, 1, vec![1.0, 2.0]).unwrap();
    let min_max = fit(&table, Scaling::MinMax, TargetScaling::None).unwrap();
    let message = min_max.apply(&mut test, 256.0).unwrap_err().to_string();
    assert!(message.contains("choose standard scaling"), "{message}");
    let mut nan = Matrix::new(1, 1, vec![f64::NAN]).unwrap();
    standard.apply(&mut nan, f64::MAX).unwrap_err();
}

#[test]
fn nothing_to_learn_is_an_error() {
    let constant = table(1, vec![2., 2.], numbers(&[1., 2.]));
    let message = fit(&constant, Scaling::Standard, TargetScaling::None).unwrap_err().to_string();
    assert!(message.contains("every feature column is constant"), "{message}");
    let constant = table(1, vec![1., 2.], numbers(&[0.5, 0.5]));
    let message = fit(&constant, Scaling::Standard, TargetScaling::None).unwrap_err().to_string();
    assert!(message.contains("column `y`: every training row has the target 0.5"), "{message}");
}

#[test]
fn a_matrix_of_other_columns_is_refused() {
    let table = table(1, vec![1., 2.], numbers(&[1., 2.]));
    let preprocessing = fit(&table, Scaling::Standard, TargetScaling::None).unwrap();
    let mut other = Matrix::new(1, 2, vec![0.0; 2]).unwrap();
    let message = preprocessing.apply(&mut other, 1.0).unwrap_err().to_string();
    assert!(message.contains("has 2 columns, but the preprocessing has 1"), "{message}");
}

#[test]
fn a_file_that_contradicts_itself_is_refused() {
    let table = table(1, vec![1., 2.], numbers(&[1., 2.]));
    let good = fit(&table, Scaling::Standard, TargetScaling::None).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("preprocessing.json");
    let bad = [
        Preprocessing { offset: vec![], ..good.clone() },
        Preprocessing { classes: vec!["a".to_owned()], ..good.clone() },
        Preprocessing { target: None, ..good.clone() },
    ];
    for bad in bad {
        bad.write(&path).unwrap();
        let message = Preprocessing::read(&path).unwrap_err().to_string();
        assert!(message.contains("preprocessing.json does not make sense"), "{message}");
    }
    good.write(&path).unwrap();
    assert_eq!(Preprocessing::read(&path).unwrap(), good);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn scaled_columns_have_the_promised_range(
        values in prop::collection::vec(
            prop_oneof![-1e3..1e3f64, -1e300..1e300f64, Just(0.0), Just(f64::MIN_POSITIVE / 4.0)],
            2..40,
        ),
    ) {
        let table = table(1, values.clone(), numbers(&values));
        for scaling in [Scaling::Standard, Scaling::MinMax] {
            let Ok(preprocessing) = fit(&table, scaling, TargetScaling::Standard) else { continue };
            let mut features = table.features.clone();
            preprocessing.apply(&mut features, 10.0)?;
            let (least, greatest) = Statistics::of(features.values(), 1).range(0);
            if scaling == Scaling::MinMax {
                prop_assert!(least >= 0.0 && greatest <= 1.0 + 1e-12);
            } else {
                let n = features.rows() as f64;
                let mean = features.values().iter().sum::<f64>() / n;
                let variance = features.values().iter().map(|v| v * v).sum::<f64>() / n;
                prop_assert!(mean.abs() < 1e-6, "{mean}");
                prop_assert!(variance < 1e-6 || (variance - 1.0).abs() < 1e-6, "{variance}");
            }
        }
    }

    #[test]
    fn statistics_come_back_bit_by_bit(offset in any::<f64>(), factor in any::<f64>()) {
        prop_assume!(offset.is_finite() && factor.is_finite());
        let preprocessing = Preprocessing {
            feature_names: vec!["ä\"\n".to_owned()],
            columns: vec![],
            images: None,
            target_name: "y".to_owned(),
            scaling: Scaling::MinMax,
            offset: vec![offset],
            factor: vec![factor],
            target: Some(Affine { offset: factor, factor: offset }),
            classes: vec![],
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.json");
        preprocessing.write(&path)?;
        prop_assert_eq!(Preprocessing::read(&path)?, preprocessing);
    }
}
