//! Work on a sequence of items in several threads, with results in order and bounded memory.

use std::sync::mpsc::sync_channel;
use std::thread;

use crate::error::{DataError, Result};

/// Most threads that work: beyond, one that reads or writes cannot keep up.
const MAX_WORKERS: usize = 8;

/// Takes items, lets as many threads work on them as there are cores, and gives the results to `sink` in the order of the
/// items, in the calling thread.
///
/// At most three items for each thread are under way. Ends with the first failure in the order of the items.
pub(crate) fn in_order<I: Send, T: Send, E: From<DataError>>(
    mut items: impl Iterator<Item = Result<I>> + Send,
    work: impl Fn(I) -> Result<T> + Sync,
    mut sink: impl FnMut(T) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if items.size_hint().1.is_some_and(|most| most <= 1) {
        return items.try_for_each(|item| sink(item.and_then(&work)?));
    }
    let workers = thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
    let work = &work;
    thread::scope(|scope| {
        let (mut ins, mut outs) = (Vec::with_capacity(workers), Vec::with_capacity(workers));
        for _ in 0..workers {
            let (item_sender, item_receiver) = sync_channel::<Result<I>>(1);
            let (sender, receiver) = sync_channel(1);
            scope.spawn(move || {
                for item in item_receiver {
                    let result = item.and_then(work);
                    let failed = result.is_err();
                    // Nobody listens any more after a failure.
                    if sender.send(result).is_err() || failed {
                        return;
                    }
                }
            });
            ins.push(item_sender);
            outs.push(receiver);
        }
        scope.spawn(move || {
            for (at, item) in items.enumerate() {
                let failed = item.is_err();
                if ins[at % workers].send(item).is_err() || failed {
                    return;
                }
            }
        });
        // Item `at` is with thread `at` modulo their number: if that one has ended, there are no more.
        for at in 0.. {
            let Ok(result) = outs[at % workers].recv() else { break };
            sink(result?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(at: usize) -> DataError {
        DataError::NoSuchParty { party: at }
    }

    fn run(count: usize, bad_item: usize, bad_work: usize, bad_sink: usize) -> (Vec<usize>, Option<String>) {
        let mut seen = Vec::new();
        let items = (0..count).map(|at| if at == bad_item { Err(failure(at)) } else { Ok(at) });
        let work = |at: usize| if at == bad_work { Err(failure(at)) } else { Ok(at * at) };
        let result = in_order(items, work, |square| {
            if seen.len() == bad_sink {
                return Err(failure(bad_sink));
            }
            seen.push(square);
            Ok(())
        });
        (seen, result.err().map(|error: DataError| error.to_string()))
    }

    #[test]
    fn results_come_in_order() {
        for count in [0, 1, 2, 7, 1000] {
            let squares: Vec<usize> = (0..count).map(|at| at * at).collect();
            assert_eq!(run(count, usize::MAX, usize::MAX, usize::MAX), (squares, None));
        }
    }

    #[test]
    fn the_first_failure_in_order_ends_it() {
        for (item, work, sink, first) in
            [(5, 9, 7, 5), (9, 5, 7, 5), (9, 7, 5, 5), (0, 1, 2, 0), (99, 98, 97, 97)]
        {
            let (seen, error) = run(100, item, work, sink);
            assert_eq!(seen.len(), first);
            assert!(error.unwrap().contains(&format!("no party {first}:")));
        }
    }
}
