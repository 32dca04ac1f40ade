//! The losses of a job's training, line by line in a file. Of a grid search none come out.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::job::LossPoint;
use crate::server::jobs::directory;
use crate::server::state::Shared;

/// Most points that are told; of more, means of neighbours are.
const MOST: usize = 400;

/// Adds a point to the curve of a job. One that cannot be written is lost: the job is worth more than its curve.
pub(super) async fn add(shared: &Arc<Shared>, job: &str, point: LossPoint) {
    let path = directory::losses(shared, job);
    drop(spawn_blocking(move || append(&path, &point)).await);
}

fn append(path: &Path, point: &LossPoint) {
    let Ok(mut line) = serde_json::to_string(point) else { return };
    line.push('\n');
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        tracing::warn!(%error, "the losses of a job cannot be written");
    }
}

/// The points, in order.
///
/// What was trained again after a fault stands once: a point takes the place of those that are not before it.
pub(super) fn read(path: &Path) -> io::Result<Vec<LossPoint>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut points: Vec<LossPoint> = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        // A crash can leave a part of a line.
        let Ok(point) = serde_json::from_slice::<LossPoint>(&line?) else { continue };
        while points.last().is_some_and(|last| last.epoch >= point.epoch) {
            points.pop();
        }
        points.push(point);
    }
    let width = points.len().div_ceil(MOST).max(1);
    Ok(points.chunks(width).filter_map(mean).collect())
}

/// A point in place of neighbours: their mean, at the last of them.
fn mean(group: &[LossPoint]) -> Option<LossPoint> {
    let last = group.last()?;
    let loss = group.iter().map(|point| point.loss).sum::<f64>() / group.len() as f64;
    Some(LossPoint { epoch: last.epoch, loss })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(epoch: f64) -> LossPoint {
        LossPoint { epoch, loss: 1.0 / (1.0 + epoch) }
    }

    #[test]
    fn what_is_trained_again_stands_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("losses");
        assert_eq!(read(&path).unwrap(), []);
        for epoch in [0.5, 1.0, 1.5, 1.25] {
            append(&path, &point(epoch));
        }
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"ep\n").unwrap();
        append(&path, &point(2.0));
        assert_eq!(read(&path).unwrap(), [0.5, 1.0, 1.25, 2.0].map(point));
    }

    #[test]
    fn many_points_become_few_of_the_same_course() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("losses");
        (1..=1001).for_each(|at| append(&path, &point(f64::from(at) / 100.0)));
        let few = read(&path).unwrap();
        assert!(few.len() <= MOST && few.len() > MOST / 2, "{}", few.len());
        assert!(few.is_sorted_by(|one, other| one.epoch < other.epoch && one.loss > other.loss));
        assert!(few.last().is_some_and(|last| (last.epoch - 10.01).abs() < 1e-9));
    }
}
