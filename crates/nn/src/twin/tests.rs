use super::*;

const ROWS: usize = 13;

fn plan(task: Task, layers: &[usize], optimizer: Optimizer) -> Plan {
    Plan {
        task,
        layers: layers.to_vec(),
        optimizer,
        learning_rate: 0.01,
        weight_decay: 0.0,
        batch_size: ROWS,
        epochs: 3,
        seed: 11,
        feature_bits: 9,
        target_bits: 0,
    }
}

/// Features that are smooth but of no pattern, and targets that depend on them.
fn examples(plan: &Plan, rows: usize) -> (Vec<f64>, Vec<f64>) {
    let (width, columns) = (plan.features(), plan.outputs());
    let x: Vec<f64> = (0..rows * width).map(|i| (i as f64 * 1.7).sin() + (i as f64 * 0.31).cos()).collect();
    let y = x.chunks(width).flat_map(|row| match plan.task {
        Task::Classification => {
            let class = (row.iter().sum::<f64>().abs() * 3.0) as usize % columns;
            (0..columns).map(|k| f64::from(u8::from(k == class))).collect::<Vec<_>>()
        }
        Task::Regression => (0..columns).map(|k| 0.5 + row[k % width] - row[0] * k as f64).collect(),
    });
    let y = y.collect();
    (x, y)
}

fn run(plan: &Plan, rows: usize) -> TwinModel {
    let (features, targets) = examples(plan, rows);
    train(plan, PlainExamples { features: &features, targets: &targets, rows }, |_, _, _| ())
}

fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{i}: {a} instead of {b}");
    }
}

/// `c = a b` for row-major matrices, the slow way.
fn product(a: &[f64], b: &[f64], (n, k, m): (usize, usize, usize)) -> Vec<f64> {
    let element = |i: usize, j: usize| (0..k).map(|t| a[i * k + t] * b[t * m + j]).sum::<f64>();
    (0..n * m).map(|at| element(at / m, at % m)).collect()
}

#[test]
fn gradients_match_finite_differences() {
    for task in [Task::Classification, Task::Regression] {
        for layers in [&[4, 3][..], &[4, 5, 3], &[4, 6, 5, 7, 3], &[3, 4, 1]] {
            if task == Task::Classification && layers.ends_with(&[1]) {
                continue;
            }
            let mut plan = plan(task, layers, Optimizer::adam(1));
            plan.weight_decay = 0.1;
            let (x, y) = examples(&plan, ROWS);
            let x = matrix(&x, ROWS, plan.features());
            let y = matrix(&y, ROWS, plan.outputs());

            // Biases that are not 0 move the kinks of ReLU away from where rows of zeros would put them.
            let start: Vec<f64> = initial_parameters(&plan)
                .iter()
                .enumerate()
                .map(|(i, w)| w + 0.1 * (i as f64).sin())
                .collect();
            let penalised = |parameters: &[f64]| {
                let layers = Layers::of(&plan.layers, parameters);
                let squares: f64 = layers.0.iter().map(|(w, _)| w.mapv(|w| w * w).sum()).sum();
                loss_and_gradient(&plan, parameters, &x, &y).0 + 0.5 * plan.weight_decay * squares
            };
            let expected: Vec<f64> = (0..start.len())
                .map(|i| {
                    let at = |shift: f64| {
                        let mut moved = start.clone();
                        moved[i] += shift;
                        penalised(&moved)
                    };
                    (at(1e-6) - at(-1e-6)) / 2e-6
                })
                .collect();
            assert_close(&loss_and_gradient(&plan, &start, &x, &y).1, &expected, 1e-7);
        }
    }
}

/// Adam on one parameter, written from algorithm 1 of the paper.
fn scalar_adam(mut w: f64, gradients: &[f64], alpha: f64, refresh: usize) -> f64 {
    let (mut m, mut v, mut last, mut preconditioner) = (0.0, 0.0, 0, f64::NAN);
    for (i, g) in gradients.iter().enumerate() {
        let t = i as i32 + 1;
        m = 0.8 * m + 0.2 * g;
        let m_hat = m / (1.0 - 0.8_f64.powi(t));
        if t <= 10 || (t as usize).is_multiple_of(refresh) {
            let kept = 0.95_f64.powi(t - last);
            last = t;
            v = kept * v + (1.0 - kept) * g * g;
            let v_hat = v / (1.0 - 0.95_f64.powi(t));
            preconditioner = 1.0 / (v_hat.sqrt() + 1e-8);
        }
        w -= alpha * m_hat * preconditioner;
    }
    w
}

#[test]
fn adam_matches_a_scalar_reference() {
    for refresh in [1, 4, 16] {
        let optimizer = Optimizer::Adam { beta1: 0.8, beta2: 0.95, refresh };
        let plan = plan(Task::Regression, &[2, 1], optimizer);
        let gradients: Vec<[f64; 3]> =
            (0..41).map(f64::from).map(|t| [t.sin() + 0.3, 1e-9 * t.cos(), 0.0]).collect();

        let start = [0.5, -0.25, 1.0];
        let mut parameters = start.to_vec();
        let mut state = OptimizerState::new(&plan);
        for gradient in &gradients {
            state.step(&mut parameters, gradient);
        }
        let expected: Vec<f64> = (0..3)
            .map(|i| {
                let of_one: Vec<f64> = gradients.iter().map(|g| g[i]).collect();
                scalar_adam(start[i], &of_one, plan.learning_rate, refresh as usize)
            })
            .collect();
        assert_close(&parameters, &expected, 1e-12);
    }
}

#[test]
fn momentum_matches_a_scalar_reference() {
    let plan = plan(Task::Regression, &[1, 1], Optimizer::Sgd { momentum: 0.9 });
    let mut parameters = vec![1.0, 2.0];
    let mut state = OptimizerState::new(&plan);
    state.step(&mut parameters, &[1.0, 0.5]);
    state.step(&mut parameters, &[-2.0, 0.5]);
    // Velocities 1, -1.1 and 0.5, 0.95.
    assert_close(&parameters, &[1.0 - 0.01 * (1.0 - 1.1), 2.0 - 0.01 * (0.5 + 0.95)], 1e-15);
}

#[test]
fn without_hidden_layers_it_is_linear_regression() {
    let mut plan = plan(Task::Regression, &[3, 2], Optimizer::Sgd { momentum: 0.0 });
    (plan.learning_rate, plan.weight_decay, plan.epochs) = (0.1, 0.05, 20);
    let (x, y) = examples(&plan, ROWS);

    let mut w = initial_parameters(&plan);
    for _ in 0..plan.epochs {
        let mut error = product(&x, &w[..6], (ROWS, 3, 2));
        for (at, e) in error.iter_mut().enumerate() {
            *e = (*e + w[6 + at % 2] - y[at]) / ROWS as f64;
        }
        let transposed: Vec<f64> = (0..3 * ROWS).map(|at| x[at % ROWS * 3 + at / ROWS]).collect();
        let of_weights = product(&transposed, &error, (3, ROWS, 2));
        let of_biases = product(&[1.0; ROWS], &error, (1, ROWS, 2));
        for at in 0..6 {
            w[at] -= 0.1 * (of_weights[at] + 0.05 * w[at]);
        }
        for at in 0..2 {
            w[6 + at] -= 0.1 * of_biases[at];
        }
    }
    assert_close(&run(&plan, ROWS).parameters, &w, 1e-12);

    // Without the penalty it converges to the exact solution: these targets are linear in the features.
    (plan.weight_decay, plan.epochs) = (0.0, 3000);
    let model = run(&plan, ROWS);
    assert_close(&model.parameters, &[1.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.5, 0.5], 1e-6);
    assert_close(&model.outputs(&x), &y, 1e-6);
}

#[test]
fn without_hidden_layers_it_is_logistic_regression() {
    let mut plan = plan(Task::Classification, &[2, 2], Optimizer::Sgd { momentum: 0.5 });
    (plan.learning_rate, plan.epochs) = (0.2, 15);
    let (x, y) = examples(&plan, ROWS);

    // Two classes: p = sigmoid of the difference of the logits.
    let mut w = initial_parameters(&plan);
    let mut velocity = vec![0.0; w.len()];
    for _ in 0..plan.epochs {
        let mut gradient = vec![0.0; w.len()];
        for (row, target) in x.chunks(2).zip(y.chunks(2)) {
            let logit = |k: usize| row[0] * w[k] + row[1] * w[2 + k] + w[4 + k];
            let p = 1.0 / (1.0 + (logit(1) - logit(0)).exp());
            for (k, delta) in [p - target[0], 1.0 - p - target[1]].into_iter().enumerate() {
                for (at, input) in [(k, row[0]), (2 + k, row[1]), (4 + k, 1.0)] {
                    gradient[at] += delta * input / ROWS as f64;
                }
            }
        }
        for ((w, u), g) in w.iter_mut().zip(&mut velocity).zip(gradient) {
            *u = 0.5 * *u + g;
            *w -= 0.2 * *u;
        }
    }
    assert_close(&run(&plan, ROWS).parameters, &w, 1e-12);
}

#[test]
fn the_last_batch_may_be_short() {
    let mut plan = plan(Task::Regression, &[3, 4, 1], Optimizer::adam(1));
    (plan.batch_size, plan.epochs) = (5, 2);
    let (features, targets) = examples(&plan, ROWS);
    let examples = PlainExamples { features: &features, targets: &targets, rows: ROWS };
    let mut calls = Vec::new();
    let model = train(&plan, examples, |epoch, batch, loss| calls.push((epoch, batch, loss)));

    let at: Vec<_> = calls.iter().map(|call| (call.0, call.1)).collect();
    assert_eq!(at, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
    // The epoch's loss weighs examples alike, also the 3 of the last batch.
    let mean = |c: &[(usize, usize, f64)]| (5.0 * c[0].2 + 5.0 * c[1].2 + 3.0 * c[2].2) / 13.0;
    assert_close(&model.loss, &[mean(&calls[..3]), mean(&calls[3..])], 1e-15);

    // One step on the short batch is one step on its rows alone.
    (plan.optimizer, plan.epochs) = (Optimizer::Sgd { momentum: 0.0 }, 1);
    let model = train(&plan, examples, |_, _, _| ());
    let mut parameters = initial_parameters(&plan);
    for rows in BatchOrder::new(plan.seed, ROWS, 5).epoch(0) {
        let pick = |all: &[f64], width: usize| -> Vec<f64> {
            rows.iter().flat_map(|&r| all[r as usize * width..][..width].to_vec()).collect()
        };
        let (x, y) = (pick(&features, 3), pick(&targets, 1));
        let (x, y) = (matrix(&x, rows.len(), 3), matrix(&y, rows.len(), 1));
        let gradient = loss_and_gradient(&plan, &parameters, &x, &y).1;
        parameters.iter_mut().zip(gradient).for_each(|(w, g)| *w -= 0.01 * g);
    }
    assert_close(&model.parameters, &parameters, 1e-14);
}

#[test]
fn training_is_deterministic_and_follows_the_seed() {
    let mut plan = plan(Task::Classification, &[4, 8, 8, 3], Optimizer::adam(4));
    (plan.batch_size, plan.epochs) = (4, 10);
    let model = run(&plan, 50);
    assert_eq!(model, run(&plan, 50));
    assert!(model.loss[9] < model.loss[0]);
    plan.seed += 1;
    assert_ne!(model.parameters, run(&plan, 50).parameters);
}

#[test]
fn hidden_layers_learn_what_a_linear_model_cannot() {
    let mut plan = plan(Task::Classification, &[2, 16, 2], Optimizer::adam(1));
    (plan.batch_size, plan.epochs) = (2, 200);
    let features = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
    let targets = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
    let examples = PlainExamples { features: &features, targets: &targets, rows: 4 };
    let accuracy = |plan: &Plan| {
        let outputs = train(plan, examples, |_, _, _| ()).outputs(&features);
        match evaluate(plan.task, 2, &outputs, &targets) {
            Metrics::Classification { accuracy, .. } => accuracy,
            Metrics::Regression { .. } => unreachable!("the task is a classification"),
        }
    };
    assert!(accuracy(&plan) > 0.99);
    plan.layers = vec![2, 2];
    assert!(accuracy(&plan) < 0.99);
}

#[test]
fn metrics_of_a_classification() {
    // Soft-max (1/2, 1/4, 1/4) with the first class right; (1/2, 1/2, 0) with the second, tied with the
    // first.
    let ln2 = 2.0_f64.ln();
    let outputs = [ln2, 0.0, 0.0, 1000.0, 1000.0, -1000.0];
    let targets = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let metrics = evaluate(Task::Classification, 3, &outputs, &targets);
    let Metrics::Classification { accuracy, cross_entropy } = metrics else { panic!("{metrics:?}") };
    assert_close(&[accuracy, cross_entropy], &[0.5, ln2], 1e-12);
}

#[test]
fn metrics_of_a_regression() {
    // First column: residuals 1, 0, 1 of variation 2; second: met exactly without variation.
    let metrics =
        evaluate(Task::Regression, 2, &[2.0, 5.0, 2.0, 5.0, 2.0, 5.0], &[1.0, 5.0, 2.0, 5.0, 3.0, 5.0]);
    assert_eq!(metrics, Metrics::Regression { mse: 2.0 / 6.0, r2: 0.5 });
    let missed = evaluate(Task::Regression, 1, &[1.0, 1.0], &[2.0, 2.0]);
    assert_eq!(missed, Metrics::Regression { mse: 1.0, r2: 0.0 });
}

#[test]
#[should_panic(expected = "matrix of 3 rows and 2 columns")]
fn features_of_another_shape_are_refused() {
    let plan = plan(Task::Regression, &[2, 1], Optimizer::adam(1));
    let examples = PlainExamples { features: &[0.0; 5], targets: &[0.0; 3], rows: 3 };
    train(&plan, examples, |_, _, _| ());
}
