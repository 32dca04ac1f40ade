//! Jobs at three servers: handed in, watched, cancelled, and carried to their end whatever happens to the servers.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use shamisen_service::client::CallError;
use shamisen_service::job::{JobDocument, JobState, JobStatus, Submission, Work};
use shamisen_service::keys;
use shamisen_service::terms::Output;

use crate::support::{LIMIT, children, names, output, shamisen, signal, succeed, table, text};
use crate::three::Three;

/// Gives the servers a data set `hospital-a` of so many rows, on which the analyst may train as often as this.
pub(crate) fn give(three: &Three, rows: usize, more_terms: &str) {
    let table = three.place.write("table.csv", table(rows));
    let analyst = keys::read(&three.place.path("analyst")).unwrap().fingerprint();
    let terms = format!(
        "trainers = [\"{analyst}\"]\nmax_epochs = 1000\nmax_jobs = 100\nexpires = 2100-01-01\nleast_rows = 10\n\
         outputs = [\"metrics\", \"loss\", \"predictions\", \"model\"]\n{more_terms}"
    );
    let terms = three.place.write("terms.toml", terms);
    let mut put = three.client_command("put", "owner");
    put.arg(table).args(["--name", "hospital-a", "--target", "kind", "--task", "classification", "--terms"]);
    succeed(put.arg(terms));
}

/// A job of so many epochs, with a checkpoint in each.
pub(crate) fn submit(three: &Three, name: &str, epochs: usize) -> Command {
    let mut submit = three.analyst("submit");
    submit.args(["--data", "hospital-a", "--hidden", "8", "--batch-size", "32", "--learning-rate", "0.01"]);
    submit.args(["--name", name, "--epochs", &epochs.to_string()]);
    submit
}

/// The id in what `submit` printed.
pub(crate) fn id_of(printed: &str) -> String {
    printed.split_whitespace().nth(1).unwrap().to_owned()
}

/// What a server says of a job.
pub(crate) async fn status(three: &Three, party: usize, id: &str) -> JobStatus {
    three.client(party, Some("analyst")).await.get(&format!("/v1/jobs/{id}")).await.unwrap()
}

/// Waits until a server says of a job what is expected.
pub(crate) async fn wait_until(
    three: &Three,
    party: usize,
    id: &str,
    expected: impl Fn(&JobStatus) -> bool,
) -> JobStatus {
    let start = Instant::now();
    loop {
        let status = status(three, party, id).await;
        if expected(&status) {
            return status;
        }
        assert!(start.elapsed() < LIMIT, "{status:?}\n{}", three.log(party));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The checkpoints that a server, which does not run, has of a job's first training.
fn checkpoints(three: &Three, party: usize, id: &str) -> Vec<Vec<u8>> {
    let dir = three.place.path(&format!("data{party}/jobs/{id}/0"));
    let is_one = |name: &String| name.starts_with("checkpoint-");
    names(&dir).iter().filter(|name| is_one(name)).map(|name| fs::read(dir.join(name)).unwrap()).collect()
}

/// Whether a job has come beyond an epoch.
pub(crate) fn is_beyond(status: &JobStatus, epoch: usize) -> bool {
    status.progress.is_some_and(|progress| progress.epoch > epoch)
}

#[test]
fn a_job_is_carried_out_and_leaves_its_log() {
    let three = Three::started();
    give(&three, 400, "");
    let out = succeed(submit(&three, "first", 3).arg("--watch"));
    assert!(
        out.contains("state          done") && out.contains("accuracy") && out.contains("last loss"),
        "{out}"
    );
    let id = id_of(&out);

    let jobs = succeed(&mut three.analyst("jobs"));
    assert!(jobs.contains(&id) && jobs.contains("done") && jobs.contains("the analyst"), "{jobs}");
    let again = succeed(three.analyst("watch").arg("first"));
    assert!(again.contains("accuracy"), "{again}");
    let logs = succeed(three.analyst("logs").arg(&id[..8]));
    for party in 0..3 {
        for part in ["accepted", "the three parties have met", "training 0 is done here", "done"] {
            let says = |line: &str| line.contains(&format!("server {party}")) && line.contains(part);
            assert!(logs.lines().any(says), "{part} of {party} in\n{logs}");
        }
        // Nothing of the training stays but the log, and the losses, which the job lets out.
        assert_eq!(
            names(&three.place.path(&format!("data{party}/jobs/{id}"))),
            ["log.jsonl", "losses.jsonl"]
        );
    }
    let over = output(three.analyst("cancel").arg(&id));
    assert_eq!(over.status.code(), Some(2));
    assert!(text(&over.stderr).contains("is over: it is done"), "{}", text(&over.stderr));
    let audit = succeed(&mut three.client_command("audit verify", "operator"));
    assert!(audit.contains("agree") || audit.contains("well"), "{audit}");
}

#[tokio::test]
async fn a_training_steps_aside_for_predictions() {
    let three = Three::started();
    give(&three, 400, "");
    let terms = ["--outputs", "metrics,predictions"];
    succeed(submit(&three, "model", 2).args(terms).arg("--watch"));
    let id = id_of(&succeed(submit(&three, "long", 1000).args(terms)));
    let rows = three.place.write("rows.csv", table(50));
    let mut epoch = 1;
    for round in 0..2 {
        let before = wait_until(&three, 0, &id, |status| is_beyond(status, epoch)).await;
        epoch = before.progress.unwrap().epoch;
        let mut predict = three.analyst("predict");
        let to = three.place.path(&format!("predictions{round}.csv"));
        succeed(predict.args(["--model", "model", "--data"]).arg(&rows).arg("--output").arg(&to));
        assert_eq!(fs::read_to_string(&to).unwrap().lines().count(), 51);
        assert!(!status(&three, 0, &id).await.state.is_over());
    }
    // It goes on from where it was, at all three.
    let goes_on = |status: &JobStatus| status.state == JobState::Running && is_beyond(status, epoch);
    for party in 0..3 {
        wait_until(&three, party, &id, goes_on).await;
    }
    let logs = succeed(three.analyst("logs").arg("long"));
    assert_eq!(logs.matches("steps aside for another job").count(), 2, "{logs}");
    assert_eq!(logs.matches("stopped after epoch").count(), 6, "{logs}");
    succeed(three.analyst("cancel").arg("long"));
}

#[test]
fn a_model_predicts_where_it_is_and_after_its_export() {
    let three = Three::started();
    give(&three, 400, "");
    let out = succeed(submit(&three, "model", 8).args(["--outputs", "metrics,predictions,model", "--watch"]));
    let id = id_of(&out);
    let models = succeed(&mut three.analyst("models"));
    assert!(models.contains(&id) && models.contains("4-8-2"), "{models}");

    let rows = three.place.write("rows.csv", table(50));
    let here = three.place.path("here.csv");
    let mut predict = three.analyst("predict");
    succeed(predict.args(["--model", "model", "--data"]).arg(&rows).arg("--output").arg(&here));
    for party in 0..3 {
        // Neither rows nor predictions stay at the servers, and the model is encrypted.
        let place = three.place.path(&format!("data{party}"));
        for job in names(&place.join("jobs")) {
            assert_eq!(names(&place.join("jobs").join(job)), ["log.jsonl"]);
        }
        let share = fs::read(place.join("models").join(&id).join("model.share")).unwrap();
        assert!(share.starts_with(b"shamisen-cipher"));
    }

    let dir = three.place.path("exported");
    let mut export = three.analyst("export");
    succeed(export.args(["--model", &id[..10], "--to"]).arg(&dir));
    let inspected = succeed(shamisen().args(["inspect", "--model"]).arg(&dir));
    assert!(inspected.contains("accuracy") && inspected.contains("present and whole"), "{inspected}");
    let file = three.place.path("exported.onnx");
    succeed(three.analyst("export").args(["--model", &id, "--to"]).arg(&file));
    let of_dir = three.place.path("of-dir.onnx");
    succeed(shamisen().args(["export", "--model"]).arg(&dir).arg("--to").arg(&of_dir));
    assert_eq!(fs::read(&file).unwrap(), fs::read(&of_dir).unwrap());
    let there = three.place.path("there.csv");
    let mut local = shamisen();
    local.args(["predict", "--transport", "memory", "--model"]).arg(&file).arg("--data").arg(&rows);
    succeed(local.arg("--output").arg(&there));
    let classes = |path| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.split(',').next().unwrap().to_owned()).collect()
    };
    let (here, there) = (classes(here), classes(there));
    assert_eq!(here.len(), 51);
    // Truncation rounds at random: a row at the border may go either way.
    assert!(here.iter().zip(&there).filter(|(one, other)| one != other).count() <= 1);

    let mut by_owner = three.client_command("export", "owner");
    let refused = output(by_owner.args(["--model", &id, "--to"]).arg(three.place.path("other")));
    // After the data are taken back nothing is left of the model.
    let model = |party| three.place.path(&format!("data{party}/models/{id}"));
    assert!((0..3).all(|party| model(party).exists()));
    succeed(three.client_command("revoke", "owner").arg("hospital-a"));
    assert!((0..3).all(|party| !model(party).exists()));
    assert!(!succeed(&mut three.analyst("models")).contains(&id));
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("there is no model"), "{}", text(&refused.stderr));
    assert!(!three.place.path("other").exists());
}

#[tokio::test]
async fn statistics_go_to_those_who_may_predict_and_to_nobody_else() {
    let three = Three::started();
    give(&three, 200, "");
    let owner = keys::read(&three.place.path("owner")).unwrap().fingerprint().to_string();
    let given = ["--outputs", "predictions", "--predictions-to", &owner, "--watch"];
    let refused = output(submit(&three, "x", 1).args(given));
    assert!(text(&refused.stderr).contains("`predictions_to`"), "{}", text(&refused.stderr));
    let id = id_of(&succeed(submit(&three, "model", 1).args(["--outputs", "predictions", "--watch"])));
    let path = format!("/v1/models/{id}/statistics/0");
    for party in 0..3 {
        let share = three.client(party, Some("analyst")).await.get_bytes(&path).await.unwrap();
        // Two components of four columns, of each two numbers in 33 units.
        assert_eq!(share.len(), 8 * 2 * 4 * 2 * 33);
        for key in ["owner", "operator"] {
            assert!(three.client(party, Some(key)).await.get_bytes(&path).await.is_err());
        }
    }
}

#[tokio::test]
async fn of_a_grid_the_metrics_come_out_and_nothing_else() {
    let three = Three::started();
    give(&three, 200, "");
    let mut grid = submit(&three, "grid", 2);
    let out = succeed(grid.args(["--hidden", "4", "--learning-rate", "0.1", "--watch"]));
    assert_eq!(out.lines().filter(|line| line.contains("accuracy")).count(), 4, "{out}");
    assert!(!out.contains("loss"), "{out}");
    for party in 0..3 {
        let status = status(&three, party, &id_of(&out)).await;
        assert!(status.results.iter().all(|result| result.loss.is_empty() && result.accuracy.is_some()));
        assert!(!three.place.path(&format!("data{party}/models")).exists());
    }
    let refused = output(submit(&three, "grid", 2).args(["--hidden", "4", "--outputs", "metrics,loss"]));
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("nothing but the metrics comes out"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn a_job_goes_on_by_itself_after_each_server_was_killed() {
    let mut three = Three::started();
    give(&three, 400, "");
    let id = id_of(&succeed(&mut submit(&three, "long", 120)));
    for (round, party) in [0, 1, 2, 0].into_iter().enumerate() {
        let seen = wait_until(&three, (party + 1) % 3, &id, |status| is_beyond(status, 4 * round)).await;
        assert_eq!(seen.state, JobState::Running);
        three.kill(party);
        wait_until(&three, (party + 1) % 3, &id, |status| status.state == JobState::Interrupted).await;
        let kept = checkpoints(&three, party, &id);
        assert!(!kept.is_empty() && kept.iter().all(|bytes| bytes.starts_with(b"shamisen-cipher")));
        three.start(party);
        wait_until(&three, party, &id, |status| is_beyond(status, 4 * round)).await;
    }
    let last = wait_until(&three, 0, &id, |status| status.state.is_over()).await;
    assert_eq!(last.state, JobState::Done, "{last:?}");
    assert_eq!(last.results[0].loss.len(), 120);
    assert!(last.results[0].loss[119] < last.results[0].loss[0]);
    for party in 1..3 {
        let other = wait_until(&three, party, &id, |status| status.state.is_over()).await;
        assert_eq!((other.state, &other.results[0].loss), (JobState::Done, &last.results[0].loss));
    }
}

#[tokio::test]
async fn a_party_that_is_killed_and_a_server_that_is_stopped_cost_nothing() {
    let mut three = Three::started();
    give(&three, 400, "");
    let id = id_of(&succeed(&mut submit(&three, "long", 60)));
    for party in 0..3 {
        wait_until(&three, party, &id, |status| is_beyond(status, 2 * party)).await;
        let server = three.running[party].as_ref().unwrap().id();
        let [process] = children(server)[..] else { panic!("not one party") };
        signal("KILL", process);
        wait_until(&three, party, &id, |status| {
            status.state == JobState::Interrupted || is_beyond(status, 5)
        })
        .await;
    }
    wait_until(&three, 2, &id, |status| is_beyond(status, 10)).await;
    three.stop(2);
    let waits = wait_until(&three, 0, &id, |status| status.state == JobState::Interrupted).await;
    assert!(waits.reason.is_some(), "{waits:?}");
    three.start(2);
    let last = wait_until(&three, 2, &id, |status| status.state.is_over()).await;
    assert_eq!(last.state, JobState::Done, "{last:?}");
    let logs = succeed(three.analyst("logs").arg(&id));
    assert!(logs.contains("SIGKILL") && logs.contains("stopped after epoch"), "{logs}");
}

#[tokio::test]
async fn jobs_wait_for_their_turn_and_can_be_cancelled() {
    let mut three = Three::started();
    give(&three, 400, "");
    let first = id_of(&succeed(&mut submit(&three, "first", 1000)));
    let second = id_of(&succeed(&mut submit(&three, "second", 1000)));
    let third = id_of(&succeed(&mut submit(&three, "third", 1)));
    wait_until(&three, 0, &first, |status| status.state == JobState::Running && is_beyond(status, 0)).await;
    assert_eq!(status(&three, 1, &second).await.state, JobState::Queued);
    succeed(three.analyst("cancel").arg("second"));
    let out = succeed(three.analyst("cancel").arg(&first));
    assert!(out.contains("cancelled"), "{out}");
    for party in 0..3 {
        for id in [&first, &second] {
            let end = wait_until(&three, party, id, |status| status.state.is_over()).await;
            assert_eq!((end.state, end.reason.as_deref()), (JobState::Cancelled, Some("by the analyst")));
        }
        let done = wait_until(&three, party, &third, |status| status.state.is_over()).await;
        assert_eq!(done.state, JobState::Done);
    }
    let watched = output(three.analyst("watch").arg("first"));
    assert_eq!(watched.status.code(), Some(1));
    assert!(text(&watched.stderr).contains("was cancelled: by the analyst"), "{}", text(&watched.stderr));

    // What was queued is there after a new start of all three.
    (0..3).for_each(|party| three.kill(party));
    (0..3).for_each(|party| three.start(party));
    assert_eq!(status(&three, 2, &third).await.state, JobState::Done);
    let out = succeed(submit(&three, "fourth", 1).arg("--watch"));
    assert!(out.contains("done"), "{out}");
}

#[tokio::test]
async fn what_a_server_must_not_take_is_refused_with_a_reason() {
    let three = Three::started();
    give(&three, 200, "tasks = [\"classification\"]\n");
    let refused = |command: &mut Command, parts: &[&str]| {
        let output = output(command);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
    };
    refused(&mut submit(&three, "x", 1001), &["server 0, server 1, server 2", "`max_epochs`", "hint: "]);
    refused(submit(&three, "x", 1).args(["--batch-size", "0"]), &["batch"]);
    let deep = ["--hidden", "2048,2048,2048,2048"];
    refused(submit(&three, "x", 1).args(deep), &["12603394 parameters", "model_parameters"]);
    refused(
        submit(&three, "x", 1).args(["--model-to", &"1".repeat(64), "--outputs", "model"]),
        &["`model_to`"],
    );
    let mut by_owner = three.client_command("submit", "owner");
    refused(by_owner.args(["--data", "hospital-a"]), &["is known as owner", "the role analyst alone"]);
    let mut missing = three.analyst("submit");
    refused(missing.args(["--data", "hospital-b"]), &["no data set \"hospital-b\""]);
    assert_eq!(succeed(&mut three.analyst("jobs")), "there are no jobs\n");

    // A job that was handed in before, one that was changed, one of somebody else, one for other servers.
    let out = succeed(submit(&three, "good", 1).args(["--outputs", "metrics,predictions", "--watch"]));
    let id = id_of(&out);
    let identity = keys::read(&three.place.path("analyst")).unwrap();
    let key = |identity: &shamisen_net::tls::Identity| shamisen_service::KeyId(identity.fingerprint());
    let servers = three.identities.each_ref().map(key);
    let example = |id: &str, servers| {
        let work = serde_json::json!({"name": "train", "checkpoint_every": 16, "settings": [{
            "hidden": [4], "epochs": 1, "batch_size": 32, "learning_rate": 0.01, "weight_decay": 0.0, "seed": 1,
            "optimizer": {"name": "sgd", "momentum": 0.0}}]});
        let work = serde_json::from_value(work).unwrap();
        JobDocument::new(id.into(), "odd".into(), servers, key(&identity), vec!["0".repeat(32)], work)
    };
    let swapped = [servers[1], servers[0], servers[2]];
    let unused = "a".repeat(32);
    let mut client = three.client(1, Some("analyst")).await;
    let mut owner = three.client(1, Some("operator")).await;
    let sign = |document: &JobDocument| Submission::sign(document, &identity).unwrap();
    let changed = {
        let good = sign(&example(&unused, servers));
        let mut json = serde_json::to_value(&good).unwrap();
        json["document"] = good.document.replacen("\"epochs\":1", "\"epochs\":2", 1).into();
        json
    };
    let submission = |document: &JobDocument| serde_json::to_value(sign(document)).unwrap();
    let predictions = |rows: usize| {
        let (own, work) = (key(&identity), Work::Predict { model: id.clone(), rows });
        let mut document = JobDocument::new(unused.clone(), "odd".into(), servers, own, Vec::new(), work);
        (document.outputs, document.predictions_to) = (vec![Output::Predictions], vec![own]);
        document
    };
    for (question, status, part) in [
        (changed, 400, "not signed as it has to be"),
        (submission(&example(&unused, swapped)), 409, "other servers"),
        (submission(&example(&unused, servers)), 404, "no data set"),
        (serde_json::json!({}), 422, "missing field"),
        // Four features and two outputs of 16 bytes are 64 MiB in 699,050 rows.
        (submission(&predictions(699_051)), 413, "takes 67108864 for a job"),
    ] {
        let error = client.post_json::<_, JobStatus>("/v1/jobs", &question).await.unwrap_err();
        let CallError::Refused { status: found, problem, .. } = &error else { panic!("{error}") };
        assert!(*found == status && problem.error.contains(part), "{error}");
    }
    let error = owner
        .post_json::<_, JobStatus>("/v1/jobs", &submission(&example(&unused, servers)))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("analyst or owner alone"), "{error}");
    let error = client.get::<JobStatus>(&format!("/v1/jobs/{unused}")).await.unwrap_err();
    assert!(error.to_string().contains("no job"), "{error}");
    let order = serde_json::json!({"digest": "0".repeat(64), "what": {"name": "look"}});
    let path = format!("/v1/jobs/{id}/order");
    for (party, key, part) in [
        (1, "analyst", "server alone"),
        (1, "server2", "server 0 alone"),
        (0, "server1", "server 0 alone"),
        (1, "server0", "another one here"),
    ] {
        let mut caller = three.client(party, Some(key)).await;
        let error = caller.post_json::<_, serde_json::Value>(&path, &order).await.unwrap_err();
        assert!(error.to_string().contains(part), "{key}: {error}");
    }
    // Somebody else does not even learn that the job exists.
    let error =
        three.client(0, Some("owner")).await.get::<JobStatus>(&format!("/v1/jobs/{id}")).await.unwrap_err();
    assert!(error.to_string().contains("no job"), "{error}");
    assert!(fs::metadata(three.place.path("data0/audit.log")).is_ok());
}
